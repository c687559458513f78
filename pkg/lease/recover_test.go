package lease_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestRecoverAsksForTheAddressOnly(t *testing.T) {
	on(t, func(n *node) {
		address := netip.MustParsePrefix("10.0.0.77/16")
		n.deaf()
		if err := n.keeper.Recover(key(1), pod(1), address); err != nil {
			n.Fatal(err)
		}
		n.pass(time.Second)
		l, _ := n.keeper.Get(key(1))
		if l.State != leaseapi.StateLost || l.Address != address || l.Reason != "its lease file is gone; asking the server for it again" {
			n.Errorf("%+v", l)
		}
		n.wantFile(key(1), true)
		f := n.sent(request)[0]
		if asked(f.msg) != address.Addr() || f.msg.ServerIdentifier() != nil {
			n.Errorf("no INIT-REBOOT: %s", f.msg.Summary())
		}
		n.awake() // and gives another address
		n.pass(5 * time.Minute)
		n.wantState(key(1), leaseapi.StateLost)
		n.wantActive(0)
		n.stop()
		n.start()
		n.set(func() { n.known[string(pod(1).ClientID)] = address.Addr() })
		n.pass(5 * time.Minute)
		n.wantState(key(1), leaseapi.StateBound)
		c := n.changed()
		if last := c[len(c)-1]; last.State != leaseapi.StateBound || last.Address != address {
			n.Errorf("changed: %+v", c)
		}
		n.release(key(1))
		n.wantSent(release, 1)
	})
}

func TestRecoverAtOnce(t *testing.T) {
	on(t, func(n *node) {
		address := netip.MustParsePrefix("10.0.0.77/16")
		n.set(func() { n.known[string(pod(1).ClientID)] = address.Addr() })
		if err := n.keeper.Recover(key(1), pod(1), address); err != nil {
			n.Fatal(err)
		}
		n.pass(time.Second)
		n.wantState(key(1), leaseapi.StateBound)
		n.wantSent(discover, 0)
		n.wantSpoken(address.Addr(), 3, 1)
		// Once more it does nothing; nor for another key of the same client.
		for i := 1; i < 3; i++ {
			if err := n.keeper.Recover(key(i), pod(1), address); err != nil {
				n.Error(err)
			}
		}
		n.pass(time.Second)
		n.wantSent(request, 1)
		n.wantState(key(2), "")
		bad := pod(3)
		bad.MAC = "x"
		if n.keeper.Recover(key(3), bad, address) == nil || n.keeper.Recover(key(3), pod(3), netip.MustParsePrefix("fd00::1/64")) == nil {
			n.Error("nonsense is taken up")
		}
	})
}

// The cable leads elsewhere, perhaps: who is there now?
func TestVerifyRenewsAndAnnounces(t *testing.T) {
	on(t, func(n *node) {
		for i := range 3 {
			n.hold(key(i), pod(i))
		}
		elsewhere := pod(9)
		elsewhere.Uplink, elsewhere.Bridge = "eth2", "br2"
		n.hold(key(9), elsewhere)
		n.pass(time.Minute)
		if err := n.keeper.Verify("eth1"); err != nil {
			n.Error(err)
		}
		n.pass(10 * time.Second)
		n.wantSent(request, 4+3)
		n.wantSpoken(first(), 3, 4)
		n.set(func() { n.refuse = true }) // another LAN's server
		if err := n.keeper.Verify("eth1"); err != nil {
			n.Error(err)
		}
		n.pass(time.Second)
		for i := range 3 {
			n.wantState(key(i), leaseapi.StateLost)
		}
		n.wantState(key(9), leaseapi.StateBound)
		n.set(func() { n.refuse = false })
		n.hold(key(5), inPod(5)) // which knows its bridge only
		n.pass(time.Minute)
		before := len(n.sent(request))
		if err := n.keeper.Verify("br0"); err != nil {
			n.Error(err)
		}
		n.pass(time.Second)
		n.wantSent(request, before+1)
	})
}

// Those who wait for an address go before those that have one.
func TestADDsBeforeVerification(t *testing.T) {
	on(t, func(n *node) {
		for i := range 100 {
			n.hold(key(i), pod(i))
		}
		n.pass(time.Minute)
		n.set(func() { n.delay = 100 * time.Millisecond })
		before := len(n.sent())
		if err := n.keeper.Verify("eth1"); err != nil {
			n.Error(err)
		}
		began := time.Now()
		n.wantAll(n.crowd(200, 220))
		if took := time.Since(began); took > 500*time.Millisecond {
			n.Errorf("ADDs take %s behind the verification", took)
		}
		n.pass(10 * time.Second)
		if got := len(n.sent()) - before; got != 100+2*20 {
			n.Errorf("%d packets", got)
		}
	})
}
