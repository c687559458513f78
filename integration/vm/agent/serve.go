package agent

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// serve runs what the host sends until the host hangs up.
func serve() error {
	port, err := openPort()
	if err != nil {
		return err
	}
	defer port.Close()
	s := &server{out: gob.NewEncoder(port)}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return os.NewSyscallError("uname", err)
	}
	if err := s.send(Message{Ready: &Ready{Release: unix.ByteSliceToString(name.Release[:])}}); err != nil {
		return err
	}
	in := gob.NewDecoder(port)
	for {
		var m Message
		if err := in.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read from the host: %w", err)
		}
		switch {
		case m.Start != nil:
			s.begin()
			go s.run(*m.Start)
		case m.Kill:
			s.kill()
		}
	}
}

// openPort finds the port by its name, as udev would.
func openPort() (*os.File, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, fmt.Errorf("virtio ports: %w", err)
	}
	for _, path := range names {
		if name, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(name)) == Port {
			return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(path))), os.O_RDWR, 0)
		}
	}
	return nil, fmt.Errorf("virtio port %s: %w", Port, os.ErrNotExist)
}

// server is the guest's side of the port.
type server struct {
	mu  sync.Mutex
	out *gob.Encoder
	// group is the process group that runs, 0 if none does.
	group int
	// killed: the command is to end, perhaps before it has begun.
	killed bool
}

func (s *server) send(m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.out.Encode(m); err != nil {
		return fmt.Errorf("write to the host: %w", err)
	}
	return nil
}

func (s *server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = false
}

func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true
	if s.group != 0 {
		_ = unix.Kill(-s.group, unix.SIGKILL)
	}
}

// started notes the group of the command that runs.
func (s *server) started(group int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group = group
	if s.killed {
		_ = unix.Kill(-group, unix.SIGKILL)
	}
}

// ended kills what the command left behind in its group.
func (s *server) ended() {
	s.kill()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group = 0
}

// stream sends on what a command writes.
type stream struct {
	*server
	stderr bool
}

func (w stream) Write(p []byte) (int, error) {
	if err := w.send(Message{Output: &Output{Stderr: w.stderr, Data: p}}); err != nil {
		return 0, err
	}
	return len(p), nil
}
