package ipam

import (
	"context"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/identity"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
)

// built is the request for a conf, in a budget of a minute.
func built(t *testing.T, s *setup, args *skel.CmdArgs) (leaseapi.Request, error) {
	t.Helper()
	_ = s
	conf, err := netconf.ParseDHCP(args.StdinData, args.Args)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return request(ctx, conf, args)
}

func TestARequestFromPodlanBridge(t *testing.T) {
	id := identity.Attachment("lan", "eth0", "", "c1").ClientID()
	pod := identity.Attachment("lan", "eth0", "uid-1", "c1").ClientID()
	want := leaseapi.Request{
		ClientID: id, MAC: "02:00:00:00:00:01", Transport: leaseapi.FromUplink, Uplink: "eth1", Bridge: "br0",
		Netns: "/run/netns/p1", Confirm: leaseapi.ByRecord, BudgetMS: 5000, ParameterRequest: []byte{121, 1, 3, 33, 6, 15, 119, 26},
		Conflict: leaseapi.ConflictOptimistic, WhenLost: leaseapi.Withdraw,
	}
	ipam := func(keys object) object {
		all := object{"type": "podlan-dhcp"}
		maps.Copy(all, keys)
		return object{"ipam": all}
	}
	cases := map[string]struct {
		change object
		args   string
		want   func(*leaseapi.Request)
	}{
		"over the uplink": {nil, "", func(*leaseapi.Request) {}},
		"from the Pod": {
			object{"podlan": object{"mac": "02:00:00:00:00:01", "bridge": "br0", "from": "pod", "budgetMS": 9}},
			"",
			func(r *leaseapi.Request) { r.Transport, r.Uplink, r.BudgetMS = leaseapi.FromPod, "", 9 },
		},
		"of a Kubernetes Pod": {
			nil, "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=uid-1",
			func(r *leaseapi.Request) { r.ClientID, r.Pod = pod, "default/web" },
		},
		"with options": {
			ipam(object{"provide": []object{
				{"option": "host-name", "fromArg": "K8S_POD_NAME"},
				{"option": "77", "value": "blue"},
				{"option": "dhcp-client-identifier", "value": "\x00me"},
			}}), "K8S_POD_NAME=web",
			func(r *leaseapi.Request) {
				r.Send = map[uint8]leaseapi.HexBytes{12: []byte("web"), 77: []byte("blue")}
				r.ClientID, r.Pod = []byte("\x00me"), "/web"
			},
		},
		"on a node with networks": {
			object{
				"podlan":       object{"mac": "02:00:00:00:00:01", "bridge": "br0", "uplink": "eth1", "from": "uplink", "budgetMS": 5000, "networks": []string{"192.0.2.0/24"}},
				"serviceCIDRs": []string{"10.96.0.0/12"},
			},
			"",
			func(r *leaseapi.Request) {
				r.Protected = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("192.0.2.0/24")}
			},
		},
		"with questions": {
			ipam(object{"request": []object{{"option": "42", "skipDefault": true}}}), "",
			func(r *leaseapi.Request) { r.ParameterRequest = []byte{42} },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := down(t)
			args := s.args(t, c.change)
			args.Args = c.args
			got, err := built(t, s, args)
			want := want
			c.want(&want)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func networks(req leaseapi.Request) (protected []string) {
	for _, p := range req.Protected {
		protected = append(protected, p.String())
	}
	return protected
}
