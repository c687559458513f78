package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// runNetns is where "ip netns" looks for names.
const runNetns = "/run/netns"

// cleanUpTime bounds the orderly end of a LAN that stood, so that nothing can
// keep a person at the terminal.
const cleanUpTime = 15 * time.Second

// errSlow is why a clean-up is cut off.
var errSlow = errors.New("the clean-up took too long")

// prepareNames makes sure that the names are free. The function that it returns
// removes the folder of names if it was not there before.
func prepareNames(prefix string) (func(), error) {
	taken, err := filepath.Glob(filepath.Join(runNetns, prefix+"-*"))
	if err != nil {
		return nil, err
	}
	if len(taken) > 0 {
		return nil, fmt.Errorf("%v: does another demo stand? If it was killed: umount %[2]s/%[3]s-*; rm %[2]s/%[3]s-*",
			taken, runNetns, prefix)
	}
	if _, err := os.Stat(runNetns); !errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	return func() { _ = os.Remove(runNetns) }, nil
}

// stand is the step in which a person looks around, until Ctrl-C.
func (d *demo) stand(ctx context.Context) error {
	d.showWays()
	d.out.does("Ctrl-C deletes the Pods and removes everything")
	// From here on Ctrl-C is the way on, not the way out. If it came just
	// before, ctx has ended, or is about to.
	if !d.ignoreEnd() {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	<-d.ended
	d.out.gap() // after the terminal's ^C
	time.AfterFunc(cleanUpTime, func() { d.abandon(errSlow) })
	// A terminal's Ctrl-C goes to podland too, which takes its leave. The Pods'
	// leases are given back by one that runs.
	d.node.StopPodland()
	return d.startPodland()
}

// showWays tells how to step in with what this machine has.
func (d *demo) showWays() {
	enter := func(ns string) string { return "nsenter --net=" + filepath.Join(runNetns, d.opts.name+"-"+ns) }
	if installed("ip") {
		enter = func(ns string) string { return "ip netns exec " + d.opts.name + "-" + ns }
	}
	rows := [][]string{
		{"the node", enter(d.node.Name()) + " bash"},
		{"a Pod", enter(d.pods[0].Name()) + " bash"},
		{"a LAN host", enter(d.client.Name()) + " bash"},
	}
	if get := getter(); get != "" {
		url := fmt.Sprintf("http://%s/", netip.AddrPortFrom(d.pods[0].addr.Addr(), port))
		rows = append(rows, []string{"call a Pod from it", enter(d.client.Name()) + " " + get + " " + url})
	}
	if installed("nft") {
		rows = append(rows, []string{"the guard", enter(d.node.Name()) + " nft list table bridge podlan"})
	}
	rows = append(rows,
		[]string{"the leases", filepath.Join(d.bin, "podlan") + " --socket " + d.node.Socket() + " leases"},
		[]string{"podland's log", filepath.Join(d.node.Dir(), "podland.log")})
	d.out.does("as root, in another terminal:")
	d.out.table([]string{"WHERE TO", "HOW"}, rows...)
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// getter is a program that prints what an URL leads to, empty if there is none.
func getter() string {
	switch {
	case installed("curl"):
		return "curl -s"
	case installed("wget"):
		return "wget -qO-"
	}
	return ""
}
