package rtnl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ReadSysctl reads a setting of the namespace below /proc/sys, "" where the
// kernel does not have it. Names of links must not come from outside unchecked.
func (h *Handle) ReadSysctl(path string) (value string, err error) {
	err = h.Do(func() error {
		b, err := os.ReadFile(filepath.Join("/proc/sys", path))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("sysctl %s: %w", path, err)
		}
		value = strings.TrimSpace(string(b))
		return nil
	})
	return value, err
}
