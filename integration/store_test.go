package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

// smallDisk mounts a small file system on a folder of the node's state.
func smallDisk(t *testing.T, folder, options string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("podlan-test", folder, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
}

func remount(t *testing.T, folder string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", folder, "", unix.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}

// fill takes all pages of the folder's file system, and as many inodes as that
// allows. It returns what gives them back.
func fill(t *testing.T, folder string) (empty func()) {
	t.Helper()
	rest := filepath.Join(folder, "rest")
	if err := os.Mkdir(rest, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil; i++ { // a page each
		err = os.WriteFile(filepath.Join(rest, fmt.Sprint(i)), make([]byte, 4096), 0o600)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(rest); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitAnotherRenewal waits for one that the server has not seen yet.
func awaitAnotherRenewal(t *testing.T, l *lab.Lab, addr netip.Addr) {
	t.Helper()
	count := func() (n int) {
		for _, e := range l.Server().Embedded().Received(dhcpv4.MessageTypeRequest) {
			if e.CIAddr == addr {
				n++
			}
		}
		return n
	}
	before := count()
	lab.Eventually(t, "a renewal of "+addr.String(), func() error {
		if count() == before {
			return errors.New("not seen by the server")
		}
		return nil
	})
}

// serverHolds waits until the server holds leases of these addresses alone.
func serverHolds(t *testing.T, l *lab.Lab, addrs ...netip.Addr) {
	t.Helper()
	lab.Eventually(t, "the server's leases", func() error {
		var held []netip.Addr
		for _, lease := range l.Server().ActiveLeases() {
			held = append(held, lease.Addr)
		}
		if !slices.Equal(held, addrs) {
			return fmt.Errorf("%v, want %v", held, addrs)
		}
		return nil
	})
}

// storeLab is a LAN whose leases are renewed every two seconds.
func storeLab(t *testing.T) (*lab.Lab, *lab.Node) {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded, T1: 2 * time.Second, T2: 50 * time.Minute}))
	return l, l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
}

func TestOnAFullDiskADDsFailAndAllElseGoesOn(t *testing.T) {
	t.Parallel()
	disks := map[string]struct{ folder, options string }{
		"no page left for leases":  {"leases", "size=64k"},
		"no inode left for leases": {"leases", "size=1m,nr_inodes=16"},
		"no page left for all":     {".", "size=128k"},
		"no inode left for all":    {".", "size=1m,nr_inodes=32"},
	}
	for name, disk := range disks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, node := storeLab(t)
			folder := filepath.Join(node.StateDir(), disk.folder)
			smallDisk(t, folder, disk.options)
			node.StartPodland()
			conf := network(node, leased())
			before := node.Snapshot()
			pod := node.Pod("p1")
			addr := address(t, attach(t, node, conf, pod))
			empty := fill(t, folder)

			withoutRoom(t, l, node, conf, addr)
			if err := node.Check(t.Context(), conf, pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			detach(t, node, conf, pod)
			serverHolds(t, l)
			empty()
			pod = node.Pod("p3")
			attach(t, node, conf, pod)
			detach(t, node, conf, pod)
			nothingLeft(t, l, node, before)
		})
	}
}

// withoutRoom checks that an ADD fails and leaves nothing, and that the lease
// that is held is renewed.
func withoutRoom(t *testing.T, l *lab.Lab, node *lab.Node, conf []byte, addr netip.Addr) {
	t.Helper()
	failing := node.Pod("p2")
	_, err := node.Add(t.Context(), conf, failing)
	if cniCode(err) != types.ErrIOFailure || !strings.Contains(err.Error(), node.StateDir()) || !strings.Contains(err.Error(), "?") {
		t.Errorf("ADD: %v; want code 5, the path, and what to look for", err)
	}
	detach(t, node, conf, failing)
	serverHolds(t, l, addr)
	awaitAnotherRenewal(t, l, addr)
}

