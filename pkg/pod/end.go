package pod

import (
	"fmt"

	"github.com/podlan/podlan/pkg/rtnl"
)

// inPod runs fn on the Pod end, with a handle in the Pod's namespace and the
// end's index; errors say that they come from there.
func inPod(netns, ifname string, fn func(h *rtnl.Handle, index int) error) error {
	h, err := rtnl.At(netns)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.Link(ifname)
	if err == nil {
		err = fn(h, link.Attrs().Index)
	}
	if err != nil {
		return fmt.Errorf("in the Pod: %w", err)
	}
	return nil
}
