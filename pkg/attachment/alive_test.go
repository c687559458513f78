package attachment_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/pod"
)

func TestFate(t *testing.T) {
	const ownNetns = "/proc/self/ns/net"
	inode, err := pod.NetnsInode(ownNetns)
	must(t, err)
	file := filepath.Join(t.TempDir(), "unmounted")
	must(t, os.WriteFile(file, nil, 0o600))
	gone := filepath.Join(t.TempDir(), "gone")
	const now = time.Hour
	cases := map[string]struct {
		rec  attachment.Record
		want attachment.Fate
	}{
		"ready, its namespace is there": {attachment.Record{State: attachment.Ready, Netns: ownNetns, NetnsInode: inode}, attachment.Alive},
		"ready, its path is gone":       {attachment.Record{State: attachment.Ready, Netns: gone, NetnsInode: inode}, attachment.Orphaned},
		"ready, its path is no mount":   {attachment.Record{State: attachment.Ready, Netns: file, NetnsInode: inode}, attachment.Orphaned},
		"ready, another namespace":      {attachment.Record{State: attachment.Ready, Netns: ownNetns, NetnsInode: inode + 1}, attachment.Orphaned},
		"ready, before the reboot":      {attachment.Record{State: attachment.Ready, BootID: "old", Netns: ownNetns, NetnsInode: inode}, attachment.Orphaned},
		"ready, its deadline passed":    {attachment.Record{State: attachment.Ready, Deadline: now - 1, Netns: ownNetns, NetnsInode: inode}, attachment.Alive},
		"intent, in time":               {attachment.Record{State: attachment.Intent, Deadline: now + 1, Netns: ownNetns, NetnsInode: inode}, attachment.Alive},
		"intent, at its deadline":       {attachment.Record{State: attachment.Intent, Deadline: now, Netns: ownNetns, NetnsInode: inode}, attachment.Alive},
		"intent, past its deadline":     {attachment.Record{State: attachment.Intent, Deadline: now - 1, Netns: ownNetns, NetnsInode: inode}, attachment.Abandoned},
		"intent, before the reboot":     {attachment.Record{State: attachment.Intent, BootID: "old", Deadline: now + 1, Netns: ownNetns, NetnsInode: inode}, attachment.Abandoned},
		"intent, in time, Pod gone":     {attachment.Record{State: attachment.Intent, Deadline: now + 1, Netns: gone, NetnsInode: inode}, attachment.Orphaned},
		"a state of a newer release":    {attachment.Record{State: "resting", Deadline: now - 1, Netns: ownNetns, NetnsInode: inode}, attachment.Alive},
		"a namespace one may not look at": {
			attachment.Record{State: attachment.Ready, Netns: "/proc/self/task/\x00", NetnsInode: inode}, attachment.Alive, // EINVAL stands for every doubt
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.rec.BootID == "" {
				c.rec.BootID = "boot"
			}
			if got := attachment.FateOf(c.rec, "boot", now); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// podland is not root: a runtime's folder that is closed to it hides Pods that
// live.
func TestANamespaceInAClosedFolderIsAlive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to become another user takes root")
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	rec := attachment.Record{State: attachment.Ready, BootID: "boot", Netns: filepath.Join(dir, "netns")}
	fate := make(chan attachment.Fate)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends as nobody
		const nobody = 65534
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Error(errno)
		}
		fate <- attachment.FateOf(rec, "boot", 0)
	}()
	if got := <-fate; got != attachment.Alive {
		t.Errorf("got %v, want Alive: it could not be looked at", got)
	}
}

func TestAStampIsOfThisBootAndTheBudgetAhead(t *testing.T) {
	before := boottime.Now()
	rec, err := attachment.Record{}.Stamped(time.Minute)
	must(t, err)
	after := boottime.Now()
	id, err := boottime.BootID()
	must(t, err)
	if rec.BootID != id || rec.Deadline < before+time.Minute || rec.Deadline > after+time.Minute {
		t.Errorf("got %q, %s; want %q and a minute after %s to %s", rec.BootID, rec.Deadline, id, before, after)
	}
}
