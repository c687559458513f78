package guard_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const anywhere = "255.255.255.255"

func request(src string, body []byte) []byte {
	return eth(broadcast, mac, typeIP4, ip4(src, anywhere, unix.IPPROTO_UDP, 0, udp(68, 67, body)))
}

func TestAPortWithItsOwnDHCPClientSpeaksForItselfOnly(t *testing.T) {
	const none = "0.0.0.0"
	tests := map[string]struct {
		frame  []byte
		passes bool
	}{
		"a DISCOVER":                    {request(none, bootp(1, mac, none, none)), true},
		"a RENEW":                       {request(own, bootp(1, mac, own, none)), true},
		"a RENEW from no address":       {request(none, bootp(1, mac, own, none)), true},
		"another's chaddr":              {request(none, bootp(1, victim, none, none)), false},
		"a RELEASE of another's lease":  {request(none, bootp(1, mac, other, none)), false},
		"a relayed request":             {request(none, bootp(1, mac, none, own)), false},
		"from another's address":        {request(other, bootp(1, mac, none, none)), false},
		"a reply sent to the server":    {request(none, bootp(2, mac, none, none)), false},
		"a request too short for a MAC": {request(none, bootp(1, mac, none, none)[:10]), false},
		"a fragment": {eth(broadcast, mac, typeIP4, ip4(none, anywhere, unix.IPPROTO_UDP, 0x2000,
			udp(68, 67, bootp(1, mac, none, none)))), false},
		"a server's reply": {eth(broadcast, mac, typeIP4, ip4(own, anywhere, unix.IPPROTO_UDP, 0,
			udp(67, 68, bootp(2, victim, none, none)))), false},
		"a request from another port": {eth(broadcast, mac, typeIP4, ip4(none, anywhere, unix.IPPROTO_UDP, 0,
			udp(4000, 67, bootp(1, mac, none, none)))), false},
	}
	l := newLAN(t, "vethpl000000005")
	l.port.DHCPClient = true
	l.add(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := l.arrives(t, l.podEnd(), l.hostEnd(), test.frame, fine()); got != test.passes {
				t.Errorf("it arrived: %t", got)
			}
		})
	}
}

// freeAddresses are those of attacks() that are none where addresses are free.
func freeAddresses() []string {
	return []string{
		"ARP reply for another's address", "ARP request with another's address", "ARP probe for another's address",
		"IPv4 from another's address", "IPv4 from no address", "IPv6 from another's address",
		"IPv6 from another link-local address", "a neighbour advertisement of another", "duplicate detection for another's",
	}
}

func TestAPortWithoutIPAMIsTiedToItsMAC(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.port.Addrs, l.port.LayerTwo = nil, true
	l.add(t)
	passed := l.passing(t, legitimate(), fine())
	for name := range legitimate() {
		if !passed[name] {
			t.Errorf("legitimate: %s did not pass", name)
		}
	}
	passed = l.passing(t, attacks(), fine())
	for name := range attacks() {
		if want := slices.Contains(freeAddresses(), name); passed[name] != want {
			t.Errorf("attack: %s passed: %t", name, passed[name])
		}
	}
}

func TestDHCPRepliesReachOnlyAPortThatHasAClient(t *testing.T) {
	ports := map[string]struct {
		dhcp, layerTwo, hears bool
	}{
		"lease first": {},
		"port first":  {dhcp: true, hears: true},
		"layer two":   {layerTwo: true},
		"a guest":     {dhcp: true, layerTwo: true, hears: true},
	}
	l := newLAN(t, "vethpl000000005")
	froms := map[string]end{"from the LAN": l.hostEnd(), "from the node": {l.node, "lan0"}}
	reply := udp(67, 68, bootp(2, mac, "0.0.0.0", "0.0.0.0"))
	frames := map[string][]byte{
		"unicast":   eth(mac, gateway, typeIP4, ip4(other, own, unix.IPPROTO_UDP, 0, reply)),
		"broadcast": eth(broadcast, gateway, typeIP4, ip4(other, anywhere, unix.IPPROTO_UDP, 0, reply)),
	}
	after := eth(mac, gateway, typeARP, arpPacket(1, gateway, other, own))
	for kind, port := range ports {
		l.port.DHCPClient, l.port.LayerTwo = port.dhcp, port.layerTwo
		l.add(t)
		for place, from := range froms {
			for name, frame := range frames {
				t.Run(kind+" "+place+" "+name, func(t *testing.T) {
					if got := l.arrives(t, from, l.podEnd(), frame, after); got != port.hears {
						t.Errorf("it arrived: %t", got)
					}
				})
			}
		}
	}
}

func TestAnAddressTakenBackIsSilentAtOnce(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.add(t)
	next := l.port
	next.Addrs = l.port.Addrs[1:]
	if err := l.guard.Set(t.Context(), l.port, next); err != nil {
		t.Fatal(err)
	}
	// What still passes is IPv6 from the address that is left.
	after := legitimate()["IPv6 from its address"]
	if l.arrives(t, l.podEnd(), l.hostEnd(), fine(), after) {
		t.Error("ARP of the former address arrived")
	}
}
