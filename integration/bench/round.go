package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/podlan/podlan/integration/bench/machine"
)

// settling is how long after the last DEL releases may take to reach the
// server; what it holds then is lost to it until the lease time ends.
const settling = 6 * time.Second

// round is what one side did in one turn.
type round struct {
	Side string `json:"side"`
	// Add and Del are one after another.
	Add series `json:"add"`
	Del series `json:"del"`
	// BurstAdd and BurstDel are all at once.
	BurstAdd burst `json:"burstAdd"`
	BurstDel burst `json:"burstDel"`
	// Distinct and Answering count the burst's addresses: those of one Pod
	// only, and those that answer a LAN host's ping.
	Distinct  int `json:"distinct"`
	Answering int `json:"answering"`
	// Idle is the daemon's usage before its first lease, Held with the burst's.
	Idle machine.Usage `json:"idle"`
	Held machine.Usage `json:"held"`
	// Left counts leases that the server still holds after every DEL.
	Left int `json:"left"`
}

// series are calls of a plugin as their caller sees them.
type series struct {
	Millis []float64 `json:"millis"`
	Failed int       `json:"failed"`
}

// burst are calls at once: Wall is until the last has returned.
type burst struct {
	series
	Wall float64 `json:"wallSeconds"`
}

// round runs one turn of a side, on a server that holds nothing and with a
// daemon that has just been started.
func (a *arena) round(ctx context.Context, s side, name string) (round, error) {
	if err := a.resetLAN(); err != nil {
		return round{}, err
	}
	a.logf("start")
	d, err := s.start(ctx)
	if err != nil {
		return round{}, fmt.Errorf("daemon: %w", err)
	}
	r := round{Side: s.name}
	err = a.turn(ctx, s, name, d, &r)
	if stopErr := d.Stop(); err == nil {
		err = stopErr
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // whatever else went wrong did because of it
	}
	return r, err
}

func (a *arena) turn(ctx context.Context, s side, name string, d daemon, r *round) (err error) {
	if r.Idle, err = machine.UsageOf(d.PID()); err != nil {
		return err
	}
	pods := a.attachments(s, name+"-serial", a.serial)
	a.logf("%d ADDs, then %d DELs, one after another", len(pods), len(pods))
	r.Add = a.serially(ctx, pods, a.forgetPings, (*attachment).add)
	r.Del = a.serially(ctx, pods[:len(r.Add.Millis)], func() {}, (*attachment).del)

	pods = a.attachments(s, name+"-burst", a.opts.burst)
	a.logf("%d ADDs at once", len(pods))
	r.BurstAdd = a.atOnce(ctx, pods, (*attachment).add)
	if r.Held, err = machine.UsageOf(d.PID()); err != nil {
		return err
	}
	a.logf("%d addresses: who answers?", len(pods))
	r.Distinct, r.Answering = distinct(pods), a.answering(ctx, pods)
	a.logf("%d DELs at once", len(pods))
	r.BurstDel = a.atOnce(ctx, pods, (*attachment).del)
	r.Left = a.leasesLeft()
	return nil
}

// distinct counts the addresses that exactly one Pod has.
func distinct(pods []*attachment) int {
	users := map[string]int{}
	for _, p := range pods {
		if p.addr.IsValid() {
			users[p.addr.String()]++
		}
	}
	n := 0
	for _, count := range users {
		if count == 1 {
			n++
		}
	}
	return n
}

// sorted returns the samples in ascending order.
func (s series) sorted() []float64 { return slices.Sorted(slices.Values(s.Millis)) }
