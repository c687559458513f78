package lease_test

import (
	"net"
	"net/netip"
	"testing/synctest"
	"time"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/wire"
)

// ether is the LAN's ARP: foreign hosts, and who hears what.
type ether struct {
	ears   map[*earDoor]bool
	hosts  map[netip.Addr]wire.MAC // foreign, they answer probes
	arps   []spoken
	arpErr error // of opening
	told   int   // how often the filter was changed
}

func newEther() ether {
	return ether{ears: map[*earDoor]bool{}, hosts: map[netip.Addr]wire.MAC{}}
}

// spoken is an ARP packet that the keeper sent.
type spoken struct {
	wire.ARP
	at   time.Time
	link string
}

// earDoor is an open socket for ARP.
type earDoor struct {
	lan    *lan
	link   string
	claims []wire.Claim
	heard  chan wire.ARP
	broken chan error
	ended  chan struct{}
	dead   bool // its link was removed
}

func (l *lan) ARP(link string, vid uint16) (lease.ARPConn, error) {
	l = l.vlan(vid)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.arpErr != nil {
		return nil, l.arpErr
	}
	d := &earDoor{lan: l, link: link, heard: make(chan wire.ARP, 4096), broken: make(chan error, 1), ended: make(chan struct{})}
	l.ears[d] = true
	return d, nil
}

func (d *earDoor) Watch(claims []wire.Claim) error {
	d.lan.set(func() {
		d.claims = claims
		d.lan.told++
	})
	return nil
}

func (d *earDoor) Receive() (wire.ARP, error) {
	select {
	case p := <-d.heard:
		return p, nil
	case err := <-d.broken:
		return wire.ARP{}, err
	case <-d.ended:
		return wire.ARP{}, net.ErrClosed
	}
}

func (d *earDoor) Close() error {
	d.lan.mu.Lock()
	defer d.lan.mu.Unlock()
	if !d.lan.ears[d] {
		return net.ErrClosed
	}
	delete(d.lan.ears, d)
	close(d.ended)
	return nil
}

func (d *earDoor) Send(p wire.ARP) error {
	l := d.lan
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.sendErr != nil:
		l.failed++
		return l.sendErr
	case !l.ears[d]:
		return net.ErrClosed
	case d.dead:
		return wire.ErrNoLink
	}
	if !l.forget {
		l.arps = append(l.arps, spoken{ARP: p, at: time.Now(), link: d.link})
	}
	if host, ok := l.hosts[p.TargetIP]; ok && p.SenderIP.IsUnspecified() {
		answer := wire.ARP{Reply: true, SenderMAC: host, SenderIP: p.TargetIP, TargetMAC: p.SenderMAC, TargetIP: p.SenderIP}
		time.AfterFunc(time.Millisecond, func() { l.set(func() { l.hear(answer) }) })
	}
	return nil
}

// hear has a packet arrive where it is watched for.
func (l *lan) hear(p wire.ARP) {
	for d := range l.ears {
		if d.dead {
			continue
		}
		for _, c := range d.claims {
			claimed := p.SenderIP == c.Addr || p.SenderIP.IsUnspecified() && p.TargetIP == c.Addr
			if claimed && p.SenderMAC != c.MAC {
				d.heard <- p
				break
			}
		}
	}
}

// claim has a host say that it has the address.
func (n *node) claim(addr netip.Addr, mac wire.MAC) {
	n.set(func() { n.hear(wire.ARP{SenderMAC: mac, SenderIP: addr, TargetIP: addr}) })
	synctest.Wait()
}

func stranger() wire.MAC { return wire.MAC{0x52, 0x54, 0, 7, 7, 7} }

// spoken returns what was sent about the address: probes, and what tells that
// it is ours.
func (n *node) spokenOf(addr netip.Addr) (probes, announcements []spoken) {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	for _, p := range n.arps {
		switch {
		case p.TargetIP != addr:
		case p.SenderIP.IsUnspecified():
			probes = append(probes, p)
		case p.SenderIP == addr:
			announcements = append(announcements, p)
		}
	}
	return probes, announcements
}

// wantSpoken checks how many probes and announcements there were.
func (n *node) wantSpoken(addr netip.Addr, probes, announcements int) {
	n.Helper()
	p, a := n.spokenOf(addr)
	if len(p) != probes || len(a) != announcements {
		n.Errorf("%d probes and %d announcements of %s, %d and %d wanted", len(p), len(a), addr, probes, announcements)
	}
}

// wantListening checks how many sockets for ARP are open.
func (n *node) wantListening(want int) {
	n.Helper()
	if got := n.listening(); got != want {
		n.Errorf("%d sockets for ARP, %d wanted", got, want)
	}
}

func (l *lan) listening() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.ears)
	for _, v := range l.vlans {
		n += v.listening()
	}
	return n
}
