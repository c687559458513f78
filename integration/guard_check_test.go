package integration_test

import (
	"testing"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Whoever looks after a node without podland, or while it is down, has CHECK to
// tell that a port no longer holds its MAC itself.
func TestCHECKNamesWhatAGuardedPortHasLost(t *testing.T) {
	t.Parallel()
	losses := map[string]func(*rtnl.PortFlags){
		"learning":     func(f *rtnl.PortFlags) { f.Learning = true },
		"flood":        func(f *rtnl.PortFlags) { f.Flood = true },
		"locked":       func(f *rtnl.PortFlags) { f.Locked = false },
		"mcast_router": func(f *rtnl.PortFlags) { f.MulticastRouter = 2 },
	}
	_, node := lanWithoutDHCP(t)
	conf, pod := network(node, hostLocal()), node.Pod("p1")
	hostEnd := attach(t, node, conf, pod).Interfaces[1].Name
	h, err := rtnlOf(t, node)
	if err != nil {
		t.Fatal(err)
	}
	index := link(t, node.Netns, hostEnd).Attrs().Index
	port, err := h.Port(index)
	if err != nil {
		t.Fatal(err)
	}
	for flag, lose := range losses {
		flags := port.Flags
		lose(&flags)
		if flags == port.Flags {
			continue // this kernel never had it
		}
		setFlags(t, h, index, flags)
		says(t, node.Check(t.Context(), conf, pod), 105, flag)
		setFlags(t, h, index, port.Flags)
		if err := node.Check(t.Context(), conf, pod); err != nil {
			t.Errorf("CHECK: %v", err)
		}
	}
	onHostEnd(t, node, hostEnd, flushFDB)
	says(t, node.Check(t.Context(), conf, pod), 105, "static entry")
}

func setFlags(t *testing.T, h *rtnl.Handle, index int, flags rtnl.PortFlags) {
	t.Helper()
	if err := h.SetPortFlags(index, flags); err != nil {
		t.Fatal(err)
	}
}
