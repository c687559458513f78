package integration_test

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
)

const (
	movers = 8
	moves  = 5
)

// mover is a Pod whose address the server takes back at each renewal and
// replaces by the next, while the Pod sends with all of them all the time.
type mover struct {
	*victim
	addrs [moves + 1]netip.Addr
	// given is which of them the server gives, seen which the port was seen
	// open for.
	given, seen atomic.Int32
}

func (lan faultyLAN) mover(i int) *mover {
	m := &mover{victim: lan.victim(fmt.Sprintf("mover%d", i), object{"ipam": replacing()})}
	for k := range m.addrs {
		m.addrs[k] = netip.AddrFrom4([4]byte{198, 18, 5, byte(10*i + k)})
	}
	give := func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		return dhcpd.Alter(dhcpd.Granting(m.addrs[m.given.Load()]), dhcpd.Lasting(3600, 1, 3000))(req)
	}
	m.on(dhcpd.Discovering).Answer(give)
	m.on(dhcpd.Selecting).Answer(give)
	m.on(dhcpd.Renewing).Answer(func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		if m.given.Load() == moves {
			return req.Regular(), true
		}
		m.given.Add(1)
		return dhcpd.NAK(req)
	})
	return m
}

// foreigner is an address that nobody was ever given.
func foreigner() netip.Addr { return netip.MustParseAddr("198.18.66.9") }

// abuse sends with each of the addresses, and with a foreign one, until end is
// called. Each frame tells which address the port had been seen open for when it
// was made. All come from one thread on one CPU, so that they arrive in the order
// in which they passed.
func (m *mover) abuse(s *speaker, to net.HardwareAddr) (end func()) {
	begun := sync.OnceFunc(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		pin()
	})
	tick := time.NewTicker(5 * time.Millisecond)
	stop := goOn(s.t.Context(), func() {
		begun()
		<-tick.C
		seen := m.seen.Load()
		for k, addr := range append(m.addrs[:], foreigner()) {
			text := fmt.Sprintf("moved %d %d %s", k, seen, m.mac)
			_ = s.sock.Send(datagramTo(to, s.mac, addr, netip.MustParseAddr("198.18.0.250"), text)) // ENETDOWN while the port is
		}
	})
	return func() {
		stop()
		tick.Stop()
	}
}

