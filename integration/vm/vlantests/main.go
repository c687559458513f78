// Command vlantests runs tests of VLANs where VLANs are to be had: in a virtual
// machine (integration/vm) if this kernel lacks them. It prints test2json
// events, for gotestsum.
//
//	vlantests [flags] PACKAGE...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/vm/agent"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// errFailed is returned when a test failed, which its events tell.
var errFailed = errors.New("tests failed")

// flags say how to run.
type flags struct {
	goTool   string
	where    string
	natively bool
	parallel int
	slow     int
	packages []string
}

func main() {
	agent.Main()
	err := parse().run()
	switch {
	case errors.Is(err, errFailed):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "vlantests:", err)
		os.Exit(1)
	}
}

func parse() flags {
	var f flags
	flag.StringVar(&f.goTool, "go", "go", "the Go command")
	flag.StringVar(&f.where, "where", "", "file to write a line to that says where the tests ran")
	flag.BoolVar(&f.natively, "natively", false, "run the tests here if this kernel does VLANs; else that is taken for done")
	flag.IntVar(&f.parallel, "parallel", 2, "tests at a time in the virtual machine, which has two processors")
	flag.IntVar(&f.slow, "slow", 10, "how many times longer than here tests wait in it")
	flag.Parse()
	f.packages = flag.Args()
	return f
}

func (f flags) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return os.NewSyscallError("uname", err)
	}
	here := unix.ByteSliceToString(name.Release[:])
	err := rtnltest.ProbeVLAN()
	switch {
	case errors.Is(err, rtnltest.ErrNoVLAN):
		return f.inMachine(ctx, here)
	case err != nil:
		return fmt.Errorf("see whether this kernel does VLANs: %w", err)
	}
	if err := f.say("on this kernel, Linux %s", here); err != nil || !f.natively {
		return err
	}
	return f.here(ctx)
}

// say writes down where the tests ran.
func (f flags) say(format string, args ...any) error {
	if f.where == "" {
		return nil
	}
	line := fmt.Sprintf("VLAN tests: "+format+"\n", args...)
	if err := os.WriteFile(f.where, []byte(line), 0o644); err != nil {
		return fmt.Errorf("say where the tests ran: %w", err)
	}
	return nil
}
