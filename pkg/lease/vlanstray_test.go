package lease_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// strayed has a client's message answered by VLAN 20's server, in VLAN 20.
func (n *node) strayed(m *dhcpv4.DHCPv4) {
	n.Helper()
	twenty := n.vlan(20)
	if twenty.opened() == 0 {
		n.Fatal("nobody listens in VLAN 20")
	}
	var answer *dhcpv4.DHCPv4
	twenty.set(func() {
		mute := twenty.mute
		if a := asked(m); a.IsValid() {
			twenty.known[string(m.Options[uint8(dhcpv4.OptionClientIdentifier)])] = a
		}
		twenty.mute = func(dhcpv4.MessageType) bool { return false }
		answer = twenty.serve(m)
		twenty.mute = mute
	})
	twenty.deliver(answer)
	synctest.Wait()
}

// listens keeps a socket open in VLAN 20.
func (n *node) listens() {
	n.Helper()
	n.vlan(20).deaf()
	r := podOn(20, 99)
	r.BudgetMS = 600_000
	n.ask(n.Context(), key(99), r)
}

// A switch that leaks, or an attacker who knows the transaction.
func TestAReplyOfAnotherVLANIsNotAccepted(t *testing.T) {
	t.Run("OFFER", func(t *testing.T) {
		on(t, func(n *node) {
			n.listens()
			n.vlan(10).deaf()
			a := n.ask(n.Context(), key(1), podOn(10, 1))
			n.strayed(n.vlan(10).sent(discover)[0].msg)
			<-a.done
			wantCode(n, a.err, leaseapi.CodeTryAgainLater)
			if want := "no DHCPOFFER on eth1 vlan 10 in 10s: 2 DISCOVER sent, carrier up, 0 frames"; !strings.Contains(a.err.Error(), want) {
				n.Errorf("%q lacks %q", a.err, want)
			}
		})
	})
	t.Run("ACK", func(t *testing.T) {
		on(t, func(n *node) {
			n.listens()
			ten := n.vlan(10)
			ten.set(func() { ten.mute = func(k dhcpv4.MessageType) bool { return k == request } })
			a := n.ask(n.Context(), key(1), podOn(10, 1))
			n.pass(time.Second)
			n.strayed(ten.sent(request)[0].msg)
			n.wantState(key(1), leaseapi.StateAcquiring)
			ten.awake()
			<-a.done
			if a.err != nil || len(ten.sent(request)) < 2 {
				n.Errorf("%v after %d REQUEST", a.err, len(ten.sent(request)))
			}
		})
	})
	t.Run("NAK of a renewal", func(t *testing.T) {
		on(t, func(n *node) {
			ten := n.vlan(10)
			l := n.hold(key(1), podOn(10, 1))
			n.pass(time.Until(l.RenewAt) - time.Minute)
			n.listens()
			ten.deaf()
			for len(ten.sent(request)) == 1 {
				n.pass(time.Second)
			}
			n.vlan(20).set(func() { n.vlans[20].refuse = true })
			n.strayed(ten.sent(request)[1].msg)
			n.wantState(key(1), leaseapi.StateRenewing)
		})
	})
	t.Run("a late ACK", func(t *testing.T) {
		on(t, func(n *node) {
			ten := n.vlan(10)
			ten.set(func() { ten.mute = func(k dhcpv4.MessageType) bool { return k == request } })
			_, err := n.keeper.Acquire(n.Context(), key(1), podOn(10, 1))
			wantCode(n, err, leaseapi.CodeTryAgainLater)
			n.pass(10 * time.Second) // the RELEASE and its repeats
			n.listens()
			before := len(ten.sent(release))
			m := ten.sent(request)[0].msg
			n.strayed(m)
			n.pass(10 * time.Second)
			if got := len(ten.sent(release)) - before; got != 0 || len(n.vlan(20).sent(release)) != 0 {
				n.Errorf("%d RELEASE for what was granted in another VLAN", got)
			}
			ten.awake() // the same in its own
			var ack *dhcpv4.DHCPv4
			ten.set(func() { ack = ten.serve(m) })
			ten.deliver(ack)
			n.pass(time.Second)
			if len(ten.sent(release)) == before {
				n.Error("what was granted late is not given back")
			}
		})
	})
}
