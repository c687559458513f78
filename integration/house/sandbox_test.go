package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sandbox is what systemd makes of the settings of a unit and its drop-ins, as far as
// podland's work meets them. Not made are /tmp and /dev of its own, and the limits.
type sandbox struct {
	// Settings are by name, the values of each in their order.
	Settings map[string][]string
	// Writable are the state and run-time folders, which its user owns.
	Writable []string
	// Program replaces the one of ExecStart.
	Program string
}

// sandboxEnv has the test binary enter the sandbox and become its program, with its
// own arguments.
const sandboxEnv = "PODLAN_HOUSE_SANDBOX"

func TestMain(m *testing.M) {
	if text := os.Getenv(sandboxEnv); text != "" {
		fmt.Fprintln(os.Stderr, "sandbox:", enter(text))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// env is what makes the test binary the program in the sandbox.
func (s sandbox) env(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return sandboxEnv + "=" + string(text)
}

// unitSandbox reads the unit and its drop-ins.
func unitSandbox(t *testing.T, files ...string) sandbox {
	t.Helper()
	s := sandbox{Settings: map[string][]string{}}
	for _, file := range files {
		for line := range strings.Lines(string(read(t, file))) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if ok && !strings.HasPrefix(name, "#") {
				s.Settings[name] = append(s.Settings[name], strings.Fields(value)...)
			}
		}
	}
	return s
}

// last is a setting whose later values replace earlier ones.
func (s sandbox) last(name string) string {
	values := s.Settings[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func (s sandbox) yes(name string) bool { return s.last(name) == "yes" }

// enter never returns without an error. It changes its own thread alone, which then
// is the process.
func enter(text string) error {
	runtime.LockOSThread()
	var s sandbox
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"file systems", s.files},
		{"capabilities and user", s.privileges},
		{"system calls", s.filter},
		{"program", func() error {
			env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, sandboxEnv+"=") })
			return syscall.Exec(s.Program, append([]string{s.Program}, os.Args[1:]...), env)
		}},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// files are ProtectSystem=strict, ProtectHome=, ProtectKernelTunables= and
// ReadWritePaths=.
func (s sandbox) files() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if s.last("User") != "root" {
		for _, path := range s.Writable {
			if err := os.Chown(path, nobody, nobody); err != nil {
				return err
			}
		}
	}
	writable := slices.Clone(s.Writable)
	for _, path := range s.Settings["ReadWritePaths"] {
		optional := strings.HasPrefix(path, "-")
		path = strings.TrimPrefix(path, "-")
		if _, err := os.Stat(path); err != nil && optional {
			continue
		}
		writable = append(writable, path)
	}
	tunables := []string{"/proc/sys", "/sys"}
	for _, path := range append(tunables, writable...) {
		if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := readOnly("/", true, unix.AT_RECURSIVE); err != nil {
		return err
	}
	if err := readOnly("/proc", false, 0); err != nil {
		return err
	}
	if !s.yes("ProtectKernelTunables") {
		writable = append(writable, tunables...)
	}
	for _, path := range writable {
		if err := readOnly(path, false, unix.AT_RECURSIVE); err != nil {
			return err
		}
	}
	if s.yes("ProtectHome") {
		for _, path := range []string{"/root", "/home"} {
			if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "mode=0"); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return os.Chdir("/")
}

func readOnly(path string, on bool, flags uint) error {
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if on {
		attr = unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &attr); err != nil {
		return fmt.Errorf("read-only %t, %s: %w", on, path, err)
	}
	return nil
}

// privileges are CapabilityBoundingSet=, AmbientCapabilities=, User= and
// NoNewPrivileges=.
func (s sandbox) privileges() error {
	bounding, err := capabilitySet(s.Settings["CapabilityBoundingSet"])
	if err != nil {
		return err
	}
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if bounding&(1<<c) == 0 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return err
			}
		}
	}
	ambient, err := capabilitySet(s.Settings["AmbientCapabilities"])
	if err != nil {
		return err
	}
	if s.last("User") != "root" {
		if err := becomeNobody(ambient); err != nil {
			return err
		}
	}
	// With the user went what ends it beside its parent.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// becomeNobody gives up root but for these capabilities, which programs inherit.
func becomeNobody(ambient uint64) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	// Go's own calls are about all threads.
	for _, call := range [][4]uintptr{{unix.SYS_SETGROUPS}, {unix.SYS_SETRESGID, nobody, nobody, nobody}, {unix.SYS_SETRESUID, nobody, nobody, nobody}} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return errno
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		part := uint32(ambient >> (32 * i))
		data[i] = unix.CapUserData{Effective: part, Permitted: part, Inheritable: part}
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if ambient&(1<<c) != 0 {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

const nobody = 65534

// capabilitySet knows those that the design allows podland.
func capabilitySet(names []string) (set uint64, err error) {
	known := map[string]int{
		"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW,
		"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
	}
	for _, name := range names {
		c, ok := known[name]
		if !ok {
			return 0, fmt.Errorf("capability %s is not the design's", name)
		}
		set |= 1 << c
	}
	return set, nil
}
