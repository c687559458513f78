package leg

import (
	"net"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// TestATableIsRemovedOnlyWhereOneStands: whoever removes one waits for the kernel
// to free it.
func TestATableIsRemovedOnlyWhereOneStands(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 7, 1}
	cases := map[string]struct {
		table  string
		set    func(*rtnltest.Netns) error
		intact func(*rtnltest.Netns) error
	}{
		"the node's": {
			tableName,
			func(n *rtnltest.Netns) error { return rules{n.Handle}.add(t.Context(), numbered(1), legs()) },
			func(n *rtnltest.Netns) error {
				if ok, err := (rules{n.Handle}).intact(t.Context(), []Leg{numbered(1)}); err != nil || !ok {
					return errDiffers
				}
				return nil
			},
		},
		"the Pod's": {
			podTable,
			func(n *rtnltest.Netns) error { return setMarks(n.Handle, "eth0", mac) },
			func(n *rtnltest.Netns) error { return verifyMarks(n.Handle, "eth0", mac) },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := rtnltest.New(t)
			for i, want := range []int{0, 0, 1} {
				if i == 2 {
					flushTable(t, n, c.table)
				}
				if got := removals(t, n, func() { must(t, c.set(n)) }); got != want {
					t.Errorf("call %d removes %d tables, want %d", i+1, got, want)
				}
				must(t, c.intact(n))
			}
		})
	}
}

func flushTable(t *testing.T, n *rtnltest.Netns, name string) {
	t.Helper()
	n.ChangeNFT(t, func(c *nftables.Conn) {
		c.FlushTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: name})
	})
}

// removals counts the tables that go while fn runs.
func removals(t *testing.T, n *rtnltest.Netns, fn func()) (count int) {
	t.Helper()
	e, err := WatchRules(n.Handle)
	must(t, err)
	defer e.Close()
	fn()
	// Events come in order: this is the last.
	last := &nftables.Table{Family: nftables.TableFamilyINet, Name: "last"}
	n.ChangeNFT(t, func(c *nftables.Conn) { c.AddTable(last) })
	defer n.ChangeNFT(t, func(c *nftables.Conn) { c.DelTable(last) })
	for {
		events, err := e.all.Next(t.Context())
		must(t, err)
		for _, ev := range events {
			switch {
			case ev.Kind == unix.NFT_MSG_DELTABLE:
				count++
			case ev.Kind == unix.NFT_MSG_NEWTABLE && ev.Table == last.Name:
				return count
			}
		}
	}
}
