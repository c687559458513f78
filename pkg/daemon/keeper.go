package daemon

import (
	"path/filepath"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/version"
	"github.com/podlan/podlan/pkg/wire"
)

// newKeeper puts a lease keeper on the node's own wires.
func newKeeper(cfg Config, store *attachment.Store, bootID string, o lease.Observer, changed func(leaseapi.Lease)) (*lease.Keeper, error) {
	return lease.New(lease.Config{
		Dir:      filepath.Join(cfg.StateDir, "leases"),
		Wire:     wires{},
		BootID:   bootID,
		Log:      cfg.Log,
		Observer: o,
		Changed:  changed,
		Borne:    new(borne).has,
		Confirm: func(h lease.Held) lease.Verdict {
			if h.Request.Confirm == leaseapi.ByAddress {
				return byAddress(h.Request.Netns, h.Key.IfName, h.Lease.Address)
			}
			return byRecord(store, bootID, h.Key)
		},
	})
}

// wires are the real ways to a server.
type wires struct{}

func (wires) Uplink(name string, vid uint16) (lease.Conn, error) {
	return conn(wire.OpenUplink(name, vid))
}

func (wires) Pod(netns, ifName string) (lease.Conn, error) { return conn(wire.OpenPod(netns, ifName)) }

func (wires) Port(bridge string, vid uint16, mac wire.MAC) (lease.Conn, error) {
	return conn(wire.OpenPort(bridge, vid, mac))
}

func (wires) ARP(link string, vid uint16) (lease.ARPConn, error) {
	c, err := wire.OpenARP(link, vid)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (wires) State(name string) (present, carrier bool) { return wire.LinkState(name) }

func (wires) NIC(name string) (nic string, vid uint16, known bool) {
	h, err := rtnl.Here()
	if err != nil {
		return "", 0, false
	}
	defer h.Close()
	return nicOf(h, name)
}

// conn keeps a nil *wire.Conn from becoming a lease.Conn that is not nil.
func conn(c *wire.Conn, err error) (lease.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

func status(cfg Config, started time.Time, keeper *lease.Keeper, pods bool, services *leaseapi.Services) leaseapi.Status {
	s := leaseapi.Status{
		Version: version.String(), StartedAt: started, StateDir: cfg.StateDir, PodAccess: pods,
		Leases: map[leaseapi.State]int{}, Segments: keeper.Segments(), Services: services,
	}
	for _, l := range keeper.List() {
		s.Leases[l.State]++
	}
	return s
}
