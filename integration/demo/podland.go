package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/podlan/podlan/integration/lab"
)

// startPodland runs podland as its unit file does: a user of its own and two
// capabilities.
func (d *demo) startPodland() error {
	// A copy: that user may have no way into the work tree.
	binary := filepath.Join(d.lab.Dir(), "podland")
	if err := copyProgram(filepath.Join(d.bin, "podland"), binary); err != nil {
		return err
	}
	opts, as := lab.PodlandOptions{Binary: binary, Unprivileged: true}, "user nobody, CAP_NET_ADMIN and CAP_NET_RAW"
	if !anybodyReaches(d.lab.Dir()) {
		opts.Unprivileged, as = false, "root, since TMPDIR is closed to others"
	}
	started := time.Now()
	p := d.node.StartPodland(opts)
	d.out.saw("podland runs (process %d; %s) and answers after %s", p.PID(), as, ms(time.Since(started)))
	return nil
}

// copyProgram copies a program unless that was done before.
func copyProgram(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return os.Chmod(to, 0o755) // whatever the umask
}

// anybodyReaches tells whether every user may look up what is in the folder:
// pam_tmpdir, for one, gives each user a temporary folder closed to others.
func anybodyReaches(dir string) bool {
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}
