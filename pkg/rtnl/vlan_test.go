package rtnl_test

import (
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// filtering is a namespace with a bridge that filters, lan0, and its port port0.
func filtering(t *testing.T) (n *rtnltest.Netns, bridge, port int) {
	t.Helper()
	rtnltest.NeedVLAN(t)
	n = rtnltest.New(t)
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: new(true)}
	b.Name = "lan0"
	must(t, n.Add(b))
	bridge, port = n.Up(t, "lan0"), n.Cable(t, "port0", rtnltest.New(t), "eth0")
	must(t, n.SetMaster(port, bridge))
	return n, bridge, port
}

func TestVLANTablesAreReadAsTheyWereWritten(t *testing.T) {
	n, bridge, port := filtering(t)
	native := rtnl.VLANFlags{PVID: true, Untagged: true}
	for _, self := range []bool{false, true} {
		index := port
		if self {
			index = bridge
		}
		must(t, n.AddVLAN(index, rtnl.VLANRange{First: 20, Last: 20}, native, self))
		must(t, n.AddVLAN(index, rtnl.VLANRange{First: 30, Last: 32}, rtnl.VLANFlags{}, self))
		must(t, n.AddVLAN(index, rtnl.VLANRange{First: 4093, Last: 4094}, rtnl.VLANFlags{Untagged: true}, self))
		for range 2 {
			must(t, n.DelVLAN(index, rtnl.VLANRange{First: 1, Last: 1}, self))
			must(t, n.DelVLAN(index, rtnl.VLANRange{First: 31, Last: 31}, self))
		}
		want := []rtnl.VLAN{{VID: 20, PVID: true, Untagged: true}, {VID: 30}, {VID: 32}, {VID: 4093, Untagged: true}, {VID: 4094, Untagged: true}}
		for name, read := range map[string]func(int) ([]rtnl.VLAN, error){"VLANs": n.VLANs, "before Linux 5.6": n.VLANsByLink} {
			if got, err := read(index); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, self %t: %+v, %v; want %+v", name, self, got, err, want)
			}
		}
		must(t, n.DelVLAN(index, rtnl.VLANRange{First: 1, Last: 4094}, self))
		if got, err := n.VLANs(index); err != nil || len(got) > 0 {
			t.Errorf("after all are gone: %+v, %v", got, err)
		}
	}
}

func TestAVLANTableThatIsNotThere(t *testing.T) {
	n, _, _ := filtering(t)
	if _, err := n.VLANs(n.Must(t, "lo").Attrs().Index); !errors.Is(err, rtnl.ErrNoPort) {
		t.Errorf("of no port: %v", err)
	}
	const index = 4711
	calls := map[string]func() error{
		"VLANs":       func() error { _, err := n.VLANs(index); return err },
		"VLANsByLink": func() error { _, err := n.VLANsByLink(index); return err },
		"AddVLAN":     func() error { return n.AddVLAN(index, rtnl.VLANRange{First: 2, Last: 2}, rtnl.VLANFlags{}, false) },
		"DelVLAN":     func() error { return n.DelVLAN(index, rtnl.VLANRange{First: 2, Last: 2}, false) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, rtnl.ErrNotFound) {
			t.Errorf("%s of a link that is gone: %v", name, err)
		}
	}
}

func TestABridgeTellsHowItFilters(t *testing.T) {
	n, bridge, _ := filtering(t)
	info, err := n.Handle.Bridge(bridge)
	if err != nil || !info.VLANFiltering || info.DefaultPVID != 1 || info.ServiceVLANs {
		t.Errorf("%+v, %v", info, err)
	}
	plain, err := n.Handle.Bridge(n.Bridge(t, "plain0"))
	if err != nil || plain.VLANFiltering {
		t.Errorf("a plain one: %+v, %v", plain, err)
	}
}

func TestAnEntryIsAskedForInEachVLAN(t *testing.T) {
	n, _, port := filtering(t)
	must(t, n.AddVLAN(port, rtnl.VLANRange{First: 20, Last: 21}, rtnl.VLANFlags{}, false))
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	if sticky, err := n.AddFDB(port, mac); err != nil || !sticky {
		t.Errorf("sticky %t, %v", sticky, err)
	}
	for _, test := range []struct {
		vids []uint16
		want bool
	}{{nil, true}, {[]uint16{1, 20, 21}, true}, {[]uint16{20, 22}, false}} {
		if got, err := n.HasFDB(port, mac, test.vids...); err != nil || got != test.want {
			t.Errorf("in %v: %t, %v", test.vids, got, err)
		}
	}
}

func TestLinksOfAKind(t *testing.T) {
	n := rtnltest.New(t)
	n.Bridge(t, "lan0")
	n.Cable(t, "port0", rtnltest.New(t), "eth0")
	for kind, want := range map[string][]string{"bridge": {"lan0"}, "veth": {"port0"}, "macvlan": nil} {
		links, err := n.LinksOfKind(kind)
		must(t, err)
		var got []string
		for _, l := range links {
			got = append(got, l.Attrs().Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
}
