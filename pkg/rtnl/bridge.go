package rtnl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// extSkipStats is RTEXT_FILTER_SKIP_STATS (Linux 4.6): statistics are most of an
// answer and nobody here reads them.
const extSkipStats = 1 << 3

// ntfSticky is NTF_STICKY of linux/neighbour.h.
const ntfSticky = 1 << 6

// userHZ is the unit of the bridge's times in netlink, 1/100 s on every
// architecture that Go runs on.
const userHZ = 10 * time.Millisecond

// The states of a bridge port, IFLA_BRPORT_STATE.
const (
	PortDisabled   = 0
	PortListening  = 1
	PortLearning   = 2
	PortForwarding = 3
	PortBlocking   = 4
)

// ErrNoPort says that the link is a port of no bridge.
var ErrNoPort = errors.New("not a bridge port")

// PortInfo is a link's place in its bridge.
type PortInfo struct {
	// Bridge is the bridge's index.
	Bridge int
	// State is one of PortDisabled to PortBlocking.
	State uint8
	Flags PortFlags
}

// PortFlags are the flags of a bridge port that Podlan sets.
type PortFlags struct {
	Learning, Flood, Hairpin, Isolated bool
	// Locked: frames from a MAC without an FDB entry on this port are dropped
	// (Linux 5.18; older ones ignore it).
	Locked bool
	// MulticastRouter: 0 never, 1 learned (the kernel's default), 2 always.
	MulticastRouter uint8
}

// BridgeInfo is what decides when a new port of the bridge forwards, and what.
type BridgeInfo struct {
	STP          bool
	ForwardDelay time.Duration
	// VLANFiltering: the bridge tells VLANs apart.
	VLANFiltering bool
	// DefaultPVID is the VLAN that a new port gets untagged; 0: none.
	DefaultPVID uint16
	// ServiceVLANs: its VLANs are those of 802.1ad tags (vlan_protocol).
	ServiceVLANs bool
}

// CarrierChanges counts how often the link has lost or got its carrier (Linux
// 3.15): one that flapped between two looks is no longer the same.
func (h *Handle) CarrierChanges(index int) (uint32, error) {
	attrs, err := h.attributes(index)
	if err != nil {
		return 0, err
	}
	return number(attrs[unix.IFLA_CARRIER_CHANGES]), nil
}

// Port returns the port's place in its bridge; ErrNotFound if there is no such
// link, ErrNoPort if it is in no bridge.
func (h *Handle) Port(index int) (PortInfo, error) {
	attrs, err := h.attributes(index)
	if err != nil {
		return PortInfo{}, err
	}
	info := nested(attrs[unix.IFLA_LINKINFO])
	if cString(info[nl.IFLA_INFO_SLAVE_KIND]) != "bridge" {
		return PortInfo{}, fmt.Errorf("link %d: %w", index, ErrNoPort)
	}
	data := nested(info[nl.IFLA_INFO_SLAVE_DATA])
	return PortInfo{
		Bridge: int(number(attrs[unix.IFLA_MASTER])),
		State:  uint8(number(data[nl.IFLA_BRPORT_STATE])),
		Flags: PortFlags{
			Learning:        number(data[nl.IFLA_BRPORT_LEARNING]) != 0,
			Flood:           number(data[nl.IFLA_BRPORT_UNICAST_FLOOD]) != 0,
			Hairpin:         number(data[nl.IFLA_BRPORT_MODE]) != 0,
			Isolated:        number(data[nl.IFLA_BRPORT_ISOLATED]) != 0,
			Locked:          number(data[nl.IFLA_BRPORT_LOCKED]) != 0,
			MulticastRouter: uint8(number(data[nl.IFLA_BRPORT_MULTICAST_ROUTER])),
		},
	}, nil
}

// PortState returns the port's state, PortDisabled to PortBlocking; errors as
// Port.
func (h *Handle) PortState(index int) (uint8, error) {
	p, err := h.Port(index)
	return p.State, err
}

// Bridge returns what decides when a new port of the bridge forwards, and what.
func (h *Handle) Bridge(index int) (BridgeInfo, error) {
	attrs, err := h.attributes(index)
	if err != nil {
		return BridgeInfo{}, err
	}
	info := nested(attrs[unix.IFLA_LINKINFO])
	if kind := cString(info[nl.IFLA_INFO_KIND]); kind != "bridge" {
		return BridgeInfo{}, fmt.Errorf("link %d is no bridge but %q", index, kind)
	}
	data := nested(info[nl.IFLA_INFO_DATA])
	return BridgeInfo{
		STP:          number(data[nl.IFLA_BR_STP_STATE]) != 0,
		ForwardDelay: time.Duration(number(data[nl.IFLA_BR_FORWARD_DELAY])) * userHZ,

		VLANFiltering: number(data[nl.IFLA_BR_VLAN_FILTERING]) != 0,
		DefaultPVID:   uint16(number(data[nl.IFLA_BR_VLAN_DEFAULT_PVID])),
		ServiceVLANs:  bytes.Equal(data[nl.IFLA_BR_VLAN_PROTOCOL], []byte{unix.ETH_P_8021AD >> 8, unix.ETH_P_8021AD & 0xff}),
	}, nil
}

