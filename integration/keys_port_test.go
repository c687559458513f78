package integration_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// from picks frames of a MAC that an interface received.
func from(mac net.HardwareAddr) func(ether.Frame) bool {
	return func(f ether.Frame) bool { return !f.Outgoing && bytes.Equal(f.Src, mac) }
}

func TestKeyHairpinModeLetsAPodReachItselfThroughTheBridge(t *testing.T) {
	t.Parallel()
	ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{Bridge: "lan0"})
	for _, s := range []side{reference, ours} {
		keys := object{"bridge": "lan0", "hairpinMode": true, "ipam": hostLocal()}
		addr := address(t, attach(t, s.node, s.conf(keys), s.pod))
		back := s.pod.Capture("eth0", from(link(t, s.pod.Netns, "eth0").Attrs().HardwareAddr))
		toItself(t, s.pod, addr)
		if _, err := back.AwaitFrame(t.Context(), func(f ether.Frame) bool { return !ether.IsBroadcast(f.Dst) }); err != nil {
			t.Errorf("%s: %v", s.plugin, err)
		}
	}
}

// toItself sends what a Service does that translates a Pod's packet to the Pod
// itself: a frame from and to its own MAC.
func toItself(t *testing.T, pod *lab.Pod, addr netip.Addr) {
	t.Helper()
	attrs := link(t, pod.Netns, "eth0").Attrs()
	err := pod.Do(func() error {
		sock, err := ether.Open(attrs.Index, ether.All, nil)
		if err != nil {
			return err
		}
		defer sock.Close()
		own := netip.AddrPortFrom(addr, 9999)
		return sock.Send(ether.UDPFrame(attrs.HardwareAddr, attrs.HardwareAddr, ether.UDP{Src: own, Dst: own, Payload: []byte("to myself")}))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeyHairpinModeOffReturnsNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, network(node, hostLocal()), pod))
	back := pod.Capture("eth0", from(link(t, pod.Netns, "eth0").Attrs().HardwareAddr))
	toItself(t, pod, addr)
	reaches(t, pod, client.Addr.Addr()) // the answer comes after
	if frames := back.All(); len(frames) > 0 {
		t.Errorf("the Pod got back %v", frames)
	}
}

func TestKeyPortIsolationKeepsPodsApartAndOnTheLAN(t *testing.T) {
	t.Parallel()
	for _, isolated := range []bool{false, true} {
		ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{Bridge: "lan0"})
		for _, s := range []side{reference, ours} {
			client := s.lab.Host("client")
			conf := s.conf(object{"bridge": "lan0", "portIsolation": isolated, "ipam": hostLocal()})
			other := s.node.Pod("p2")
			addr := address(t, attach(t, s.node, conf, s.pod))
			addrOther := address(t, attach(t, s.node, conf, other))
			for _, a := range []netip.Addr{addr, addrOther} {
				reaches(t, client, a)
				reaches(t, s.node, a)
			}
			if !isolated {
				reaches(t, s.pod, addrOther)
				continue
			}
			if frames := cannotReach(t, s.pod, other, addrOther, client); len(frames) > 0 {
				t.Errorf("%s: the Pod's frames reach its neighbour: %v", s.plugin, frames)
			}
		}
	}
}

// cannotReach pings the other Pod until the whole LAN has been asked for its
// MAC, and returns what of it came to the other Pod.
func cannotReach(t *testing.T, pod, other *lab.Pod, addr netip.Addr, client *lab.Host) []ether.Frame {
	t.Helper()
	mac := link(t, pod.Netns, "eth0").Attrs().HardwareAddr
	came, onLAN := other.Capture("eth0", from(mac)), client.Capture("eth0", from(mac))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pod.Ping(ctx, addr) }()
	_, err := onLAN.AwaitFrame(t.Context(), func(f ether.Frame) bool {
		arp, ok := f.ARP()
		return ok && arp.TargetIP == addr
	})
	if err != nil {
		t.Error(err)
	}
	reaches(t, client, addr) // later frames have come
	cancel()
	if err := <-ended; err == nil {
		t.Error("the Pod's neighbour answers")
	}
	return came.All()
}

