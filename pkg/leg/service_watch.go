package leg

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl"
)

// RuleEvents tells when nftables changes where the legs have rules: our table,
// and FORWARD where iptables keeps it there. Elements of our sets are no event,
// since every ADD and DEL has some. The legacy backend and sysctls give none.
type RuleEvents struct{ all *nft.Events }

// WatchRules subscribes in the handle's namespace. Look at the state
// (Node.Restore) after WatchRules, not before, and again after every Wait.
func WatchRules(h *rtnl.Handle) (*RuleEvents, error) {
	var all *nft.Events
	err := h.Do(func() (err error) {
		all, err = nft.Watch()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &RuleEvents{all}, nil
}

// Close ends the subscription.
func (e *RuleEvents) Close() { e.all.Close() }

// Wait returns when rules may not be as they were, or with ctx's error. What was
// lost because too much came at once counts as a change.
func (e *RuleEvents) Wait(ctx context.Context) error {
	for {
		events, err := e.all.Next(ctx)
		switch {
		case errors.Is(err, nft.ErrLost):
			return nil
		case err != nil || slices.ContainsFunc(events, matters):
			return err
		}
	}
}

// matters tells whether an event is about our rules or FORWARD's.
func matters(e nft.Event) bool {
	chain := ""
	switch e.Kind {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWSET, unix.NFT_MSG_DELSET:
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE:
		chain = e.Name
	default:
		return false
	}
	ours := nft.Table{Family: e.Family, Name: e.Table} == serviceTable()
	forwards := e.Family != unix.NFPROTO_BRIDGE && e.Table == forwardTable && chain == forwardChain
	return ours || forwards
}
