package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

// arena is the lab that both sides run in: one node whose administrator has
// made a bridge, a LAN host, and the namespaces of as many Pods as are ever
// attached. The namespaces are used again, so that the kernel is not busy with
// removing those of one side while the other is measured.
type arena struct {
	scenario
	opts   options
	log    progress
	phase  string
	server *lab.Server
	client *lab.Host
	node   *lab.Node
	pods   []*lab.Pod
	both   []side
}

func newArena(l *lab.Lab, root string, s scenario, opts options, log progress) (*arena, error) {
	a := &arena{scenario: s, opts: opts, log: log, server: l.Server(), client: l.Host("client")}
	a.node = l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	for i := range max(s.serial, opts.burst) {
		a.pods = append(a.pods, a.node.Pod(fmt.Sprintf("p%d", i+1)))
	}
	us, err := ours(a.node, root)
	a.both = []side{us, theirs(a.node, root)}
	return a, err
}

func (a *arena) logf(format string, args ...any) {
	a.log.logf("%s: "+format, append([]any{a.phase}, args...)...)
}

// sides returns the sides that run: both unless only names one.
func (a *arena) sides(only string) []side {
	var wanted []side
	for _, s := range a.both {
		if only == "" || only == s.name {
			wanted = append(wanted, s)
		}
	}
	return wanted
}

// resetLAN takes every lease from the server, and from the hosts what they know
// of their neighbours: what one side has leaked must not slow the other down,
// nor must 200 Pods of the turn before fill a neighbour table that is the whole
// machine's (net.ipv4.neigh.default.gc_thresh3).
func (a *arena) resetLAN() error {
	a.server.Stop()
	a.server.Forget()
	a.server.Start()
	return errors.Join(forgetNeighbours(a.client.Netns), forgetNeighbours(a.server.Host.Netns), forgetNeighbours(a.node.Netns))
}

func forgetNeighbours(ns *lab.Netns) error {
	h, err := ns.Netlink()
	if err != nil {
		return err
	}
	known, err := h.NeighList(0, unix.AF_INET)
	for i := range known {
		err = errors.Join(err, ignoreGone(h.NeighDel(&known[i])))
	}
	if err != nil {
		return fmt.Errorf("neighbours of %s: %w", ns.Name(), err)
	}
	return nil
}

// ignoreGone: entries go by themselves too.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// forgetPings makes a dnsmasq that pings ping the next address too: it leaves
// that out when it has pinged six in the last 30 s, and so in a series of ADDs.
func (a *arena) forgetPings() {
	if a.ping {
		a.server.Stop()
		a.server.Start()
	}
}

// leasesLeft counts what the server holds when releases have had their time.
func (a *arena) leasesLeft() int {
	deadline := time.Now().Add(settling)
	for {
		n := a.leasesHeld()
		if n == 0 || time.Now().After(deadline) {
			return n
		}
	}
}

// leasesHeld is the highest of several counts: dnsmasq writes its file anew on
// every change, and who reads it meanwhile sees too few.
func (a *arena) leasesHeld() int {
	n := 0
	for range 5 {
		n = max(n, len(a.server.ActiveLeases()))
		time.Sleep(20 * time.Millisecond)
	}
	return n
}

// answering counts the addresses that answer the LAN host.
func (a *arena) answering(ctx context.Context, pods []*attachment) int {
	var n atomic.Int64
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, at := range pods {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			if at.addr.IsValid() && a.client.Ping(ctx, at.addr) == nil {
				n.Add(1)
			}
		})
	}
	all.Wait()
	return int(n.Load())
}
