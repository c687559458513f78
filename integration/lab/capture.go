package lab

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/podlan/podlan/integration/lab/ether"
)

// Capture is a growing list of frames that an interface saw. Safe for
// concurrent use.
type Capture struct {
	sock *ether.Socket

	mu      sync.Mutex
	frames  []ether.Frame
	changed chan struct{} // closed and replaced when frames grow
	done    chan struct{}
}

// Capture collects the frames of an interface, both ways, that the filter wants
// (nil: all), from its return until the lab ends. An empty iface means every
// interface of the namespace; Frame.IfIndex tells them apart.
func (n *Netns) Capture(iface string, want func(ether.Frame) bool) *Capture {
	n.lab.tb.Helper()
	sock, err := n.captureSocket(iface)
	if err != nil {
		n.lab.tb.Fatalf("lab: capture on %s: %v", n.name, err)
	}
	c := &Capture{sock: sock, changed: make(chan struct{}), done: make(chan struct{})}
	go c.collect(want)
	n.lab.onClose(c.Close)
	return c
}

func (n *Netns) captureSocket(iface string) (*ether.Socket, error) {
	if iface != "" {
		_, sock, err := n.packetSocket(iface)
		return sock, err
	}
	var sock *ether.Socket
	err := n.Do(func() (err error) {
		sock, err = ether.Open(0, ether.All, nil)
		return err
	})
	return sock, err
}

func (c *Capture) collect(want func(ether.Frame) bool) {
	defer close(c.done)
	for {
		f, err := c.sock.Recv()
		if isClosed(err) {
			return
		}
		// Other errors pass: ENETDOWN when the interface goes down.
		if err == nil && (want == nil || want(f)) {
			c.add(f)
		}
	}
}

func (c *Capture) add(f ether.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
	close(c.changed)
	c.changed = make(chan struct{})
}

// All returns the frames so far.
func (c *Capture) All() []ether.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames)
}

// Await waits until the frames please the predicate, which is asked at once and
// after each frame, or ctx ends.
func (c *Capture) Await(ctx context.Context, pleased func([]ether.Frame) bool) error {
	ctx, cancel := context.WithTimeout(ctx, Stretch(patience))
	defer cancel()
	for {
		c.mu.Lock()
		changed, frames := c.changed, slices.Clone(c.frames)
		c.mu.Unlock()
		if pleased(frames) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("capture, %d frames: %w", len(frames), context.Cause(ctx))
		}
	}
}

// AwaitFrame waits for a frame that the predicate picks and returns the first.
func (c *Capture) AwaitFrame(ctx context.Context, pick func(ether.Frame) bool) (found ether.Frame, err error) {
	err = c.Await(ctx, func(frames []ether.Frame) bool {
		i := slices.IndexFunc(frames, pick)
		if i >= 0 {
			found = frames[i]
		}
		return i >= 0
	})
	return found, err
}

// Close ends collecting; the frames stay.
func (c *Capture) Close() {
	_ = c.sock.Close()
	<-c.done
}
