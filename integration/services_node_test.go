package integration_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/lab"
)

// nodeLocalDNS is where that listens, on a link of its own: the last is a Service's.
func nodeLocalDNS() []string { return []string{"169.254.20.10", "10.96.0.10"} }

// TestPodsReachTheirNodesServices: whose address they see is the Pod's own. The
// other way round, the node's probes, is in every matrix.
func TestPodsReachTheirNodesServices(t *testing.T) {
	t.Parallel()
	s := newServiceSite(t)
	for name, opts := range map[string]lab.NodeOptions{"numbered": {Bridge: "lan0"}, "unnumbered": {}} {
		n := s.add(t, s.Node(name, opts), viaNFTables, false)
		must(t, n.AddBridge("nodelocaldns", false))
		for _, a := range nodeLocalDNS() {
			must(t, n.AddAddress("nodelocaldns", netip.PrefixFrom(netip.MustParseAddr(a), 32)))
			n.Answers(a + ":53")
			echo(t, n.Netns, a+":53")
		}
		echo(t, n.Netns, ":5353") // which has to answer from where it was asked
	}
	s.populate(t, 1)
	s.serve(t)
	var overTCP []lab.Question
	for _, p := range s.pods() {
		for _, a := range nodeLocalDNS() {
			addr := netip.AddrPortFrom(netip.MustParseAddr(a), 53)
			overTCP = append(overTCP, lab.Question{From: p.Netns, At: addr, By: p.node.Netns, Seen: p.addr})
			p.asks(t, addr)
		}
		p.asks(t, netip.AddrPortFrom(p.node.Addr.Addr(), 5353))
	}
	put(t, overTCP)
}

// echo answers datagrams with the asker's address, from the address that it
// listens at or, if that is none, as the kernel chooses.
func echo(t *testing.T, ns *lab.Netns, at string) {
	t.Helper()
	var conn net.PacketConn
	must(t, ns.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", at)
		return err
	}))
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo([]byte(from.(*net.UDPAddr).IP.String()), from)
		}
	}()
}

// asks wants an answer by UDP, from the address that it asked.
func (p *servicePod) asks(t *testing.T, at netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Stretch(15*time.Second))
	defer cancel()
	var seen string
	err := lab.Until(ctx, func() error {
		conn, err := p.Dial(ctx, "udp4", at.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "?"); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(lab.Stretch(time.Second)))
		buf := make([]byte, 64)
		n, err := conn.Read(buf)
		seen = string(buf[:n])
		return err
	})
	if err != nil || seen != p.addr.String() {
		t.Errorf("%s asks %s by UDP: seen as %q, want %s (%v)", p.Name(), at, seen, p.addr, err)
	}
}
