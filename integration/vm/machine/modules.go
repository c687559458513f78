package machine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// wanted tells whether a module is of use in the machine: one in ten is, and
// indexing all would take ten times as long.
func wanted(rel string) bool {
	dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(rel)), "kernel/")
	if dir == "drivers/net" {
		return true // not the folders below: NICs
	}
	return slices.ContainsFunc([]string{
		"net", "drivers/net/bonding", "drivers/net/ipvlan", "drivers/net/macvlan", "drivers/net/vxlan", "drivers/virtio", "drivers/char",
		"fs/9p", "fs/netfs", "fs/fscache", "fs/overlayfs", "lib", "crypto", "arch",
	}, func(want string) bool { return dir == want || strings.HasPrefix(dir, want+"/") })
}

// pickModules puts the wanted modules into a tree of their own, uncompressed.
func pickModules(ctx context.Context, busybox, from, tree string) error {
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(rel, "kernel/") && !wanted(rel) {
			return nil
		}
		target := filepath.Join(tree, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if plain, compressed := strings.CutSuffix(target, ".xz"); compressed {
			return unxz(ctx, busybox, path, plain)
		}
		return os.Link(path, target)
	})
	if err != nil {
		return fmt.Errorf("modules of the kernel: %w", err)
	}
	return nil
}

func unxz(ctx context.Context, busybox, path, plain string) error {
	out, err := os.Create(plain)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, busybox, "xzcat", path)
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	return out.Close()
}

// depmod writes the indices that modprobe reads. On the host: the guest takes
// forty seconds for them.
func depmod(ctx context.Context, busybox, base, release string) error {
	out, err := exec.CommandContext(ctx, busybox, "depmod", "-b", base, release).CombinedOutput()
	if err != nil {
		return fmt.Errorf("depmod: %w: %s", err, out)
	}
	return nil
}

// closure returns the files of the named modules and of those they need, each
// after what it needs. A module that is not there is built in.
func closure(tree string, names []string) ([]string, error) {
	deps, err := readDeps(filepath.Join(tree, "modules.dep"))
	if err != nil {
		return nil, err
	}
	var files []string
	var add func(path string)
	add = func(path string) {
		for _, need := range deps[path] {
			add(need)
		}
		if !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	for _, name := range names {
		for path := range deps {
			if moduleName(path) == name {
				add(path)
			}
		}
	}
	return files, nil
}

func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// readDeps reads the lines "module: module..." of depmod.
func readDeps(path string) (map[string][]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("dependencies of the modules: %w", err)
	}
	deps := map[string][]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if path, needs, ok := strings.Cut(lines.Text(), ":"); ok {
			deps[path] = strings.Fields(needs)
		}
	}
	if len(deps) == 0 {
		return nil, errors.New("depmod found no module")
	}
	return deps, nil
}
