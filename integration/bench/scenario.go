package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/podlan/podlan/integration/lab"
)

// scenario is one lab in which both sides run, in turns.
type scenario struct {
	title  string
	rounds int
	// serial is the number of calls one after another.
	serial int
	// ping lets dnsmasq ping an address before it offers it, as it does unless
	// told otherwise. The server then decides how long an ADD takes, so the
	// targets about time hold without it.
	ping bool
}

func scenarios(o options) []scenario {
	all := []scenario{
		{title: "dnsmasq --no-ping", rounds: o.rounds, serial: o.serial},
		{title: "dnsmasq with its default ping", rounds: o.pingRounds, serial: o.pingSerial, ping: true},
	}
	var wanted []scenario
	for _, s := range all {
		if s.rounds > 0 {
			wanted = append(wanted, s)
		}
	}
	return wanted
}

// run builds the lab and returns the rounds in the order they ran.
func (s scenario) run(ctx context.Context, opts options, log progress) ([]round, error) {
	root, err := lab.ModuleRoot()
	if err != nil {
		return nil, err
	}
	var rounds []round
	network := lab.Options{
		Server: lab.Dnsmasq, ServerPing: s.ping, CNIPath: []string{filepath.Join(root, "bin", "reference")},
	}
	log.logf("%s: building the lab", s.title)
	err = lab.Run(ctx, log.logf, network, func(l *lab.Lab) error {
		a, err := newArena(l, root, s, opts, log)
		if err != nil {
			return err
		}
		rounds, err = s.alternate(ctx, a, opts)
		return err
	})
	return rounds, err
}

// alternate lets the sides take turns, each beginning every other time, so that
// what else the machine does and what it has warmed up hits both.
func (s scenario) alternate(ctx context.Context, a *arena, opts options) ([]round, error) {
	var rounds []round
	for i := range s.rounds {
		sides := a.sides(opts.only)
		if i%2 == 1 && len(sides) == 2 {
			sides[0], sides[1] = sides[1], sides[0]
		}
		for _, side := range sides {
			a.phase = fmt.Sprintf("%s, round %d of %d, %s", s.title, i+1, s.rounds, side.name)
			r, err := a.round(ctx, side, fmt.Sprintf("%s-%d", side.name, i+1))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side.name, err)
			}
			rounds = append(rounds, r)
		}
	}
	return rounds, nil
}
