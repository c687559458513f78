package vlan_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

type object = lab.Object

// newLab builds a LAN whose switch tells VLANs apart. It skips the test where the
// kernel cannot.
func newLab(t *testing.T, opts lab.Options) *lab.Lab {
	t.Helper()
	rtnltest.NeedVLAN(t)
	opts.Trunking = !opts.Provider
	opts.CNIPath = append(opts.CNIPath, lab.ReferencePlugins(t))
	return lab.New(t, opts)
}

// network is a conf of podlan-bridge on lan0, and what keys else.
func network(node *lab.Node, ipam object, keys ...object) []byte {
	return node.BridgeConf(ipam, keys...)
}

func leased() object    { return lab.Leased() }
func hostLocal() object { return lab.HostLocal() }

// attach is an ADD that has to succeed.
func attach(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod) *types100.Result {
	t.Helper()
	return node.Attach(t, conf, pod)
}

// detach is a DEL that has to succeed.
func detach(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod, at ...lab.Attachment) {
	t.Helper()
	node.Detach(t, conf, pod, at...)
}

// asBefore waits until the node is as it was.
func asBefore(t *testing.T, node *lab.Node, before lab.Snapshot) {
	t.Helper()
	node.AwaitAsBefore(t, before)
}

// address is a result's only one.
func address(t *testing.T, result *types100.Result) netip.Addr {
	t.Helper()
	return lab.Address(t, result)
}

// podMAC is that of the Pod end.
func podMAC(t *testing.T, result *types100.Result) net.HardwareAddr {
	t.Helper()
	mac, err := net.ParseMAC(result.Interfaces[2].Mac)
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// hostEnd names the Pod's port.
func hostEnd(result *types100.Result) string { return result.Interfaces[1].Name }

// link is one of the namespace's.
func link(t *testing.T, in *lab.Netns, name string) (found netlink.Link) {
	t.Helper()
	change(t, in, name, func(_ *netlink.Handle, l netlink.Link) error {
		found = l
		return nil
	})
	return found
}

// change does something to a link, as an administrator would.
func change(t *testing.T, in *lab.Netns, name string, f func(h *netlink.Handle, l netlink.Link) error) {
	t.Helper()
	must(t, in.WithLink(name, f))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within is how long an answer may take.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Stretch(10*time.Second))
	t.Cleanup(cancel)
	return ctx
}

// reaches ends the test unless the address answers the pings.
func reaches(t *testing.T, from *lab.Netns, addr netip.Addr) {
	t.Helper()
	from.Reaches(t, addr)
}

// isAt ends the test unless the address is the MAC's, as a host finds out.
func isAt(t *testing.T, h *lab.Host, addr netip.Addr, mac net.HardwareAddr) {
	t.Helper()
	answer, err := h.ARP(within(t), h.Iface, addr)
	if err != nil || answer.String() != mac.String() {
		t.Fatalf("for %s, %s is at %s (%v), want %s", h.Name(), addr, answer, err, mac)
	}
}

// cniCode is that of a CNI error, 0 for others.
func cniCode(err error) uint {
	if e, ok := errors.AsType[*types.Error](err); ok {
		return e.Code
	}
	return 0
}

// says checks an error's code and words.
func says(t *testing.T, err error, code uint, words ...string) {
	t.Helper()
	if cniCode(err) != code {
		t.Errorf("%v: code %d, want %d", err, cniCode(err), code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// awaitLease waits until the server's database shows the client's lease.
func awaitLease(t *testing.T, server *lab.Server, addr netip.Addr, mac net.HardwareAddr) {
	t.Helper()
	lab.Eventually(t, "the lease", func() error {
		leases := server.ActiveLeases()
		if slices.ContainsFunc(leases, func(l lab.Lease) bool { return l.Addr == addr && l.MAC == mac.String() }) {
			return nil
		}
		return fmt.Errorf("the server holds %v, not %s of %s", leases, addr, mac)
	})
}

// awaitRelease waits until the server got the lease back.
func awaitRelease(t *testing.T, server *lab.Server, mac net.HardwareAddr) {
	t.Helper()
	lab.Eventually(t, "the DHCPRELEASE", func() error {
		if slices.ContainsFunc(server.Releases(), func(r lab.Release) bool { return r.MAC == mac.String() }) {
			return nil
		}
		return fmt.Errorf("none of %s among %v", mac, server.Releases())
	})
}
