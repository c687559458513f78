package lease

import (
	"slices"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// cable is what leads to a port of a switch. Its segments are paced together:
// DHCP snooping and ARP inspection count per port, whatever the VLAN. How many
// exchanges are in flight is each segment's own affair, for that is about its
// server.
type cable struct {
	packets, arp pacer
	releases     bucket
	segments     []*segment
}

// below is where a VLAN interface's frames go: by that tag on that NIC. What has
// to be said when the interface is gone, goes the same way.
type below struct {
	NIC string `json:"nic"`
	VID uint16 `json:"vid"`
}

// plug has the segment count for its NIC. That is asked for until it is known: a
// VLAN interface of before a reboot may be yet to be made.
func (k *Keeper) plug(s *segment) {
	if s.plugged {
		return
	}
	nic := s.name()
	s.plugged = nic == "" // of Pods on no bridge
	if !s.plugged {
		if found, vid, known := k.cfg.Wire.NIC(nic); known {
			nic, s.plugged, s.below = found, true, below{NIC: found, VID: vid}
		}
	}
	c, now := k.cables[nic], k.cfg.Now()
	if c == nil {
		c = &cable{packets: newPacer(now), arp: newPacer(now), releases: newBucket(releaseRate, releaseBurst, now)}
		k.cables[nic] = c
	}
	if s.cable == c {
		return
	}
	if s.cable != nil {
		s.cable.segments = slices.DeleteFunc(s.cable.segments, func(o *segment) bool { return o == s })
	}
	s.cable = c
	c.segments = append(c.segments, s)
	for _, e := range k.leases {
		if e.segment == s {
			k.enlist(e)
		}
	}
}

// next returns the segment that wants the most urgent lane, and when: later than
// now if none may, Never if none wants to. Who had its turn is asked last.
func (c *cable) next(now time.Duration) (s *segment, l lane, at time.Duration) {
	l, at = lanes, dhcp4.Never
	first := -1
	for i, s := range c.segments {
		switch lane, when := s.ready(now); {
		case when > now:
			at = min(at, when)
		case lane < l:
			first, l = i, lane
		}
	}
	if first < 0 {
		return nil, lanes, at
	}
	s = c.segments[first]
	c.segments = append(slices.Delete(c.segments, first, first+1), s)
	return s, l, now
}

// pump lets go what the cable bears and returns when it bears more.
func (k *Keeper) pump(c *cable, now time.Duration) time.Duration {
	for {
		s, l, at := c.next(now)
		if s == nil {
			return at
		}
		p := s.take(l)
		switch l {
		case declines:
			k.sayLast(s, p, now)
		case releases, repeats:
			k.sendRelease(p.entry, now)
		default:
			k.goOn(p.entry, now)
		}
	}
}
