package pod

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Settle waits, by netlink event, until the Pod's kernel has checked the Pod
// end's IPv6 addresses for duplicates, once the port forwards: about a second,
// nothing without EnableDAD. Code 11 for one that somebody has already: another
// ADD gets another from IPAM.
func Settle(ctx context.Context, netns, ifname string, cfg IPConfig) error {
	if !cfg.EnableDAD || !cfg.hasIPv6() {
		return nil
	}
	h, err := rtnl.At(netns)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.Link(ifname)
	if err != nil {
		return fmt.Errorf("in the Pod: %w", err)
	}
	index := link.Attrs().Index
	events, err := h.Watch(index)
	if err != nil {
		return fmt.Errorf("in the Pod: %w", err)
	}
	defer events.Close()
	for {
		tentative, err := cfg.tentative(h, index)
		if err != nil || !tentative.IsValid() {
			return err
		}
		if err := events.Wait(ctx); err != nil {
			return fmt.Errorf("key \"enabledad\": %s is not yet checked for duplicates: %w", tentative, err)
		}
	}
}

// tentative returns an address that is being checked, an invalid one if there
// is none left.
func (c IPConfig) tentative(h *rtnl.Handle, index int) (netip.Addr, error) {
	have, err := h.Addrs(index)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("in the Pod: %w", err)
	}
	var waiting netip.Addr
	for _, a := range have {
		addr, _ := netip.AddrFromSlice(a.IP)
		switch {
		case !c.bears(addr.Unmap()):
		case a.Flags&unix.IFA_F_DADFAILED != 0:
			return netip.Addr{}, types.NewError(uint(leaseapi.CodeTryAgainLater), fmt.Sprintf("address %s is taken", addr),
				"another on the segment answers for it, by the duplicate address detection of the key \"enabledad\"")
		case a.Flags&unix.IFA_F_TENTATIVE != 0:
			waiting = addr
		}
	}
	return waiting, nil
}

func (c IPConfig) bears(addr netip.Addr) bool {
	for _, a := range c.Addrs {
		if a.Prefix.Addr() == addr {
			return true
		}
	}
	return false
}
