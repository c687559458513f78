package pod

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// PortFlags are the choices about a port. The rest follows: a port that does
// not learn has one static entry in the bridge's table, gets no flooded
// unicast, and is locked to that entry.
type PortFlags struct {
	Hairpin, Isolated bool
	// Learning makes it an ordinary port, for attachments without a guard.
	Learning bool
	// ExtraMACs are the Pod's besides its own.
	ExtraMACs []net.HardwareAddr
	// VLANs are the port's on a bridge that filters; nil: those that a bridge
	// gives a port by itself.
	VLANs *VLANs
}

// Join makes the host end, which is down, a port of the bridge and sets it up,
// in the one order that lets no frame pass before all of it stands: master,
// VLANs, flags, the static entry for mac, up. Where the kernel has no sticky
// entries the port learns, so that it finds back what a frame from elsewhere
// moved. ErrNotFiltering, before anything is changed, if VLANs are asked for in
// vain.
func Join(_ context.Context, h *rtnl.Handle, hostEnd string, bridge int, mac net.HardwareAddr, flags PortFlags) error {
	link, err := h.Link(hostEnd)
	if err != nil {
		return fmt.Errorf("host end: %w", err)
	}
	index := link.Attrs().Index
	steps := []func() error{
		func() error { return flags.fit(h, bridge) },
		func() error { return enslave(h, index, bridge) },
		func() error { return bind(h, index, bridge, mac, flags) },
		func() error { return h.SetUp(index) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("host end %s: %w", hostEnd, err)
		}
	}
	return nil
}

// Secure puts back what Join has set beside the port's membership, VLANs, flags
// and static entries, and tells whether anything had changed. What stands is not
// touched: the kernel tells everybody of flags that are set, changed or not.
// known is what Secure returned last, nil if nothing: flags as this kernel takes
// them.
func Secure(_ context.Context, h *rtnl.Handle, index int, mac net.HardwareAddr, flags PortFlags, known *rtnl.PortFlags) (now rtnl.PortFlags, changed bool, err error) {
	now, secure, err := Secured(h, index, mac, flags, known)
	if err != nil || secure {
		return now, false, err
	}
	before, err := h.Port(index)
	if err != nil {
		return now, false, fmt.Errorf("host end: %w", err)
	}
	if err := bind(h, index, before.Bridge, mac, flags); err != nil {
		return now, false, fmt.Errorf("host end: %w", err)
	}
	after, err := h.Port(index)
	if err != nil {
		return now, false, fmt.Errorf("host end: %w", err)
	}
	// Flags that were right mean VLANs or entries that were not.
	return after.Flags, after.Flags != now || flags.standAs(now, known), nil
}

func (f PortFlags) standAs(now rtnl.PortFlags, known *rtnl.PortFlags) bool {
	return now == f.kernel() || known != nil && now == *known
}

// Secured tells whether VLANs, flags and static entries stand as Secure would put
// them.
func Secured(h *rtnl.Handle, index int, mac net.HardwareAddr, flags PortFlags, known *rtnl.PortFlags) (now rtnl.PortFlags, secure bool, err error) {
	port, err := h.Port(index)
	if err != nil {
		return now, false, fmt.Errorf("host end: %w", err)
	}
	stands, err := flags.vlansStand(h, index, port.Bridge)
	if err == nil && stands {
		stands, err = hasEntries(h, index, port.Bridge, mac, flags)
	}
	if err != nil {
		return now, false, fmt.Errorf("host end: %w", err)
	}
	return port.Flags, stands && flags.standAs(port.Flags, known), nil
}

// hasEntries tells whether all static entries stand. Where the kernel cannot be
// asked, they are put again, which is no harm.
func hasEntries(h *rtnl.Handle, index, bridge int, mac net.HardwareAddr, flags PortFlags) (bool, error) {
	macs := flags.entries(mac)
	if len(macs) == 0 {
		return true, nil
	}
	vids, err := flags.entryVLANs(h, bridge)
	if err != nil {
		return false, err
	}
	for _, m := range macs {
		has, err := h.HasFDB(index, m, vids...)
		if errors.Is(err, errors.ErrUnsupported) {
			_, err = h.AddFDB(index, m)
			has = true
		}
		if err != nil || !has {
			return false, err
		}
	}
	return true, nil
}

