package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// requestTimeout is how long one request of the traffic may take: far longer
// than any does, so that only what is lost fails.
const requestTimeout = 5 * time.Second

// traffic is one request after another, each on a connection of its own.
type traffic struct {
	cancel context.CancelFunc
	group  sync.WaitGroup

	answered, failed atomic.Int64

	mu      sync.Mutex
	lastErr error
	slowest time.Duration
}

func startTraffic(ctx context.Context, from *lab.Netns, to netip.AddrPort) *traffic {
	t := &traffic{}
	ctx, t.cancel = context.WithCancel(ctx)
	t.group.Go(func() {
		for ctx.Err() == nil {
			t.request(ctx, from, to)
		}
	})
	return t
}

func (t *traffic) request(ctx context.Context, from *lab.Netns, to netip.AddrPort) {
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, r, err := visit(limited, from, to)
	if ctx.Err() != nil {
		return // cut off by us
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failed.Add(1)
		t.lastErr = err
		return
	}
	t.answered.Add(1)
	t.slowest = max(t.slowest, r.took)
}

// more waits until n more requests have been answered and returns how many were
// since it was called.
func (t *traffic) more(ctx context.Context, n int64) (int64, error) {
	from := t.answered.Load()
	err := lab.Until(ctx, func() error {
		if now := t.answered.Load(); now < from+n {
			return fmt.Errorf("traffic: %d requests answered, %d failed, the last one: %w", now, t.failed.Load(), t.failure())
		}
		return nil
	})
	return t.answered.Load() - from, err
}

func (t *traffic) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lastErr
}

// end stops the traffic; an error if any request has failed.
func (t *traffic) end() error {
	t.cancel()
	t.group.Wait()
	if n := t.failed.Load(); n > 0 {
		return fmt.Errorf("%d of %d requests failed, the last one: %w", n, n+t.answered.Load(), t.failure())
	}
	return nil
}

// witness watches the node's cable, and the DHCP server's log, for DHCP.
type witness struct {
	capture *lab.Capture
	frames  *atomic.Int64 // all that passed
	server  *dhcpd.Server
	logged  int // what the server had in its log before
	client  *lab.Host
}

func (d *demo) startWitness() witness {
	w := witness{frames: &atomic.Int64{}, server: d.lab.Server().Embedded(), client: d.client}
	w.logged = len(w.server.Log())
	w.capture = d.lab.Switch().Capture(d.node.SwitchPort, func(f ether.Frame) bool {
		w.frames.Add(1)
		_, dhcp := f.DHCP()
		return dhcp || isPing(f)
	})
	return w
}

// isPing tells whether the frame is an ICMP echo request (RFC 792).
func isPing(f ether.Frame) bool {
	p, ok := f.IPv4()
	return ok && p.Protocol == 1 && len(p.Payload) > 0 && p.Payload[0] == 8
}

// testify ends the watch and returns how many frames passed; an error tells of
// DHCP among them. The client's ping marks the end: what came before it on the
// cable has been counted when the capture has it.
func (w witness) testify(ctx context.Context, target netip.Addr) (int64, error) {
	if err := w.client.Ping(ctx, target); err != nil {
		return 0, err
	}
	if _, err := w.capture.AwaitFrame(ctx, isPing); err != nil {
		return 0, err
	}
	w.capture.Close()
	for _, f := range w.capture.All() {
		if _, dhcp := f.DHCP(); dhcp {
			return 0, fmt.Errorf("DHCP was spoken: %s", f)
		}
	}
	if log := w.server.Log(); len(log) > w.logged {
		return 0, fmt.Errorf("the DHCP server saw %s from %s", log[w.logged].Type, log[w.logged].MAC)
	}
	return w.frames.Load(), nil
}
