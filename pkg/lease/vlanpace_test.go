package lease_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// crowdOn has clients ask at once, each with its request.
func (n *node) crowdOn(from, to int, req func(i int) leaseapi.Request) []*waiting {
	n.Helper()
	var all []*waiting
	for i := from; i < to; i++ {
		r := req(i)
		r.BudgetMS = 60_000
		a := &waiting{done: make(chan struct{})}
		all = append(all, a)
		go func() {
			defer close(a.done)
			a.lease, a.err = n.keeper.Acquire(n.Context(), key(i), r)
		}()
	}
	return all
}

func TestEachVLANHasAWindowOfItsOwn(t *testing.T) {
	on(t, func(n *node) {
		n.vlan(10).deaf()
		n.crowdOn(0, 60, func(i int) leaseapi.Request { return podOn(10, i) })
		n.pass(time.Second)
		if got := len(n.vlan(10).sent(discover)); got != 16 {
			n.Errorf("%d DISCOVER in VLAN 10", got)
		}
		began := time.Now()
		n.wantAll(n.crowdOn(100, 160, func(i int) leaseapi.Request { return podOn(20, i) }))
		if took := time.Since(began); took > time.Second {
			n.Errorf("VLAN 20 waited %s for VLAN 10's server", took)
		}
	})
}

// wantAtMostOn is wantAtMost of all these VLANs together: a switch counts a port's.
func (n *node) wantAtMostOn(most int, vids ...uint16) {
	n.Helper()
	var dhcp, arp []time.Time
	for _, vid := range vids {
		for _, f := range n.vlan(vid).sent() {
			dhcp = append(dhcp, f.at)
		}
		v := n.vlan(vid)
		v.set(func() {
			for _, p := range v.arps {
				arp = append(arp, p.at)
			}
		})
	}
	for what, all := range map[string][]time.Time{"DHCP": dhcp, "ARP": arp} {
		slices.SortFunc(all, time.Time.Compare)
		first := 0
		for i, at := range all {
			for at.Sub(all[first]) >= time.Second {
				first++
			}
			if got := i - first + 1; got > most {
				n.Fatalf("%d packets of %s within a second, %d at most", got, what, most)
			}
		}
	}
}

// The switch counts what comes by a port, whatever the VLAN, and whether a
// VLAN interface or podland has put the tag in.
func TestThePaceIsTheNICs(t *testing.T) {
	const pace = 15
	tagged := func(i int) leaseapi.Request { return podOn(uint16(i%3*10), i) }
	interfaces := func(i int) leaseapi.Request {
		r := pod(i)
		r.Uplink, r.Bridge = fmt.Sprintf("eth1.%d", i%3*10), fmt.Sprintf("br0-%d", i%3*10)
		return r
	}
	for name, req := range map[string]func(i int) leaseapi.Request{"tagged": tagged, "VLAN interfaces": interfaces} {
		t.Run(name, func(t *testing.T) {
			on(t, func(n *node) {
				n.set(func() {
					for _, vid := range []int{0, 10, 20} {
						n.nics[fmt.Sprintf("eth1.%d", vid)] = "eth1"
					}
				})
				slow := req(1001)
				slow.Pace, slow.BudgetMS = pace, 60_000
				n.acquire(key(1001), slow)
				all := n.crowdOn(0, 60, req)
				n.pass(55 * time.Second)
				n.wantAll(all)
				n.pass(time.Minute)
				n.wantAtMostOn(pace, 0, 10, 20)
				if err := n.keeper.GC(n.Context(), "lan", nil); err != nil {
					n.Error(err)
				}
				n.pass(5 * time.Minute)
				n.wantAtMostOn(pace, 0, 10, 20)
				n.wantHeld(map[uint16]int{0: 0, 10: 0, 20: 0})
			})
		})
	}
}

// After a reboot the VLAN interfaces are yet to be made, when podland takes up
// its leases: what they want counts once they are there.
func TestAVLANInterfaceThatComesLaterCountsForItsNIC(t *testing.T) {
	const pace = 15
	over := func(i int) leaseapi.Request {
		r := pod(i)
		r.Uplink, r.Bridge = "eth1.10", "br0-10"
		return r
	}
	on(t, func(n *node) {
		slow := over(1)
		slow.Pace = pace
		n.hold(key(1), slow)
		n.stop()
		n.set(func() { n.nics["eth1.10"] = "" })
		n.start()
		n.pass(time.Minute)
		n.set(func() { n.nics["eth1.10"] = "eth1" })
		n.hold(key(2), over(2))
		n.set(func() { n.frames, n.arps = nil, nil })
		all := n.crowdOn(100, 160, func(i int) leaseapi.Request { return podOn(20, i) })
		n.pass(55 * time.Second)
		n.wantAll(all)
		n.wantAtMostOn(pace, 20)
	})
}

// A slow NIC's turns go to what is urgent first, in whichever VLAN: leases in use
// are renewed before another VLAN's crowd gets theirs.
func TestRenewalsGoBeforeADDsOfAnotherVLAN(t *testing.T) {
	const due = 20
	on(t, func(n *node) {
		ten, twenty := n.vlan(10), n.vlan(20)
		ten.set(func() { ten.terms = 2 * time.Hour })
		paced := func(vid uint16, i int) leaseapi.Request {
			r := podOn(vid, i)
			r.Pace = 10
			return r
		}
		var l leaseapi.Lease
		for i := range due {
			l = n.hold(key(i), paced(10, i))
		}
		n.pass(time.Until(l.RenewAt) - 10*time.Minute)
		n.stop()
		n.pass(20 * time.Minute) // all are due now
		ten.set(func() { ten.frames = nil })
		twenty.deaf() // an exchange that is answered goes before all
		n.start()
		n.crowdOn(100, 160, func(i int) leaseapi.Request { return paced(20, i) })
		n.pass(20 * time.Second)
		var last time.Time
		for _, f := range ten.sent(request) {
			last = f.at
		}
		between := 0
		for _, f := range twenty.sent(discover) {
			if f.at.Before(last) {
				between++
			}
		}
		if got := len(ten.sent(request)); got != due || between > due/2 {
			n.Errorf("%d renewals, and %d ADDs before the last of them", got, between)
		}
	})
}

// All VLANs get their turn, also at a pace at which each packet counts.
func TestASlowNICServesItsVLANsInTurn(t *testing.T) {
	on(t, func(n *node) {
		slow := podOn(10, 1000)
		slow.Pace = 10
		n.acquire(key(1000), slow)
		n.crowdOn(0, 200, func(i int) leaseapi.Request { return podOn(10, i) }) // 40 s of packets
		n.pass(time.Second)
		all := n.crowdOn(300, 305, func(i int) leaseapi.Request { return podOn(20, i) })
		n.pass(15 * time.Second)
		for _, a := range all {
			select {
			case <-a.done:
			default:
				n.Fatal("a Pod of VLAN 20 still waits for VLAN 10's crowd")
			}
		}
		n.wantAll(all)
	})
}