func TestKeyDisableContainerInterfaceLeavesThePodEndDown(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	before := node.Snapshot()
	conf := network(node, nil, object{"disableContainerInterface": true})
	pod := node.Pod("p1")
	result := attach(t, node, conf, pod)
	end := pod.Snapshot().Links["eth0"]
	if end.Up || end.MAC != result.Interfaces[2].Mac || len(result.IPs) > 0 {
		t.Errorf("the Pod end is %+v, the result %v", end, result)
	}
	if err := node.Check(t.Context(), conf, pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if err := pod.SetLink("eth0", true); err != nil {
		t.Fatal(err)
	}
	if err := node.Check(t.Context(), conf, pod); cniCode(err) != 105 {
		t.Errorf("CHECK of one that somebody set up: %v, want code 105", err)
	}
	detach(t, node, conf, pod)
	asBefore(t, node, before)

	_, err := node.Add(t.Context(), network(node, hostLocal(), object{"disableContainerInterface": true}), pod)
	says(t, err, types.ErrInvalidNetworkConfig, "disableContainerInterface", "ipam")
}

func TestKeyIPAMAbsentGivesLayer2Alone(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	before := node.Snapshot()
	conf := network(node, nil)
	pod := node.Pod("p1")
	result := attach(t, node, conf, pod)
	end := pod.Snapshot().Links["eth0"]
	if !end.Up || len(end.Addresses) > 0 || len(result.IPs) > 0 || len(result.Routes) > 0 {
		t.Errorf("the Pod end is %+v, the result %v", end, result)
	}
	if err := node.Check(t.Context(), conf, pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	// Whoever is in the Pod may choose an address.
	own := netip.MustParsePrefix("198.18.200.1/16")
	if err := pod.AddAddress("eth0", own); err != nil {
		t.Fatal(err)
	}
	reaches(t, client, own.Addr())
	detach(t, node, conf, pod)
	asBefore(t, node, before)
}

func TestKeyMacSpoofChkDropsFramesOfAnotherMAC(t *testing.T) {
	t.Parallel()
	ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{Bridge: "lan0"})
	reference.node.AddEnv(toolEnv(t, "nft")...)
	foreign := net.HardwareAddr{0x02, 0xbb, 0, 0, 0, 1}
	for _, s := range []side{reference, ours} {
		client := s.lab.Host("client")
		keys := object{"bridge": "lan0", "macspoofchk": true, "ipam": hostLocal()}
		before := s.node.Snapshot()
		addr := address(t, attach(t, s.node, s.conf(keys), s.pod))
		saw := client.Capture("eth0", nil)
		for _, mac := range []net.HardwareAddr{foreign, link(t, s.pod.Netns, "eth0").Attrs().HardwareAddr} {
			broadcastAs(t, s.pod, mac, addr)
		}
		if _, err := saw.AwaitFrame(t.Context(), isMarked); err != nil {
			t.Errorf("%s: its own frame does not come: %v", s.plugin, err)
		}
		if slices.ContainsFunc(saw.All(), from(foreign)) {
			t.Errorf("%s: the frame of a foreign MAC comes to the LAN", s.plugin)
		}
		detach(t, s.node, s.conf(keys), s.pod)
		if s.plugin == "podlan-bridge" { // the reference leaves its table
			asBefore(t, s.node, before)
		}
	}
	_, err := ours.node.Add(t.Context(), ours.conf(object{"bridge": "lan0", "macspoofchk": true, "guard": "off", "ipam": hostLocal()}), ours.node.Pod("p2"))
	says(t, err, types.ErrInvalidNetworkConfig, "macspoofchk", "guard")
}

// broadcastAs sends a marked datagram as a MAC.
func broadcastAs(t *testing.T, pod *lab.Pod, mac net.HardwareAddr, addr netip.Addr) {
	t.Helper()
	index := link(t, pod.Netns, "eth0").Attrs().Index
	err := pod.Do(func() error {
		sock, err := ether.Open(index, ether.All, nil)
		if err != nil {
			return err
		}
		defer sock.Close()
		return sock.Send(ether.UDPFrame(ether.Broadcast(), mac, ether.UDP{
			Src: netip.AddrPortFrom(addr, 9999), Dst: netip.MustParseAddrPort("198.18.255.255:9999"), Payload: []byte("marked"),
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isMarked(f ether.Frame) bool {
	u, ok := f.UDP()
	return ok && string(u.Payload) == "marked"
}
