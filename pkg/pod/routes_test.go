package pod_test

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routes returns the Pod end's routes as text, what is usual left out.
func (s *site) routes(t *testing.T) []string {
	t.Helper()
	routes, err := s.pod.Routes(s.pod.Must(t, "eth0").Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, r := range routes {
		texts = append(texts, routeText(r))
	}
	return texts
}

func routeText(r netlink.Route) string {
	text := "default"
	if r.Dst != nil {
		text = r.Dst.String()
	}
	if r.Gw != nil {
		text += " via " + r.Gw.String()
	}
	text += fmt.Sprintf(" table %d", r.Table)
	for _, n := range []struct {
		name  string
		value int
	}{{"priority", r.Priority}, {"mtu", r.MTU}, {"advmss", r.AdvMSS}} {
		if n.value != 0 {
			text += fmt.Sprintf(" %s %d", n.name, n.value)
		}
	}
	if r.Scope == unix.RT_SCOPE_LINK {
		text += " scope link"
	}
	if r.Flags&int(netlink.FLAG_ONLINK) != 0 {
		text += " onlink"
	}
	return text
}
