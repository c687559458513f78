package lease_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// podOn is pod in a VLAN of the same uplink and bridge.
func podOn(vid uint16, i int) leaseapi.Request {
	r := pod(i)
	r.VLAN = vid
	return r
}

// wantIn checks an address, and in which VLAN it is.
func wantIn(tb testing.TB, l leaseapi.Lease, vid uint16, addr netip.Addr) {
	tb.Helper()
	if l.VLAN != vid || l.Address.Addr() != addr {
		tb.Errorf("%s in VLAN %d, wanted %s in %d", l.Address, l.VLAN, addr, vid)
	}
}

// wantHeld checks what each server has granted and not got back.
func (n *node) wantHeld(want map[uint16]int) {
	n.Helper()
	got := map[uint16]int{}
	for vid := range want {
		got[vid] = n.vlan(vid).active()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		n.Errorf("leases that the servers hold, by VLAN: %s", diff)
	}
}

// Three servers, one range: each Pod has what its VLAN's server gives, and
// nothing of it goes elsewhere.
func TestVLANsOfOneUplinkAreServedApart(t *testing.T) {
	on(t, func(n *node) {
		vids := []uint16{0, 10, 20}
		for i, vid := range vids {
			wantIn(n, n.hold(key(i), podOn(vid, i)), vid, first())
		}
		want := []leaseapi.Segment{
			{Uplink: "eth1", Bridge: "br0", Present: true, Carrier: true, Leases: 1},
			{Uplink: "eth1", Bridge: "br0", VLAN: 10, Present: true, Carrier: true, Leases: 1},
			{Uplink: "eth1", Bridge: "br0", VLAN: 20, Present: true, Carrier: true, Leases: 1},
		}
		if diff := cmp.Diff(want, n.keeper.Segments()); diff != "" {
			n.Error(diff)
		}
		n.pass(2 * time.Hour) // renewed, probed, announced
		n.wantHeld(map[uint16]int{0: 1, 10: 1, 20: 1})
		for i, vid := range vids {
			n.wantState(key(i), leaseapi.StateBound)
			n.release(key(i))
			for _, f := range n.vlan(vid).sent() {
				if f.msg.ClientHWAddr.String() != pod(i).MAC {
					n.Errorf("VLAN %d: %s", vid, f.msg.Summary())
				}
			}
		}
		n.wantHeld(map[uint16]int{0: 0, 10: 0, 20: 0})
		n.wantNoFilesLater()
	})
}

// wantNoFilesLater is wantNoFiles once no RELEASE is to be repeated.
func (n *node) wantNoFilesLater() {
	n.Helper()
	n.pass(10 * time.Second)
	n.wantNoFiles()
}

// What a server of one VLAN offers, a Pod of another may have: neither is told.
func TestOneAddressInTwoVLANsIsNoConflict(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), podOn(10, 1))
		wantIn(n, n.hold(key(2), podOn(20, 2)), 20, first())
		n.pass(time.Minute)
		for _, vid := range []uint16{10, 20} {
			if got := len(n.vlan(vid).sent(request)); got != 1 {
				n.Errorf("VLAN %d: %d REQUEST: the lease was doubted", vid, got)
			}
		}
		// A host of VLAN 20 insists on it.
		twenty := n.vlan(20)
		for range 3 {
			twenty.set(func() { twenty.hear(wire.ARP{SenderMAC: stranger(), SenderIP: first(), TargetIP: first()}) })
			n.pass(time.Second)
		}
		n.wantState(key(1), leaseapi.StateBound)
		n.wantState(key(2), leaseapi.StateLost)
		if len(n.vlan(10).sent(decline)) != 0 || len(twenty.sent(decline)) != 1 {
			n.Error("declined where it is not lost")
		}
	})
}

// A host of the other VLAN does not answer this one's probes, and what it has
// can be given here.
func TestAHostOfAnotherVLANTakesNoAddress(t *testing.T) {
	on(t, func(n *node) {
		twenty := n.vlan(20)
		twenty.set(func() { twenty.hosts[first()] = stranger() })
		r := podOn(10, 1)
		r.Conflict = leaseapi.ConflictWait
		wantIn(n, n.acquire(key(1), r), 10, first())
		r = podOn(20, 2)
		r.Conflict, r.BudgetMS = leaseapi.ConflictWait, 30_000
		if l := n.acquire(key(2), r); l.Address.Addr() == first() {
			n.Errorf("%s is taken in VLAN 20", l.Address)
		}
	})
}

