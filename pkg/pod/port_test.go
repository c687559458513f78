package pod_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// site is a LAN host, a node with the bridge lan0 whose uplink leads there, and
// a Pod.
type site struct {
	lan, node, pod *rtnltest.Netns
	bridge         int
	spec           pod.Spec
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{lan: rtnltest.New(t), node: rtnltest.New(t), pod: rtnltest.New(t)}
	s.bridge = s.node.Bridge(t, "lan0")
	uplink := s.node.Cable(t, "uplink0", s.lan, "nic0")
	if err := s.node.SetMaster(uplink, s.bridge); err != nil {
		t.Fatal(err)
	}
	s.lan.Address(t, "nic0", "198.18.0.1/16")
	s.lan.Address(t, "nic0", "fd00::1/64")
	s.spec = pod.Spec{
		HostEnd: rtnl.GuardedPrefix + "000000001", Netns: s.pod.Path, IfName: "eth0",
		MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, BridgeMTU: 1500,
	}
	return s
}

func config() pod.IPConfig {
	return pod.IPConfig{
		Addrs: []pod.Addr{
			{Prefix: netip.MustParsePrefix("198.18.1.1/16"), Gateway: netip.MustParseAddr("198.18.0.1")},
			{Prefix: netip.MustParsePrefix("fd00::1:1/64"), Gateway: netip.MustParseAddr("fd00::1")},
		},
		Routes: []*types.Route{{Dst: cidr("0.0.0.0/0")}, {Dst: cidr("::/0")}},
	}
}

func cidr(s string) net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return *n
}

