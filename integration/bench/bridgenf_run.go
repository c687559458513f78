package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/integration/lab"
)

// nfRates are those of a side's Pod to the LAN where bridged frames pass iptables
// (bridge-nf 1), or do not. The i-th of all were taken in one turn.
type nfRates struct {
	Side     string `json:"side"`
	BridgeNF int    `json:"bridgeNF"`
	// Gbits are those of TCP, Small thousands of 64-byte datagrams.
	Gbits []float64 `json:"gbitPerSecond"`
	Small []float64 `json:"thousandDatagramsPerSecond"`
}

// nfRounds are all of a run. With and Without are the times of ADDs to a network
// with Services and to the same without.
type nfRounds struct {
	Rates   []*nfRates `json:"rates"`
	With    series     `json:"addsWithServices"`
	Without series     `json:"addsWithoutServices"`
}

const (
	// nfCycles is how often the nodes take turns in a round.
	nfCycles = 31
	// nfAdds is how many ADDs are made to each of the two networks for a round.
	nfAdds = 6
)

// nfSite is a node of one side with a Pod: it has a switch of its own for
// bridge-nf, which podland follows within 10 s only.
type nfSite struct {
	side
	bridgeNF int
	node     *lab.Node
	pod      *attachment
}

// ruleless is the reference where iptables has no rules: what is lost there is
// the kernel's.
const ruleless = "no rules"

// nfSides are the nodes' sides and bridge-nf, those of one side only if it is
// named.
func nfSides(only string) []nfRates {
	all := []nfRates{
		{Side: podlan}, {Side: reference}, {Side: podlan, BridgeNF: 1}, {Side: reference, BridgeNF: 1}, {Side: ruleless, BridgeNF: 1},
	}
	return slices.DeleteFunc(all, func(s nfRates) bool { return only != "" && (only == podlan) != (s.Side == podlan) })
}

// nfArena is a LAN with a host and the nodes.
type nfArena struct {
	root  string
	host  *lab.Host
	sites []*nfSite
}

func runBridgeNF(ctx context.Context, opts options, log progress) (table, error) {
	var rounds nfRounds
	root, err := lab.ModuleRoot()
	if err != nil {
		return newNFTable(rounds), err
	}
	log.logf("bridge-nf: building the lab")
	network := lab.Options{Server: lab.Dnsmasq, CNIPath: []string{filepath.Join(root, "bin", "reference")}}
	err = lab.Run(ctx, log.logf, network, func(l *lab.Lab) error {
		a := &nfArena{root: root, host: l.Host("client")}
		// What stands for a switch of hardware is no node.
		if err := l.Switch().SetSysctl("net.bridge.bridge-nf-call-iptables", "0"); err != nil {
			return err
		}
		for _, s := range nfSides(opts.only) {
			if err := a.add(ctx, l, s.Side, s.BridgeNF); err != nil {
				return fmt.Errorf("%s: %w", s.Side, err)
			}
		}
		rounds, err = a.alternate(ctx, opts, log)
		return err
	})
	return newNFTable(rounds), err
}

// add makes a node, with many rules as a rule, and attaches a Pod.
func (a *nfArena) add(ctx context.Context, l *lab.Lab, name string, bridgeNF int) error {
	node := l.Node(fmt.Sprintf("n%d", len(a.sites)+1), lab.NodeOptions{Bridge: "lan0"})
	if err := node.SetSysctl("net.bridge.bridge-nf-call-iptables", strconv.Itoa(bridgeNF)); err != nil {
		return err
	}
	if name != ruleless {
		if _, err := node.RunTool(ctx, "iptables", manyRules(forwardRules), "iptables-restore", "--noflush"); err != nil {
			return err
		}
	}
	s := &nfSite{side: side{name: name, conf: plain(node, len(a.sites))}, bridgeNF: bridgeNF, node: node}
	if name == podlan {
		if err := s.serve(ctx, a.root); err != nil {
			return err
		}
	}
	s.pod = s.attachment("pod", s.conf)
	a.sites = append(a.sites, s)
	return s.pod.add(ctx)
}

