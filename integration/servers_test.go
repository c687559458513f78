package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
)

// site is a LAN with one of the servers that people have, and a node whose
// podland runs.
type site struct {
	*testing.T
	lan    *lab.Lab
	server *lab.Server
	node   *lab.Node
}

// onEachServer runs a test at a site of each kind.
func onEachServer(t *testing.T, opts lab.Options, test func(site)) {
	t.Helper()
	for _, kind := range []lab.ServerKind{lab.Dnsmasq, lab.Kea, lab.ISC, lab.Udhcpd} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			opts.Server = kind
			l := lab.New(t, options(t, opts))
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			node.StartPodland()
			test(site{t, l, l.Server(), node})
		})
	}
}

// holds waits until the server has the Pod's lease, which ends later than
// another, and returns it.
func holds(t *testing.T, server *lab.Server, mac string, addr netip.Addr, later time.Time) lab.Lease {
	t.Helper()
	var held lab.Lease
	lab.Eventually(t, "the lease on the server", func() error {
		leases := server.ActiveLeases()
		i := slices.IndexFunc(leases, func(l lab.Lease) bool { return l.Addr == addr && l.MAC == mac && l.Expires.After(later) })
		if i < 0 {
			return fmt.Errorf("no lease of %s for %s beyond %s among %v", addr, mac, later, leases)
		}
		held = leases[i]
		return nil
	})
	return held
}

// onlyAsked checks that the client's messages, from the n-th on, are REQUESTs.
func onlyAsked(t *testing.T, heard []dhcpv4.MessageType, n int) {
	t.Helper()
	if slices.Compact(heard[n:])[0] != request || slices.Contains(heard[n:], discover) {
		t.Errorf("the server heard %v, want but REQUEST after the first %d", heard, n)
	}
}

// The times of T1 and T2 come by options 58 and 59: dnsmasq has no lease below
// two minutes.
func TestOnEachServerALeaseIsRenewedThenReboundToASuccessorAndReleased(t *testing.T) {
	t.Parallel()
	opts := lab.Options{Lease: 10 * time.Minute, T1: time.Second, T2: 3 * time.Second}
	onEachServer(t, opts, func(s site) {
		t, server, node := s.T, s.server, s.node
		conf := network(node, leased())
		pod := node.Pod("p1")
		result := attach(t, node, conf, pod)
		addr, mac := address(t, result), result.Interfaces[2].Mac

		granted := holds(t, server, mac, addr, time.Now())
		first := len(server.AwaitHeard(mac, 0, request))
		onlyAsked(t, server.AwaitHeard(mac, first, request), first)
		renewed := holds(t, server, mac, addr, granted.Expires)

		next := server.Successor()
		server.Stop()
		onlyAsked(t, next.AwaitHeard(mac, 0, request), 0)
		holds(t, next, mac, addr, renewed.Expires)
		lab.Eventually(t, "podland's lease is the successor's", func() error {
			leases := leasesOf(t, node)
			if len(leases) != 1 || leases[0].Address.Addr() != addr || leases[0].Server != next.Host.Addr.Addr() {
				return fmt.Errorf("podland has %+v, want %s of %s", leases, addr, next.Host.Addr)
			}
			return nil
		})
		reaches(t, next.Host, addr)
		if err := node.Check(t.Context(), conf, pod); err != nil {
			t.Errorf("CHECK: %v", err)
		}

		detach(t, node, conf, pod)
		awaitNoLease(t, next, addr)
	})
}

func TestOnEachServerAPodAsksForItsFormerAddressAfterAReboot(t *testing.T) {
	t.Parallel()
	onEachServer(t, lab.Options{}, func(s site) {
		t, server, node := s.T, s.server, s.node
		conf := network(node, leased())
		at := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_UID", "7c1d"}}}
		pod := node.Pod("p1")
		result := attach(t, node, conf, pod, at)
		addr, mac := address(t, result), result.Interfaces[2].Mac
		holds(t, server, mac, addr, time.Now())
		before := len(server.AwaitHeard(mac, 0, request))

		reboot(t, node, pod)
		again := node.Pod("p2")
		if now := address(t, attach(t, node, conf, again, at)); now != addr {
			t.Errorf("the Pod has %s after the reboot, had %s", now, addr)
		}
		onlyAsked(t, server.AwaitHeard(mac, before, request), before)
		reaches(t, server.Host, addr)
		detach(t, node, conf, again, at)
		awaitNoLease(t, server, addr)
	})
}

// reboot is a power cut as Podlan sees it: the Pods' namespaces and what libcni
// remembers are gone, and the files in the state folder are of another boot.
func reboot(t *testing.T, node *lab.Node, pods ...*lab.Pod) {
	t.Helper()
	node.KillPodland()
	for _, pod := range pods {
		if err := pod.Close(); err != nil {
			t.Fatal(err)
		}
	}
	forgetResults(t, node)
	for _, folder := range []string{"leases", "attachments"} {
		files, err := filepath.Glob(filepath.Join(node.StateDir(), folder, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", folder, err)
		}
		for _, file := range files {
			if err := ofAnotherBoot(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	node.StartPodland()
}

func ofAnotherBoot(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var state map[string]json.RawMessage
	if err := json.Unmarshal(raw, &state); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if state["bootID"] == nil {
		return fmt.Errorf("%s: no bootID", file)
	}
	state["bootID"] = json.RawMessage(`"4f9a3c52-0000-4000-8000-000000000000"`)
	if raw, err = json.Marshal(state); err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

// The pool's only address is a host's that the server knows nothing of.
func TestOnEachServerAnAddressThatAHostBearsIsDeclined(t *testing.T) {
	t.Parallel()
	taken := netip.MustParseAddr("198.18.1.7")
	onEachServer(t, lab.Options{First: taken, Last: taken}, func(s site) {
		t, server, node := s.T, s.server, s.node
		squatter := s.lan.Host("squatter")
		if err := squatter.AddAddress(squatter.Iface, netip.PrefixFrom(taken, 16)); err != nil {
			t.Fatal(err)
		}
		before := node.Snapshot()
		conf := network(node, leased(), object{"budget": "5s"})
		pod := node.Pod("p1")
		// Optimistic: the ADD may have ended when the host answers.
		_, addErr := node.Add(t.Context(), conf, pod)

		server.AwaitHeard("", 0, dhcpv4.MessageTypeDecline)
		if server.Kind() == lab.Dnsmasq { // gives the address to somebody else
			server.AwaitLeases(0)
		} else {
			lab.Eventually(t, "the server sets the address aside", func() error {
				if declined := server.Declined(); !slices.Equal(declined, []netip.Addr{taken}) {
					return fmt.Errorf("it set aside %v, want %s", declined, taken)
				}
				return nil
			})
		}
		if addErr != nil {
			says(t, addErr, types.ErrTryAgainLater, taken.String(), "declined")
		} else {
			lab.Eventually(t, "the Pod's port is closed", func() error { return closed(t, node, conf, pod) })
		}
		reaches(t, node, taken) // still the host
		detach(t, node, conf, pod)
		asBefore(t, node, before)
	})
}

// closed tells whether CHECK fails and podland knows why.
func closed(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod) error {
	t.Helper()
	if err := node.Check(t.Context(), conf, pod); err == nil {
		return errors.New("CHECK succeeds")
	}
	for _, lease := range leasesOf(t, node) {
		if lease.State != leaseapi.StateLost || lease.Reason == "" {
			return fmt.Errorf("podland's lease is %+v", lease)
		}
	}
	return nil
}
