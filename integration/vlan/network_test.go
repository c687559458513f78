package vlan_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
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

// object is a JSON object, to be written down in a test.
type object = map[string]any

// withReference adds the reference plugins to a lab's.
func withReference(t *testing.T, opts lab.Options) lab.Options {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	opts.CNIPath = append(opts.CNIPath, filepath.Join(root, "bin", "reference"))
	return opts
}

// newLab builds a LAN whose switch tells VLANs apart. It skips the test where the
// kernel cannot.
func newLab(t *testing.T, opts lab.Options) *lab.Lab {
	t.Helper()
	rtnltest.NeedVLAN(t)
	opts.Trunking = !opts.Provider
	return lab.New(t, withReference(t, opts))
}

// network is a conf of podlan-bridge on lan0, and what keys else.
func network(node *lab.Node, ipam object, keys ...object) []byte {
	conf := object{"cniVersion": "1.1.0", "name": "lan", "type": "podlan-bridge", "bridge": "lan0"}
	if len(ipam) > 0 {
		conf["ipam"] = ipam
	}
	for _, more := range keys {
		maps.Copy(conf, more)
	}
	return node.Conf(conf)
}

func leased() object { return object{"type": "podlan-dhcp"} }

func hostLocal() object {
	return object{"type": "host-local", "subnet": "198.18.0.0/16", "rangeStart": "198.18.77.1", "rangeEnd": "198.18.77.200"}
}

// attach is an ADD that has to succeed.
func attach(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod) *types100.Result {
	t.Helper()
	result, err := node.Add(t.Context(), conf, pod)
	if err != nil {
		t.Fatalf("ADD of %s: %v", pod.Name(), err)
	}
	return lab.Result(t, result)
}

// detach is a DEL that has to succeed.
func detach(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod, at ...lab.Attachment) {
	t.Helper()
	if err := node.Del(t.Context(), conf, pod, at...); err != nil {
		t.Fatalf("DEL of %s: %v", pod.Name(), err)
	}
}

// asBefore waits until the node is as it was, its VLAN tables included:
// podland's socket on the uplink lingers for a second.
func asBefore(t *testing.T, node *lab.Node, before lab.Snapshot) {
	t.Helper()
	lab.Eventually(t, "the node is as before", func() error {
		now, err := node.TakeSnapshot()
		if err != nil {
			return err
		}
		if diff := before.Diff(now); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// address is a result's only one.
func address(t *testing.T, result *types100.Result) netip.Addr {
	t.Helper()
	if len(result.IPs) != 1 {
		t.Fatalf("%d addresses in the result, want one: %v", len(result.IPs), result)
	}
	addr, ok := netip.AddrFromSlice(result.IPs[0].Address.IP)
	if !ok {
		t.Fatalf("%v is no address", result.IPs[0])
	}
	return addr.Unmap()
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
func link(t *testing.T, in *lab.Netns, name string) netlink.Link {
	t.Helper()
	h, err := in.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	found, err := h.LinkByName(name)
	if err != nil {
		t.Fatalf("%s in %s: %v", name, in.Name(), err)
	}
	return found
}

// change does something to a link, as an administrator would.
func change(t *testing.T, in *lab.Netns, name string, f func(h *netlink.Handle, l netlink.Link) error) {
	t.Helper()
	h, err := in.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	if err := f(h, link(t, in, name)); err != nil {
		t.Fatalf("%s in %s: %v", name, in.Name(), err)
	}
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
	if err := from.Ping(within(t), addr); err != nil {
		t.Fatalf("%s: %v", from.Name(), err)
	}
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
