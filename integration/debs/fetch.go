package debs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// marker is a file that a root bears when everything was unpacked into it.
const marker = ".podlan-complete"

func complete(root string) bool {
	return exists(filepath.Join(root, marker))
}

// fetch fills root, which exists afterwards as a whole or not at all.
func fetch(ctx context.Context, dir string, r recipe, root string) error {
	a, err := newAPT(dir)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, r.pkg+"-*.tmp")
	if err != nil {
		return fmt.Errorf("folder to unpack in: %w", err)
	}
	defer os.RemoveAll(work)
	debs, fresh := filepath.Join(work, "debs"), filepath.Join(work, "root")
	for _, d := range []string{debs, fresh} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return fmt.Errorf("folder to unpack in: %w", err)
		}
	}
	if err := a.download(ctx, r, debs); err != nil {
		return err
	}
	if err := unpack(ctx, debs, fresh); err != nil {
		return err
	}
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("take the former root away: %w", err)
	}
	if err := os.Rename(fresh, root); err != nil {
		return fmt.Errorf("put the root into place: %w", err)
	}
	return nil
}

// unpack extracts every package of a folder and sets the marker. Maintainer
// scripts are not run: dpkg -x only unpacks.
func unpack(ctx context.Context, debs, root string) error {
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no package in %s: %w", debs, err)
	}
	for _, file := range files {
		out, err := exec.CommandContext(ctx, "dpkg", "-x", file, root).CombinedOutput()
		if err != nil {
			return fmt.Errorf("dpkg -x %s: %w: %s", filepath.Base(file), err, out)
		}
	}
	if err := linkNames(root); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, marker), nil, 0o644); err != nil {
		return fmt.Errorf("mark the root complete: %w", err)
	}
	return nil
}