// SetPortFlags sets all of the port's flags in one message.
func (h *Handle) SetPortFlags(index int, f PortFlags) error {
	req := h.request(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
	msg.Index = int32(index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	flag := func(kind int, on bool) { info.AddRtAttr(kind, nl.Uint8Attr(bit(on))) }
	flag(nl.IFLA_BRPORT_LEARNING, f.Learning)
	flag(nl.IFLA_BRPORT_UNICAST_FLOOD, f.Flood)
	flag(nl.IFLA_BRPORT_MODE, f.Hairpin)
	flag(nl.IFLA_BRPORT_ISOLATED, f.Isolated)
	flag(nl.IFLA_BRPORT_LOCKED, f.Locked)
	info.AddRtAttr(nl.IFLA_BRPORT_MULTICAST_ROUTER, nl.Uint8Attr(f.MulticastRouter))
	req.AddData(info)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("set the flags of port %d: %w", index, typed(err))
	}
	return nil
}

// AddFDB puts a static entry for mac on the port into its bridge's table. It is
// sticky (Linux 4.19: no frame from elsewhere moves it) unless the kernel
// refuses that; sticky tells which.
func (h *Handle) AddFDB(port int, mac net.HardwareAddr) (sticky bool, err error) {
	if err := h.addFDB(port, mac, ntfSticky); err == nil {
		return true, nil
	}
	if err := h.addFDB(port, mac, 0); err != nil {
		return false, fmt.Errorf("static entry %s on port %d: %w", mac, port, typed(err))
	}
	return false, nil
}

// HasFDB tells whether the port has its static entry for mac, and if VIDs are
// given in each of those VLANs too. ErrUnsupported before Linux 5.0, which
// answers no question about a single entry.
func (h *Handle) HasFDB(port int, mac net.HardwareAddr, vids ...uint16) (bool, error) {
	for _, vid := range append([]uint16{0}, vids...) {
		if has, err := h.hasFDB(port, mac, vid); err != nil || !has {
			return false, err
		}
	}
	return true, nil
}

// hasFDB is about one VLAN's entry; 0 is the one that holds for no VLAN.
func (h *Handle) hasFDB(port int, mac net.HardwareAddr, vid uint16) (bool, error) {
	req := h.request(unix.RTM_GETNEIGH, 0)
	req.AddData(neighbour{index: port, flags: unix.NTF_MASTER})
	req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac))
	if vid != 0 {
		req.AddData(nl.NewRtAttr(unix.NDA_VLAN, nl.Uint16Attr(vid)))
	}
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return false, fmt.Errorf("entry %s of port %d: %w: %w", mac, port, errors.ErrUnsupported, err)
	case err != nil:
		return false, fmt.Errorf("entry %s of port %d: %w", mac, port, typed(err))
	}
	for _, a := range answers {
		if len(a) >= (neighbour{}).Len() && int(binary.NativeEndian.Uint32(a[4:])) == port &&
			binary.NativeEndian.Uint16(a[8:])&unix.NUD_NOARP != 0 {
			return true, nil
		}
	}
	return false, nil
}

func (h *Handle) addFDB(port int, mac net.HardwareAddr, flags uint8) error {
	req := h.request(unix.RTM_NEWNEIGH, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	req.AddData(neighbour{port, unix.NUD_NOARP, unix.NTF_MASTER | flags})
	req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// neighbour is struct ndmsg of the family AF_BRIDGE.
type neighbour struct {
	index int
	state uint16
	flags uint8
}

func (n neighbour) Len() int { return 12 }

func (n neighbour) Serialize() []byte {
	b := make([]byte, n.Len())
	b[0] = unix.AF_BRIDGE
	binary.NativeEndian.PutUint32(b[4:], uint32(n.index))
	binary.NativeEndian.PutUint16(b[8:], n.state)
	b[10] = n.flags
	return b
}

// attributes returns a link's netlink attributes by type.
func (h *Handle) attributes(index int) (map[uint16][]byte, error) {
	req := h.request(unix.RTM_GETLINK, 0)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extSkipStats)))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, fmt.Errorf("link %d: %w", index, typed(err))
	}
	if len(msgs) != 1 || len(msgs[0]) < unix.SizeofIfInfomsg {
		return nil, fmt.Errorf("link %d: the kernel answered %d messages", index, len(msgs))
	}
	return nested(msgs[0][unix.SizeofIfInfomsg:]), nil
}

// nested parses attributes; what cannot be parsed holds none.
func nested(b []byte) map[uint16][]byte {
	attrs := make(map[uint16][]byte)
	eachAttribute(b, func(kind uint16, value []byte) bool {
		attrs[kind] = value
		return true
	})
	return attrs
}

// eachAttribute calls fn with each attribute until it returns false.
func eachAttribute(b []byte, fn func(kind uint16, value []byte) bool) {
	for len(b) >= syscall.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < syscall.SizeofRtAttr || size > len(b) {
			return
		}
		if !fn(binary.NativeEndian.Uint16(b[2:])&nlaTypeMask, b[syscall.SizeofRtAttr:size]) {
			return
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}

// nlaTypeMask takes the flags "nested" and "network byte order" off a type.
const nlaTypeMask = 0x3fff

// number reads an unsigned attribute of 1, 2 or 4 bytes, 0 if it is missing.
func number(b []byte) uint32 {
	switch len(b) {
	case 1:
		return uint32(b[0])
	case 2:
		return uint32(binary.NativeEndian.Uint16(b))
	case 4:
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

func cString(b []byte) string { return unix.ByteSliceToString(b) }

func bit(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}
