package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/statefile"
	"github.com/podlan/podlan/pkg/tombstone"
)

// reconcileEvery is how often podland looks for what nobody called DEL for. An
// abandoned ADD is gone that much after its budget at the latest.
const reconcileEvery = 5 * time.Second

// reconciler settles DELs that podland has yet to hear of and ADDs that died.
type reconciler struct {
	stateDir string
	bootID   string
	store    *attachment.Store
	teardown attachment.Teardown
	leases   leases
	log      *slog.Logger
}

// run reconciles now and then until ctx ends.
func (r *reconciler) run(ctx context.Context) {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		r.once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *reconciler) once(ctx context.Context) {
	err := tombstone.Settle(r.stateDir, func(key leaseapi.Key) error {
		r.log.Info("giving back a lease whose DEL came while podland was down", "key", key.String())
		return r.leases.Release(ctx, key)
	})
	if err != nil {
		r.log.Error("tombstones", "error", err)
	}
	records, err := r.store.All()
	if err != nil {
		r.log.Error("attachment records", "error", err)
	}
	for _, rec := range records {
		if attachment.FateOf(rec, r.bootID, boottime.Now()) == attachment.Abandoned {
			r.settle(ctx, rec.Key)
		}
	}
}

// settle takes an abandoned attachment down, unless a verb is at work on it.
func (r *reconciler) settle(ctx context.Context, key attachment.Key) {
	lock, err := r.store.TryLock(key)
	if errors.Is(err, statefile.ErrLocked) {
		return
	}
	if err != nil {
		r.log.Error("abandoned attachment", "key", key.String(), "error", err)
		return
	}
	defer lock.Retire()
	// It may have been taken up anew since it was read.
	rec, err := r.store.Get(key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && attachment.FateOf(rec, r.bootID, boottime.Now()) != attachment.Abandoned {
		return
	}
	if err == nil {
		err = errors.Join(r.teardown.CloseUp(rec), r.leases.Release(ctx, key), r.teardown.Remove(ctx, rec))
	}
	if err != nil {
		r.log.Error("abandoned attachment", "key", key.String(), "error", err)
		return
	}
	r.log.Info("took down what an ADD left that died", "key", key.String())
}