// serve starts podland, for the shipped network with Services.
func (s *nfSite) serve(ctx context.Context, root string) (err error) {
	iptables, err := debs.Find(ctx, "iptables")
	if err != nil {
		return err
	}
	s.node.AddEnv(iptables.Env...)
	if s.side, err = ours(s.node, root); err != nil {
		return err
	}
	if _, err = s.start(ctx); err != nil {
		return err
	}
	s.conf, err = withServices(s.conf)
	return err
}

func (s *nfSite) attachment(name string, conf []byte) *attachment {
	pod := s.node.Pod(name)
	return &attachment{node: s.node, pod: pod, conf: conf, id: lab.Attachment{ContainerID: pod.ContainerID}}
}

// alternate runs the rounds.
func (a *nfArena) alternate(ctx context.Context, opts options, log progress) (rounds nfRounds, err error) {
	for _, s := range a.sites {
		rounds.Rates = append(rounds.Rates, &nfRates{Side: s.name, BridgeNF: s.bridgeNF})
	}
	for i := range opts.nfRounds {
		log.logf("bridge-nf: round %d of %d", i+1, opts.nfRounds)
		if err := a.round(ctx, rounds.Rates); err != nil {
			return rounds, err
		}
	}
	for _, s := range a.sites {
		if s.name == podlan && s.bridgeNF == 1 {
			log.logf("bridge-nf: %d ADDs with Services, and without", nfAdds*opts.nfRounds)
			err = s.adds(ctx, a.root, nfAdds*opts.nfRounds, &rounds)
		}
	}
	return rounds, err
}

// load is something that a Pod sends.
type load interface {
	// rate sends it for a moment.
	rate() (float64, error)
	close() error
}

func (a *nfArena) round(ctx context.Context, rates []*nfRates) error {
	var streams, flows []load
	defer func() {
		for _, l := range append(streams, flows...) {
			_ = l.close()
		}
	}()
	for _, s := range a.sites {
		stream, err := newStream(ctx, s.pod.pod.Netns, a.host)
		if err != nil {
			return fmt.Errorf("%s: stream: %w", s.name, err)
		}
		streams = append(streams, stream)
		flow, err := newFlow(ctx, s.pod.pod.Netns, a.host)
		if err != nil {
			return fmt.Errorf("%s: datagrams: %w", s.name, err)
		}
		flows = append(flows, flow)
	}
	for range nfCycles {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := a.inTurns(streams, func(i int, rate float64) { rates[i].Gbits = append(rates[i].Gbits, rate) })
		if err != nil {
			return err
		}
		err = a.inTurns(flows, func(i int, rate float64) { rates[i].Small = append(rates[i].Small, rate) })
		if err != nil {
			return err
		}
	}
	return nil
}

// inTurns lets the nodes' loads run one after another, then in the other order:
// a side's take turns 0, 1, 1, 0. Turns are short, so that what else the machine
// does hits all of them.
func (a *nfArena) inTurns(loads []load, note func(i int, rate float64)) (err error) {
	undisturbed(func() {
		for turn := range 2 * len(loads) {
			i := min(turn, 2*len(loads)-1-turn)
			rate, rateErr := loads[i].rate()
			if rateErr != nil {
				err = fmt.Errorf("%s: %w", a.sites[i].name, rateErr)
				return
			}
			note(i, rate)
		}
	})
	return err
}

// adds attaches Pods to the two networks in turns, beside one that has Services.
func (s *nfSite) adds(ctx context.Context, root string, n int, rounds *nfRounds) error {
	without, err := ours(s.node, root)
	if err != nil {
		return err
	}
	with, bare := s.attachment("with", s.conf), s.attachment("without", without.conf)
	for range n {
		for _, turn := range []struct {
			at   *attachment
			into *series
		}{{with, &rounds.With}, {bare, &rounds.Without}} {
			began := time.Now()
			if err := turn.at.add(ctx); err != nil {
				return err
			}
			turn.into.Millis = append(turn.into.Millis, millis(time.Since(began)))
			if err := turn.at.del(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
