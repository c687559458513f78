package leg

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func TestARefusalNamesWhatTheKernelLacks(t *testing.T) {
	cases := map[string]struct {
		err  error
		says string
	}{
		"no nf_tables":   {fmt.Errorf("dial: %w", unix.EPROTONOSUPPORT), "CONFIG_NF_TABLES"},
		"its first word": {fmt.Errorf("ask: %w", unix.EINVAL), "CONFIG_NF_TABLES"},
		"no capability":  {refused{unix.EPERM, "sets"}, "CAP_NET_ADMIN"},
		"no NAT":         {refused{unix.ENOENT, "NAT (CONFIG_NFT_NAT)"}, "the kernel lacks NAT (CONFIG_NFT_NAT)"},
		"something else": {refused{unix.ENOMEM, "NAT"}, "the kernel's log"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cni, ok := errors.AsType[*types.Error](explain(c.err))
			if !ok || cni.Code != uint(leaseapi.CodeService) || !strings.Contains(cni.Details, c.says) {
				t.Errorf("got %v", explain(c.err))
			}
		})
	}
	if err := explain(errors.New("anything")); err.Error() != "anything" || explain(nil) != nil {
		t.Errorf("an error that is not the kernel's: %v", err)
	}
}

// TestTheMessageThatIsRefusedIsKnown whatever comes before and after it.
func TestTheMessageThatIsRefusedIsKnown(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	err := r.session(t.Context(), func(tab *table) error {
		return tab.batch(func(b *batch) {
			b.install(contents{})
			b.add(unix.NFT_MSG_NEWSET, 0, "what nobody has", func(ae *encoder) {
				ae.String(unix.NFTA_SET_TABLE, "none")
				ae.String(unix.NFTA_SET_NAME, "none")
				ae.Uint32(unix.NFTA_SET_ID, 9)
				ae.Uint32(unix.NFTA_SET_KEY_LEN, 4)
			})
			b.update(contents{}, contents{}.with(legOf("vethpl1", "198.18.1.1")))
		})
	})
	if err == nil || !strings.Contains(err.Error(), "what nobody has") {
		t.Errorf("got %v", err)
	}
	if tables := nftTables(t, rtnltest.New(t)); len(tables) != 0 {
		t.Errorf("tables that are left: %v", tables)
	}
	// Nothing of it holds, and the next is answered for itself.
	must(t, r.add(t.Context(), legOf("vethpl1", "198.18.1.1"), legs()))
}
