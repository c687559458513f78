package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func someGuard() leaseapi.Guard {
	key := func(container string) leaseapi.Key {
		return leaseapi.Key{Network: "lan", ContainerID: container, IfName: "eth0"}
	}
	ours := []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	return leaseapi.Guard{
		Ports: []leaseapi.GuardedPort{
			{
				Key: key("c1"), Pod: "shop/web-0", Port: "vethpl000000001", MAC: "02:00:00:00:00:01", Addresses: ours,
				Dropped: map[string]uint64{"wrong_mac": 12, "dhcp": 3, "control": 0},
			},
			{Key: key("c2"), Port: "vethpl000000002", MAC: "02:00:00:00:00:02", AnyAddress: true, Opened: []string{"off"}},
			{
				Key: key("c3"), Port: "vethpl000000003", MAC: "02:00:00:00:00:03", Addresses: ours,
				Opened: []string{"extraIPs", "extraMACs", "vrrp", "vlanTrunk"}, Trunk: []string{"20", "30-39"}, ExtraMACs: []string{"02:00:00:00:00:04"},
				ExtraIPs: []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")},
			},
			{Key: key("c4"), Port: "vethpl000000004", MAC: "02:00:00:00:00:05", Addresses: ours, Opened: []string{"dhcpClient"}, Closed: "the lease ran out"},
		},
		Dropped: map[string]uint64{"wrong_mac": 20, "dhcp": 3},
	}
}

func TestTheGuardIsATable(t *testing.T) {
	cases := map[string]struct {
		guard leaseapi.Guard
		wide  bool
		want  string
	}{
		"ports": {someGuard(), false, `
POD/CONTAINER  PORT             ADDRESSES  OPENED                             DROPPED
shop/web-0     vethpl000000001  192.0.2.7  -                                  dhcp 3, wrong_mac 12
c2             vethpl000000002  any        off                                -
c3             vethpl000000003  192.0.2.7  extraIPs,extraMACs,vrrp,vlanTrunk  -
c4             vethpl000000004  192.0.2.7  closed (the lease ran out)         -

dropped in all: dhcp 3, wrong_mac 20
`},
		"wide": {leaseapi.Guard{Ports: someGuard().Ports[2:3]}, true, `
POD/CONTAINER  PORT             ADDRESSES  OPENED                             DROPPED  MAC                NETWORK  INTERFACE  EXTRA MACS         EXTRA IPS              TRUNK
c3             vethpl000000003  192.0.2.7  extraIPs,extraMACs,vrrp,vlanTrunk  -        02:00:00:00:00:03  lan      eth0       02:00:00:00:00:04  192.0.2.9,2001:db8::9  20,30-39

dropped in all: -
`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := printGuard(&out, c.guard, c.wide)
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), out.String()); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestTheGuardsJSONIsTheContracts(t *testing.T) {
	socket := podland(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == leaseapi.PathGuard {
			_ = json.NewEncoder(w).Encode(someGuard())
		}
	})
	out, err := run(t, "guard", "-o", "json", "--socket", socket)
	var got leaseapi.Guard
	if err == nil {
		err = json.Unmarshal([]byte(out), &got)
	}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(someGuard(), got, same); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if out, err := run(t, "guard", "--socket", socket); err != nil || !strings.Contains(out, "shop/web-0") {
		t.Errorf("the table: %v\n%s", err, out)
	}
}
