package pod_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// joined makes the port, up to the moment when it has to be waited for.
func (s *site) joined(t *testing.T) {
	t.Helper()
	for _, step := range []func() error{
		func() error { return pod.Create(t.Context(), s.node.Handle, s.spec) },
		func() error { return pod.Configure(t.Context(), s.spec.Netns, "eth0", config()) },
		func() error {
			return pod.Join(t.Context(), s.node.Handle, s.spec.HostEnd, s.bridge, s.spec.MAC, pod.PortFlags{})
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWaitForwardingReturnsWhenThePortBegins(t *testing.T) {
	s := newSite(t)
	if err := s.node.SetDown(s.bridge); err != nil {
		t.Fatal(err)
	}
	s.joined(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- pod.WaitForwarding(ctx, s.node.Handle, s.spec.HostEnd) }()
	if err := s.node.SetUp(s.bridge); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWaitForwardingNamesWhatKeepsThePort(t *testing.T) {
	tests := map[string]struct {
		hinder func(*testing.T, *site)
		says   []string
	}{
		"a bridge that is down": {func(t *testing.T, s *site) {
			t.Helper()
			if err := s.node.SetDown(s.bridge); err != nil {
				t.Fatal(err)
			}
		}, []string{"lan0", "ip link set lan0 up"}},
		"spanning tree": {func(t *testing.T, s *site) {
			t.Helper()
			s.node.STP(t, "lan0")
		}, []string{"lan0", "STP", "forward_delay", "15s", "budget"}},
		"no carrier": {func(t *testing.T, s *site) {
			t.Helper()
			if err := s.pod.SetDown(s.pod.Must(t, "eth0").Attrs().Index); err != nil {
				t.Fatal(err)
			}
		}, []string{"lan0", "carrier down"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if name == "no carrier" {
				s.joined(t)
				test.hinder(t, s)
			} else {
				test.hinder(t, s)
				s.joined(t)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := pod.WaitForwarding(ctx, s.node.Handle, s.spec.HostEnd)
			if !hasCode(uint(leaseapi.CodeNotForwarding))(err) {
				t.Fatalf("WaitForwarding: %v", err)
			}
			for _, word := range test.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in %q", word, err)
				}
			}
		})
	}
}

func TestWaitForwardingEndsWhenThePortIsGone(t *testing.T) {
	s := newSite(t)
	s.node.STP(t, "lan0")
	s.joined(t)
	done := make(chan error, 1)
	go func() { done <- pod.WaitForwarding(t.Context(), s.node.Handle, s.spec.HostEnd) }()
	if err := pod.Delete(s.node.Handle, s.spec.HostEnd); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, rtnl.ErrNotFound) && !errors.Is(err, rtnl.ErrNoPort) {
		t.Errorf("WaitForwarding: %v", err)
	}
}

func TestVerifyNamesTheFirstDifference(t *testing.T) {
	index := func(t *testing.T, n *rtnltest.Netns, name string) int {
		t.Helper()
		return n.Must(t, name).Attrs().Index
	}
	tests := map[string]struct {
		change func(*testing.T, *site) error
		says   string
	}{
		"nothing": {func(*testing.T, *site) error { return nil }, ""},
		"no port": {func(_ *testing.T, s *site) error { return pod.Delete(s.node.Handle, s.spec.HostEnd) }, "no such link"},
		"no bridge's port": {func(t *testing.T, s *site) error {
			t.Helper()
			return s.node.SetNoMaster(index(t, s.node, s.spec.HostEnd))
		}, "no port of lan0"},
		"host end down": {func(t *testing.T, s *site) error {
			t.Helper()
			return s.node.SetDown(index(t, s.node, s.spec.HostEnd))
		}, "up is false"},
		"another MAC": {func(t *testing.T, s *site) error {
			t.Helper()
			return s.pod.SetMAC(index(t, s.pod, "eth0"), []byte{2, 0, 0, 0, 0, 9})
		}, "02:00:00:00:00:09"},
		"no address": {func(t *testing.T, s *site) error {
			t.Helper()
			addr, err := netlink.ParseAddr("198.18.1.1/16")
			return errors.Join(err, s.pod.DelAddr(index(t, s.pod, "eth0"), addr))
		}, "198.18.1.1/16"},
		"no route": {func(t *testing.T, s *site) error {
			t.Helper()
			dst := cidr("0.0.0.0/0")
			return s.pod.DelRoute(&netlink.Route{LinkIndex: index(t, s.pod, "eth0"), Dst: &dst})
		}, "0.0.0.0/0 via 198.18.0.1"},
		"another MTU": {func(t *testing.T, s *site) error {
			t.Helper()
			return s.pod.SetMTU(index(t, s.pod, "eth0"), 1300)
		}, "1300"},
		"hairpin": {func(t *testing.T, s *site) error {
			t.Helper()
			return s.node.SetPortFlags(index(t, s.node, s.spec.HostEnd), rtnl.PortFlags{Hairpin: true})
		}, "hairpin"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.spec.MTU = 1400
			s.attach(t, config(), pod.PortFlags{})
			if err := test.change(t, s); err != nil {
				t.Fatal(err)
			}
			err := pod.Verify(t.Context(), s.node.Handle, s.expected(config(), pod.PortFlags{}))
			if test.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !hasCode(uint(leaseapi.CodeChanged))(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Verify: %v; want one that says %q", err, test.says)
			}
		})
	}
}

// A port that lost what binds it to its MAC would let pass a forged one as soon
// as the guard's table is gone too.
func TestVerifyNamesTheFlagOrEntryThatAPortHasLost(t *testing.T) {
	bound := rtnl.PortFlags{Locked: true}
	set := func(change func(*rtnl.PortFlags)) func(*site, netlink.Link) error {
		return func(s *site, port netlink.Link) error {
			flags := bound
			change(&flags)
			return s.node.SetPortFlags(port.Attrs().Index, flags)
		}
	}
	tests := map[string]func(*site, netlink.Link) error{
		"learning is true":  set(func(f *rtnl.PortFlags) { f.Learning = true }),
		"flood is true":     set(func(f *rtnl.PortFlags) { f.Flood = true }),
		"locked is false":   set(func(f *rtnl.PortFlags) { f.Locked = false }),
		"isolated is true":  set(func(f *rtnl.PortFlags) { f.Isolated = true }),
		"hairpin is true":   set(func(f *rtnl.PortFlags) { f.Hairpin = true }),
		"mcast_router is 2": set(func(f *rtnl.PortFlags) { f.MulticastRouter = 2 }),
		"lan0 has no static entry for 02:00:00:00:00:77": func(_ *site, port netlink.Link) error {
			return unlearn(port, "\x02\x00\x00\x00\x00\x77")
		},
		"lan0 has no static entry for 02:00:00:00:00:01": func(_ *site, port netlink.Link) error {
			return unlearn(port, "\x02\x00\x00\x00\x00\x01")
		},
	}
	for says, change := range tests {
		t.Run(says, func(t *testing.T) {
			s := newSite(t)
			flags := pod.PortFlags{ExtraMACs: []net.HardwareAddr{{2, 0, 0, 0, 0, 0x77}}}
			s.attach(t, config(), flags)
			want := s.expected(config(), flags)
			if err := pod.Verify(t.Context(), s.node.Handle, want); err != nil {
				t.Fatal(err)
			}
			port := s.node.Must(t, s.spec.HostEnd)
			if err := s.node.Do(func() error { return change(s, port) }); err != nil {
				t.Fatal(err)
			}
			err := pod.Verify(t.Context(), s.node.Handle, want)
			if !hasCode(uint(leaseapi.CodeChanged))(err) || !strings.Contains(err.Error(), says) {
				t.Errorf("Verify: %v; want one that says %q", err, says)
			}
		})
	}
}

// unlearn removes a MAC from the table of the port's bridge.
func unlearn(port netlink.Link, mac string) error {
	return netlink.NeighDel(&netlink.Neigh{
		LinkIndex: port.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER, HardwareAddr: net.HardwareAddr(mac),
	})
}

func TestVerifyTakesAnOrdinaryPortForOne(t *testing.T) {
	s := newSite(t)
	flags := pod.PortFlags{Learning: true}
	s.attach(t, config(), flags)
	if err := pod.Verify(t.Context(), s.node.Handle, s.expected(config(), flags)); err != nil {
		t.Error(err)
	}
}

func TestNetnsInode(t *testing.T) {
	a, b := rtnltest.New(t), rtnltest.New(t)
	first, err := pod.NetnsInode(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pod.NetnsInode(b.Path)
	if err != nil || first == second || first == 0 {
		t.Errorf("inodes %d and %d, %v", first, second, err)
	}
	file := filepath.Join(t.TempDir(), "was-a-mount-point")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Dir(file), file + ".gone", "/proc/self/status"} {
		if _, err := pod.NetnsInode(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("NetnsInode(%s): %v", path, err)
		}
	}
}
