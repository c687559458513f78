package netconf

import (
	"net/netip"
	"time"
)

// Handover is what podlan-bridge tells podlan-dhcp about its port, under the
// key `podlan` of the delegate's stdin.
type Handover struct {
	MAC    string `json:"mac"`
	Bridge string `json:"bridge"`
	Uplink string `json:"uplink,omitempty"`
	// VLAN is the Pod's within a bridge that filters VLANs; 0 in others.
	VLAN uint16 `json:"vlan,omitempty"`
	// Untagged: the uplink carries VLAN without a tag.
	Untagged bool `json:"untagged,omitempty"`
	From     From `json:"from"`
	// BudgetMS is what is left of the ADD's budget, in milliseconds.
	BudgetMS int64 `json:"budgetMS"`
	// Deadline is when that is over, as time since boot: a plugin takes its time
	// to start on a busy node. 0: not told.
	Deadline time.Duration `json:"deadlineNS,omitempty"`
	// Networks are the node's own.
	Networks []netip.Prefix `json:"networks,omitempty"`
}

// HandoverKey is the key's name.
const HandoverKey = "podlan"

func (d *DHCP) readHandover(conf *object) {
	if conf.value(HandoverKey) == nil {
		return
	}
	in := conf.object(HandoverKey)
	h := Handover{
		Bridge: in.ifName("bridge", ""),
		Uplink: in.ifName("uplink", ""),
		From:   From(in.oneOf("from", string(FromUplink), string(FromUplink), string(FromPod))),
	}
	h.VLAN = uint16(in.integer("vlan", 0, 4094))
	h.Untagged = in.boolean("untagged")
	h.BudgetMS = int64(in.integer("budgetMS", 0, int(maxBudget.Milliseconds())))
	in.read("deadlineNS", &h.Deadline, "a time since boot in nanoseconds")
	if mac := in.mac("mac"); mac != nil {
		h.MAC = mac.String()
	}
	in.read("networks", &h.Networks, "a list of networks")
	in.closed()
	d.Handover = &h
}
