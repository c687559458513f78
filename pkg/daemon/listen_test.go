package daemon

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestTheSocketIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "podlan", "podland.sock")
	old := syscall.Umask(0)
	l, err := listen(t.Context(), path)
	after := syscall.Umask(old)
	must(t, err)
	defer func() { _ = l.Close() }()
	if after != 0 {
		t.Errorf("the process's umask was changed to %o", after)
	}
	for p, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		info, err := os.Stat(p)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s: mode %s, want %s", p, info.Mode(), want)
		}
	}
}

// left makes a socket as a killed podland leaves it: the file, and nobody there.
func left(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

func TestASocketThatAKilledPodlandLeftIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "podland.sock")
	left(t, path)
	l, err := listen(t.Context(), path)
	must(t, err)
	_ = l.Close()
}

func TestWhatIsNoDeadSocketIsLeftAlone(t *testing.T) {
	cases := map[string]struct {
		make  func(t *testing.T, path string)
		words string
	}{
		"a living podland's": {func(t *testing.T, path string) {
			t.Helper()
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			must(t, err)
			t.Cleanup(func() { _ = l.Close() })
		}, "another podland listens"},
		"one whose queue is full": {full, "may be another podland's"},
		"a file":                  {func(t *testing.T, path string) { t.Helper(); must(t, os.WriteFile(path, []byte("precious"), 0o600)) }, "is no socket"},
		"a folder":                {func(t *testing.T, path string) { t.Helper(); must(t, os.Mkdir(path, 0o700)) }, "is no socket"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "podland.sock")
			c.make(t, path)
			before, err := os.Lstat(path)
			must(t, err)
			l, err := listen(t.Context(), path)
			if err == nil {
				_ = l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v; want an error that says %q and the path", err, c.words)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("%s was replaced: %v", path, err)
			}
		})
	}
}

// full makes a listener too busy to take one more call.
func full(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(fd, 0))
	for {
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		t.Cleanup(func() { _ = unix.Close(c) })
		if err := unix.Connect(c, &unix.SockaddrUnix{Name: path}); errors.Is(err, unix.EAGAIN) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever opened the socket's mode to all: only root and podland's own user are
// heard.
func TestAnotherUserIsHungUpOn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to become another user takes root")
	}
	dir, err := os.MkdirTemp("", "podlan") //nolint:usetesting // below a folder that others may not enter
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "podland.sock")
	l, err := listen(t.Context(), path)
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(path, 0o666))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serveHTTP(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "heard") }))
	}()
	const nobody = 65534
	if answer, err := asUser(path, nobody); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		t.Errorf("nobody got %q, %v; want to be hung up on", answer, err)
	}
	if answer, err := asUser(path, 0); err != nil || !strings.Contains(answer, "200 OK") {
		t.Errorf("root got %q, %v", answer, err)
	}
	cancel()
	must(t, <-ended)
}

// asUser makes a call from a thread of that user, which ends with it.
func asUser(path string, uid uintptr) (answer string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uid, uid, uid); errno != 0 {
			err = errno
			return
		}
		var conn net.Conn
		if conn, err = net.Dial("unix", path); err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if _, err = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			return
		}
		buf := make([]byte, 4096)
		var n int
		n, err = conn.Read(buf)
		answer = string(buf[:n])
	}()
	<-done
	return answer, err
}

func TestThePeersUserIsReadFromTheSocket(t *testing.T) {
	if _, err := peerUID(struct{ net.Conn }{}); err == nil {
		t.Error("what is no socket has a user")
	}
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if _, err := peerUID(a); err == nil {
		t.Error("a pipe in memory has a user")
	}
}

// inMemory is a listener that a synctest bubble can see through.
type inMemory struct {
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *inMemory) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *inMemory) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *inMemory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// What is under way when podland is told to end is answered before it does, in
// its time.
func TestARequestUnderWayIsAnsweredBeforeTheEnd(t *testing.T) {
	cases := map[string]struct {
		takes    time.Duration
		answered bool
	}{
		"one that takes a second":      {time.Second, true},
		"one that would take for ever": {time.Hour, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				l := &inMemory{calls: make(chan net.Conn), closed: make(chan struct{})}
				handled := false
				ended := make(chan bool, 1)
				go func() {
					err := serveHTTP(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						cancel()
						select {
						case <-time.After(c.takes):
							handled = true
							_, _ = io.WriteString(w, "done")
						case <-r.Context().Done(): // hung up on
						}
					}))
					if err != nil {
						t.Error(err)
					}
					ended <- handled
				}()
				here, there := net.Pipe()
				l.calls <- there
				go func() { _, _ = io.WriteString(here, "GET / HTTP/1.0\r\n\r\n") }()
				answer, _ := io.ReadAll(here)
				if got := <-ended; got != c.answered || strings.HasSuffix(string(answer), "done") != c.answered {
					t.Errorf("the server ended with the request handled: %t, answer %q; want %t", got, answer, c.answered)
				}
			})
		})
	}
}

func TestAListenerThatFailsIsAnError(t *testing.T) {
	l, err := listen(t.Context(), filepath.Join(t.TempDir(), "podland.sock"))
	must(t, err)
	must(t, l.Close())
	if err := serveHTTP(t.Context(), l, http.NotFoundHandler()); err == nil {
		t.Error("no error")
	}
}
