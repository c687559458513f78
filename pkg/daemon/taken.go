package daemon

import (
	"errors"
	"io/fs"

	"github.com/podlan/podlan/pkg/statefile"
)

// notNow tells of an error of attachment.Store.TryTake that nothing is wrong:
// a verb is at work on the attachment, or has ended it. A later look sees what it
// has left.
func notNow(err error) bool {
	return errors.Is(err, statefile.ErrLocked) || errors.Is(err, fs.ErrNotExist)
}
