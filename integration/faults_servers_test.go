package integration_test

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

const firstPool, lastPool = "198.18.1.0", "198.18.1.255"

// second adds a server to the LAN, with its own pool.
func (lan faultyLAN) second(first, last string) *lab.Server {
	return lan.SecondServer("server2", netip.MustParseAddr(first), netip.MustParseAddr(last))
}

// replacing is an ipam object that prefers another address to none.
func replacing() object { return object{"type": "podlan-dhcp", "whenLost": "replace"} }

// uncertain attaches three Pods whose leases are to be renewed after 2 s and rebound
// after t2 seconds, of which the server will not hear before it is told to: by
// SetScript(nil).
func (lan faultyLAN) uncertain(t *testing.T, t2 uint32, keys ...object) map[string]*victim {
	t.Helper()
	faults := map[string]fault{}
	for range 3 {
		faults[fmt.Sprintf("pod%d", int(lan.pods.Load())+len(faults))] = func(on picker) {
			on(dhcpd.Renewing).Answer(dhcpd.Silent())
			on(dhcpd.Rebinding).Answer(dhcpd.Silent())
			on(dhcpd.Selecting).Answer(dhcpd.Alter(dhcpd.Lasting(3600, 2, t2)))
		}
	}
	victims := lan.suffer(t, faults, keys...)
	for _, v := range victims {
		if v.err != nil {
			t.Fatal(v.err)
		}
	}
	return victims
}

// onTheirOwn fails if two clients have one address, in the servers' eyes or in
// podland's.
func (lan faultyLAN) onTheirOwn(t *testing.T, servers ...*dhcpd.Server) {
	t.Helper()
	owner := map[netip.Addr]string{}
	take := func(addr netip.Addr, mac string) {
		if other, taken := owner[addr]; taken && other != mac {
			t.Errorf("%s is both %s's and %s's", addr, other, mac)
		}
		owner[addr] = mac
	}
	for _, s := range servers {
		for _, l := range s.ActiveLeases() {
			take(l.Addr, l.MAC.String())
		}
	}
	for _, l := range leasesOf(t, lan.node) {
		if !isLost(l) {
			take(l.Address.Addr(), l.MAC)
		}
	}
}

func TestOfTwoServersOneGrantsTheAddressAndTheOtherKeepsIt(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]time.Duration{"at once": 0, "the other late": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lan := newFaultyLAN(t)
			other := lan.second("198.18.2.0", "198.18.2.255").Embedded()
			other.On().Answer(dhcpd.Slow(slow))
			given := manyPods(t, lan.node, network(lan.node, leased()), 6)
			for _, addr := range given.addrs {
				reaches(t, lan.client, addr)
			}
			if got := len(lan.server.ActiveLeases()) + len(other.ActiveLeases()); got != len(given.addrs) {
				t.Errorf("%d leases of both servers, want %d", got, len(given.addrs))
			}
			lan.onTheirOwn(t, lan.server, other)
			lan.isUnharmed(t)
		})
	}
}

func TestWhenItsServerDiesALeaseIsReboundByAnother(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	second := lan.second(firstPool, lastPool)
	other := second.Embedded()
	other.On().Answer(dhcpd.Silent())
	victims := lan.uncertain(t, 5)
	lan.Server().Kill()
	other.SetScript(nil)
	for _, v := range victims {
		l := v.awaitLease(t, "the lease is rebound", isExtended)
		if l.Server != other.Addr() {
			t.Errorf("the lease is %s's, want %s", l.Server, other.Addr())
		}
		v.lan.server = other
		v.servesItsLease(t)
		detach(t, lan.node, v.conf, v.pod)
	}
	second.AwaitLeases(0)
	lan.isUnharmed(t)
}

func TestWhenAnotherServerRefusesTheLeaseThePodIsCutOffUntilItsOwnIsBack(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	other := lan.second("198.18.2.0", "198.18.2.255").Embedded()
	other.On().Answer(dhcpd.Silent())
	victims := lan.uncertain(t, 5)
	lan.Server().Kill()
	other.SetScript(nil)
	for name, v := range victims {
		t.Run(name, func(t *testing.T) { v.isCutOff(t, "address not available") })
	}
	if got := other.ActiveLeases(); len(got) > 0 {
		t.Errorf("addresses that no Pod can use were taken: %v", got)
	}
	lan.server.SetScript(nil)
	lan.Server().Start()
	for name, v := range victims {
		t.Run(name+", and back", v.isBack)
	}
	lan.givesBack(t, victims)
}

