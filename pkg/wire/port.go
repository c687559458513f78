package wire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

const (
	// portPrefix begins the names of both ends of a momentary port, and of
	// nothing else: what bears it without a podland is garbage.
	portPrefix = "podlan-r"
	// forwardingBudget bounds the wait for the bridge.
	forwardingBudget = 5 * time.Second
	// belowIPv6 is the largest MTU, in bytes, with which a link has no IPv6 (RFC
	// 8200 §5): the node shall not take a router advertisement there. No client's
	// message needs more than 576 (RFC 2131 §2).
	belowIPv6 = 1279
)

// OpenPort makes a momentary port on the bridge, for a message of mac where no
// uplink and no Pod's namespace is left to send it from: a veth pair in the
// calling thread's namespace, one end a port, the Conn on the other. It returns
// when the bridge forwards to the port, 5 s at most. Close removes the pair. With
// a VLAN ID, 1 to 4094, the bridge has to filter, and the port is in that VLAN
// alone; with 0 in those of every port. ErrNoLink if the bridge is missing. Its
// IPv4 packets have at most 1279 bytes.
func OpenPort(bridge string, vid uint16, mac MAC) (*Conn, error) {
	if err := checkVID(vid); err != nil {
		return nil, fmt.Errorf("port on %s: %w", bridge, err)
	}
	h, err := rtnl.Here()
	if err != nil {
		return nil, fmt.Errorf("port on %s: %w", bridge, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), forwardingBudget)
	defer cancel()
	conn, err := openPort(ctx, h, bridge, vid, mac)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("port on %s: %w", bridge, err)
	}
	return conn, nil
}

// openPort hands h over to the Conn.
func openPort(ctx context.Context, h *rtnl.Handle, bridge string, vid uint16, mac MAC) (*Conn, error) {
	master, err := bridgeLink(h, bridge)
	if err != nil {
		return nil, err
	}
	names, err := makePair(h, master, mac)
	if err != nil {
		return nil, err
	}
	file, err := names.join(ctx, h, master.Index, vid)
	if err != nil {
		return nil, errors.Join(err, h.Delete(names.port))
	}
	return newConn(file, 0, func() error {
		defer h.Close()
		return h.Delete(names.port)
	})
}

// bridgeLink returns the bridge, which has to be up: the ports of another never
// forward.
func bridgeLink(h *rtnl.Handle, name string) (*netlink.LinkAttrs, error) {
	link, err := h.Link(name)
	switch {
	case errors.Is(err, rtnl.ErrNotFound):
		return nil, fmt.Errorf("%w: %w", ErrNoLink, err)
	case err != nil:
		return nil, err
	case link.Type() != "bridge":
		return nil, fmt.Errorf("it is no bridge but of the kind %q", link.Type())
	case link.Attrs().Flags&net.FlagUp == 0:
		return nil, fmt.Errorf("the bridge is down: %w", unix.ENETDOWN)
	}
	return link.Attrs(), nil
}

// RemoveStalePorts removes the momentary ports in the calling thread's namespace
// that a killed podland has left. Call it before the first OpenPort.
func RemoveStalePorts() error {
	h, err := rtnl.Here()
	if err != nil {
		return fmt.Errorf("stale ports: %w", err)
	}
	defer h.Close()
	links, err := h.Links()
	if err != nil {
		return fmt.Errorf("stale ports: %w", err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Attrs().Name, portPrefix) && link.Type() == "veth" {
			err = errors.Join(err, h.Delete(link.Attrs().Name))
		}
	}
	return err
}

// pair names the two ends: the bridge's port, and the far one.
type pair struct{ port, far string }

// makePair makes the veth, both ends down. The port's MAC is as high as can be
// and its MTU the bridge's: a lower one of either would become the bridge's own.
// To start with fe: is not enough, as a bridge without uplink may have no other
// ports than such.
// The far end keeps a MAC that is not mac, so that the node's own stack takes
// nothing that is for the Pod, and an MTU with which it has no IPv6.
func makePair(h *rtnl.Handle, bridge *netlink.LinkAttrs, mac MAC) (pair, error) {
	names := newPair()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = names.port, bridge.MTU
	attrs.HardwareAddr = net.HardwareAddr{0xfe, 0xff, 0xff, mac[3], mac[4], mac[5]}
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerMTU = names.far, uint32(min(bridge.MTU, belowIPv6))
	return names, h.Add(veth)
}

func newPair() pair {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	base := portPrefix + hex.EncodeToString(b[:])
	return pair{port: base + "a", far: base + "b"}
}

// join makes the one end a port that forwards, and returns a socket on the
// other.
func (p pair) join(ctx context.Context, h *rtnl.Handle, bridge int, vid uint16) (*os.File, error) {
	port, err := h.Link(p.port)
	if err != nil {
		return nil, err
	}
	far, err := h.Link(p.far)
	if err != nil {
		return nil, err
	}
	var file *os.File
	err = h.Do(func() error {
		if err := upWithoutARP(p.far); err != nil {
			return err
		}
		file, err = openSocket(p.far, fromVeth())
		return err
	})
	if err != nil {
		return nil, err
	}
	err = forward(ctx, h, port.Attrs().Index, bridge, vid)
	if err == nil {
		err = waitSending(ctx, h, far.Attrs().Index)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// upWithoutARP sets the far end up in such a way that the node does not answer
// there for its own addresses. By ioctl, as podland may write no sysctl.
func upWithoutARP(name string) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_NOARP | unix.IFF_BROADCAST | unix.IFF_MULTICAST)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// forward makes the link a port and waits until its bridge forwards.
func forward(ctx context.Context, h *rtnl.Handle, index, bridge int, vid uint16) error {
	if err := h.SetMaster(index, bridge); err != nil {
		return err
	}
	if err := inVLAN(h, index, bridge, vid); err != nil {
		return err
	}
	if err := h.SetUp(index); err != nil {
		return err
	}
	return waitForwarding(ctx, h, index)
}

// waitForwarding waits until the bridge forwards to and from the port: it does
// not before the port has carrier.
func waitForwarding(ctx context.Context, h *rtnl.Handle, index int) error {
	state := uint8(rtnl.PortDisabled)
	err := wait(ctx, h, index, func() (ok bool, err error) {
		state, err = h.PortState(index)
		return state == rtnl.PortForwarding, err
	})
	if err != nil {
		return fmt.Errorf("the bridge does not forward (port state %d; does it run STP?): %w", state, err)
	}
	return nil
}

// waitSending waits until the link sends what is put into it. Between its carrier
// and its operational state the kernel drops frames and calls them sent.
func waitSending(ctx context.Context, h *rtnl.Handle, index int) error {
	err := wait(ctx, h, index, func() (bool, error) {
		link, err := h.LinkByIndex(index)
		return err == nil && link.Attrs().OperState == netlink.OperUp, err
	})
	if err != nil {
		return fmt.Errorf("the link does not come up: %w", err)
	}
	return nil
}

// wait waits, by netlink event, until the link is as ready wants it.
func wait(ctx context.Context, h *rtnl.Handle, index int, ready func() (bool, error)) error {
	events, err := h.Watch(index)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		if err := events.Wait(ctx); err != nil {
			return err
		}
	}
}
