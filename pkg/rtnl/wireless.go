package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// From linux/nl80211.h.
const (
	nl80211CmdGetInterface = 5
	nl80211AttrIfindex     = 3
)

// Wireless tells whether the link is a Wi-Fi interface. It asks nl80211, which
// answers for the handle's namespace: /sys/class/net shows the namespace in
// which it was mounted. A kernel without nl80211 has no Wi-Fi.
func (h *Handle) Wireless(index int) (bool, error) {
	var answer error
	err := h.Do(func() error {
		lib, err := netlink.NewHandle(unix.NETLINK_GENERIC)
		if err != nil {
			return err
		}
		defer func() { _ = lib.Close() }()
		family, err := lib.GenlFamilyGet("nl80211")
		if err != nil {
			return err
		}
		answer = getInterface(family.ID, index)
		return nil
	})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EPROTONOSUPPORT):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask nl80211 about link %d: %w", index, err)
	case answer == nil:
		return true, nil
	case errors.Is(answer, unix.ENODEV), errors.Is(answer, unix.EINVAL), errors.Is(answer, unix.EOPNOTSUPP):
		return false, nil
	}
	return false, fmt.Errorf("ask nl80211 about link %d: %w", index, answer)
}

// getInterface asks on a socket of the thread's namespace; nil means that the
// interface is one of nl80211's.
func getInterface(family uint16, index int) error {
	req := nl.NewNetlinkRequest(int(family), 0)
	req.AddData(&nl.Genlmsg{Command: nl80211CmdGetInterface, Version: 1})
	value := binary.NativeEndian.AppendUint32(nil, uint32(index))
	req.AddData(nl.NewRtAttr(nl80211AttrIfindex, value))
	_, err := req.Execute(unix.NETLINK_GENERIC, 0)
	return err
}