// A server that lost its database gives a Pod's address to a stranger, and knows
// the other Pods as little.
func TestAServerThatLostItsDatabaseMakesNoAddressTwoPods(t *testing.T) {
	t.Parallel()
	for name, ipam := range map[string]object{"withdraw": leased(), "replace": replacing()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lan := newFaultyLAN(t)
			victims := lan.uncertain(t, 12, object{"ipam": ipam})
			robbed := victims["pod0"]
			lan.Server().Kill()
			lan.Server().Forget()
			lan.Server().Start()
			giveBack := lan.rob(t, robbed, victims)
			lan.server.SetScript(nil)
			if ipam["whenLost"] != nil {
				robbed.isReplaced(t, firstPool, lastPool)
			} else {
				robbed.isCutOff(t, "address not available")
			}
			for name, v := range victims {
				if v != robbed {
					t.Run(name, func(t *testing.T) {
						v.awaitLease(t, "the lease is extended", isExtended)
						v.servesItsLease(t)
					})
				}
			}
			lan.onTheirOwn(t, lan.server)
			giveBack()
			robbed.isBack(t)
			lan.givesBack(t, victims)
		})
	}
}

// rob has a stranger lease the Pod's address, until giveBack is called. The
// server offers none that a Pod has to anybody else.
func (lan faultyLAN) rob(t *testing.T, robbed *victim, all map[string]*victim) (giveBack func()) {
	t.Helper()
	stranger := lan.client.DHCPClient("eth0", []byte{0x02, 0xee, 0, 0, 0, 1}, nil)
	reserve := func(reserved map[string]netip.Addr) {
		if err := lan.server.Reconfigure(func(c *dhcpd.Config) { c.Reserved = reserved }); err != nil {
			t.Fatal(err)
		}
	}
	inUse := map[netip.Addr]bool{}
	for _, v := range all {
		inUse[v.addr] = true
	}
	if err := lan.server.Reconfigure(func(c *dhcpd.Config) { c.InUse = func(a netip.Addr) bool { return inUse[a] } }); err != nil {
		t.Fatal(err)
	}
	reserve(map[string]netip.Addr{stranger.MAC.String(): robbed.addr})
	taken, err := stranger.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		reserve(nil)
		if err := stranger.Release(taken); err != nil {
			t.Fatal(err)
		}
	}
}

// The pool moves to another subnet of the same wire.
func TestAServerWithAnotherRangeCutsPodsOffUntilItHasTheirsAgainOrMovesThoseThatMay(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	staying := lan.uncertain(t, 12)
	moving := lan.uncertain(t, 12, object{"ipam": replacing()})
	if err := lan.client.AddAddress("eth0", netip.MustParsePrefix("198.19.0.9/16")); err != nil {
		t.Fatal(err)
	}
	rerange(t, lan.server, "198.19.200.0/15", "198.19.200.255")
	lan.server.SetScript(nil)
	for name, v := range moving {
		t.Run(name, func(t *testing.T) { v.isReplaced(t, "198.19.200.0", "198.19.200.255") })
	}
	for name, v := range staying {
		t.Run(name, func(t *testing.T) { v.isCutOff(t, "address not available") })
	}
	if got := lan.server.ActiveLeases(); len(got) != len(moving) {
		t.Errorf("addresses that no Pod can use were taken: %v", got)
	}
	lan.onTheirOwn(t, lan.server)
	rerange(t, lan.server, firstPool+"/16", lastPool)
	for name, v := range staying {
		t.Run(name+", and back", v.isBack)
	}
	maps.Copy(staying, moving)
	lan.givesBack(t, staying)
}

// isReplaced waits until the Pod has another address, of the range, and checks
// that it is a whole one: it answers, the old one does not, and all agree.
func (v *victim) isReplaced(t *testing.T, first, last string) {
	t.Helper()
	old := v.addr
	l := v.awaitLease(t, "another address", func(l leaseapi.Lease) bool {
		return l.State == leaseapi.StateBound && l.Address.Addr() != old
	})
	v.addr = l.Address.Addr()
	if v.addr.Less(netip.MustParseAddr(first)) || netip.MustParseAddr(last).Less(v.addr) {
		t.Errorf("%s is not between %s and %s", v.addr, first, last)
	}
	v.isBack(t)
	reaches(t, v.pod, v.lan.client.Addr.Addr())
	v.isUnreachable(t, old)
}
