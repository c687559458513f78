package attach

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
)

func checked() (attachment.Key, *skel.CmdArgs) {
	return attachment.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}, &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", Netns: "/n"}
}

func TestCHECKTellsWhyAPortWasClosed(t *testing.T) {
	key, args := checked()
	store, err := attachment.OpenStore(t.TempDir())
	must(t, err)
	must(t, store.Put(attachment.Record{Key: key, State: attachment.Ready, HostEnd: "gone0", Closed: "DHCPNAK by 192.0.2.1"}))
	n := &node{conf: &netconf.Bridge{Common: netconf.Common{Name: "lan"}}, store: store}
	err = n.check(t.Context(), args, &current.Result{})
	e, ok := errors.AsType[*types.Error](err)
	if !ok || e.Code != uint(leaseapi.CodeLeaseLost) || !strings.Contains(e.Error(), "DHCPNAK by 192.0.2.1") {
		t.Errorf("got %v, want code 101 and the reason", err)
	}
}

func TestCHECKExpectsTheMTUThatADDGave(t *testing.T) {
	const bridge = 1500
	leased, ignoring := &leaseapi.Request{}, &leaseapi.Request{Ignore: []leaseapi.Part{leaseapi.PartMTU}}
	cases := map[string]struct {
		version    string
		conf, told int
		lease      *leaseapi.Request
		want       int
	}{
		"the bridge's":                  {"1.1.0", 0, 0, nil, 0},
		"the conf's":                    {"1.1.0", 1400, 0, nil, 1400},
		"the conf's, beside a lease":    {"1.1.0", 1400, 0, leased, 1400},
		"the server's":                  {"1.1.0", 0, 1300, leased, 1300},
		"the server's below the conf's": {"1.1.0", 1400, 1300, leased, 1300},
		"the server's is the bridge's":  {"1.1.0", 0, bridge, leased, 0},
		"a result that cannot tell":     {"1.0.0", 1400, 0, leased, 0},
		"one that need not":             {"1.0.0", 1400, 0, ignoring, 1400},
		"one of another IPAM plugin":    {"1.0.0", 1400, 0, nil, 1400},
		"a bridge that has shrunk":      {"1.1.0", 0, 9000, leased, 0},
	}
	_, args := checked()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := &node{conf: &netconf.Bridge{Common: netconf.Common{CNIVersion: c.version}, MTU: c.conf}}
			prev := &current.Result{Interfaces: []*current.Interface{{Name: "lan0", Mtu: 7}, {Name: "eth0", Sandbox: "/n", Mtu: c.told}}}
			if got := n.expectedMTU(attachment.Record{Lease: c.lease}, args, prev, bridge); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestCHECKFollowsAnAddressThatWasReplaced(t *testing.T) {
	was, is := netip.MustParsePrefix("192.0.2.7/24"), netip.MustParsePrefix("192.0.2.9/24")
	given := pod.IPConfig{Addrs: []pod.Addr{{Prefix: was}}, Routes: []*types.Route{{Dst: net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}}, EnableDAD: true}
	replace, withdraw := &leaseapi.Request{WhenLost: leaseapi.Replace}, &leaseapi.Request{WhenLost: leaseapi.Withdraw}
	cases := map[string]struct {
		rec  attachment.Record
		want bool
	}{
		"the same":              {attachment.Record{Lease: replace, Addrs: []netip.Prefix{was}}, false},
		"another":               {attachment.Record{Lease: replace, Addrs: []netip.Prefix{is}}, true},
		"another, but withdraw": {attachment.Record{Lease: withdraw, Addrs: []netip.Prefix{is}}, false},
		"no lease of ours":      {attachment.Record{Addrs: []netip.Prefix{is}}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := replaced(c.rec, given); got != c.want {
				t.Errorf("replaced: %t, want %t", got, c.want)
			}
		})
	}
	want := pod.IPConfig{Addrs: []pod.Addr{{Prefix: is}}, EnableDAD: true}
	if diff := cmp.Diff(want, ofRecord(cases["another"].rec, given), cmp.Comparer(func(a, b pod.Addr) bool { return a == b })); diff != "" {
		t.Errorf("expected instead (-want +got):\n%s", diff)
	}
}
