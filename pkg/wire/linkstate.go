package wire

import (
	"github.com/podlan/podlan/pkg/rtnl"
)

// LinkState tells, for status and error texts, whether the link is there, in the
// calling thread's namespace, and whether it has carrier. A link that is set
// down has none.
func LinkState(name string) (present, carrier bool) {
	h, err := rtnl.Here()
	if err != nil {
		return false, false
	}
	defer h.Close()
	link, err := h.Link(name)
	if err != nil {
		return false, false
	}
	return true, rtnl.HasCarrier(link)
}
