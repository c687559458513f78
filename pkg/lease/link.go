package lease

import (
	"errors"
	"net"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// linger is how long an uplink's socket stays open after the last exchange:
// opening one changes the NIC's promiscuity, and ADDs come in crowds.
const linger = time.Second

// heard is a message from a socket: ARP if it has an ear.
type heard struct {
	message wire.Message
	segment *segment // whose socket it was, or a Pod's of it
	ear     *ear
	arp     wire.ARP
}

// link is an open socket: a segment's, shared, or one entry's own in its Pod.
type link struct {
	conn   Conn
	shared bool
	refs   int // exchanges that use it, if shared
	dead   bool
}

// open gives the entry a socket.
func (k *Keeper) open(e *entry) error {
	if e.conn != nil && !e.conn.dead {
		return nil
	}
	k.hangUpFor(e, k.cfg.Now())
	if k.ending {
		return errStopped
	}
	if e.req.Transport == leaseapi.FromPod {
		conn, err := k.cfg.Wire.Pod(e.req.Netns, e.key.IfName)
		if err != nil {
			return err
		}
		e.conn = k.listenOn(conn, e.segment)
		return nil
	}
	s := e.segment
	if s.conn == nil {
		conn, err := k.openUplink(e)
		if err != nil {
			return err
		}
		s.conn = k.listenOn(conn, s)
		s.conn.shared = true
	}
	s.conn.refs++
	e.conn = s.conn
	return nil
}

// openUplink opens the segment's uplink, or for what is given back the NIC below
// it: a VLAN interface goes with its last Pod.
func (k *Keeper) openUplink(e *entry) (Conn, error) {
	s := e.segment
	conn, err := k.cfg.Wire.Uplink(s.uplink, s.tag)
	if e.stage != releasing || s.below.VID == 0 || !missing(err) {
		return conn, err
	}
	conn, errBelow := k.cfg.Wire.Uplink(s.below.NIC, s.below.VID)
	if errBelow != nil {
		return nil, errors.Join(err, errBelow)
	}
	return conn, nil
}

// listenOn hands what the socket hears to Run.
func (k *Keeper) listenOn(conn Conn, s *segment) *link {
	l := &link{conn: conn}
	go func() {
		for {
			m, err := conn.Receive()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				k.later(func() { k.broken(l) })
				return
			}
			select {
			case k.heard <- heard{message: m, segment: s}:
			case <-k.done:
				return
			}
		}
	}()
	return l
}

// broken closes a socket that is of no use any more: its device was removed.
// Who sends next opens another.
func (k *Keeper) broken(l *link) {
	l.dead = true
	_ = l.conn.Close()
	for _, s := range k.segments {
		if s.conn == l {
			s.conn = nil
		}
	}
}

// hangUpFor lets go of the entry's socket.
func (k *Keeper) hangUpFor(e *entry, now time.Duration) {
	l := e.conn
	e.conn = nil
	switch {
	case l == nil:
	case !l.shared:
		_ = l.conn.Close()
	default:
		if l.refs--; l.refs == 0 {
			e.segment.closeAt = now + linger
		}
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

// hangUp closes every socket, at the end. Those of releases on their way close
// themselves.
func (k *Keeper) hangUp() {
	for _, e := range k.leases {
		if e.conn != nil && !e.conn.shared {
			_ = e.conn.conn.Close()
		}
	}
	for _, s := range k.segments {
		if s.conn != nil {
			_ = s.conn.conn.Close()
		}
	}
	for _, r := range k.ears {
		if r.conn != nil {
			_ = r.conn.Close()
		}
	}
}
