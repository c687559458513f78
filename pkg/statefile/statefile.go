// Package statefile keeps JSON values as one file each in one directory, so
// that each survives a crash whole or not at all. It touches only that
// directory.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

const (
	suffix     = ".json"
	quarantine = ".corrupt"
)

// Dir is a directory of JSON files, <name>.json. It may be used from several
// goroutines and processes at once as long as no two write the same name.
type Dir struct {
	path    string
	durable bool
}

// Open makes the directory (mode 0700, parents too) where it is missing. What
// is put there survives a power cut.
func Open(path string) (Dir, error) {
	return open(path, true)
}

// OpenVolatile is Open for values that mean nothing after a reboot: they
// survive the death of any process, a power cut perhaps not, and cost no disk
// flush.
func OpenVolatile(path string) (Dir, error) {
	return open(path, false)
}

func open(path string, durable bool) (Dir, error) {
	d := Dir{path: path, durable: durable}
	if _, err := os.Stat(path); err == nil {
		return d, nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return Dir{}, fmt.Errorf("state folder: %w", err)
	}
	// Where root makes podland's folders before podland does, they become its
	// own all the same.
	if err := chownLikeParent(path); err != nil {
		return Dir{}, fmt.Errorf("state folder: %w", err)
	}
	return d, nil
}

// Path returns the directory.
func (d Dir) Path() string { return d.path }

// Put stores v under name; in a durable Dir, v is found after a power cut when
// it has returned nil. On error the former value stands. The file gets the
// directory's owner, so that podland's user reads what a plugin wrote as root.
func (d Dir) Put(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := d.replace(d.file(name), append(data, '\n')); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return d.sync()
}

func (d Dir) replace(path string, data []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(d.path))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := giveToOwner(f.File, d.path); err != nil {
		return err
	}
	if d.durable {
		return f.CloseAtomicallyReplace()
	}
	// Without the flush that CloseAtomicallyReplace does.
	return os.Rename(f.Name(), path)
}

// Get reads the value stored under name into v; fs.ErrNotExist if there is
// none. Unreadable content is an error that names the file; see Each for the
// way to set such files aside.
func (d Dir) Get(name string, v any) error {
	data, err := os.ReadFile(d.file(name))
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read state %s: %w", d.file(name), err)
	}
	return nil
}

// Delete removes name, durably. What is not there is no error.
func (d Dir) Delete(name string) error {
	if err := os.Remove(d.file(name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("remove state: %w", err)
	}
	return d.sync()
}

// Each calls load with the content of every file. A file that load refuses is
// renamed to <file>.corrupt and reported in the returned error, after all
// others have been loaded.
func (d Dir) Each(load func(name string, data []byte) error) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("list state: %w", err)
	}
	var bad []error
	for _, e := range entries {
		d.sweep(e)
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(d.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since the listing
		}
		if err == nil {
			err = load(name, data)
		}
		if err == nil {
			continue
		}
		_ = os.Rename(d.file(name), d.file(name)+quarantine)
		bad = append(bad, fmt.Errorf("%s set aside as %s: %w", d.file(name), quarantine, err))
	}
	return errors.Join(bad...)
}

// Empty tells whether nothing is stored.
func (d Dir) Empty() (bool, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return false, fmt.Errorf("list state: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			return false, nil
		}
	}
	return true, nil
}

// stale is the age at which a temporary file is nobody's any more: a Put takes
// milliseconds.
const stale = time.Hour

// sweep removes the temporary file of a Put that was killed.
func (d Dir) sweep(e fs.DirEntry) {
	if !strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
		return
	}
	if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > stale {
		_ = os.Remove(filepath.Join(d.path, e.Name()))
	}
}

func (d Dir) file(name string) string { return filepath.Join(d.path, name+suffix) }

// sync makes a rename or removal in a durable directory last.
func (d Dir) sync() error {
	if !d.durable {
		return nil
	}
	dir, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("sync state folder: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync state folder: %w", err)
	}
	return nil
}
