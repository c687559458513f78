package guard_test

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/guard"
)

// withTag puts a tag of IEEE 802.1Q into a frame: priority and VID.
func withTag(frame []byte, tpid, tci uint16) []byte {
	return slices.Concat(frame[:12], []byte{byte(tpid >> 8), byte(tpid), byte(tci >> 8), byte(tci)}, frame[12:])
}

// in20 are frames as they come with the tag of a VLAN in the trunk.
func in20(frames map[string][]byte) map[string][]byte {
	tagged := make(map[string][]byte)
	for name, frame := range frames {
		tagged[name] = withTag(frame, 0x8100, 20)
	}
	return tagged
}

func trunkLAN(t *testing.T, open func(*guard.Port)) *lan {
	t.Helper()
	l := newLAN(t, "vethpl000000005")
	l.port.Trunk = []uint16{30, 20, 4094}
	open(&l.port)
	l.add(t)
	return l
}

func TestInItsTrunkAPortIsHeldToItsMACAndWhatAnyPortIs(t *testing.T) {
	l := trunkLAN(t, func(*guard.Port) {})
	passed := l.passing(t, in20(legitimate()), fine())
	for name := range legitimate() {
		if !passed[name] {
			t.Errorf("legitimate: %s did not pass", name)
		}
	}
	passed = l.passing(t, in20(attacks()), fine())
	for name := range attacks() {
		if want := slices.Contains(freeAddresses(), name); passed[name] != want {
			t.Errorf("attack: %s passed: %t", name, passed[name])
		}
	}
}

func TestATrunkOpensNothingElse(t *testing.T) {
	l := trunkLAN(t, func(p *guard.Port) { p.Trunk = []uint16{30} }) // attacks are without a tag, or in VLAN 20
	for name := range l.passing(t, attacks(), fine()) {
		t.Errorf("%s passed", name)
	}
}

func TestATrunkOpensOneTagOfItsVLANs(t *testing.T) {
	l := trunkLAN(t, func(*guard.Port) {})
	datagram, arp := legitimate()["UDP"], fine()
	tests := map[string]struct {
		frame  []byte
		passes bool
	}{
		"its first VLAN":             {withTag(datagram, 0x8100, 20), true},
		"another of them":            {withTag(datagram, 0x8100, 30), true},
		"the last VLAN of all":       {withTag(datagram, 0x8100, 4094), true},
		"with a priority":            {withTag(datagram, 0x8100, 20|7<<13), true},
		"that may be dropped":        {withTag(datagram, 0x8100, 20|1<<12), true},
		"ARP with a priority":        {withTag(arp, 0x8100, 20|5<<13), true},
		"a VLAN that is not its own": {withTag(datagram, 0x8100, 21), false},
		"its VLAN's lower half":      {withTag(datagram, 0x8100, 20+256), false},
		"the reserved VID":           {withTag(datagram, 0x8100, 4095), false},
		"a priority alone":           {withTag(datagram, 0x8100, 5<<13), false},
		"two tags":                   {withTag(withTag(datagram, 0x8100, 20), 0x8100, 20), false},
		"two tags, the inner none":   {withTag(withTag(datagram, 0x8100, 0), 0x8100, 20), false},
		"a service tag":              {withTag(datagram, 0x88a8, 20), false},
		"a service tag before":       {withTag(withTag(datagram, 0x8100, 20), 0x88a8, 20), false},
		"a service tag behind":       {withTag(withTag(datagram, 0x88a8, 20), 0x8100, 20), false},
		"an old service tag":         {withTag(datagram, 0x9100, 20), false},
		"no tag":                     {datagram, true},
	}
	frames, dropped := make(map[string][]byte), uint64(0)
	for name, test := range tests {
		frames[name] = test.frame
		if !test.passes {
			dropped++
		}
	}
	passed := l.passing(t, frames, fine())
	for name, test := range tests {
		if passed[name] != test.passes {
			t.Errorf("%s passed: %t", name, passed[name])
		}
	}
	drops, err := l.guard.DropsByPort(t.Context())
	must(t, err)
	if got := drops[l.port.Name]["wrong_ethertype"]; got != dropped {
		t.Errorf("%d of the wrong EtherType, want %d", got, dropped)
	}
}

