// Package machine tells where, of what tree and at what cost something was
// measured. It reads /proc and asks git, and touches nothing.
package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Environment is where and of what numbers are.
type Environment struct {
	Date   time.Time `json:"date"`
	Commit string    `json:"commit"`
	// Dirty: files of the tree were not as committed.
	Dirty  bool   `json:"dirty"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	System string `json:"system"`
	Go     string `json:"go"`
	// Load is what else the machine did when the run began: the average number
	// of runnable processes of the minute before.
	Load string `json:"load"`
}

// Describe tells of this machine and of the tree in the working folder.
func Describe(ctx context.Context) Environment {
	var u unix.Utsname
	_ = unix.Uname(&u)
	load, _, _ := strings.Cut(text("/proc/loadavg"), " ")
	e := Environment{
		Date: time.Now().UTC().Truncate(time.Second), Commit: git(ctx, "rev-parse", "--short=12", "HEAD"),
		Dirty: git(ctx, "status", "--porcelain", "--untracked-files=no") != "",
		CPU:   field("/proc/cpuinfo", "model name", ":"), Cores: runtime.NumCPU(),
		Memory: field("/proc/meminfo", "MemTotal", ":"), Kernel: unix.ByteSliceToString(u.Release[:]),
		System: strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`), Go: runtime.Version(), Load: load,
	}
	if e.Commit == "" {
		e.Commit = "unknown"
	}
	return e
}

// Tree names the commit, and says so if files were not as committed.
func (e Environment) Tree() string {
	if e.Dirty {
		return e.Commit + " with changes"
	}
	return e.Commit
}

// Hardware is what ran it.
func (e Environment) Hardware() string {
	return fmt.Sprintf("%d x %s, %s, %s, kernel %s, %s", e.Cores, e.CPU, e.Memory, e.System, e.Kernel, e.Go)
}

// Write prints all of it, in two lines.
func (e Environment) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s, commit %s\n%s, load before %s\n",
		e.Date.Format("2006-01-02 15:04 MST"), e.Tree(), e.Hardware(), e.Load)
	return err
}

// git asks about the working tree; empty where there is none.
func git(ctx context.Context, args ...string) string {
	// Under sudo the tree is another user's, which git refuses by default.
	out, err := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// field returns the value of the first line that starts with the name.
func field(path, name, separator string) string {
	scan := bufio.NewScanner(strings.NewReader(text(path)))
	for scan.Scan() {
		key, value, ok := strings.Cut(scan.Text(), separator)
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
