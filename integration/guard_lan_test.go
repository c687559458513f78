package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// Row 18.
func TestGuardAHostThatSendsWithAPodsMACDoesNotCutItOff(t *testing.T) {
	t.Parallel()
	s := newSiege(t)
	s.begin(t)
	impostor := attacker{mac: s.mac, own: s.router, router: s.own}
	index := link(t, s.client.Netns, s.client.Iface).Attrs().Index
	cable := s.node.Capture("lan0", from(s.mac))
	err := s.client.Do(func() error {
		sock, err := ether.Open(index, ether.All, nil)
		if err != nil {
			return err
		}
		defer sock.Close()
		for range 100 {
			if err := sock.Send(append(impostor.honest(), "from an impostor"...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cable.AwaitFrame(t.Context(), bears("from an impostor")); err != nil {
		t.Fatalf("the impostor is not heard: %v", err)
	}
	// From another place of the same bridge: the LAN's own switch is not ours.
	reaches(t, s.next, s.own)
	h, err := s.node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := h.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		t.Fatal(err)
	}
	port := link(t, s.node.Netns, s.port).Attrs().Index
	for _, e := range entries {
		if e.HardwareAddr.String() == s.mac.String() && e.LinkIndex != port && e.MasterIndex == link(t, s.node.Netns, "lan0").Attrs().Index {
			t.Errorf("the bridge has the Pod's MAC at link %d", e.LinkIndex)
		}
	}
}

// Row 17: what the bridge floods because it does not know the MAC.
func TestGuardAPodHearsNothingThatIsForOthers(t *testing.T) {
	t.Parallel()
	s := newSiege(t)
	s.begin(t)
	came := s.pod.Capture("eth0", func(f ether.Frame) bool { return !f.Outgoing })
	const experimental = 0x88b5 // no header that br_netfilter would look into
	stranger := mustMAC("02:ee:00:00:00:02")
	index := link(t, s.client.Netns, s.client.Iface).Attrs().Index
	err := s.client.Do(func() error {
		sock, err := ether.Open(index, ether.All, nil)
		if err != nil {
			return err
		}
		defer sock.Close()
		for range 5 {
			if err := sock.Send(append(rawEthernet(stranger, s.gateway, experimental, make([]byte, 40)), "for a stranger"...)); err != nil {
				return err
			}
		}
		return sock.Send(append(rawEthernet(ether.Broadcast(), s.gateway, experimental, make([]byte, 40)), "for everybody"...))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := came.AwaitFrame(t.Context(), bears("for everybody")); err != nil {
		t.Fatal(err)
	}
	reaches(t, s.client, s.own) // whatever took another processor has come too
	if slices.ContainsFunc(came.All(), bears("for a stranger")) {
		t.Error("the Pod heard what is for a stranger")
	}
}

// Row 19: without the guard each broadcast would come back by the other port,
// for ever.
func TestGuardAPodThatBridgesTwoOfItsPortsMakesNoLoop(t *testing.T) {
	t.Parallel()
	const broadcasts = 20
	s := newSiege(t)
	s.begin(t)
	second := attach(t, s.node, s.conf, s.pod, lab.Attachment{IfName: "net1"}).Interfaces[1].Name
	inALoop(t, s.pod, "eth0", "net1")
	isOne := has("round and round")
	loops := make(map[string]*lab.Capture)
	for _, end := range []string{"eth0", "net1"} {
		loops[end] = s.pod.Capture(end, func(f ether.Frame) bool { return f.Outgoing && isOne(f) })
	}
	got := s.listen(func(f ether.Frame) bool { return !f.Outgoing && isOne(f) })
	host := newRawOn(t, s.client)
	for i := range broadcasts {
		host.say(datagram(host.mac, host.addr, fmt.Sprint("round and round ", i)))
	}
	for end, loop := range loops {
		err := loop.Await(t.Context(), func(sent []ether.Frame) bool { return len(sent) >= broadcasts })
		if err != nil {
			t.Fatalf("the Pod's bridge does not hand on to %s: %v", end, err)
		}
	}
	expected := map[string]int{"the node": broadcasts, "another Pod": broadcasts, "the LAN": 0}
	for where, want := range expected {
		if err := got[where].Await(t.Context(), func(came []ether.Frame) bool { return len(came) >= want }); err != nil {
			t.Fatalf("the broadcasts do not come to %s: %v", where, err)
		}
	}
	reaches(t, s.client, s.neighbour) // so has what took another processor
	for where, want := range expected {
		if n := len(got[where].All()); n != want {
			t.Errorf("%d of the broadcasts came to %s, want %d", n, where, want)
		}
	}
	s.checkForwarding(t)
	s.port, s.mac = second, macOf(t, s.pod.Netns, "net1")
	s.checkForwarding(t)
}

// inALoop makes a bridge in the Pod with these ports.
func inALoop(t *testing.T, pod *lab.Pod, ports ...string) {
	t.Helper()
	h, err := pod.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	attrs, snooping := netlink.NewLinkAttrs(), false
	attrs.Name = "loop"
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := h.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		if err := h.LinkSetMaster(link(t, pod.Netns, port), bridge); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
}

func TestGuardABridgeOfOthersLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSiege(t)
	s.begin(t)
	a, b := s.docker(t)
	came := b.Capture("eth0", nil)
	lab.Eventually(t, "their bridge forwards", func() error {
		mark := s.send(t, a, []string{last}, map[string][]byte{last: s.honest()})[last]
		if !slices.ContainsFunc(came.All(), func(f ether.Frame) bool { return bytes.Contains(f.Payload, []byte("mark ")) }) {
			return errors.New("not yet: " + mark)
		}
		return nil
	})
	frames := s.frames()
	// What no bridge forwards (IEEE 802.1D, table 7-9), and what would teach this
	// one that the gateway is on the sender's side.
	for _, reserved := range []string{"13 LLDP", "13 LACP", "13 a pause frame", "2 the gateway's MAC"} {
		delete(frames, reserved)
	}
	names := make([]string, 0, len(frames))
	for name := range frames {
		names = append(names, name)
	}
	frames[last] = s.honest()
	marks := s.send(t, a, append(names, last), frames)
	if _, err := came.AwaitFrame(t.Context(), bears(marks[last])); err != nil {
		t.Fatal(err)
	}
	for name, mark := range marks {
		if !slices.ContainsFunc(came.All(), bears(mark)) {
			t.Errorf("%s did not come", name)
		}
	}
}

// docker makes a bridge as Docker does, with two containers.
func (s *siege) docker(t *testing.T) (a, b *lab.Pod) {
	t.Helper()
	h, err := s.node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	add := func(l netlink.Link) {
		t.Helper()
		if err := h.LinkAdd(l); err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "docker0"
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	add(bridge)
	a, b = s.node.Pod("d1"), s.node.Pod("d2")
	for i, c := range []*lab.Pod{a, b} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex = fmt.Sprintf("veth%07x", i+1), bridge.Index
		add(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(c.FD())})
		if err := c.SetLink("eth0", true); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func TestGuardWhoeverSendsFromTheFirstMomentIsNotHeardBeforeIt(t *testing.T) {
	t.Parallel()
	s := newSiege(t)
	spoofed := rawEthernet(ether.Broadcast(), s.gateway, etherIP4, ip4Packet(s.router, s.neighbour, protoUDP, 0, nil, udpSegment(1, 2, nil)))
	spoofed = append(spoofed, "too early to see"...)
	got := s.listen(bears("too early to see"))
	var sent atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.sendAlways(spoofed, stop, &sent)
	}()
	s.begin(t)
	after := sent.Load()
	lab.Eventually(t, "the attacker goes on", func() error {
		if sent.Load() < after+1000 {
			return errors.New("it has not sent enough")
		}
		return nil
	})
	close(stop)
	<-ended
	s.attack(t, map[string][]byte{})
	for where, capture := range got {
		if n := len(capture.All()); n > 0 {
			t.Errorf("%d of %d frames came to %s", n, sent.Load(), where)
		}
	}
	s.checkForwarding(t)
}

// sendAlways sends from the Pod's eth0 as soon as there is one and it is up,
// until stop.
func (s *siege) sendAlways(frame []byte, stop <-chan struct{}, sent *atomic.Int64) {
	_ = s.pod.Do(func() error {
		var sock *ether.Socket
		for {
			select {
			case <-stop:
				if sock != nil {
					_ = sock.Close()
				}
				return nil
			default:
			}
			if sock == nil {
				if eth0, err := net.InterfaceByName("eth0"); err == nil {
					sock, _ = ether.Open(eth0.Index, ether.All, nil)
				}
			} else if sock.Send(frame) == nil {
				sent.Add(1)
			}
			runtime.Gosched()
		}
	})
}
