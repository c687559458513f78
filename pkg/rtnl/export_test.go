package rtnl

// VLANsByLink is VLANs as it is on kernels before 5.6.
func (h *Handle) VLANsByLink(index int) ([]VLAN, error) { return h.vlansByLink(index) }
