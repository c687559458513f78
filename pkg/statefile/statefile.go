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

	"github.com/google/renameio/v2"

	"github.com/podlan/podlan/pkg/fault"
)

const suffix = ".json"

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
// it has returned nil. On error the former value stands, unless only the flush
// of the folder failed: then either may be found after a power cut. The file
// gets the directory's owner, so that podland's user reads what a plugin wrote
// as root.
func (d Dir) Put(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := d.replace(d.file(name), append(data, '\n')); err != nil {
		return fmt.Errorf("store %s: %w", d.file(name), err)
	}
	fault.Point("statefile.put.done")
	return nil
}

// replace lets path have the data by way of a temporary file, which goes where
// a step fails.
func (d Dir) replace(path string, data []byte) error {
	if err := fault.Error("statefile.put.create"); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(d.path))
	if err != nil {
		return err
	}
	err = inTurn(
		step{"statefile.put.write", func() error { return d.write(f.File, data) }},
		step{"statefile.put.sync", func() error { return d.sync(f.File) }},
		step{"statefile.put.rename", func() error { return os.Rename(f.Name(), path) }},
		step{"statefile.put.syncdir", d.syncFolder},
	)
	if err != nil {
		_ = f.Cleanup()
		return err
	}
	_ = f.Close() // what was to be flushed has been
	return nil
}

func (d Dir) write(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return giveToOwner(f, d.path)
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
	// A read-only disk says so before it looks.
	if _, err := os.Lstat(d.file(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := inTurn(
		step{"statefile.delete.remove", func() error { return os.Remove(d.file(name)) }},
		step{"statefile.delete.syncdir", d.syncFolder},
	)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", d.file(name), err)
	}
	fault.Point("statefile.delete.done")
	return nil
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

func (d Dir) file(name string) string { return filepath.Join(d.path, name+suffix) }

// sync makes a file's content last, or a folder's names, in a durable Dir.
func (d Dir) sync(f *os.File) error {
	if !d.durable {
		return nil
	}
	return f.Sync()
}

// syncFolder makes a rename or removal last.
func (d Dir) syncFolder() error {
	if !d.durable {
		return nil
	}
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return d.sync(dir)
}

// step is a system call or two that may fail, and the point before it.
type step struct {
	point string
	do    func() error
}

// inTurn does the steps up to the first that fails.
func inTurn(steps ...step) error {
	for _, s := range steps {
		if err := fault.Error(s.point); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}