// entries are the MACs that have a static entry.
func (f PortFlags) entries(mac net.HardwareAddr) []net.HardwareAddr {
	if f.Learning {
		return nil
	}
	return append([]net.HardwareAddr{mac}, f.ExtraMACs...)
}

// enslave joins the bridge, and keeps the host's own IPv6 from speaking through
// the port where the kernel has IPv6.
func enslave(h *rtnl.Handle, index, bridge int) error {
	err := h.Change(index, rtnl.Change{Master: bridge, NoLinkLocal: true})
	if err == nil || errors.Is(err, rtnl.ErrNotFound) {
		return err
	}
	return h.SetMaster(index, bridge)
}

func bind(h *rtnl.Handle, index, bridge int, mac net.HardwareAddr, flags PortFlags) error {
	if flags.VLANs != nil {
		if err := flags.VLANs.set(h, index, bridge); err != nil {
			return err
		}
	}
	want := flags.kernel()
	if err := h.SetPortFlags(index, want); err != nil {
		return err
	}
	all := true
	for _, m := range flags.entries(mac) {
		sticky, err := h.AddFDB(index, m)
		if err != nil {
			return err
		}
		all = all && sticky
	}
	if all {
		return nil
	}
	want.Learning, want.Locked = true, false
	return h.SetPortFlags(index, want)
}

func (f PortFlags) kernel() rtnl.PortFlags {
	return rtnl.PortFlags{
		Hairpin:  f.Hairpin,
		Isolated: f.Isolated,
		Learning: f.Learning,
		Flood:    f.Learning,
		Locked:   !f.Learning,
	}
}

// WaitForwarding waits, by netlink event, until the bridge forwards to and from
// the port. Code 103 when ctx ends first.
func WaitForwarding(ctx context.Context, h *rtnl.Handle, hostEnd string) error {
	link, err := h.Link(hostEnd)
	if err != nil {
		return fmt.Errorf("host end: %w", err)
	}
	index := link.Attrs().Index
	if ok, err := forwards(h, index); ok || err != nil {
		return err
	}
	events, err := h.Watch(index)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		ok, err := forwards(h, index)
		if ok || err != nil {
			return err
		}
		if err := events.Wait(ctx); err != nil {
			return lastLook(ctx, h, hostEnd, index, err)
		}
	}
}

// lastLook reads the state once more before it says that time is up.
func lastLook(ctx context.Context, h *rtnl.Handle, hostEnd string, index int, waitErr error) error {
	if ok, err := forwards(h, index); ok || err != nil {
		return err
	}
	if ctx.Err() == nil {
		return waitErr
	}
	return notForwarding(h, hostEnd, index)
}

func forwards(h *rtnl.Handle, index int) (bool, error) {
	state, err := h.PortState(index)
	return state == rtnl.PortForwarding, err
}

func notForwarding(h *rtnl.Handle, hostEnd string, index int) error {
	code := uint(leaseapi.CodeNotForwarding)
	msg := fmt.Sprintf("port %s did not reach forwarding in time", hostEnd)
	port, err := h.Port(index)
	if err != nil {
		return types.NewError(code, msg, err.Error())
	}
	name := fmt.Sprint(port.Bridge)
	if link, err := h.LinkByIndex(port.Bridge); err == nil {
		name = link.Attrs().Name
		if link.Attrs().Flags&net.FlagUp == 0 {
			return types.NewError(code, msg, fmt.Sprintf("bridge %s is down: ip link set %s up", name, name))
		}
	}
	info, err := h.Bridge(port.Bridge)
	if err != nil || !info.STP {
		return types.NewError(code, msg, fmt.Sprintf("bridge %s, STP off, port state %d, carrier %s", name, port.State, carrier(h, index)))
	}
	return types.NewError(code, msg, fmt.Sprintf(
		"bridge %s runs STP with a forward_delay of %s, and a port waits twice that long; set the bridge's forward_delay to 2 s, turn its STP off, or raise the key \"budget\"",
		name, info.ForwardDelay))
}

func carrier(h *rtnl.Handle, index int) string {
	link, err := h.LinkByIndex(index)
	if err != nil {
		return "unknown"
	}
	if link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 || link.Attrs().OperState == netlink.OperUp {
		return "up"
	}
	return "down"
}
