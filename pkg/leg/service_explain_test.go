package leg

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func TestARefusalNamesWhatTheKernelLacks(t *testing.T) {
	cases := map[string]struct {
		err  error
		says string
	}{
		"no nf_tables":   {fmt.Errorf("dial: %w", unix.EPROTONOSUPPORT), "CONFIG_NF_TABLES"},
		"its first word": {fmt.Errorf("ask: %w", unix.EINVAL), "CONFIG_NF_TABLES"},
		"no capability":  {&nft.RefusedError{Message: unix.NFT_MSG_NEWSET, Errno: unix.EPERM}, "CAP_NET_ADMIN"},
		"no family":      {&nft.RefusedError{Message: unix.NFT_MSG_NEWTABLE, Errno: unix.EAFNOSUPPORT}, "CONFIG_NF_TABLES_IPV4"},
		"no sets":        {&nft.RefusedError{Message: unix.NFT_MSG_NEWSETELEM, Errno: unix.EOPNOTSUPP}, "CONFIG_NF_TABLES_SET"},
		"no NAT":         {&nft.RefusedError{Message: unix.NFT_MSG_NEWCHAIN, Errno: unix.ENOENT}, "the kernel lacks NAT by nf_tables"},
		"no conntrack":   {&nft.RefusedError{Message: unix.NFT_MSG_NEWRULE, Name: translations()[0].note, Errno: unix.ENOENT}, "CONFIG_NFT_CT"},
		"something else": {&nft.RefusedError{Message: unix.NFT_MSG_NEWCHAIN, Errno: unix.ENOMEM}, "the kernel's log"},
		"none of it":     {&nft.RefusedError{Message: 255, Errno: unix.ENOENT}, "the kernel's log"},
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
		return tab.batch(func(b *nft.Batch) {
			install(b, contents{})
			b.AddRule(nft.Rule{Chain: "none", Note: translations()[0].note})
			update(b, contents{}, contents{}.with(legOf("vethpl1", "198.18.1.1")))
		})
	})
	if cni, ok := errors.AsType[*types.Error](err); !ok || !strings.Contains(cni.Details, translations()[0].needs) {
		t.Errorf("got %v", err)
	}
	if tables := nftTables(t, rtnltest.New(t)); len(tables) != 0 {
		t.Errorf("tables that are left: %v", tables)
	}
	// Nothing of it holds, and the next is answered for itself.
	must(t, r.add(t.Context(), legOf("vethpl1", "198.18.1.1"), legs()))
}
