package integration_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestKeyHostnameTellsTheServerThePodsName(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	web := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", "web-0"}}}
	cases := map[string]struct {
		keys object
		at   lab.Attachment
		want map[uint8]string
	}{
		"off":     {object{}, web, map[uint8]string{12: "", 81: ""}},
		"name":    {object{"hostname": "name"}, web, map[uint8]string{12: "web-0", 81: ""}},
		"partial": {object{"hostname": "fqdn"}, web, map[uint8]string{12: "", 81: "\x05\x00\x00\x05web-0\x04shop"}},
		"fqdn":    {object{"hostname": "fqdn", "hostnameDomain": "lan.example"}, web, map[uint8]string{12: "", 81: "\x05\x00\x00\x05web-0\x04shop\x03lan\x07example\x00"}},
		"no-pod":  {object{"hostname": "name"}, lab.Attachment{}, map[uint8]string{12: "", 81: ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			heard := listen(l.Server().Embedded())
			conf := network(node, leasedWith(c.keys))
			pod := node.Pod(name)
			attach(t, node, conf, pod, c.at)
			for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
				if diff := cmp.Diff(c.want, sent(heard(), kind, c.want)); diff != "" {
					t.Errorf("options of %s (-want +got):\n%s", kind, diff)
				}
			}
			detach(t, node, conf, pod, c.at)
		})
	}
}

func TestKeyServersLimitsWhoseOffersAreTaken(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	other := otherServer(t, l)
	// The other's OFFER comes first.
	first := make(chan struct{})
	l.Server().Embedded().SetScript(dhcpd.Hold(first))
	go func() {
		_ = other.Await(t.Context(), func(log []dhcpd.Entry) bool { return slices.ContainsFunc(log, isOffer) })
		close(first)
	}()
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	wanted := l.Server().Host.Addr.Addr()
	conf := network(node, leasedWith(object{"servers": []string{wanted.String()}}))
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	if got := leasesOf(t, node)[0].Server; got != wanted || otherPool().Contains(addr) {
		t.Errorf("leased %s from %s, want %s", addr, got, wanted)
	}
	if leases := other.ActiveLeases(); len(leases) != 0 {
		t.Errorf("the other server holds %v", leases)
	}
	detach(t, node, conf, pod)

	// Without the key it is as good as any.
	l.Server().Embedded().SetScript(dhcpd.Silent())
	if addr := address(t, attach(t, node, network(node, leased()), node.Pod("p2"))); !otherPool().Contains(addr) {
		t.Errorf("leased %s, want one of the other server's", addr)
	}
}

func isOffer(e dhcpd.Entry) bool { return e.Sent && e.Type == dhcpv4.MessageTypeOffer }

func otherPool() netip.Prefix { return netip.MustParsePrefix("198.18.100.0/24") }

// otherServer is a second server on the LAN, with a pool of its own.
func otherServer(t *testing.T, l *lab.Lab) *dhcpd.Server {
	t.Helper()
	host := l.Host("other")
	server, err := dhcpd.New(dhcpd.Config{
		In: host.Do, Interface: host.Iface, Address: host.Addr, Lease: time.Hour, NotAuthoritative: true,
		First: otherPool().Addr().Next(), Last: netip.MustParseAddr("198.18.100.99"),
	})
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func TestKeyRapidCommitLeasesInTwoMessages(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	server := l.Server().Embedded()
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	for name, rapid := range map[string]bool{"asked": true, "unasked": false} {
		t.Run(name, func(t *testing.T) {
			messages := func() []dhcpd.Entry { return server.Received(dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest) }
			before := len(messages())
			// RFC 4039: an ACK to the DISCOVER, which says so.
			server.SetScript(func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
				if !req.Message.Options.Has(dhcpv4.OptionRapidCommit) {
					return nil, false
				}
				return dhcpd.Alter(dhcpd.As(dhcpv4.MessageTypeAck), dhcpd.With(80))(req)
			})
			conf := network(node, leasedWith(object{"rapidCommit": rapid}))
			pod := node.Pod(name)
			attach(t, node, conf, pod)
			requested := slices.ContainsFunc(messages()[before:], func(e dhcpd.Entry) bool { return e.Type == dhcpv4.MessageTypeRequest })
			if requested == rapid {
				t.Errorf("a DHCPREQUEST: %t, with rapidCommit: %t", requested, rapid)
			}
			if state := leasesOf(t, node)[0].State; state != leaseapi.StateBound {
				t.Errorf("the lease is %s", state)
			}
			detach(t, node, conf, pod)
		})
	}
}

// What podland takes a lease up by when its file is lost must be what it was
// asked for.
func TestTheRecordHasTheRequestThatPodlandGot(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	at := lab.Attachment{Args: [][2]string{
		{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", "web-0"}, {"K8S_POD_UID", "uid-1"},
	}}
	for name, keys := range map[string]object{
		"uplink": {"hostname": "name", "pace": 400, "options": object{"mtu": "ignore"}, "servers": []string{"198.18.0.1"}},
		"pod":    {"dhcpFrom": "pod", "provide": []object{{"option": "61", "value": "\x01me"}}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := network(node, leasedWith(keys), object{"serviceCIDRs": []string{"10.96.0.0/12"}})
			pod := node.Pod(name)
			attach(t, node, conf, pod, at)
			var record struct{ Lease leaseapi.Request }
			var lease struct{ Request leaseapi.Request }
			readOnly(t, filepath.Join(node.StateDir(), "attachments"), &record)
			readOnly(t, filepath.Join(node.StateDir(), "leases"), &lease)
			record.Lease.BudgetMS = lease.Request.BudgetMS // podlan-dhcp has less left
			if diff := cmp.Diff(indented(t, lease.Request), indented(t, record.Lease)); diff != "" {
				t.Errorf("podland was asked (-), on record is (+):\n%s", diff)
			}
			detach(t, node, conf, pod, at)
		})
	}
}

// readOnly reads the only JSON file of a folder.
func readOnly(t *testing.T, dir string, v any) {
	t.Helper()
	var files []string
	lab.Eventually(t, "there is one file in "+dir, func() (err error) { // a released lease's stays until it has been told thrice
		if files, err = filepath.Glob(filepath.Join(dir, "*.json")); err == nil && len(files) != 1 {
			err = fmt.Errorf("there are %v", files)
		}
		return err
	})
	data, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func indented(t *testing.T, req leaseapi.Request) string {
	t.Helper()
	text, err := json.MarshalIndent(req, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestKeyWhenLostReplaceNeedsPodAccess(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland(lab.PodlandOptions{Unprivileged: true})
	before := node.Snapshot()
	_, err := node.Add(t.Context(), network(node, leasedWith(object{"whenLost": "replace"})), node.Pod("p1"))
	says(t, err, types.ErrInvalidNetworkConfig, "whenLost: replace", "pod-access.conf")
	asBefore(t, node, before)
}
