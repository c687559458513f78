package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

const (
	// guardBatch is how many frames are sent between two looks at the clock: few
	// enough for most to be sent without another program in between.
	guardBatch, guardBatches = 200, 201
	// guardTries is how often a round is begun anew whose frames did not arrive.
	guardTries = 3
)

// guardSizes are how many ports are guarded.
func guardSizes() []int { return []int{1, 250, 1000} }

// guardRound is what one way to guard n ports costs a frame, in nanoseconds,
// from the last of the ports.
type guardRound struct {
	Way   string  `json:"way"`
	Ports int     `json:"ports"`
	Nanos float64 `json:"nanosPerFrame"`
}

// guardRounds are all of a run. Restores are the times from a flush of the
// ruleset until podland has put the table back, in milliseconds.
type guardRounds struct {
	Frames   []guardRound `json:"frames"`
	Restores []float64    `json:"restoreMillis"`
}

func runGuard(ctx context.Context, opts options, log progress) (table, error) {
	var rounds guardRounds
	err := lab.Run(ctx, log.logf, lab.Options{Server: lab.None}, func(l *lab.Lab) (err error) {
		most := slices.Max(guardSizes())
		log.logf("guard: making %d ports", most)
		w, err := newWires(ctx, l, most)
		if err != nil {
			return err
		}
		defer w.links.Close()
		defer w.guard.Close()
		rounds.Frames, err = w.alternate(ctx, opts, log)
		return err
	})
	if err == nil {
		rounds.Restores, err = restores(ctx, opts, log)
	}
	return newGuardTable(opts, rounds), err
}

// alternate lets the ways take turns, in another order each time.
func (w *wires) alternate(ctx context.Context, opts options, log progress) ([]guardRound, error) {
	var turns, rounds []guardRound
	for _, n := range guardSizes() {
		for _, way := range []string{unguarded, podlan, spoofchk} {
			turns = append(turns, guardRound{Way: way, Ports: n})
		}
	}
	for i := range opts.guardRounds {
		log.logf("guard: round %d of %d", i+1, opts.guardRounds)
		for _, turn := range turns {
			if err := w.arrange(ctx, turn.Way, turn.Ports); err != nil {
				return nil, fmt.Errorf("%s, %d ports: %w", turn.Way, turn.Ports, err)
			}
			nanos, err := w.measure(ctx, turn.Ports-1)
			if err != nil {
				return nil, fmt.Errorf("%s, %d ports: %w", turn.Way, turn.Ports, err)
			}
			turn.Nanos = nanos
			rounds = append(rounds, turn)
		}
		turns = append(turns[2:], turns[:2]...)
	}
	return rounds, nil
}

// measure returns the median time of a frame from port i to the uplink. A veth
// has it processed before the sender's call returns.
func (w *wires) measure(ctx context.Context, i int) (float64, error) {
	for range guardTries {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		nanos, lost, err := w.sample(i)
		if err != nil || lost == 0 {
			return nanos, err
		}
	}
	return 0, errors.New("frames were lost on the way, so that their time says nothing")
}

func (w *wires) sample(i int) (nanos float64, lost int, err error) {
	fd, err := w.sender()
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(fd)
	before, err := w.passed()
	if err != nil {
		return 0, 0, err
	}
	frame, to := w.frame(i), w.target(i)
	var samples []float64
	undisturbed(func() {
		for range guardBatches {
			began := time.Now()
			for range guardBatch {
				if err = unix.Sendto(fd, frame, 0, to); err != nil {
					return
				}
			}
			samples = append(samples, float64(time.Since(began).Nanoseconds())/guardBatch)
		}
	})
	if err != nil {
		return 0, 0, fmt.Errorf("send: %w", err)
	}
	after, err := w.passed()
	return median(samples), guardBatches*guardBatch - int(after-before), err
}

// undisturbed runs fn on a thread of its own that ordinary programs wait for,
// where that is allowed. The thread ends with it.
func undisturbed(fn func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		fn()
	}()
	<-ended
}

// restores flushes the ruleset of a node with opts.burst Pods again and again.
func restores(ctx context.Context, opts options, log progress) (millis []float64, err error) {
	root, err := lab.ModuleRoot()
	if err != nil {
		return nil, err
	}
	network := lab.Options{Server: lab.None, CNIPath: []string{filepath.Join(root, "bin", "reference")}}
	err = lab.Run(ctx, log.logf, network, func(l *lab.Lab) error {
		node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
		node.StartPodland()
		conf := node.Conf(`{"cniVersion": "1.1.0", "name": "lan", "type": "podlan-bridge", "bridge": "lan0",
			"ipam": {"type": "host-local", "subnet": "198.18.0.0/16", "rangeStart": "198.18.64.1"}}`)
		log.logf("guard: %d Pods, whose ruleset is flushed", opts.burst)
		for i := range opts.burst {
			if _, err := node.Add(ctx, conf, node.Pod(fmt.Sprintf("p%d", i+1))); err != nil {
				return err
			}
		}
		for range 4 * opts.guardRounds {
			took, err := restored(ctx, node)
			if err != nil {
				return err
			}
			millis = append(millis, 1000*took.Seconds())
		}
		return nil
	})
	return millis, err
}

func restored(ctx context.Context, node *lab.Node) (time.Duration, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(node.FD()), nftables.AsLasting())
	if err != nil {
		return 0, fmt.Errorf("nftables: %w", err)
	}
	defer func() { _ = conn.CloseLasting() }()
	conn.FlushRuleset()
	began := time.Now()
	if err := conn.Flush(); err != nil {
		return 0, fmt.Errorf("nftables: %w", err)
	}
	for ctx.Err() == nil {
		tables, err := conn.ListTablesOfFamily(nftables.TableFamilyBridge)
		if err != nil {
			return 0, fmt.Errorf("nftables: %w", err)
		}
		if len(tables) > 0 { // whole: it is put back in one transaction
			return time.Since(began), nil
		}
		if time.Since(began) > patience {
			return 0, errors.New("the table was not put back")
		}
	}
	return 0, context.Cause(ctx)
}
