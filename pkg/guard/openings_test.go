package guard_test

import (
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

func TestAPortWithoutIPAMIsTiedToItsMAC(t *testing.T) {
	attack := attacks()
	tests := map[string]struct {
		frame  []byte
		passes bool
	}{
		"any IPv4 address":      {attack["IPv4 from another's address"], true},
		"any IPv6 address":      {attack["IPv6 from another's address"], true},
		"ARP for any address":   {attack["ARP reply for another's address"], true},
		"a DHCP request":        {attack["a DHCP client's request"], false},
		"another's MAC":         {attack["another's MAC"], false},
		"another's MAC in ARP":  {attack["ARP with another's sender MAC"], false},
		"a DHCP server's reply": {attack["a DHCP server's reply"], false},
		"a DHCPv6 server's":     {attack["a DHCPv6 server's reply"], false},
		"router advertisement":  {attack["a router advertisement"], false},
		"one behind a header":   {attack["one behind an extension header"], false},
		"one in a fragment":     {attack["one in a fragment"], false},
		"a BPDU":                {attack["a BPDU"], false},
		"a tagged frame":        {attack["a tagged frame"], false},
	}
	l := newLAN(t, "vethpl000000005")
	l.port.Addrs, l.port.LayerTwo = nil, true
	l.add(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := l.arrives(t, l.podEnd(), l.hostEnd(), test.frame, fine()); got != test.passes {
				t.Errorf("it arrived: %t", got)
			}
		})
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
