package wire

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ARPConn hears and sends ARP on one link: a bridge, from which both the uplink
// and this node's own containers are reached, or another parent of Pods. It is
// safe for concurrent use.
type ARPConn struct {
	conn  *Conn
	place arpPlace

	watching sync.Mutex
	claims   atomic.Pointer[claimants]
	// self is the MAC of the last probe.
	self atomic.Pointer[MAC]
}

// OpenARP opens the link in the calling thread's namespace. Nothing is heard
// before Watch. With a VLAN ID, 1 to 4094, packets leave with that 802.1Q tag and
// only those with exactly it are heard; a bridge that filters has to be in that
// VLAN itself, and may have it as its own untagged one. ErrNoLink if the link is
// missing; one that is down is none the worse. From a bridge its other ports are
// reached, from a port of it only the LAN. Nothing is made promiscuous: see Send.
// This node's macvlans on a parent neither hear it nor are heard there, only the
// LAN.
func OpenARP(link string, vid uint16) (*ARPConn, error) {
	if err := checkVID(vid); err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", link, err)
	}
	place, err := arpOn(link, vid)
	if err != nil {
		return nil, fmt.Errorf("ARP on %s, VLAN %d: %w", link, vid, err)
	}
	file, err := openSocket(link, place.silent())
	if err != nil {
		return nil, err
	}
	conn, err := newConn(file, place.tag, nothingMore)
	if err != nil {
		return nil, err
	}
	c := &ARPConn{conn: conn, place: place}
	c.claims.Store(&claimants{})
	return c, nil
}

// Watch says what is to be heard, from now on and instead of what was: packets
// whose sender claims one of the addresses, and probes for them (sender 0.0.0.0,
// RFC 5227 §2.1.1), unless they come from the claim's own MAC. The kernel drops
// all else; of more than about 1,300 claims, or less where net.core.optmem_max
// is small, it lets all ARP come to Receive, which passes over the rest.
func (c *ARPConn) Watch(claims []Claim) error {
	c.watching.Lock()
	defer c.watching.Unlock()
	by := sortClaims(claims)
	c.claims.Store(&by)
	on := c.place.only()
	all, filter := slices.Concat(on, anyARP()), slices.Concat(on, by.filter())
	if len(filter) > unix.BPF_MAXINSNS {
		return c.attach(all)
	}
	err := c.attach(filter)
	if !errors.Is(err, unix.ENOMEM) {
		return err
	}
	// The socket's memory has to hold the old filter and the new one at once:
	// there may be room beside a short one.
	if err := c.attach(all); err != nil {
		return err
	}
	if err := c.attach(filter); !errors.Is(err, unix.ENOMEM) {
		return err
	}
	return nil
}

// attach replaces the filter without a gap.
func (c *ARPConn) attach(prog []bpf.Instruction) (err error) {
	closed := c.conn.raw.Control(func(fd uintptr) { err = attach(int(fd), prog) })
	if closed != nil {
		err = net.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", c.conn.file.Name(), err)
	}
	return nil
}

// Receive waits for the next ARP packet that Watch wants, as Conn.Receive does.
func (c *ARPConn) Receive() (ARP, error) {
	c.conn.receiving.Lock()
	defer c.conn.receiving.Unlock()
	for {
		frame, aux, err := c.conn.next()
		if err != nil {
			return ARP{}, fmt.Errorf("receive from %s: %w", c.conn.file.Name(), err)
		}
		p, ok := parseARP(frame)
		if ok && aux.on(c.conn.vid) && c.claims.Load().want(p) && !c.reflected(p) {
			return p, nil
		}
	}
}

// reflected tells whether a network that sends broadcasts back has sent us our
// own probe.
func (c *ARPConn) reflected(p ARP) bool {
	self := c.self.Load()
	return p.isProbe() && self != nil && p.SenderMAC == *self
}

// Send puts one packet on the wire; errors as those of Conn.Send. A probe leaves
// with the link's own MAC in place of SenderMAC, "the interface sending the
// packet" (RFC 5227 §2.1.1): it is answered by unicast to that MAC, and a bridge
// keeps an answer to a Pod's from its own device unless it is promiscuous. Nor
// does a switch move the MAC of a Pod that is still alive elsewhere. Nobody
// learns an address from a probe.
func (c *ARPConn) Send(p ARP) error {
	if p.isProbe() {
		self, err := c.linkMAC()
		if err != nil {
			return fmt.Errorf("send from %s: %w", c.conn.file.Name(), err)
		}
		c.self.Store(&self)
		p.SenderMAC = self
	}
	frame, err := p.frame()
	if err != nil {
		return err
	}
	return c.conn.write(frame)
}

// linkMAC asks anew each time: a bridge whose MAC nobody pinned takes one of its
// ports'.
func (c *ARPConn) linkMAC() (MAC, error) {
	var sa unix.Sockaddr
	var err error
	if closed := c.conn.raw.Control(func(fd uintptr) { sa, err = unix.Getsockname(int(fd)) }); closed != nil {
		return MAC{}, net.ErrClosed
	}
	if err != nil {
		return MAC{}, fmt.Errorf("getsockname: %w", err)
	}
	link, ok := sa.(*unix.SockaddrLinklayer)
	if !ok || int(link.Halen) != len(MAC{}) {
		return MAC{}, fmt.Errorf("its MAC: %w", ErrNoLink)
	}
	return MAC(link.Addr[:len(MAC{})]), nil
}

// Close ends Receive. A second call returns net.ErrClosed.
func (c *ARPConn) Close() error { return c.conn.Close() }
