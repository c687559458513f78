package attachment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/podlan/podlan/pkg/segment"
)

// RemoveOrphans lets go of what Podlan has made of segments and no record speaks
// of: its record is lost, or it was left unfinished. It goes on past errors.
func (t Teardown) RemoveOrphans(ctx context.Context) error {
	made, err := segment.Made(t.Links)
	if err != nil {
		return err
	}
	var errs []error
	for _, piece := range made {
		if named, err := t.named(piece); err != nil || named {
			errs = append(errs, err)
			continue
		}
		if err := t.removeOrphan(ctx, piece); err != nil {
			errs = append(errs, fmt.Errorf("let go of %s: %w", piece.Bridge+piece.Uplink, err))
		}
	}
	return errors.Join(errs...)
}

// removeOrphan looks again under the locks: an ADD may just be making it.
func (t Teardown) removeOrphan(ctx context.Context, piece segment.Piece) error {
	names, err := segment.Locks(t.Links, piece.Bridge, piece.Uplink)
	if err != nil {
		return err
	}
	unlock, err := t.Store.LockSegment(ctx, names)
	if err != nil {
		return err
	}
	defer unlock()
	if named, err := t.named(piece); err != nil || named {
		return err
	}
	return segment.Release(ctx, t.Links, piece.Bridge, piece.Uplink)
}

// named tells whether any record speaks of it. One that cannot be read does.
func (t Teardown) named(piece segment.Piece) (bool, error) {
	records, newer, err := t.Store.read()
	return err != nil || newer || slices.ContainsFunc(records, func(rec Record) bool {
		return piece.Bridge != "" && rec.Bridge == piece.Bridge || piece.Uplink != "" && rec.Uplink == piece.Uplink
	}), err
}
