package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// carriers watches the uplinks: when one has carrier again, the cable may lead
// elsewhere. The leases are then verified and the Pods announced, paced.
type carriers struct {
	links  *rtnl.Handle
	store  *attachment.Store
	leases leases
	log    *slog.Logger
	count  func(event string)

	watched map[string]context.CancelFunc // the reconciler's goroutine alone
	all     sync.WaitGroup
}

const (
	// lookAgain is how often a link is looked for that is not there.
	lookAgain = 2 * time.Second
	// announcePause lies between two announcements of what is not leased: 500
	// ARP packets per second at most.
	announcePause = 2 * time.Millisecond
	// forwardingTakes is how long a bridge with STP may keep back a port that has
	// carrier: listening, then learning, of 30 s each at most (IEEE 802.1D).
	forwardingTakes = time.Minute
)

// watch has exactly those uplinks watched, until ctx ends.
func (c *carriers) watch(ctx context.Context, uplinks []string) {
	if c.watched == nil {
		c.watched = map[string]context.CancelFunc{}
	}
	for name, end := range c.watched {
		if !slices.Contains(uplinks, name) {
			end()
			delete(c.watched, name)
		}
	}
	for _, name := range uplinks {
		if name == "" || c.watched[name] != nil {
			continue
		}
		seen, _, _ := c.read(name) // here, so that what changes from now on is seen
		c.log.Info("watching the carrier", "uplink", name)
		one, end := context.WithCancel(ctx)
		c.watched[name] = end
		c.all.Go(func() { c.one(one, name, seen) })
	}
}

// one waits for the uplink's carrier to return, again and again.
func (c *carriers) one(ctx context.Context, name string, seen carrier) {
	for {
		seen = c.next(ctx, name, seen)
		if ctx.Err() != nil {
			return
		}
		c.returned(ctx, name)
	}
}

// carrier is one stretch of time in which a link has had carrier, or none.
type carrier struct {
	index   int
	changes uint32
}

// next waits until the uplink has another carrier than it had.
func (c *carriers) next(ctx context.Context, name string, seen carrier) carrier {
	for ctx.Err() == nil {
		now, _, err := c.read(name)
		if err != nil { // it is not there
			pause(ctx, lookAgain)
			continue
		}
		events, err := c.links.Watch(now.index)
		if err != nil {
			c.log.Error("uplink cannot be watched", "uplink", name, "error", err)
			pause(ctx, lookAgain)
			continue
		}
		found, ok := c.await(ctx, name, now.index, seen, events)
		events.Close()
		if ok {
			return found
		}
	}
	return seen
}

// await is next for as long as the link is the one that the events are of.
func (c *carriers) await(ctx context.Context, name string, index int, seen carrier, events *rtnl.Events) (carrier, bool) {
	for ctx.Err() == nil {
		now, up, err := c.read(name)
		switch {
		case err != nil || now.index != index:
			return seen, false
		case up && now != seen:
			return now, true
		}
		if err := events.Wait(ctx); err != nil {
			pause(ctx, lookAgain)
		}
	}
	return seen, false
}

func (c *carriers) read(name string) (now carrier, up bool, err error) {
	link, err := c.links.Link(name)
	if err != nil {
		return carrier{}, false, err
	}
	now.index = link.Attrs().Index
	now.changes, err = c.links.CarrierChanges(now.index)
	return now, rtnl.HasCarrier(link), err
}

// uplinkOf is the record's way to the LAN, found where the conf names none.
func (c *carriers) uplinkOf(rec attachment.Record) string {
	if rec.Uplink != "" || rec.Bridge == "" {
		return rec.Uplink
	}
	uplink, err := segment.FindUplink(c.links, rec.Bridge, "")
	if err != nil {
		return "" // several candidates: an ADD that has to know is told so
	}
	return uplink
}

func (c *carriers) returned(ctx context.Context, uplink string) {
	c.log.Info("the uplink has carrier again: leases are verified, Pods announced", "uplink", uplink)
	c.count("carrier")
	records, err := c.store.All()
	if err != nil {
		c.log.Error("attachment records", "error", err)
	}
	records = slices.DeleteFunc(records, func(rec attachment.Record) bool {
		return rec.State != attachment.Ready || c.uplinkOf(rec) != uplink
	})
	behind := map[string]bool{uplink: true} // what the lease keeper knows its segments by
	for _, rec := range records {
		behind[rec.Bridge] = true
	}
	for segment := range behind {
		if err := c.leases.Verify(segment); err != nil {
			c.log.Error("leases cannot be verified", "segment", segment, "error", err)
		}
	}
	records = slices.DeleteFunc(records, func(rec attachment.Record) bool { return rec.Closed != "" || len(unleased(rec)) == 0 })
	if len(records) == 0 {
		return
	}
	c.forwarding(ctx, uplink)
	for _, rec := range records {
		c.announce(ctx, rec)
	}
}

// forwarding waits until frames leave by the uplink: its bridge learns of the
// carrier up to a second later than podland, and until then drops them.
func (c *carriers) forwarding(ctx context.Context, uplink string) {
	ctx, cancel := context.WithTimeout(ctx, forwardingTakes)
	defer cancel()
	if err := pod.WaitForwarding(ctx, c.links, uplink); err != nil {
		c.log.Warn("addresses are announced by an uplink that does not forward", "uplink", uplink, "error", err)
	}
}

// unleased are the record's addresses but for a leased one, which the lease
// keeper announces at its segment's pace.
func unleased(rec attachment.Record) (addrs []netip.Addr) {
	for _, prefix := range rec.Addrs {
		if rec.IPAM != netconf.TypeDHCP || !prefix.Addr().Is4() {
			addrs = append(addrs, prefix.Addr())
		}
	}
	return addrs
}

// announce tells the LAN where the record's addresses are.
func (c *carriers) announce(ctx context.Context, rec attachment.Record) {
	for _, addr := range unleased(rec) {
		if err := pod.Announce(ctx, c.links, rec.Bridge, rec.PVID(), rec.HardwareAddr(), []netip.Addr{addr}); err != nil {
			c.log.Warn("cannot announce", "key", rec.Key.String(), "error", err)
		}
		pause(ctx, announcePause)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
