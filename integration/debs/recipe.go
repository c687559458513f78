package debs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// recipe says where a program is to be found.
type recipe struct {
	pkg  string // Debian package
	path string // within its root; may be a pattern
	// only names packages by how they begin, where a package is data and what it
	// depends on is not wanted.
	only string
	// env returns what this program needs beyond its libraries.
	env func(root string) []string
}

func recipes() map[string]recipe {
	return map[string]recipe{
		"dnsmasq":   {pkg: "dnsmasq-base", path: "usr/sbin/dnsmasq"},
		"kea-dhcp4": {pkg: "kea-dhcp4-server", path: "usr/sbin/kea-dhcp4"},
		"perfdhcp":  {pkg: "kea-admin", path: "usr/sbin/perfdhcp"},
		"dhcpd":     {pkg: "isc-dhcp-server", path: "usr/sbin/dhcpd"},
		"udhcpd":    {pkg: "busybox-static", path: "bin/busybox"},
		"iptables":  {pkg: "iptables", path: "usr/sbin/xtables-nft-multi", env: xtables},
		"nft":       {pkg: "nftables", path: "usr/sbin/nft"},
		"tcpdump":   {pkg: "tcpdump", path: "usr/bin/tcpdump"},
		"conntrack": {pkg: "conntrack", path: "usr/sbin/conntrack"},
		"etcd":      {pkg: "etcd-server", path: "usr/bin/etcd"},
		// What integration/vm boots.
		"busybox": {pkg: "busybox-static", path: "bin/busybox"},
		"qemu":    {pkg: "qemu-system-x86", path: "usr/bin/qemu-system-x86_64"},
		"linux":   {pkg: "linux-image-amd64", path: "boot/vmlinuz-*", only: "linux-image-"},
	}
}

func (r recipe) tool(name, root string) Tool {
	t := Tool{Path: filepath.Join(root, r.path), Root: root}
	if found, _ := filepath.Glob(t.Path); len(found) > 0 {
		t.Path = found[len(found)-1]
	}
	if linked := filepath.Join(root, binDir, name); exists(linked) {
		t.Path = linked
	}
	t.Env = []string{"LD_LIBRARY_PATH=" + strings.Join(libDirs(root), ":")}
	if r.env != nil {
		t.Env = append(t.Env, r.env(root)...)
	}
	return t
}

// binDir is a folder of a root, for PATH: it has the names that the machine's
// alternatives would give to a program.
const binDir = "podlan-bin"

// xtables lets an unpacked iptables find its extensions, and be found by
// programs that look it up in PATH.
func xtables(root string) []string {
	dirs, _ := filepath.Glob(filepath.Join(root, "usr/lib/*/xtables"))
	return []string{
		"XTABLES_LIBDIR=" + strings.Join(dirs, ":"),
		"PATH=" + filepath.Join(root, binDir) + ":" + os.Getenv("PATH"),
	}
}

// linkNames makes the names of binDir for the multi-call programs that the root
// holds.
func linkNames(root string) error {
	for multi, names := range map[string][]string{
		"usr/sbin/xtables-nft-multi": {
			"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore",
		},
		"bin/busybox": {"udhcpd"},
	} {
		if !exists(filepath.Join(root, multi)) {
			continue // another package's root
		}
		if err := os.Mkdir(filepath.Join(root, binDir), 0o755); err != nil {
			return fmt.Errorf("folder for PATH: %w", err)
		}
		for _, name := range names {
			// Relative: the root moves into place when it is complete.
			if err := os.Symlink(filepath.Join("..", multi), filepath.Join(root, binDir, name)); err != nil {
				return fmt.Errorf("name %s: %w", name, err)
			}
		}
	}
	return nil
}

// libDirs returns the root's library folders, those of multi-arch first.
func libDirs(root string) []string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/*", "usr/lib", "lib"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, dir := range found {
			if holdsLibraries(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func holdsLibraries(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "lib*.so*"))
	return len(found) > 0
}
