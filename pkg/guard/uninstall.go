package guard

import (
	"context"

	"github.com/podlan/podlan/pkg/nft"
)

// Uninstall removes the table once no attachment is left that could want it.
// unused is asked under the lock that Add takes too, so that a table which an
// ADD counts on is not removed between its record and its port.
func (g *Guard) Uninstall(ctx context.Context, unused func() (bool, error)) error {
	return g.locked(ctx, func(s *session) error {
		yes, err := unused()
		if err != nil || !yes {
			return err
		}
		return s.batch((*nft.Batch).DropTable)
	})
}
