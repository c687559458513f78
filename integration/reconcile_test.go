package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// impatient settles in tests what a runtime gets half a minute for.
func impatient() lab.PodlandOptions {
	return lab.PodlandOptions{Args: []string{"--settle-after", "1s"}}
}

func TestPodlandSettlesByItselfWhatNoDELEverCameFor(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, node *lab.Node, pod *lab.Pod, hostEnd string){
		"the namespace is gone": func(t *testing.T, _ *lab.Node, pod *lab.Pod, _ string) {
			t.Helper()
			if err := pod.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"the link is gone": func(t *testing.T, node *lab.Node, _ *lab.Pod, hostEnd string) {
			t.Helper()
			removeLink(t, node, hostEnd)
		},
		"all of it while podland was down": func(t *testing.T, node *lab.Node, pod *lab.Pod, _ string) {
			t.Helper()
			node.KillPodland()
			if err := pod.Close(); err != nil {
				t.Fatal(err)
			}
			node.StartPodland(impatient())
		},
	}
	for name, goes := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
			client := l.Host("client")
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			node.StartPodland(impatient())
			conf := network(node, leased())
			stays := node.Pod("stays")
			kept := address(t, attach(t, node, conf, stays))
			before := node.Snapshot()
			pod := node.Pod("goes")
			result := attach(t, node, conf, pod)

			goes(t, node, pod, result.Interfaces[1].Name)
			awaitNoLease(t, l.Server(), address(t, result))
			asBefore(t, node, before)
			reaches(t, client, kept)
			detach(t, node, conf, pod, lab.Attachment{NoNetns: true}) // late, and no error
		})
	}
}

func TestALeaseWithoutAttachmentIsGivenBack(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland(impatient())
	conf := network(node, leased())
	ours, foreign := node.Pod("ours"), node.Pod("foreign")
	addr := address(t, attach(t, node, conf, ours))
	reference := network(node, leased(), object{"name": "other", "type": "bridge", "uplink": "eth1", "cniVersion": "1.0.0"})
	addrForeign := address(t, attach(t, node, reference, foreign))
	awaitState(t, node, leaseapi.StateBound, 2)

	removeFiles(t, node, "attachments")
	if err := foreign.Close(); err != nil {
		t.Fatal(err)
	}
	awaitNoLease(t, l.Server(), addr, addrForeign)
}

func TestAnAttachmentWhoseLeaseFileIsLostKeepsItsAddressIfTheServerSaysSo(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland(impatient())
	conf := network(node, leased())
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	node.KillPodland()
	removeFiles(t, node, "leases")
	node.StartPodland(impatient())

	awaitState(t, node, leaseapi.StateBound, 1)
	if got := leasesOf(t, node)[0].Address.Addr(); got != addr {
		t.Errorf("podland holds %s, the Pod has %s", got, addr)
	}
	lab.Eventually(t, "CHECK finds all as ADD left it", func() error { return node.Check(t.Context(), conf, pod) })
	reaches(t, client, addr)
	if n := len(l.Server().Embedded().Received(dhcpv4.MessageTypeDiscover)); n != 1 {
		t.Errorf("%d DISCOVER, want the ADD's alone: it asks by INIT-REBOOT", n)
	}
	detach(t, node, conf, pod)
	awaitNoLease(t, l.Server(), addr)
}

func TestWhenTheUplinksCarrierReturnsLeasesAreVerifiedAndPodsAnnounced(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	given := manyPods(t, node, network(node, leased()), 4)
	static := network(node, hostLocal(), object{"name": "static"})
	fixed := address(t, attach(t, node, static, node.Pod("fixed")))
	awaitState(t, node, leaseapi.StateBound, 4)
	lab.Eventually(t, "podland watches the uplink", func() error {
		if !strings.Contains(node.PodlandLog(), "watching the carrier") {
			return errors.New("its log does not say so")
		}
		return nil
	})
	if err := node.Unplug(); err != nil {
		t.Fatal(err)
	}
	if err := node.Plug(); err != nil {
		t.Fatal(err)
	}
	awaitRenewals(t, l.Server().Embedded(), given.addrs)
	heard := client.Capture("eth0", nil)
	if err := node.Unplug(); err != nil {
		t.Fatal(err)
	}
	if err := node.Plug(); err != nil {
		t.Fatal(err)
	}
	for _, addr := range append(given.addrs, fixed) {
		awaitAnnouncement(t, heard, addr)
	}
}

// What one podland has closed, the next finds closed, and opens.
func TestAPortOfALostLeaseStaysClosedAcrossPodlandsKill(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded, Lease: 8 * time.Second, T1: 2 * time.Second, T2: 4 * time.Second}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased())
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	reaches(t, client, addr)

	l.Server().Embedded().SetScript(dhcpd.Silent())
	awaitState(t, node, leaseapi.StateLost, 1)
	awaitCheck(t, node, conf, pod, leaseapi.CodeLeaseLost)
	node.KillPodland()
	node.StartPodland()
	awaitCheck(t, node, conf, pod, leaseapi.CodeLeaseLost)
	l.Server().Embedded().SetScript(nil)
	awaitState(t, node, leaseapi.StateBound, 1)
	awaitCheck(t, node, conf, pod, 0)
	reaches(t, client, addr)
}

func removeFiles(t *testing.T, node *lab.Node, folder string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(node.StateDir(), folder, "*.json"))
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in %s: %v", len(files), folder, err)
	}
}

// awaitState waits until the node holds n leases, all in that state.
func awaitState(t *testing.T, node *lab.Node, state leaseapi.State, n int) {
	t.Helper()
	lab.Eventually(t, fmt.Sprintf("%d leases %s", n, state), func() error {
		leases := leasesOf(t, node)
		for _, l := range leases {
			if l.State != state {
				return fmt.Errorf("%s is %s: %s", l.Key, l.State, l.Reason)
			}
		}
		if len(leases) != n {
			return fmt.Errorf("%d leases", len(leases))
		}
		return nil
	})
}

// awaitCheck waits until CHECK answers with the code, 0 for success.
func awaitCheck(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod, code leaseapi.Code) {
	t.Helper()
	lab.Eventually(t, fmt.Sprintf("CHECK answers %d", code), func() error {
		err := node.Check(t.Context(), conf, pod)
		if (err == nil) == (code == 0) && (err == nil || cniCode(err) == uint(code)) {
			return nil
		}
		return fmt.Errorf("it answers %w", err)
	})
}

// awaitAnnouncement waits for an ARP announcement (RFC 5227 §2.3) of the address.
func awaitAnnouncement(t *testing.T, heard *lab.Capture, addr netip.Addr) {
	t.Helper()
	_, err := heard.AwaitFrame(t.Context(), func(f ether.Frame) bool {
		arp, ok := f.ARP()
		return ok && arp.SenderIP == addr && arp.TargetIP == addr
	})
	if err != nil {
		t.Fatalf("no announcement of %s: %v", addr, err)
	}
}

func removeLink(t *testing.T, node *lab.Node, name string) {
	t.Helper()
	h, err := node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	link, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
}
