package leg

import (
	"context"

	"github.com/podlan/podlan/pkg/rtnl"
)

// BridgeNF tells whether bridged frames pass iptables in the handle's namespace:
// net.bridge.bridge-nf-call-iptables; absent is false. Ports then need hairpin.
// (stub: engineer "service")
func BridgeNF(*rtnl.Handle) (bool, error) { return false, nil }

// forward is FORWARD's rule for each bridge. (stub: engineer "service")
type forward struct {
	h       *rtnl.Handle
	lockDir string
}

func (forward) add(context.Context, Leg, []Leg) error { return nil }

func (forward) remove(context.Context, Leg, []Leg) error { return nil }

func (forward) intact(context.Context, []Leg) (bool, error) { return true, nil }

func (forward) restore(context.Context, []Leg) error { return nil }
