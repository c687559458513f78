package leg

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl"
)

// rules is the table of nftables that gives Services' traffic the node's
// address, so that its replies come back to the node, which knows the way that
// the requests went.
type rules struct{ h *rtnl.Handle }

func (r rules) add(ctx context.Context, l Leg, others Legs) error {
	done := false
	err := r.session(ctx, func(t *table) (err error) {
		done, err = t.join(l)
		return err
	})
	if done || err != nil {
		return err
	}
	legs, err := others()
	if err != nil {
		return fmt.Errorf("leg: %w", err)
	}
	return r.change(ctx, func(stood contents) contents {
		return stood.without(l).serving(append(slices.Clone(legs), l))
	})
}

// join puts the leg's elements, if that is all that the table lacks for it. It
// costs the same however many Pods there are.
func (t *table) join(l Leg) (done bool, err error) {
	stood, err := t.standsFor(l)
	wanted := stood.with(l)
	if err != nil || !stood.whole || stood.disputed(l) || !wanted.services.equal(stood.services) {
		return false, err
	}
	return true, t.batch(func(b *nft.Batch) { update(b, stood, wanted) })
}

func (r rules) remove(ctx context.Context, l Leg, others []Leg) error {
	done := false
	err := r.session(ctx, func(t *table) (err error) {
		done, err = t.leave(l, others)
		return err
	})
	if done || err != nil {
		return err
	}
	return r.change(ctx, func(stood contents) contents { return stood.without(l).serving(others) })
}

// leave takes the leg's elements, or gives them to who has its address by now, if
// that is all that changes with it; the table goes with the last leg. It costs the
// kernel the same however many Pods there are.
func (t *table) leave(l Leg, others []Leg) (done bool, err error) {
	stood, err := t.standsFor(l)
	if err != nil {
		return false, err
	}
	if len(others) == 0 {
		if stood.exists { // to remove one costs a wait
			err = t.batch((*nft.Batch).DropTable)
		}
		return true, err
	}
	if !stood.whole || !(contents{}).with(others...).services.equal(stood.services) {
		return false, nil
	}
	wanted := stood.without(l).with(heirs(l, others)...)
	return true, t.batch(func(b *nft.Batch) { update(b, stood, wanted) })
}

// heirs are the others with those of the leg's addresses that they have too.
func heirs(l Leg, others []Leg) []Leg {
	var found []Leg
	addrs := l.addrs()
	for _, o := range others {
		o.Addrs = slices.DeleteFunc(slices.Clone(o.Addrs), func(p netip.Prefix) bool { return !slices.Contains(addrs, p.Addr()) })
		if len(o.Addrs) > 0 {
			found = append(found, o)
		}
	}
	return found
}

func (r rules) intact(ctx context.Context, legs []Leg) (intact bool, err error) {
	err = r.session(ctx, func(t *table) error {
		intact, err = t.intact(legs)
		return err
	})
	return intact, err
}

func (t *table) intact(legs []Leg) (bool, error) {
	if len(legs) == 1 { // CHECK's, which is not to cost more with every Pod
		stood, err := t.standsFor(legs[0])
		if err != nil || stood.whole && (contents{}).with(legs...).equal(stood) {
			return err == nil, err
		}
	}
	stood, err := t.stands()
	return stood.whole == stood.exists && stood.serving(legs).equal(stood), err
}

func (r rules) restore(ctx context.Context, legs []Leg) error {
	return r.change(ctx, func(stood contents) contents { return stood.serving(legs) })
}

// change makes the table hold what fn makes of what it holds, in one batch.
func (r rules) change(ctx context.Context, fn func(contents) contents) error {
	return r.session(ctx, func(t *table) error {
		stood, err := t.stands()
		if err != nil {
			return err
		}
		wanted := fn(stood)
		switch {
		case wanted.equal(stood) && (stood.whole || !stood.exists):
			return nil
		case wanted.empty():
			return t.batch((*nft.Batch).DropTable)
		case stood.whole && wanted.services.equal(stood.services):
			return t.batch(func(b *nft.Batch) { update(b, stood, wanted) })
		}
		return t.batch(func(b *nft.Batch) {
			if stood.exists { // to remove one costs a wait
				b.DropTable()
			}
			install(b, wanted)
		})
	})
}

// session calls fn with the table, on a connection of the handle's namespace.
func (r rules) session(ctx context.Context, fn func(*table) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t, err := open(r.h)
	if err != nil {
		return explain(err)
	}
	// Closing waits, about 10 ms, until the kernel has freed what was removed.
	defer func() { go t.close() }()
	return explain(fn(t))
}

// shown is what the node shows in a Pod's place, and whose Pod it is.
type shown struct {
	nodeIP netip.Addr
	port   string
}