func TestOnAReadOnlyDiskADDsFailAndAllElseGoesOn(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{"for leases": "leases", "for all": "."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, node := storeLab(t)
			disk := filepath.Join(node.StateDir(), folder)
			smallDisk(t, disk, "size=1m")
			node.StartPodland()
			conf := network(node, leased())
			before := node.Snapshot()
			pod, gone := node.Pod("p1"), node.Pod("p0")
			addr := address(t, attach(t, node, conf, pod))
			attach(t, node, conf, gone)
			node.KillPodland() // it has a file open for writing
			remount(t, disk, unix.MS_RDONLY)
			node.StartPodland()

			// Its record may have to stay; its lease goes.
			if err := node.Del(t.Context(), conf, gone); err != nil && (folder == "leases" || !strings.Contains(err.Error(), disk)) {
				t.Errorf("DEL: %v", err)
			}
			withoutRoom(t, l, node, conf, addr)
			if err := node.Check(t.Context(), conf, pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			remount(t, disk, 0)
			detach(t, node, conf, gone)
			detach(t, node, conf, pod)
			node.StopPodland()
			node.StartPodland() // finds the file that could not be removed
			nothingLeft(t, l, node, before)
		})
	}
}

// leaseFile is where podland keeps a Pod's lease.
func leaseFile(t *testing.T, node *lab.Node, pod *lab.Pod) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(node.StateDir(), "leases", "*.json"))
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), pod.ContainerID) {
			return file
		}
	}
	t.Fatalf("%s has no lease among %v", pod.ContainerID, files)
	return ""
}

func TestALeaseFileThatIsNoneIsSetAsideAndTheOthersAreHeld(t *testing.T) {
	t.Parallel()
	l, node := storeLab(t)
	node.StartPodland()
	conf := network(node, leased())
	given := manyPods(t, node, conf, 5)
	node.KillPodland()
	bad := map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"truncated": func(data []byte) []byte { return data[:len(data)/2] },
		"zeroed":    func(data []byte) []byte { return make([]byte, len(data)) },
		"random":    func([]byte) []byte { return []byte("\x8b\x1f\x00{]\xff\"}") },
	}
	var files []string
	for what, spoil := range bad {
		file := leaseFile(t, node, given.pods[len(files)])
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, spoil(data), 0o600)
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		files = append(files, file)
	}
	node.StartPodland()
	for _, file := range files {
		if kept, err := filepath.Glob(file + ".*.corrupt"); err != nil || len(kept) != 1 || !strings.Contains(node.PodlandLog(), file) {
			t.Errorf("%s is kept as %v, %v; in the log: %t", file, kept, err, strings.Contains(node.PodlandLog(), file))
		}
	}
	if err := node.Check(t.Context(), conf, given.pods[4]); err != nil {
		t.Errorf("CHECK of the one that is whole: %v", err)
	}
	awaitAnotherRenewal(t, l, given.addrs[4])
	for _, pod := range given.pods {
		detach(t, node, conf, pod)
	}
}

// refusesToRun starts another podland, which has to end by itself, and returns
// what it said.
func refusesToRun(t *testing.T, node *lab.Node, socket string) string {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := node.Command(t.Context(), filepath.Join(root, "bin", "podland"), "--socket", socket, "--state-dir", node.StateDir())
	if err := cmd.Run(); err == nil {
		t.Error("it ended without an error")
	}
	return cmd.Err.String()
}

func TestPodlandRefusesLeasesOfANewerFormatAndLeavesThemAlone(t *testing.T) {
	t.Parallel()
	_, node := storeLab(t)
	node.StartPodland()
	conf := network(node, leased())
	pod := node.Pod("p1")
	attach(t, node, conf, pod)
	node.KillPodland()
	file := leaseFile(t, node, pod)
	ours, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newer := []byte(`{"version": 999, "something": "else"}`)
	if err := os.WriteFile(file, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := refusesToRun(t, node, node.Socket()); !strings.Contains(said, "newer") || !strings.Contains(said, filepath.Dir(file)) {
		t.Errorf("it said %q", said)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != string(newer) {
		t.Errorf("the file is now %q, %v", data, err)
	}
	if err := os.WriteFile(file, ours, 0o600); err != nil {
		t.Fatal(err)
	}
	node.StartPodland()
	if err := node.Check(t.Context(), conf, pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	detach(t, node, conf, pod)
}

func TestASecondPodlandOnAStateFolderRefusesAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	l, node := storeLab(t)
	node.StartPodland()
	conf := network(node, leased())
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	for _, socket := range []string{node.Socket(), filepath.Join(node.Dir(), "other.sock")} {
		said := refusesToRun(t, node, socket)
		if !strings.Contains(said, "another podland") || !strings.Contains(said, node.StateDir()) {
			t.Errorf("on %s it said %q; want who is there, and where", socket, said)
		}
	}
	awaitAnotherRenewal(t, l, addr)
	if err := node.Check(t.Context(), conf, pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	detach(t, node, conf, pod)
	serverHolds(t, l)
}
