package guard_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/pod"
)

func TestAPodBehindTheGuardTalksToTheLANBothWays(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.add(t)
	l.host.Address(t, "nic0", other+"/16")
	l.host.Address(t, "nic0", other6+"/64")
	cfg := pod.IPConfig{Addrs: []pod.Addr{
		{Prefix: netip.PrefixFrom(l.port.Addrs[0], 16)}, {Prefix: netip.PrefixFrom(l.port.Addrs[1], 64)},
	}}
	must(t, pod.Configure(t.Context(), l.pod.Path, "eth0", cfg))
	must(t, pod.AnnounceFromPod(t.Context(), l.pod.Path, "eth0", l.port.MAC))
	for _, addr := range []string{own, own6} {
		must(t, dial(l.hostEnd(), l.podEnd(), addr))
	}
	for _, addr := range []string{other, other6} {
		must(t, dial(l.podEnd(), l.hostEnd(), addr))
	}
	drops, err := l.guard.Drops(t.Context())
	must(t, err)
	for kind, n := range drops {
		if n != 0 && kind != "wrong_mac" {
			t.Errorf("a kernel that means no harm lost %d frames: %v", n, drops)
		}
	}
}

// dial connects from one end to a listener at the other.
func dial(from, to end, addr string) error {
	var l net.Listener
	if err := to.ns.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	}); err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	return from.ns.Do(func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 20*time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}