// A Pod with a trunk bears its MAC in other VLANs too, where its claims are a
// stranger's.
func TestAMACOfOursIsAStrangersInAnotherVLAN(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), podOn(10, 1))
		n.hold(key(2), podOn(20, 2))
		n.hold(key(3), podOn(20, 3))
		n.pass(time.Minute)
		claim := func(own byte) {
			twenty := n.vlan(20)
			for range 3 {
				twenty.set(func() {
					twenty.hear(wire.ARP{SenderMAC: wire.MAC{2, 0, 0, 0, 0, own}, SenderIP: first(), TargetIP: first()})
				})
				n.pass(time.Second)
			}
		}
		claim(3)
		n.wantState(key(2), leaseapi.StateBound)
		claim(1)
		n.wantState(key(2), leaseapi.StateLost)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

func TestAVLANsLeaseOutlivesPodland(t *testing.T) {
	on(t, func(n *node) {
		untagged := podOn(30, 3)
		untagged.Untagged = true
		n.hold(key(1), podOn(10, 1))
		n.hold(key(2), podOn(20, 2))
		n.hold(key(3), untagged)
		n.stop()
		n.start()
		n.pass(2 * time.Hour)
		for i, vid := range map[int]uint16{1: 10, 2: 20, 3: 30} {
			l, _ := n.keeper.Get(key(i))
			wantIn(n, l, vid, first())
			n.wantState(key(i), leaseapi.StateBound)
		}
		n.wantHeld(map[uint16]int{0: 1, 10: 1, 20: 1, 30: 0}) // the untagged one is VLAN 0's on the wire
		ten := n.vlan(10)
		ten.set(func() { ten.hear(wire.ARP{SenderMAC: stranger(), SenderIP: first(), TargetIP: first()}) })
		n.pass(time.Second)
		if got := ten.spokenAfter(2 * time.Hour); got != 1 {
			n.Errorf("%d defences in VLAN 10", got)
		}
		for i := range 3 {
			n.release(key(i + 1))
		}
		n.wantHeld(map[uint16]int{0: 0, 10: 0, 20: 0})
	})
}

// spokenAfter counts ARP that was sent so late.
func (l *lan) spokenAfter(d time.Duration) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.arps {
		if time.Since(p.at) < d/2 {
			n++
		}
	}
	return n
}

func TestALeaseInAVLANIsRecoveredThere(t *testing.T) {
	on(t, func(n *node) {
		address := netip.MustParsePrefix("10.0.0.77/16")
		ten := n.vlan(10)
		ten.set(func() { ten.known[string(pod(1).ClientID)] = address.Addr() })
		if err := n.keeper.Recover(key(1), podOn(10, 1), address); err != nil {
			n.Fatal(err)
		}
		n.pass(time.Second)
		n.wantState(key(1), leaseapi.StateBound)
		n.wantHeld(map[uint16]int{0: 0, 10: 1})
		if len(n.sent()) != 0 {
			n.Error("asked for without a tag")
		}
	})
}

// The uplink carries the VLAN as its native one: no tag there, and the bridge
// still has it as a VLAN.
func TestANativeVLANIsSpokenWithoutATag(t *testing.T) {
	on(t, func(n *node) {
		r := podOn(10, 1)
		r.Untagged = true
		wantIn(n, n.hold(key(1), r), 10, first())
		n.pass(time.Second)
		n.wantHeld(map[uint16]int{0: 1, 10: 0})
		if n.vlan(10).listening() != 1 || n.listening() != 1 {
			n.Error("ARP is not heard in the bridge's VLAN 10")
		}
		r = podOn(10, 2)
		r.Untagged, r.Bridge = true, ""
		n.hold(key(2), r)
		n.pass(time.Second)
		if n.vlan(10).listening() != 1 || n.listening() != 2 {
			n.Error("ARP is not heard on the uplink without a tag")
		}
	})
}

func TestAReleaseByAMomentaryPortIsInTheVLAN(t *testing.T) {
	on(t, func(n *node) {
		r := inPod(1)
		r.VLAN = 10
		l := n.acquire(key(1), r)
		if l.VLAN != 10 || n.Segments()[0].VLAN != 10 {
			n.Errorf("%+v on %+v", l, n.Segments())
		}
		n.set(func() { n.openErr["pod /ns/1 eth0"] = wire.ErrNoLink })
		n.release(key(1))
		if got := n.vlan(10).sent(release); len(got) != 1 || got[0].from != "port br0" {
			n.Errorf("RELEASE: %+v", got)
		}
	})
}

