// Command demo shows Podlan's main job step by step, on a LAN of network
// namespaces: Pods lease addresses from the LAN's own DHCP server, are dialled
// by machines that know nothing of a cluster, outlive podland's death, and give
// everything back. It runs the binaries in bin/ as a node does; `make demo`
// builds them first.
//
// KEEP=1 in the environment leaves the LAN standing until Ctrl-C. NO_COLOR is
// respected. It touches nothing but its namespaces, its folder below the
// temporary one and, with KEEP, names in /run/netns; all of it goes with it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(perform()) }

func perform() int {
	// `go run` does not pass on a SIGTERM that ends it, as of `timeout`.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	// A closed pipe, as of `make demo | head`, must not end the demo before it
	// has cleaned up: with a handler, writing fails instead.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	// No way back: a second Ctrl-C must not cut off the clean-up of the first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	keep := os.Getenv("KEEP")
	err := run(ctx, os.Stdout, options{
		name:   "podlan",
		keep:   keep != "" && keep != "0",
		colour: colourful(os.Stdout),
	})
	if err != nil {
		return 1
	}
	return 0
}

// colourful tells whether a person sees the file on a terminal and has nothing
// against colours (https://no-color.org).
func colourful(f *os.File) bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
