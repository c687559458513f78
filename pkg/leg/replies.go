package leg

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// What a client's connection that the node has brought to the Pod is known by
// within it: a bit of the connection's and the packet's mark, the others being
// anybody's, and the routing table that its answers take.
const (
	replyMark     = 0x40000000
	replyTable    = 1684
	replyPriority = 1684
)

func replyRule() rtnl.MarkRule {
	return rtnl.MarkRule{Mark: replyMark, Table: replyTable, Priority: replyPriority}
}

// setReplies leads answers back by the node where that brought the question: the
// Pod's own route to the client may pass by it.
func setReplies(h *rtnl.Handle, index int, ifName string, legMAC net.HardwareAddr) error {
	if err := freeTable(h, index); err != nil {
		return err
	}
	back := podRoute(index, netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.Addr{})
	back.Table = replyTable
	if err := h.ReplaceRoute(back); err != nil {
		return err
	}
	if err := setMarks(h, ifName, legMAC); err != nil {
		return err
	}
	return h.AddMarkRule(replyRule())
}

func verifyReplies(h *rtnl.Handle, index int, ifName string, legMAC net.HardwareAddr) error {
	back, err := tableDefault(h)
	if err != nil {
		return err
	}
	if back == nil || back.LinkIndex != index || !back.Gw.Equal(Gateway().AsSlice()) {
		return fmt.Errorf("%w: table %d lacks the default route via %s", errDiffers, replyTable, Gateway())
	}
	if has, err := h.HasMarkRule(replyRule()); err != nil {
		return err
	} else if !has {
		return fmt.Errorf("%w: there is no rule for table %d", errDiffers, replyTable)
	}
	return verifyMarks(h, ifName, legMAC)
}

// freeTable refuses the table to a second leg of one Pod: a mark does not tell by
// which interface a connection came.
func freeTable(h *rtnl.Handle, index int) error {
	back, err := tableDefault(h)
	if err != nil || back == nil || back.LinkIndex == index {
		return err
	}
	link, err := h.LinkByIndex(back.LinkIndex)
	if err != nil {
		return err
	}
	return fmt.Errorf("they return by %s", link.Attrs().Name)
}

func tableDefault(h *rtnl.Handle) (*netlink.Route, error) {
	routes, err := h.RoutesIn(replyTable)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		if isDefault(r) && r.Type == unix.RTN_UNICAST {
			return &r, nil
		}
	}
	return nil, nil
}