func (n *node) Segments() []leaseapi.Segment { return n.keeper.Segments() }

func TestTheErrorNamesTheVLAN(t *testing.T) {
	native, inside := podOn(20, 1), inPod(1)
	native.Untagged, inside.VLAN = true, 20
	for name, c := range map[string]struct {
		req   leaseapi.Request
		parts []string
	}{
		"tagged": {podOn(20, 1), []string{
			"no DHCPOFFER on eth1 vlan 20 in 10s: 2 DISCOVER sent, carrier up, 0 frames for 02:00:00:00:00:01",
			"is DHCP served on this VLAN?", "carry it tagged",
		}},
		"native":    {native, []string{"no DHCPOFFER on eth1 vlan 20 in 10s", "is DHCP served on this VLAN?", "native"}},
		"the Pod's": {inside, []string{"no DHCPOFFER on eth0 in the Pod (br0 vlan 20) in 10s", "is DHCP served on this VLAN?"}},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(n *node) {
				n.deaf()
				n.vlan(20).deaf()
				_, err := n.keeper.Acquire(n.Context(), key(1), c.req)
				wantCode(n, err, leaseapi.CodeTryAgainLater)
				for _, part := range c.parts {
					if !strings.Contains(err.Error(), part) {
						n.Errorf("%q lacks %q", err, part)
					}
				}
			})
		})
	}
}

// The cable is all VLANs'.
func TestVerifyIsForAllVLANsOfAnUplink(t *testing.T) {
	on(t, func(n *node) {
		for i, vid := range []uint16{0, 10, 20} {
			n.hold(key(i), podOn(vid, i))
		}
		n.pass(time.Minute)
		if err := n.keeper.Verify("eth1"); err != nil {
			n.Fatal(err)
		}
		n.pass(time.Minute)
		for _, vid := range []uint16{0, 10, 20} {
			if got := len(n.vlan(vid).sent(request)); got != 2 {
				n.Errorf("VLAN %d: %d REQUEST", vid, got)
			}
		}
	})
}

// The node's routing knows no VLANs.
func TestAnAddressOfTheNodeIsRefusedInEveryVLAN(t *testing.T) {
	on(t, func(n *node) {
		n.stop()
		cfg := n.config()
		cfg.Borne = func(a netip.Addr) bool { return a == first() }
		n.startWith(cfg)
		ten := n.vlan(10)
		r := podOn(10, 1)
		_, err := n.keeper.Acquire(n.Context(), key(1), r)
		if err == nil || !strings.Contains(err.Error(), "10.0.0.10 is an address of this node itself") {
			n.Error(err)
		}
		if len(ten.sent(request)) != 0 {
			n.Error("it was asked for")
		}
	})
}

// A VLAN interface goes with its last Pod, and with it podland's way: what is
// still to be given back goes by the NIC below, with the tag.
func TestALeaseOfAVLANInterfaceThatIsGoneIsGivenBackByItsNIC(t *testing.T) {
	for name, c := range map[string]struct {
		restart bool
		before  func(*node)
	}{
		"at once":                    {false, func(*node) {}},
		"by the next podland":        {true, func(*node) {}},
		"by the next boot's podland": {true, func(n *node) { n.bootID = "boot-2" }},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(n *node) {
				n.set(func() { n.nics["eth1.10"] = "eth1" })
				r := pod(1)
				r.Uplink, r.Bridge = "eth1.10", "br0-10"
				n.hold(key(1), r)
				n.vlan(10).set(func() { n.vlans[10].leases[first()] = string(r.ClientID) }) // it is this one's
				n.set(func() { n.nics["eth1.10"], n.gone = "", "eth1.10" })
				if c.restart {
					n.stop()
					c.before(n)
					n.start()
				}
				n.release(key(1))
				n.pass(10 * time.Second)
				if got := n.vlan(10).sent(release); len(got) != 3 || got[0].from != "uplink eth1" {
					n.Errorf("%d RELEASE by the NIC: %+v", len(got), got)
				}
				n.wantHeld(map[uint16]int{10: 0})
				n.wantNoFiles()
			})
		})
	}
}
