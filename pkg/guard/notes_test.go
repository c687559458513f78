package guard_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/podlan/podlan/pkg/guard"
)

// crowded is a port with everything, and more than one note takes.
func crowded(number, addrs int) guard.Port {
	p := port(number)
	p.DHCPClient, p.DHCPServer, p.RouterAdvertisement, p.VRRP, p.MulticastRouting = true, true, true, true, true
	p.Rates = guard.Rates{ARP: 7, Multicast: -1}
	addr := netip.MustParseAddr("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1000")
	for i := range addrs {
		p.ExtraAddrs, addr = append(p.ExtraAddrs, addr), addr.Next()
		p.ExtraMACs = append(p.ExtraMACs, net.HardwareAddr{2, 9, 9, 9, 9, byte(i)})
	}
	return p
}

func TestAPortWithMoreAddressesThanANoteTakesIsKnownAgain(t *testing.T) {
	g, _ := newGuard(t)
	many, few := crowded(1, 60), crowded(1, 2)
	neighbour := crowded(2, 9)
	must(t, g.Add(t.Context(), neighbour))
	for _, p := range []guard.Port{many, few, many} {
		must(t, g.Add(t.Context(), p))
		checkPorts(t, g, p, neighbour)
		checkIntact(t, g, []guard.Port{p, neighbour}, true)
	}
	must(t, g.Remove(t.Context(), guard.Port{Name: many.Name}))
	checkPorts(t, g, neighbour)
	if err := g.Check(t.Context(), many); err == nil {
		t.Error("the port stands after Remove")
	}
}
