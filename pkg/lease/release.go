package lease

import (
	"context"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// Release gives the key's lease back and returns when the RELEASE is on the
// wire and the lease forgotten on disk. A key that holds none, or no longer, is
// no error. A RELEASE that cannot be sent is tried again until the lease has
// run out, by the next podland too; that is no error either.
func (k *Keeper) Release(ctx context.Context, key leaseapi.Key) error {
	return k.release(ctx, func() []*entry {
		if e := k.leases[key]; e != nil {
			return []*entry{e}
		}
		return nil
	})
}

// GC gives back every lease of the network whose key is not valid, at the
// segments' pace.
func (k *Keeper) GC(ctx context.Context, network string, valid []leaseapi.Key) error {
	keep := map[leaseapi.Key]bool{}
	for _, key := range valid {
		keep[key] = true
	}
	return k.release(ctx, func() []*entry {
		var stale []*entry
		for key, e := range k.leases {
			if key.Network == network && !keep[key] {
				stale = append(stale, e)
			}
		}
		return stale
	})
}

// release gives back all that find finds, and waits for all.
func (k *Keeper) release(ctx context.Context, find func() []*entry) error {
	done := make(chan struct{})
	if err := k.do(func() { k.giveBackAll(find(), func() { close(done) }) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-k.done:
		return errStopped
	}
}

func (k *Keeper) giveBackAll(entries []*entry, done func()) {
	left := len(entries)
	if left == 0 {
		done()
		return
	}
	for _, e := range entries {
		e.answer(outcome{err: &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "the attachment was deleted meanwhile"}})
		k.giveBack(e, func(error) {
			if left--; left == 0 {
				done()
			}
		})
	}
}
