// Command vm runs a program of this machine in a virtual machine with a Debian
// kernel, for what this one's lacks: 802.1Q, bridge VLAN filtering, IPVS. See
// package machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/vm/agent"
	"github.com/podlan/podlan/integration/vm/machine"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

const usage = `usage: vm [flags] -- COMMAND ARGUMENT...

Boots a virtual machine, runs the command in it, in this folder and with this
environment, and exits with its code ("go run" turns any but 0 into 1). The guest
sees this machine's files; what it writes is gone with it. A test binary:

  go test -c -o /tmp/x.test ./pkg/segment
  go run ./integration/vm -C pkg/segment -- /tmp/x.test -test.v -test.run VLAN

`

func main() {
	agent.Main()
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		code = 125 // as docker and timeout have it for errors of their own
	}
	os.Exit(code)
}

type flags struct {
	machine.Options
	dir     string
	env     []string
	timeout time.Duration
	quiet   bool
	probe   bool
	auto    bool
}

func parse() (flags, []string) {
	var f flags
	flag.IntVar(&f.NICs, "nic", 0, "virtio NICs in the guest, eth0 and on, cabled two and two")
	flag.StringVar(&f.dir, "C", ".", "folder to run the command in")
	flag.Func("e", "KEY=VALUE for the command's environment (repeatable)", func(s string) error {
		if !strings.Contains(s, "=") {
			return errors.New("want KEY=VALUE")
		}
		f.env = append(f.env, s)
		return nil
	})
	flag.DurationVar(&f.timeout, "timeout", 10*time.Minute, "the command is killed after it")
	flag.BoolVar(&f.quiet, "q", false, "do not say what is booted")
	flag.BoolVar(&f.probe, "probe", false, "only say whether this machine's kernel does VLANs itself (exit code 0), tried in a namespace of its own")
	flag.BoolVar(&f.auto, "auto", false, "where it does, run the command without a virtual machine")
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	return f, flag.Args()
}

func run() (int, error) {
	f, args := parse()
	switch {
	case f.probe:
		return probe()
	case len(args) == 0:
		flag.Usage()
		return 2, nil
	}
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	command := machine.Command{Args: args, Dir: dir, Env: append(os.Environ(), f.env...), Stdout: os.Stdout, Stderr: os.Stderr}
	if f.auto && rtnltest.ProbeVLAN() == nil {
		ctx, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		return native(ctx, command)
	}
	return f.inMachine(ctx, command)
}

func (f flags) inMachine(ctx context.Context, c machine.Command) (int, error) {
	began := time.Now()
	m, err := machine.Boot(ctx, f.Options)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	if !f.quiet {
		fmt.Fprintf(os.Stderr, "vm: Linux %s, up after %.1f s\n", m.Release, time.Since(began).Seconds())
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return m.Run(ctx, c)
}
