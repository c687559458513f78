package debs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/podlan/podlan/integration/debs"
)

func TestProgramsRun(t *testing.T) {
	for name, version := range map[string]string{
		"dnsmasq":   "--version",
		"kea-dhcp4": "-v",
		"dhcpd":     "--version",
		"udhcpd":    "--help",
		"iptables":  "--version",
		"nft":       "--version",
		"tcpdump":   "--version",
		"conntrack": "--version",
		"etcd":      "--version",
		"perfdhcp":  "-v",
		"busybox":   "--help",
		"qemu":      "--version",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tool, err := debs.Find(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			out, err := tool.Command(t.Context(), version).CombinedOutput()
			if err != nil {
				t.Fatalf("%s %s: %v: %s", tool.Path, version, err, out)
			}
		})
	}
}

// A second user of an empty cache waits for the first and gets the same.
func TestFindAtTheSameTime(t *testing.T) {
	t.Setenv("PODLAN_CACHE", t.TempDir())
	var wg sync.WaitGroup
	var roots [3]string
	for i := range roots {
		wg.Go(func() {
			tool, err := debs.Find(t.Context(), "udhcpd")
			if err != nil {
				t.Error(err)
			}
			roots[i] = tool.Root
		})
	}
	wg.Wait()
	for _, root := range roots {
		if root != roots[0] {
			t.Errorf("roots differ: %v", roots)
		}
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(roots[0]), "*.tmp"))
	if len(left) != 0 {
		t.Errorf("temporary folders left: %v", left)
	}
}

func TestUnknownProgram(t *testing.T) {
	_, err := debs.Find(t.Context(), "frobnicate")
	if !errors.Is(err, debs.ErrUnknownProgram) {
		t.Errorf("got %v, want ErrUnknownProgram", err)
	}
}

// Without apt-get and an empty cache the error says what to do.
func TestUnavailableSaysWhatToDo(t *testing.T) {
	t.Setenv("PODLAN_CACHE", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	tool, err := debs.Find(context.Background(), "dnsmasq")
	if err == nil && tool.Root == "" {
		t.Skipf("this machine has its own: %s", tool.Path)
	}
	if !errors.Is(err, debs.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	for _, want := range []string{"dnsmasq-base", "PODLAN_CACHE", os.Getenv("PODLAN_CACHE")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %q: %v", want, err)
		}
	}
}
