// Package debs gets programs for tests out of Debian packages without
// installing them: installing a DHCP server starts it on the user's LAN. The
// packages are downloaded and unpacked into a cache folder; the machine's own
// apt and dpkg state is read, never written.
package debs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/podlan/podlan/pkg/statefile"
)

// ErrUnknownProgram is returned for a program that the package has no recipe
// for.
var ErrUnknownProgram = errors.New("no Debian package known for the program")

// ErrUnavailable is returned when a program is neither in the cache nor to be
// had: no network, or no Debian. Its text says what to do.
var ErrUnavailable = errors.New("program for tests is not available")

// Tool is a program in an unpacked package.
type Tool struct {
	// Path of the executable file.
	Path string
	// Root is the folder that the packages were unpacked into.
	Root string
	// Env is what the program needs in its environment, as "key=value".
	Env []string
}

// Command returns the program's command line with its environment set: this
// process's own and Env.
func (t Tool) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.Path, args...)
	cmd.Env = append(os.Environ(), t.Env...)
	return cmd
}

// Find returns the named program: dnsmasq, kea-dhcp4, perfdhcp, dhcpd, udhcpd,
// iptables, nft, tcpdump, conntrack, etcd, busybox or qemu; or linux, a kernel
// image, whose modules are in the same root. What the cache lacks is fetched with
// apt-get, once, however many processes ask at the same time.
func Find(ctx context.Context, name string) (Tool, error) {
	r, ok := recipes()[name]
	if !ok {
		return Tool{}, fmt.Errorf("%w: %s", ErrUnknownProgram, name)
	}
	cache, err := CacheDir()
	if err != nil {
		return Tool{}, err
	}
	dir := filepath.Join(cache, "debs")
	lock, err := statefile.Acquire(ctx, dir, r.pkg+".lock")
	if err != nil {
		return Tool{}, fmt.Errorf("wait for another process that fetches %s: %w", r.pkg, err)
	}
	defer lock.Release()
	root := filepath.Join(dir, r.pkg+"-root")
	if tool := r.tool(name, root); complete(root) && r.usable(tool) == nil {
		return tool, nil
	}
	if err := fetch(ctx, dir, r, root); err != nil {
		// The machine's own is the second choice: AppArmor may forbid it the
		// folders of tests, which it does not do to a copy elsewhere.
		if path, lookErr := lookPath(name); lookErr == nil {
			return Tool{Path: path}, nil
		}
		return Tool{}, unavailable(name, r.pkg, dir, err)
	}
	tool := r.tool(name, root)
	if err := r.usable(tool); err != nil {
		return Tool{}, unavailable(name, r.pkg, dir, err)
	}
	return tool, nil
}

// lookPath finds an installed program, in the folders of root's PATH too.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path := filepath.Join(dir, name); exists(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func unavailable(name, pkg, dir string, err error) error {
	return fmt.Errorf("%w: %s: %w\nIt comes from the Debian package %s, fetched once into %s "+
		"by apt-get update and download (Debian 12 or newer, or Ubuntu; package sources within reach). "+
		"Where there is no network, fill the folder on a machine that has one and copy it, or set PODLAN_CACHE",
		ErrUnavailable, name, err, pkg, dir)
}

// CacheDir returns the folder for downloads: $PODLAN_CACHE, else podlan below
// the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("PODLAN_CACHE"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("PODLAN_CACHE: %w", err)
		}
		return abs, nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache folder (set PODLAN_CACHE): %w", err)
	}
	return filepath.Join(base, "podlan"), nil
}
