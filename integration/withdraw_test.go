package integration_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// briefly is a LAN whose leases a silent server loses within seconds.
func briefly(t *testing.T) (client *lab.Host, node *lab.Node, server *dhcpd.Server) {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded, Lease: 8 * time.Second, T1: 2 * time.Second, T2: 4 * time.Second}))
	return l.Host("client"), l.Node("n1", lab.NodeOptions{Bridge: "lan0"}), l.Server().Embedded()
}

// The port from which podland asks for the lease has to stay up.
func TestAPodFromWhichPodlandLeasesLosesItsAddressWithItsLeaseToo(t *testing.T) {
	t.Parallel()
	for _, guard := range []string{"strict", "off"} {
		t.Run("guard "+guard, func(t *testing.T) {
			t.Parallel()
			client, node, server := briefly(t)
			node.StartPodland()
			conf := network(node, object{"type": "podlan-dhcp", "dhcpFrom": "pod"}, object{"guard": guard})
			pod := node.Pod("p1")
			addr := address(t, attach(t, node, conf, pod))
			reaches(t, client, addr)
			server.SetScript(dhcpd.Silent())
			awaitCheck(t, node, conf, pod, leaseapi.CodeLeaseLost)
			awaitAbsence(t, client, addr)
			server.SetScript(nil)
			awaitCheck(t, node, conf, pod, 0)
			reaches(t, client, addr)
		})
	}
}

// Its port is not ours to close: the address goes out of the Pod.
func TestAPodOfAnotherMainPluginLosesItsAddressWithItsLeaseToo(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]object{
		"bridge":  {"type": "bridge", "uplink": "eth1"},
		"macvlan": {"type": "macvlan", "master": "eth1", "bridge": ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, node, server := briefly(t)
			if name == "macvlan" {
				removeLink(t, node, "lan0") // else the uplink is taken
			}
			node.StartPodland()
			conf := network(node, leased(), keys, object{"cniVersion": "1.0.0"})
			pod := node.Pod("p1")
			addr := address(t, attach(t, node, conf, pod))
			reaches(t, client, addr)
			awaitState(t, node, leaseapi.StateBound, 1)
			server.SetScript(dhcpd.Silent())
			awaitState(t, node, leaseapi.StateLost, 1)
			awaitAbsence(t, client, addr)
			server.SetScript(nil)
			lab.Eventually(t, "the Pod is back", func() error { return client.Ping(t.Context(), addr) })
		})
	}
}

// awaitAbsence waits until nobody on the LAN says that it has the address.
func awaitAbsence(t *testing.T, client *lab.Host, addr netip.Addr) {
	t.Helper()
	lab.Eventually(t, "nobody answers for "+addr.String(), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.ARP(ctx, "eth0", addr); err == nil {
			return errors.New("somebody does")
		}
		return nil
	})
}
