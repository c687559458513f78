package leg

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/boottime"
)

// hasLegacy tells whether the namespace has the table of the legacy backend: to ask
// iptables would make it. The kernel tells root alone, so podland goes by what the
// last ADD or DEL has been told.
func (f forward) hasLegacy(fam family) (has bool, err error) {
	err = f.h.Do(func() error {
		names, err := os.ReadFile("/proc/thread-self/net/" + fam.tables)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case errors.Is(err, os.ErrPermission):
			has, err = f.heardOfLegacy(fam)
			return err
		case err != nil:
			return err
		}
		has = slices.Contains(strings.Fields(string(names)), forwardTable)
		return f.tellOfLegacy(fam, has)
	})
	return has, err
}

// tellOfLegacy leaves word, of this boot, beside the locks.
func (f forward) tellOfLegacy(fam family, has bool) error {
	path := filepath.Join(f.lockDir, fam.tables)
	if !has {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if heard, err := f.heardOfLegacy(fam); heard || err != nil {
		return err
	}
	id, err := boottime.BootID()
	if err != nil {
		return err
	}
	// A full disk, say: the next verb leaves it.
	_ = os.WriteFile(path, []byte(id), 0o644) //nolint:gosec // podland, which is not root, reads it
	return nil
}

func (f forward) heardOfLegacy(fam family) (bool, error) {
	told, err := os.ReadFile(filepath.Join(f.lockDir, fam.tables))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, err := boottime.BootID()
	return err == nil && string(told) == id, err
}
