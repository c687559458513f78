package lease_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// The node's own stack does not hear its own probes.
func TestAnAddressOfTheNodeIsRefused(t *testing.T) {
	on(t, func(n *node) {
		n.stop()
		cfg := n.config()
		cfg.Borne = func(a netip.Addr) bool { return a == first() }
		n.startWith(cfg)
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		if !strings.Contains(err.Error(), "10.0.0.10 is an address of this node itself") {
			n.Error(err)
		}
		n.wantSent(request, 0)
		n.hold(key(2), pod(2))
	})
}

// A server that lost its database offers what one of our Pods has: the Pod's
// lease is renewed at once, and the new one gets another.
func TestAnOfferOfWhatAnotherOfOursHas(t *testing.T) {
	on(t, func(n *node) {
		l := n.hold(key(1), pod(1))
		n.pass(time.Minute)
		n.set(func() { // forgotten
			clear(n.known)
			clear(n.leases)
			n.learns = true
		})
		r := pod(2)
		r.BudgetMS = 30_000
		other := n.acquire(key(2), r)
		if other.Address == l.Address {
			n.Errorf("%s is given twice", l.Address)
		}
		n.wantSent(request, 3)
		if f := n.sent(request)[1]; f.Src != l.Address.Addr() {
			n.Errorf("the holder does not renew: %s", f.msg.Summary())
		}
		n.wantActive(2)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

// The server will not have the holder: it loses, and the other gets the address.
func TestAnOfferOfWhatAnotherOfOursHasNoMore(t *testing.T) {
	on(t, func(n *node) {
		l := n.hold(key(1), pod(1))
		n.pass(time.Minute)
		n.set(func() {
			clear(n.known)
			clear(n.leases)
			n.strict = true
		})
		r := pod(2)
		r.BudgetMS = 60_000
		other := n.acquire(key(2), r)
		if other.Address != l.Address {
			n.Errorf("%s", other.Address)
		}
		n.wantState(key(1), leaseapi.StateLost)
		n.wantState(key(2), leaseapi.StateBound)
		n.pass(10 * time.Minute)
		n.wantState(key(1), leaseapi.StateLost)
	})
}