// pin keeps the thread on one of its CPUs.
func pin() {
	var all, one unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil {
		return
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	_ = unix.SchedSetaffinity(0, &one)
}

// follow notes each address that the port is seen open for, until the last.
func (m *mover) follow(t *testing.T) {
	t.Helper()
	podland := client.New(m.lan.node.Socket())
	lab.Eventually(t, "the last address of "+m.pod.ContainerID, func() error {
		guard, err := podland.Guard(t.Context())
		if err != nil {
			return err
		}
		i := slices.IndexFunc(guard.Ports, func(p leaseapi.GuardedPort) bool { return p.ContainerID == m.pod.ContainerID })
		if i < 0 || guard.Ports[i].Closed != "" || len(guard.Ports[i].Addresses) != 1 {
			return fmt.Errorf("the port is not open: %+v", guard.Ports)
		}
		k := slices.Index(m.addrs[:], guard.Ports[i].Addresses[0])
		if k < 0 {
			return fmt.Errorf("it has %s", guard.Ports[i].Addresses[0])
		}
		m.seen.Store(int32(k))
		if k < moves {
			return fmt.Errorf("it is at its address %d", k)
		}
		return nil
	})
}

// obeyed fails if an address passed that was not the Pod's any more.
func (m *mover) obeyed(t *testing.T, frames []ether.Frame) {
	t.Helper()
	last := 0
	for _, f := range frames {
		var k, seen int
		u, _ := f.UDP()
		if n, err := fmt.Sscanf(string(u.Payload), "moved %d %d "+m.mac.String(), &k, &seen); n != 2 || err != nil {
			continue
		}
		switch {
		case k > moves:
			t.Errorf("%s: the foreign address passed", m.pod.ContainerID)
		case k < seen:
			t.Errorf("%s: address %d passed after the port had been seen open for %d", m.pod.ContainerID, k, seen)
		case k < last:
			t.Errorf("%s: address %d passed after %d", m.pod.ContainerID, k, last)
		}
		last = max(last, k)
	}
	if last != moves {
		t.Errorf("%s: the last address to pass was %d, want %d: the test has seen too little", m.pod.ContainerID, last, moves)
	}
}

func TestAcrossFortyChangesNoAddressPassesThatWasTakenBack(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	heard := lan.client.Capture(lan.client.Iface, func(f ether.Frame) bool { return has("moved")(f) || has("mark")(f) })
	to := macOf(t, lan.client.Netns, lan.client.Iface)
	var all sync.WaitGroup
	var pods []*mover
	for i := range movers {
		pods = append(pods, lan.mover(i))
	}
	for _, m := range pods {
		all.Go(func() {
			if m.attach(t.Context()); m.err != nil {
				t.Errorf("ADD: %v", m.err)
				return
			}
			s := newSpeaker(t, m.pod, m.addrs[moves])
			end := m.abuse(s, to)
			m.follow(t)
			lab.Eventually(t, "the last address is heard", func() error {
				text := fmt.Sprintf("moved %d %d %s", moves, moves, m.mac)
				if !slices.ContainsFunc(heard.All(), has(text)) {
					return fmt.Errorf("no %q", text)
				}
				return nil
			})
			end()
			s.mark(heard)
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	frames := heard.All()
	for _, m := range pods {
		m.obeyed(t, frames)
	}
}

func TestAPodWhoseLeaseWasTakenBackSendsNothing(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	victims := lan.suffer(t, map[string]fault{
		"robbed":  fault(func(on picker) { on(dhcpd.Renewing).Answer(thenDeaf(on, dhcpd.NAK)) }).after(soon),
		"another": func(picker) {},
	})
	robbed, another := victims["robbed"], victims["another"]
	if robbed.err != nil || another.err != nil {
		t.Fatal(robbed.err, another.err)
	}
	s, other := newSpeaker(t, robbed.pod, robbed.addr), newSpeaker(t, another.pod, another.addr)
	robbed.isCutOff(t, "refused it (DHCPNAK")
	heard := lan.Switch().Capture(lan.node.SwitchPort, nil)
	near := another.pod.Capture("eth0", nil)
	frames := confined(s)
	frames["its own: a datagram"] = datagram(s.mac, s.addr, "its own: a datagram")
	frames["its own: ARP"] = gratuitous(s.mac, s.addr, "its own: ARP")
	frames["its own: a DISCOVER"] = dhcpRequest(s.mac, s.mac, netip.IPv4Unspecified(), "its own: a DISCOVER")
	send := func() {
		for _, f := range frames {
			_ = s.sock.Send(f)
		}
	}
	send()
	for _, up := range []bool{false, true} { // all that a Pod can do about its carrier
		if err := robbed.pod.SetLink("eth0", up); err != nil {
			t.Fatal(err)
		}
	}
	send()
	other.mark(heard)
	for text := range frames {
		if slices.ContainsFunc(append(heard.All(), near.All()...), has(text)) {
			t.Errorf("heard: %s", text)
		}
	}
	lan.isUnharmed(t)
}

func TestAPodThatPodlandLeasesFromSaysNothingOfDHCPButForItself(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	host, node := l.Host("client"), l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf, pod := network(node, object{"type": "podlan-dhcp", "dhcpFrom": "pod"}), node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	s, heard := newSpeaker(t, pod, addr), host.Capture(host.Iface, nil)
	none, stranger := netip.IPv4Unspecified(), net.HardwareAddr{0x02, 0xba, 0xd0, 0, 0, 1}
	at := netip.AddrPortFrom
	frames := map[string][]byte{
		"passes: for itself":              dhcpRequest(s.mac, s.mac, none, "passes: for itself"),
		"passes: about its address":       dhcpRequest(s.mac, s.mac, addr, "passes: about its address"),
		"for another client":              dhcpRequest(s.mac, stranger, none, "for another client"),
		"about another's address":         dhcpRequest(s.mac, s.mac, addr.Next(), "about another's address"),
		"as another station":              dhcpRequest(stranger, stranger, none, "as another station"),
		"a server's reply":                dhcpReply(s.mac, addr, "a server's reply"),
		"a relay's":                       bootp(s.mac, at(none, 68), at(everybody(), 67), 1, s.mac, none, addr, "a relay's"),
		"a reply by the client's port":    bootp(s.mac, at(none, 68), at(everybody(), 67), 2, s.mac, none, none, "a reply by the client's port"),
		"from a port that is no client's": bootp(s.mac, at(addr, 4000), at(everybody(), 67), 1, s.mac, none, none, "from a port that is no client's"),
	}
	var texts, want []string
	for text, frame := range frames {
		texts = append(texts, text)
		if strings.HasPrefix(text, "passes") {
			want = append(want, text)
		}
		s.say(frame)
	}
	slices.Sort(want)
	s.mark(heard)
	if diff := cmp.Diff(want, heardAmong(heard.All(), texts)); diff != "" {
		t.Errorf("heard on the LAN (-want +got):\n%s", diff)
	}
}
