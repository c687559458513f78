package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/podlan/podlan/pkg/fault"
)

// ErrUnreadable is in Each's error where a file's content could not be had: it
// may be a good one.
var ErrUnreadable = errors.New("cannot be read")

// Each calls load with the content of every file and returns the errors of all.
// A file that load refuses is set aside: renamed to <file>.<number>.corrupt. A
// file that cannot be read (I/O, permissions, descriptors) stays, since nothing
// is known against it, and is ErrUnreadable.
func (d Dir) Each(load func(name string, data []byte) error) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("list state: %w: %w", ErrUnreadable, err)
	}
	aside := newAside(d.path, entries)
	var errs []error
	for _, e := range entries {
		d.sweep(e, stale)
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		data, err := d.read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted since the listing
		case err != nil:
			errs = append(errs, fmt.Errorf("%s %w: %w", d.file(name), ErrUnreadable, err))
		default:
			if err := load(name, data); err != nil {
				errs = append(errs, aside.set(e.Name(), err))
			}
		}
	}
	return errors.Join(errs...)
}

func (d Dir) read(name string) ([]byte, error) {
	if err := fault.Error("statefile.read"); err != nil {
		return nil, err
	}
	return os.ReadFile(d.file(name))
}

// stale is the age at which a temporary file is nobody's any more: a Put takes
// milliseconds.
const stale = time.Hour

// Sweep removes the temporary files of all Puts that were killed, at once: only
// who alone puts into the folder may do so, and while no Put is under way. Each
// removes those that are an hour old.
func (d Dir) Sweep() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("list state: %w", err)
	}
	for _, e := range entries {
		d.sweep(e, 0)
	}
	return nil
}

// sweep removes the temporary file of a Put that was killed, if it is that old.
func (d Dir) sweep(e fs.DirEntry, age time.Duration) {
	if !strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
		return
	}
	if info, err := e.Info(); err == nil && (age == 0 || time.Since(info.ModTime()) > age) {
		_ = os.Remove(filepath.Join(d.path, e.Name()))
	}
}
