package attachment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// ErrNotLocked says that a segment's locks could not be had.
var ErrNotLocked = errors.New("segment not locked")

// errMoved says that a segment is elsewhere than it was a moment before.
var errMoved = errors.New("what the segment is on changes all the time")

// LockPlace finds out where the segment is and locks it there, as LockSegment
// does.
func (s *Store) LockPlace(ctx context.Context, h *rtnl.Handle, spec segment.Spec) (place segment.Place, unlock func(), err error) {
	// What others are at work on looks wrong for a moment, and whose locks to wait
	// for, only what looks right tells.
	const tries, first = 5, 10 * time.Millisecond
	for try := range tries {
		place, unlock, err = s.lockPlace(ctx, h, spec)
		if err == nil || errors.Is(err, ErrNotLocked) || try == tries-1 {
			break
		}
		select {
		case <-ctx.Done():
			return place, nil, fmt.Errorf("%w: %w", ErrNotLocked, context.Cause(ctx))
		case <-time.After(first << try):
		}
	}
	return place, unlock, err
}

func (s *Store) lockPlace(ctx context.Context, h *rtnl.Handle, spec segment.Spec) (segment.Place, func(), error) {
	seen, err := segment.Resolve(ctx, h, spec)
	if err != nil {
		return seen, nil, err
	}
	unlock, err := s.LockSegment(ctx, seen.Locks())
	if err != nil {
		return seen, nil, fmt.Errorf("%w: %w", ErrNotLocked, err)
	}
	// While it waited, others may have made or removed what that was decided by.
	place, err := segment.Resolve(ctx, h, spec)
	if err == nil && !slices.Equal(place.Locks(), seen.Locks()) {
		err = fmt.Errorf("bridge %s: %w", spec.Bridge, errMoved)
	}
	if err != nil {
		unlock()
		return place, nil, err
	}
	return place, unlock, nil
}