// attach does what an ADD does, in its order.
func (s *site) attach(t *testing.T, cfg pod.IPConfig, flags pod.PortFlags) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	steps := []func() error{
		func() error { return pod.Create(ctx, s.node.Handle, s.spec) },
		func() error { return pod.Configure(ctx, s.spec.Netns, s.spec.IfName, cfg) },
		func() error {
			return pod.Join(ctx, s.node.Handle, s.spec.HostEnd, s.bridge, s.spec.MAC, flags)
		},
		func() error { return pod.WaitForwarding(ctx, s.node.Handle, s.spec.HostEnd) },
		func() error {
			return pod.Announce(ctx, s.node.Handle, "lan0", 0, s.spec.MAC, []netip.Addr{cfg.Addrs[0].Prefix.Addr()})
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *site) expected(cfg pod.IPConfig, flags pod.PortFlags) pod.Expected {
	return pod.Expected{Spec: s.spec, IP: cfg, Flags: flags, Bridge: "lan0"}
}

func TestAPodIsDialledFromTheLANByBothFamilies(t *testing.T) {
	s := newSite(t)
	before := s.node.Must(t, "lan0").Attrs()
	cfg := config()
	s.attach(t, cfg, pod.PortFlags{})
	for _, addr := range []string{"198.18.1.1:80", "[fd00::1:1]:80"} {
		if err := dial(t, s.lan, s.pod, addr); err != nil {
			t.Error(err)
		}
	}
	if err := pod.Verify(t.Context(), s.node.Handle, s.expected(cfg, pod.PortFlags{})); err != nil {
		t.Error(err)
	}
	after := s.node.Must(t, "lan0").Attrs()
	if before.HardwareAddr.String() != after.HardwareAddr.String() || before.MTU != after.MTU {
		t.Errorf("the bridge was %s, MTU %d and is %s, MTU %d", before.HardwareAddr, before.MTU, after.HardwareAddr, after.MTU)
	}
}

// dial connects from one namespace to a listener in another.
func dial(t *testing.T, from, to *rtnltest.Netns, addr string) error {
	t.Helper()
	var l net.Listener
	if err := to.Do(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	}); err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	return from.Do(func() error {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

func TestAPortHasOneStickyEntryAndNeitherLearnsNorFloods(t *testing.T) {
	s := newSite(t)
	s.attach(t, config(), pod.PortFlags{Hairpin: true, Isolated: true})
	port, err := s.node.Port(s.node.Must(t, s.spec.HostEnd).Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	want := rtnl.PortInfo{Bridge: s.bridge, State: rtnl.PortForwarding, Flags: rtnl.PortFlags{Hairpin: true, Isolated: true, Locked: true}}
	if diff := cmp.Diff(want, port); diff != "" {
		t.Errorf("port (-want +got):\n%s", diff)
	}
}

func TestWithoutAGuardAPortIsAnOrdinaryOne(t *testing.T) {
	s := newSite(t)
	s.attach(t, config(), pod.PortFlags{Learning: true})
	port, err := s.node.Port(s.node.Must(t, s.spec.HostEnd).Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	want := rtnl.PortFlags{Learning: true, Flood: true}
	if diff := cmp.Diff(want, port.Flags); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestAFrameFromElsewhereDoesNotMoveThePodsEntry(t *testing.T) {
	s := newSite(t)
	s.attach(t, config(), pod.PortFlags{})
	fd := s.lan.PacketSocket(t, "nic0", 0)
	spoofed := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, s.spec.MAC...)
	send(t, fd, append(spoofed, append([]byte{0x88, 0xb5}, make([]byte, 46)...)...))
	if err := dial(t, s.lan, s.pod, "198.18.1.1:80"); err != nil {
		t.Error(err)
	}
}

func TestTheHostEndIsNamedAndMarkedSoThatNoBridgeChanges(t *testing.T) {
	s := newSite(t)
	s.spec.MTU, s.spec.Alias = 1400, "an attachment"
	s.attach(t, config(), pod.PortFlags{})
	host, end := s.node.Must(t, s.spec.HostEnd).Attrs(), s.pod.Must(t, "eth0").Attrs()
	if host.HardwareAddr[0] != 0xfe || host.MTU != 1500 || host.Alias != "an attachment" || end.MTU != 1400 {
		t.Errorf("host end %s, MTU %d, %q; Pod end MTU %d", host.HardwareAddr, host.MTU, host.Alias, end.MTU)
	}
	addrs, err := s.node.Addrs(host.Index)
	if err != nil || len(addrs) != 0 {
		t.Errorf("the host end bears %v (%v)", addrs, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	tests := map[string]struct {
		spoil func(*testing.T, *site)
		is    func(error) bool
	}{
		"an MTU above the bridge's": {
			func(_ *testing.T, s *site) { s.spec.MTU = 9000 },
			hasCode(uint(leaseapi.CodeConfig)),
		},
		"an interface that the Pod has": {
			func(t *testing.T, s *site) {
				t.Helper()
				s.lan.Cable(t, "other0", s.pod, "eth0")
			},
			hasCode(uint(leaseapi.CodeInvalidEnv)),
		},
		"a host end that stands": {
			func(t *testing.T, s *site) {
				t.Helper()
				s.node.Cable(t, s.spec.HostEnd, s.lan, "other0")
			},
			func(err error) bool { return errors.Is(err, fs.ErrExist) },
		},
		"a namespace that is gone": {
			func(_ *testing.T, s *site) { s.spec.Netns = "/nowhere" },
			func(err error) bool { return err != nil },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			test.spoil(t, s)
			err := pod.Create(t.Context(), s.node.Handle, s.spec)
			if !test.is(err) {
				t.Errorf("Create: %v", err)
			}
		})
	}
}

func hasCode(code uint) func(error) bool {
	return func(err error) bool {
		var cni *types.Error
		return errors.As(err, &cni) && cni.Code == code
	}
}

func TestDeleteTakesBothEndsAndIsContentWithNone(t *testing.T) {
	s := newSite(t)
	s.attach(t, config(), pod.PortFlags{})
	for range 2 {
		if err := pod.Delete(s.node.Handle, s.spec.HostEnd); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.pod.Link("eth0"); !errors.Is(err, rtnl.ErrNotFound) {
		t.Errorf("the Pod end: %v", err)
	}
}
