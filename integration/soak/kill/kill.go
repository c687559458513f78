// Package kill kills podland again and again, at random moments and while it
// has much to do, and tells whether a lease or the guard ever suffered. It
// touches only the lab that it is given.
package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/soak/churn"
)

const (
	// held is how many Pods stay through all kills, renewing; workers is how
	// many come and go meanwhile.
	held, workers = 20, 4
	// mostLife is how long podland lives between two kills at most: an ADD takes
	// some 10 ms, a renewal of the 20 is due every 250 ms.
	mostLife = 500 * time.Millisecond
	// mostBirth bounds the life of one that is killed while it starts, every
	// fourth: it reads its store and takes its leases up again.
	mostBirth = 40 * time.Millisecond
)

// Options returns the lab that Run wants: leases that are renewed all the time,
// and that the server would hold long after they were forgotten.
func Options() lab.Options {
	return lab.Options{Server: lab.Dnsmasq, Lease: time.Hour, T1: 5 * time.Second}
}

// Run kills podland as often, and returns an error if a lease was lost, doubled
// or left, or if the guard let through what it must not. The numbers are for
// people.
func Run(ctx context.Context, l *lab.Lab, kills int, logf func(string, ...any)) (numbers string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also where a failing step of the lab ends this goroutine
	a := churn.New(l, workers)
	before, err := a.Node.TakeSnapshot()
	if err != nil {
		return "", err
	}
	if err := a.Hold(ctx, held); err != nil {
		return "", err
	}
	r := &run{Arena: a, logf: logf}
	if r.attack, err = newAttack(ctx, a); err != nil {
		return "", err
	}
	r.load.begin(ctx, a)
	err = r.kill(ctx, kills)
	err = errors.Join(err, r.load.end())
	if err == nil {
		err = r.after(ctx)
	}
	if err = errors.Join(err, r.attack.end()); err != nil {
		return r.String(), err
	}
	numbers = fmt.Sprintf("%s; %d renewals", r, renewals(a))
	if err := a.LetGo(ctx); err != nil {
		return numbers, err
	}
	a.Held = nil
	return numbers, nothingLeft(ctx, a, before)
}

// run is what goes on while podland is killed.
type run struct {
	*churn.Arena
	logf             func(string, ...any)
	kills, stillborn int
	load             load
	attack           *attack
}

// kill is the loop.
func (r *run) kill(ctx context.Context, kills int) error {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", r.Node.Podland().PID()))
	if err != nil {
		return fmt.Errorf("podland's program: %w", err)
	}
	for r.kills < kills {
		if err := wait(ctx, rand.N(mostLife)); err != nil {
			return err
		}
		r.Node.KillPodland()
		r.kills++
		if r.kills%4 == 0 {
			if err := r.killAtBirth(ctx, program); err != nil {
				return err
			}
		}
		r.Node.StartPodland()
		if err := check(ctx, r.Arena); err != nil {
			return fmt.Errorf("after kill %d: %w", r.kills, err)
		}
		if r.kills%20 == 0 {
			r.logf("%d of %d: %s", r.kills, kills, r)
		}
	}
	return nil
}

// killAtBirth starts podland and kills it before it serves.
func (r *run) killAtBirth(ctx context.Context, program string) error {
	cmd := r.Node.Command(ctx, program, "--socket", r.Node.Socket(), "--state-dir", r.Node.StateDir())
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start podland: %w", err)
	}
	err := wait(ctx, rand.N(mostBirth))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	r.stillborn++
	return err
}

// wait is a moment in which podland works.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// String tells the numbers.
func (r *run) String() string {
	return fmt.Sprintf("%d kills, %d more while it started; %d leases held through all; meanwhile %s; %s",
		r.kills, r.stillborn, held, &r.load, r.attack)
}

// renewals counts the grants of the leases that stayed, after the first of each.
func renewals(a *churn.Arena) int {
	n := -len(a.Held)
	for line := range strings.Lines(a.Server.Log()) {
		for _, h := range a.Held {
			if strings.Contains(line, "DHCPACK") && strings.Contains(line, h.MAC) {
				n++
			}
		}
	}
	return n
}
