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
	"syscall"

	"github.com/google/renameio/v2"
)

const (
	suffix     = ".json"
	quarantine = ".corrupt"
)

// Dir is a directory of JSON files, <name>.json. It may be used from several
// goroutines and processes at once as long as no two write the same name.
type Dir struct {
	path string
}

// Open makes the directory (mode 0700, parents too) where it is missing.
func Open(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return Dir{}, fmt.Errorf("state folder: %w", err)
	}
	return Dir{path: path}, nil
}

// Path returns the directory.
func (d Dir) Path() string { return d.path }

// Put stores v under name, durably: when it returns nil, v is found after a
// power cut. On error the former value stands. The file gets the directory's
// owner, so that podland's user reads what a plugin wrote as root.
func (d Dir) Put(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	f, err := renameio.NewPendingFile(d.file(name), renameio.WithPermissions(0o600), renameio.WithTempDir(d.path))
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	defer func() { _ = f.Cleanup() }()
	if _, err := f.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	if err := d.giveToOwner(f.File); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return d.sync()
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

func (d Dir) file(name string) string { return filepath.Join(d.path, name+suffix) }

func (d Dir) giveToOwner(f *os.File) error {
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

// sync makes a rename or removal in the directory durable.
func (d Dir) sync() error {
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
