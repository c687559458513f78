package lease

import (
	"fmt"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// Domain is a broadcast domain as this node sees it: a link, and the VLAN on it,
// 0 where the link carries one only. Two of them may use the same addresses.
type Domain struct {
	Link string
	VLAN uint16
}

// String is "eth1", or "eth1 vlan 20".
func (d Domain) String() string {
	if d.VLAN == 0 {
		return d.Link
	}
	return fmt.Sprintf("%s vlan %d", d.Link, d.VLAN)
}

// domainOf is where the request's ARP is to be heard: on the bridge, else on
// another parent of Pods, the uplink. No link: nowhere.
func domainOf(req leaseapi.Request) Domain {
	switch {
	case req.Bridge != "":
		return Domain{Link: req.Bridge, VLAN: req.VLAN}
	case req.Untagged:
		return Domain{Link: req.Uplink}
	}
	return Domain{Link: req.Uplink, VLAN: req.VLAN}
}

func (e *entry) domain() Domain { return domainOf(e.req) }

// station is a MAC of ours in a VLAN. The same one in another is somebody else,
// or a Pod with a trunk, whose claims there are as good as a stranger's.
type station struct {
	vlan uint16
	mac  dhcp4.MAC
}
