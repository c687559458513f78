package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
)

// crowd is a lab in which very many clients of one segment want a lease at the
// same time: podland's, and those of a bare loop on the same uplink. No Pods
// are made; it is about the server, the wire and the window between them.
type crowd struct {
	*arena
	clients int
}

// crowdRound is what one side did in one turn. Wall is from the first request
// until the last client has its address, Bound how many have one of their own.
type crowdRound struct {
	Side  string  `json:"side"`
	Wall  float64 `json:"wallSeconds"`
	Bound int     `json:"bound"`
}

// patience is how long a crowd may take: its clients then stay without.
const patience = 2 * time.Minute

// runCrowd builds the lab and returns the rounds in the order they ran.
func runCrowd(ctx context.Context, opts options, log progress) (table, error) {
	var rounds []crowdRound
	log.logf("%d clients at once: building the lab", opts.clients)
	root, err := lab.ModuleRoot()
	if err != nil {
		return table{}, err
	}
	small := opts
	small.burst = 1
	// dnsmasq does not keep what it offers: in a pool that is half full it offers
	// one address to several clients at once, and then refuses most of them.
	network := lab.Options{
		Server: lab.Dnsmasq, CNIPath: []string{filepath.Join(root, "bin", "reference")},
		First: netip.MustParseAddr("198.18.16.0"), Last: netip.MustParseAddr("198.18.255.254"),
	}
	err = lab.Run(ctx, log.logf, network, func(l *lab.Lab) error {
		a, err := newArena(l, root, scenario{serial: 1}, small, log)
		if err != nil {
			return err
		}
		rounds, err = (&crowd{a, opts.clients}).alternate(ctx, opts)
		return err
	})
	return newCrowdTable(opts, rounds), err
}

// alternate lets the sides take turns, each beginning every other time.
func (c *crowd) alternate(ctx context.Context, opts options) ([]crowdRound, error) {
	turns := map[string]func(context.Context) ([]netip.Addr, time.Duration, error){podlan: c.podland, bareLoop: c.bare}
	sides := []string{podlan, bareLoop}
	if opts.only != "" {
		sides = []string{podlan}
	}
	var rounds []crowdRound
	for i := range opts.crowdRounds {
		for _, side := range sides {
			c.phase = fmt.Sprintf("%d clients at once, round %d of %d, %s", c.clients, i+1, opts.crowdRounds, side)
			if err := c.resetLAN(); err != nil {
				return nil, err
			}
			c.logf("start")
			addrs, took, err := turns[side](ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side, err)
			}
			r := crowdRound{Side: side, Wall: took.Seconds(), Bound: len(addrs)}
			c.logf("%d of %d have an address after %s", r.Bound, c.clients, duration(1000*r.Wall))
			rounds = append(rounds, r)
		}
		slices.Reverse(sides)
	}
	return rounds, nil
}

// mac is a client's address on the wire.
func (c *crowd) mac(i int) [6]byte { return [6]byte{0x02, 0xc0, 0x0d, 0, byte(i >> 8), byte(i)} }

// podland asks a fresh podland for all leases at once, as podlan-dhcp does.
func (c *crowd) podland(ctx context.Context) (addrs []netip.Addr, took time.Duration, err error) {
	d, err := c.both[0].start(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("podland: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	podland := client.New(c.node.Socket())
	leases, errs := make([]leaseapi.Lease, c.clients), make([]error, c.clients)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range c.clients {
		all.Go(func() {
			key, req := c.request(i)
			<-start
			leases[i], errs[i] = podland.Acquire(ctx, key, req)
		})
	}
	began := time.Now()
	close(start)
	all.Wait()
	took = time.Since(began)
	if err := firstOf(errs); err != nil {
		c.logf("not all: %v", err)
	}
	for _, l := range leases {
		addrs = append(addrs, l.Address.Addr())
	}
	return distinctAddrs(addrs), took, d.Stop()
}

// request is what podlan-dhcp asks for with the shipped conf. Nothing ever
// confirms these, so they stay pending until long after the round.
func (c *crowd) request(i int) (leaseapi.Key, leaseapi.Request) {
	mac := c.mac(i)
	key := leaseapi.Key{Network: "lan", ContainerID: fmt.Sprintf("crowd-%d", i), IfName: "eth0"}
	return key, leaseapi.Request{
		ClientID: append([]byte{1}, mac[:]...), MAC: net.HardwareAddr(mac[:]).String(),
		Transport: leaseapi.FromUplink, Uplink: c.node.Uplink, Bridge: c.node.Bridge,
		Confirm: leaseapi.ByRecord, BudgetMS: 2 * patience.Milliseconds(), ParameterRequest: crowdOptions(),
	}
}

// crowdOptions are the parameters that the shipped conf asks for.
func crowdOptions() []byte { return []byte{121, 1, 3, 33, 6, 15, 119, 26} }

// bare runs the bare loop from the same uplink.
func (c *crowd) bare(ctx context.Context) ([]netip.Addr, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	loop, err := newLoop(c.node.Netns, c.node.Uplink)
	if err != nil {
		return nil, 0, err
	}
	defer loop.sock.Close()
	for i := range c.clients {
		loop.clients = append(loop.clients, &loopClient{mac: c.mac(i)})
	}
	began := time.Now()
	err = loop.run(ctx)
	took := time.Since(began)
	c.logf("%d messages sent again", loop.resent)
	var addrs []netip.Addr
	for _, l := range loop.clients {
		if l.state == bound {
			addrs = append(addrs, l.addr)
		}
	}
	return distinctAddrs(addrs), took, err
}

// distinctAddrs leaves out what is no address, and all but one of the same.
func distinctAddrs(addrs []netip.Addr) []netip.Addr {
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() })
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}
