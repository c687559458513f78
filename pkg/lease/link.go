package lease

import (
	"errors"
	"io/fs"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// linger is how long an uplink's socket stays open after the last exchange:
// opening one changes the NIC's promiscuity, and ADDs come in crowds.
const linger = time.Second

// heard is a message from a socket.
type heard struct{ message wire.Message }

// link is an open socket and how many exchanges use it.
type link struct {
	conn Conn
	refs int
}

// open gives the entry a socket: an uplink's is shared, a Pod's is its own.
func (k *Keeper) open(e *entry) error {
	if e.conn != nil {
		return nil
	}
	if e.req.Transport == leaseapi.FromPod {
		conn, err := k.cfg.Wire.Pod(e.req.Netns, e.key.IfName)
		if err != nil {
			return err
		}
		e.conn = k.listenOn(conn)
		return nil
	}
	s := e.segment
	if s.conn == nil {
		conn, err := k.cfg.Wire.Uplink(e.req.Uplink)
		if err != nil {
			return err
		}
		s.conn = k.listenOn(conn)
	}
	s.conn.refs++
	e.conn = s.conn
	return nil
}

// listenOn hands what the socket hears to Run.
func (k *Keeper) listenOn(conn Conn) *link {
	go func() {
		for {
			m, err := conn.Receive()
			if err != nil {
				return // closed
			}
			select {
			case k.heard <- heard{message: m}:
			case <-k.done:
				return
			}
		}
	}()
	return &link{conn: conn}
}

func (k *Keeper) hangUpFor(e *entry, now time.Duration) {
	l := e.conn
	e.conn = nil
	switch {
	case l == nil:
	case l == e.segment.conn:
		if l.refs--; l.refs == 0 {
			e.segment.closeAt = now + linger
		}
	default:
		_ = l.conn.Close()
	}
}

// closeIdle closes a socket that nobody has used for a while, and returns when
// to look again.
func (k *Keeper) closeIdle(s *segment, now time.Duration) time.Duration {
	switch {
	case s.conn == nil || s.conn.refs > 0:
		return dhcp4.Never
	case now < s.closeAt:
		return s.closeAt
	}
	_ = s.conn.conn.Close()
	s.conn = nil
	return dhcp4.Never
}

// hangUp closes every socket, at the end.
func (k *Keeper) hangUp() {
	for _, e := range k.leases {
		if e.conn != nil && e.conn != e.segment.conn {
			_ = e.conn.conn.Close()
		}
	}
	for _, s := range k.segments {
		if s.conn != nil {
			_ = s.conn.conn.Close()
		}
	}
}

// missing tells that the way does not exist, from one that is down.
func missing(err error) bool {
	return errors.Is(err, wire.ErrNoLink) || errors.Is(err, fs.ErrNotExist)
}

// segmentOf returns the segment that the request's exchanges count for.
func (k *Keeper) segmentOf(req leaseapi.Request) *segment {
	name := "uplink " + req.Uplink
	if req.Transport == leaseapi.FromPod {
		name = "bridge " + req.Bridge
	}
	s := k.segments[name]
	if s == nil {
		now := k.cfg.Now()
		s = &segment{
			uplink: req.Uplink, bridge: req.Bridge, window: firstWindow,
			packets: newBucket(packetRate, now), releases: newBucket(releaseRate, now),
		}
		k.segments[name] = s
	}
	return s
}
