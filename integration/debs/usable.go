package debs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// usable tells whether the tool is there as a whole.
func (r recipe) usable(t Tool) error {
	if r.only != "" {
		_, err := os.Stat(t.Path)
		return err
	}
	return usable(t)
}

// usable tells whether the program and every library it names are there. A
// cache may come from another machine, or the machine may have lost a library
// since.
func usable(t Tool) error {
	dirs := append(libDirs(t.Root), systemLibDirs()...)
	seen := map[string]bool{}
	queue := []string{t.Path}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		names, err := libraries(path)
		if err != nil {
			return err
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			found, err := locate(name, dirs)
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(path), err)
			}
			queue = append(queue, found)
		}
	}
	return nil
}

func libraries(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("program or library %s: %w", path, err)
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("libraries of %s: %w", path, err)
	}
	return names, nil // a static program has no dynamic section
}

func locate(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("library %s: %w", name, fs.ErrNotExist)
}

// systemLibDirs returns where the machine's loader looks, multi-arch folders
// included.
func systemLibDirs() []string {
	var dirs []string
	for _, pattern := range []string{"/lib/*-linux-gnu*", "/usr/lib/*-linux-gnu*", "/lib64", "/lib", "/usr/lib", "/usr/local/lib"} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	return dirs
}
