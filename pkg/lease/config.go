package lease

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// Wire opens the ways to a DHCP server. wire's own functions are the real one.
type Wire interface {
	// Uplink listens and speaks on the node's uplink, with that tag and in that
	// VLAN alone; 0: without a tag.
	Uplink(name string, vid uint16) (Conn, error)
	// Pod does so from within a Pod's namespace.
	Pod(netns, ifName string) (Conn, error)
	// Port does so from a momentary port of a bridge, for a release where
	// neither of the others is left; in that VLAN of it, if not 0.
	Port(bridge string, vid uint16, mac wire.MAC) (Conn, error)
	// ARP hears and speaks ARP on a bridge, or another parent of Pods, in that
	// VLAN; 0: without a tag.
	ARP(link string, vid uint16) (ARPConn, error)
	// State tells whether the link exists and has carrier.
	State(name string) (present, carrier bool)
	// NIC names the link whose cable the link's frames take: it itself, what its
	// VLAN interface stands on, the bridge's uplink. They bear that tag there; 0:
	// none, or several. Not known: there is no such link, so far.
	NIC(link string) (name string, vid uint16, known bool)
}

// Conn is an open way. Receive blocks until there is a message, or Close, after
// which it returns net.ErrClosed.
type Conn interface {
	Receive() (wire.Message, error)
	Send(d wire.Datagram) error
	Close() error
}

// ARPConn is an open way for ARP; *wire.ARPConn is the real one.
type ARPConn interface {
	Watch(claims []wire.Claim) error
	Receive() (wire.ARP, error)
	Send(p wire.ARP) error
	Close() error
}

// Verdict is what can be said of a pending lease.
type Verdict int

// The verdicts.
const (
	// Wait: not to be told yet, or at all; ask again.
	Wait Verdict = iota
	// Confirmed: the ADD has finished, the lease is in use.
	Confirmed
	// Refuted: the ADD died, or what it made is gone.
	Refuted
)

// Held is what Confirm is asked about.
type Held struct {
	Key     leaseapi.Key
	Request leaseapi.Request
	Lease   dhcp4.Lease
}

// Config is what a keeper works with. Dir and Wire are required.
type Config struct {
	// Dir is the folder of the leases, the keeper's own.
	Dir  string
	Wire Wire
	// Confirm judges pending leases. It may be slow; it is called off the
	// keeper's own goroutine, several at once. Nil confirms all.
	Confirm func(Held) Verdict
	// Changed is told of each lease that was lost, came back, or has another
	// address now (policy replace), in order, on the keeper's own goroutine: it
	// must neither block nor call the keeper.
	Changed func(leaseapi.Lease)
	// Borne tells whether the node itself bears an address, whose own stack does
	// not hear its probes: what a server offers of them is refused, in whatever
	// VLAN. The node's routing knows no VLANs: what it sends to a Pod of that
	// address, it sends to itself. It is called on the keeper's own goroutine and
	// must be quick. Nil: none is.
	Borne    func(netip.Addr) bool
	Observer Observer
	Log      *slog.Logger
	// Wall is the wall clock: for people, and for the age of a lease of another
	// boot, since nothing else outlives one. Default: the system's.
	Wall func() time.Time
	// Now is the time since boot, BootID the boot. Default: the kernel's.
	Now    func() time.Duration
	BootID string
}

// ErrInUse says that another keeper has the folder.
var ErrInUse = errors.New("another podland keeps leases there")

// complete fills in the defaults.
func (c *Config) complete() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Confirm == nil {
		c.Confirm = func(Held) Verdict { return Confirmed }
	}
	if c.Borne == nil {
		c.Borne = func(netip.Addr) bool { return false }
	}
	if c.Changed == nil {
		c.Changed = func(leaseapi.Lease) {}
	}
	if c.Wall == nil {
		c.Wall = time.Now //nolint:forbidigo // see there
	}
	if c.Now == nil {
		c.Now = boottime.Now
	}
	if c.BootID != "" {
		return nil
	}
	var err error
	c.BootID, err = boottime.BootID()
	return err
}
