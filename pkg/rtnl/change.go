package rtnl

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Change is what one message changes of a link; zero fields are left alone.
type Change struct {
	// Name, at most 15 bytes. Before Linux 6.2 only of a link that is down.
	Name  string
	Alias string
	MAC   net.HardwareAddr
	// MTU in bytes.
	MTU int
	// Master is the index of the bridge to join; NoMaster leaves it.
	Master   int
	NoMaster bool
	// Up, Down set the administrative state.
	Up, Down bool
	// Promisc sets IFF_PROMISC.
	Promisc bool
	// NoLinkLocal: the kernel makes no IPv6 link-local address for the link
	// (addr_gen_mode none, Linux 3.18). Refused where IPv6 is not in the kernel.
	NoLinkLocal bool
}

// inet6AddrGenMode and its value, from linux/if_link.h.
const (
	inet6AddrGenMode = 8
	addrGenModeNone  = 1
)

// Change changes the link of that index in one message; ErrNotFound if it is
// gone.
func (h *Handle) Change(index int, c Change) error {
	req := h.request(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.AddData(c.header(index))
	for _, attr := range c.attrs() {
		req.AddData(attr)
	}
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("change link %d: %w", index, typed(err))
	}
	return nil
}

// ChangeNamed is Change for a link known by its name, in one message too; it
// cannot rename.
func (h *Handle) ChangeNamed(name string, c Change) error {
	c.Name = name
	if err := h.Change(0, c); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return nil
}

func (c Change) header(index int) *nl.IfInfomsg {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	if c.Up {
		msg.Flags |= unix.IFF_UP
		msg.Change |= unix.IFF_UP
	}
	if c.Down {
		msg.Change |= unix.IFF_UP
	}
	if c.Promisc {
		msg.Flags |= unix.IFF_PROMISC
		msg.Change |= unix.IFF_PROMISC
	}
	return msg
}

func (c Change) attrs() []*nl.RtAttr {
	var attrs []*nl.RtAttr
	add := func(kind int, value []byte) { attrs = append(attrs, nl.NewRtAttr(kind, value)) }
	if c.Name != "" {
		add(unix.IFLA_IFNAME, nl.ZeroTerminated(c.Name))
	}
	if c.Alias != "" {
		add(unix.IFLA_IFALIAS, []byte(c.Alias))
	}
	if c.MAC != nil {
		add(unix.IFLA_ADDRESS, c.MAC)
	}
	if c.MTU != 0 {
		add(unix.IFLA_MTU, nl.Uint32Attr(uint32(c.MTU)))
	}
	if c.Master != 0 || c.NoMaster {
		add(unix.IFLA_MASTER, nl.Uint32Attr(uint32(c.Master)))
	}
	if c.NoLinkLocal {
		spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
		spec.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(inet6AddrGenMode, nl.Uint8Attr(addrGenModeNone))
		attrs = append(attrs, spec)
	}
	return attrs
}

// SetUp sets the link up.
func (h *Handle) SetUp(index int) error { return h.Change(index, Change{Up: true}) }

// SetDown sets the link down; one that is gone is no error.
func (h *Handle) SetDown(index int) error {
	if err := h.Change(index, Change{Down: true}); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// SetMaster makes the link a port of the bridge.
func (h *Handle) SetMaster(index, bridge int) error {
	return h.Change(index, Change{Master: bridge})
}

// SetNoMaster takes the link out of its bridge.
func (h *Handle) SetNoMaster(index int) error { return h.Change(index, Change{NoMaster: true}) }

// SetMAC sets the link's hardware address.
func (h *Handle) SetMAC(index int, mac net.HardwareAddr) error {
	return h.Change(index, Change{MAC: mac})
}

// SetMTU sets the link's MTU in bytes.
func (h *Handle) SetMTU(index, mtu int) error { return h.Change(index, Change{MTU: mtu}) }

// SetName renames the link. Before Linux 6.2 it has to be down.
func (h *Handle) SetName(index int, name string) error { return h.Change(index, Change{Name: name}) }

// SetAlias sets the link's alias, at most 255 bytes.
func (h *Handle) SetAlias(index int, alias string) error {
	return h.Change(index, Change{Alias: alias})
}
