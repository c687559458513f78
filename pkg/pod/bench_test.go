package pod_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
	"github.com/podlan/podlan/pkg/segment"
)

// BenchmarkSteps measures each of the kernel's steps of an ADD, on a bridge that
// has as many ports as the name says.
func BenchmarkSteps(b *testing.B) {
	for _, ports := range []int{1, 250} {
		b.Run(fmt.Sprintf("ports=%d", ports), func(b *testing.B) { benchmark(b, ports) })
	}
}

func benchmark(b *testing.B, ports int) {
	b.Helper()
	ctx := context.Background()
	node, end := rtnltest.New(b), rtnltest.New(b)
	g := guard.New(node.Handle, b.TempDir())
	node.Bridge(b, "lan0")
	var seg segment.Segment
	spec := pod.Spec{Netns: end.Path, BridgeMTU: 1500}
	add := func(i int, step func(string, func() error)) {
		spec.HostEnd, spec.IfName = fmt.Sprintf("vethpl%09d", i), fmt.Sprintf("eth%d", i)
		spec.MAC = net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		step("ensure", func() (err error) {
			seg, err = segment.Ensure(ctx, node.Handle, segment.Spec{Bridge: "lan0"}, segment.Place{Bridge: "lan0"})
			return err
		})
		step("find", func() error { _, err := segment.FindUplink(node.Handle, "lan0", ""); return err })
		step("create", func() error { return pod.Create(ctx, node.Handle, spec) })
		step("guard", func() error {
			return g.Add(ctx, guard.Port{Name: spec.HostEnd, MAC: spec.MAC, Addrs: []netip.Addr{addr}})
		})
		step("configure", func() error {
			return pod.Configure(ctx, spec.Netns, spec.IfName, pod.IPConfig{Addrs: []pod.Addr{{Prefix: netip.PrefixFrom(addr, 16)}}})
		})
		step("join", func() error {
			return pod.Join(ctx, node.Handle, spec.HostEnd, seg.Index, spec.MAC, pod.PortFlags{})
		})
		step("wait", func() error { return pod.WaitForwarding(ctx, node.Handle, spec.HostEnd) })
		step("announce", func() error { return pod.AnnounceFromPod(ctx, spec.Netns, spec.IfName, spec.MAC) })
	}
	b.Cleanup(g.Close)
	for i := range ports {
		add(i, func(_ string, fn func() error) {
			if err := fn(); err != nil {
				b.Fatal(err)
			}
		})
	}
	sums := stopwatch{}
	for i := range b.N {
		add(1000+i, sums.step(b))
		sums.step(b)("delete", func() error { return pod.Delete(node.Handle, spec.HostEnd) })
		sums.step(b)("unguard", func() error { return g.Remove(ctx, guard.Port{Name: spec.HostEnd}) })
	}
	sums.report(b)
}
