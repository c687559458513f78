package pod_test

import (
	"errors"
	"testing"

	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

func TestAnMTUIsThePodEndsAlone(t *testing.T) {
	s := newSite(t)
	if err := pod.Create(t.Context(), s.node.Handle, s.spec); err != nil {
		t.Fatal(err)
	}
	if err := pod.SetMTU(t.Context(), s.pod.Path, "eth0", 1400); err != nil {
		t.Fatal(err)
	}
	if podEnd, hostEnd := s.pod.Must(t, "eth0").Attrs().MTU, s.node.Must(t, s.spec.HostEnd).Attrs().MTU; podEnd != 1400 || hostEnd != 1500 {
		t.Errorf("the Pod end's MTU is %d, the host end's %d; want 1400 and 1500", podEnd, hostEnd)
	}
	if err := pod.SetMTU(t.Context(), s.pod.Path, "eth9", 1400); !errors.Is(err, rtnl.ErrNotFound) {
		t.Errorf("of an interface that is not there: %v", err)
	}
}