func TestAnOpeningByNameHoldsInTheTrunk(t *testing.T) {
	server := func(p *guard.Port) { p.DHCPServer = true }
	client := func(p *guard.Port) { p.DHCPClient = true }
	routing := func(p *guard.Port) { p.MulticastRouting = true }
	vrrp := func(p *guard.Port) { p.VRRP, p.ExtraAddrs = true, []netip.Addr{netip.MustParseAddr(extra)} }
	tests := map[string]struct {
		open   func(*guard.Port)
		frames []string // of openedFrames()
	}{
		"dhcpServer":          {server, []string{"a DHCP server's reply", "a reply to a relay", "a DHCPv6 server's reply"}},
		"dhcpClient":          {client, []string{"a DISCOVER", "a DHCPv6 client's request"}},
		"routerAdvertisement": {func(p *guard.Port) { p.RouterAdvertisement = true }, []string{"a router advertisement"}},
		"extraMACs":           {func(p *guard.Port) { p.ExtraMACs = append(p.ExtraMACs, net.HardwareAddr(extraMAC)) }, []string{"ARP of the extra MAC"}},
		"vrrp":                {vrrp, []string{"a VRRP advertisement", "VRRP of IPv6", "ARP for the virtual address"}},
		"multicastRouting":    {routing, []string{"OSPF", "RIP", "an IGMP query", "an MLD query"}},
	}
	l := newLAN(t, "vethpl000000005")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			frames := make(map[string][]byte)
			for _, name := range test.frames {
				frames[name] = openedFrames()[name].frame
			}
			for _, opened := range []bool{false, true} {
				p := l.port
				p.Trunk = []uint16{20}
				if opened {
					test.open(&p)
				}
				must(t, l.guard.Add(t.Context(), p))
				passed := l.passing(t, in20(frames), fine())
				for name := range frames {
					if passed[name] != opened {
						t.Errorf("%s passed: %t; opened: %t", name, passed[name], opened)
					}
				}
			}
		})
	}
}

func TestInItsTrunkADHCPClientSpeaksForItselfOnly(t *testing.T) {
	const none = "0.0.0.0"
	l := trunkLAN(t, func(p *guard.Port) { p.DHCPClient = true })
	passed := l.passing(t, in20(map[string][]byte{
		"a DISCOVER": request(none, bootp(1, mac, none, none)), "a renewal": request(other, bootp(1, mac, other, none)),
		"another's chaddr": request(none, bootp(1, victim, none, none)), "a relayed request": request(none, bootp(1, mac, none, own)),
	}), fine())
	if want := map[string]bool{"a DISCOVER": true, "a renewal": true}; !maps.Equal(passed, want) {
		t.Errorf("passed: %v, want %v", passed, want)
	}
}

func TestInTheTrunkRatesHold(t *testing.T) {
	frames := map[string][]byte{"arp_rate": fine(), "multicast_rate": legitimate()["mDNS"]}
	for kind, frame := range frames {
		t.Run(kind, func(t *testing.T) {
			l := trunkLAN(t, func(p *guard.Port) { p.Rates = guard.Rates{ARP: 1, Multicast: 1} })
			if kind == "arp_rate" {
				l.port.Rates.Multicast = -1
				l.add(t)
			}
			passed := l.passingOf(t, 20, withTag(frame, 0x8100, 20))
			drops, err := l.guard.DropsByPort(t.Context())
			must(t, err)
			if got := drops[l.port.Name][kind]; passed == 20 || int(got) != 20-passed {
				t.Errorf("%d of 20 passed, %s is %d", passed, kind, got)
			}
		})
	}
}

// The replies come to whom has a client, as without a tag.
func TestDHCPInATrunkReachesOnlyAPortThatHasAClient(t *testing.T) {
	reply := eth(mac, gateway, typeIP4, ip4(other, own, unix.IPPROTO_UDP, 0, udp(67, 68, bootp(2, mac, "0.0.0.0", "0.0.0.0"))))
	after := eth(mac, gateway, typeARP, arpPacket(1, gateway, other, own))
	for _, client := range []bool{false, true} {
		l := trunkLAN(t, func(p *guard.Port) { p.DHCPClient = client })
		if got := l.arrives(t, l.hostEnd(), l.podEnd(), withTag(reply, 0x8100, 20), after); got != client {
			t.Errorf("a client: %t, a reply came: %t", client, got)
		}
	}
}

func TestATrunkIsListedCheckedAndTakenAway(t *testing.T) {
	g, _ := newGuard(t)
	p, whole, other := port(1), port(2), port(3)
	p.Trunk = []uint16{5, 20, 21, 22, 4094}
	for vid := range uint16(4094) {
		whole.Trunk = append(whole.Trunk, vid+1)
	}
	for _, each := range []guard.Port{p, whole, other} {
		must(t, g.Add(t.Context(), each))
	}
	checkPorts(t, g, p, whole, other)
	checkIntact(t, g, []guard.Port{p, whole, other}, true)
	if got, want := p.VLANs(), []string{"5", "20-22", "4094"}; !slices.Equal(got, want) {
		t.Errorf("VLANs are %v, want %v", got, want)
	}
	less := p
	less.Trunk = []uint16{21}
	must(t, g.Set(t.Context(), p, less))
	checkPorts(t, g, less, whole, other)
	for _, vid := range []uint16{0, 4095} {
		bad := p
		bad.Trunk = []uint16{20, vid}
		if err := g.Add(t.Context(), bad); err == nil {
			t.Errorf("VLAN %d: no error", vid)
		}
	}
	must(t, g.Remove(t.Context(), guard.Port{Name: whole.Name}))
	checkPorts(t, g, less, other)
}
