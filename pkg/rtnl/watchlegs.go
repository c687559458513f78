package rtnl

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// WatchLegs subscribes to what a node's way to its Pods stands on: that links go
// or are set up or down, IPv4 addresses come or go, default routes change, and
// that routes of this origin are removed. What routing daemons and ARP do wakes
// nobody.
func (h *Handle) WatchLegs(origin netlink.RouteProtocol) (*Events, error) {
	var file *os.File
	err := h.Do(func() (err error) {
		file, err = subscribe(aboutLegs(uint32(origin)), unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	return &Events{file: file}, nil
}

// aboutLegs: nlmsg_type stands 4 bytes into the netlink header; behind that
// ifi_change at 12, or rtm_dst_len at 1 and rtm_protocol at 5. A link that is set
// down takes its routes along, of which the kernel says nothing.
func aboutLegs(origin uint32) []bpf.Instruction {
	const body = unix.NLMSG_HDRLEN
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded16(unix.RTM_DELLINK), SkipTrue: 12},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded16(unix.RTM_NEWADDR), SkipTrue: 11},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded16(unix.RTM_DELADDR), SkipTrue: 10},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded16(unix.RTM_NEWROUTE), SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded16(unix.RTM_DELROUTE), SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: asLoaded16(unix.RTM_NEWLINK), SkipTrue: 6},
		bpf.LoadAbsolute{Off: body + 12, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: asLoaded32(unix.IFF_UP), SkipTrue: 5, SkipFalse: 4},
		bpf.LoadAbsolute{Off: body + 5, Size: 1}, // RTM_DELROUTE
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: origin, SkipTrue: 3},
		bpf.LoadAbsolute{Off: body + 1, Size: 1}, // and RTM_NEWROUTE
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 16},
	}
}
