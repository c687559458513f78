package leg_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// ear hears what a link receives, in order.
type ear struct{ fd int }

func listen(t *testing.T, n *rtnltest.Netns, link string) ear {
	t.Helper()
	var e ear
	index := n.Must(t, link).Attrs().Index
	must(t, n.Do(func() (err error) {
		e.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_IP))
		return unix.Bind(e.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index})
	}))
	t.Cleanup(func() { _ = unix.Close(e.fd) })
	return e
}

// redirects counts the ICMP redirects among what has come since the last call. The
// node sends one before what it is about.
func (e ear) redirects(t *testing.T) (count, heard int) {
	t.Helper()
	b := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(e.fd, b, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return count, heard
		case errors.Is(err, unix.EINTR):
			continue
		}
		must(t, err)
		heard++
		header := int(b[0]&0xf) * 4
		const icmpRedirect = 5 // RFC 792
		if n > header && b[9] == unix.IPPROTO_ICMP && b[header] == icmpRedirect {
			count++
		}
	}
}

// TestNobodyIsRedirectedPastItsNode: who asks a Service beside itself, and who answers,
// leave the node by the link that they came by, where a router tells its neighbours of
// a shorter way: one that would miss the translation. The kernel withholds redirects
// of what is translated, whatever the administrator's send_redirects.
func TestNobodyIsRedirectedPastItsNode(t *testing.T) {
	for _, mode := range []netconf.ServiceMode{netconf.ServiceSNAT, netconf.ServiceBridgeNF} {
		for kind, proxy := range proxies() {
			t.Run(fmt.Sprintf("%s, %s", mode, kind), func(t *testing.T) {
				p := beside(t)
				p.leg.Service.Mode = mode
				p.bridgeNF(t, mode == netconf.ServiceBridgeNF)
				p.add(t)
				for _, link := range []string{"all", "lan0"} {
					must(t, p.node.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/conf/" + link + "/send_redirects", Value: "1"}))
				}
				neighbour, l := p.second(t)
				other := l.Addrs[0].Addr().String()
				proxy(t, p.node, service{"10.96.0.1:80", hostOnNode + ":8080"}, service{"10.96.0.2:80", other + ":8080"})
				p.nodePort(t)
				p.bridgeNF(t, mode == netconf.ServiceBridgeNF) // the second's port too
				ears := map[string]ear{"the Pod": listen(t, p.pod, "eth0"), "its neighbour": listen(t, neighbour, "eth0"), "the LAN": listen(t, p.host, "nic1")}
				pod, seen := p.leg.Addrs[0].Addr().String(), nodeAddr
				if mode == netconf.ServiceBridgeNF {
					seen = pod
				}
				wantTalk(t, "a LAN host's Service", p.pod, p.host, hostOnNode+":8080", "10.96.0.1:80", seen)
				wantTalk(t, "a neighbour's Service", p.pod, neighbour, other+":8080", "10.96.0.2:80", seen)
				wantTalk(t, "a NodePort that stays on the node", p.host, p.pod, pod+":80", nodeAddr+":30080", hostOnNode)
				for who, e := range ears {
					if count, heard := e.redirects(t); count > 0 || heard == 0 {
						t.Errorf("%s heard %d ICMP redirects in %d packets", who, count, heard)
					}
				}
				p.wantRedirected(t, ears["the Pod"])
			})
		}
	}
}

// wantRedirected has the node only route what the Pod sends, back by the link that it
// came by, until the Pod is told of the shorter way.
func (p *place) wantRedirected(t *testing.T, pod ear) {
	t.Helper()
	elsewhere := net.ParseIP("203.0.113.1")
	must(t, p.pod.AddRoute(&netlink.Route{
		LinkIndex: p.pod.Must(t, "eth0").Attrs().Index, Dst: &net.IPNet{IP: elsewhere, Mask: net.CIDRMask(32, 32)}, Gw: net.ParseIP(nodeAddr),
	}))
	must(t, p.pod.Do(func() error {
		c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: elsewhere, Port: 9})
		if err != nil {
			return err
		}
		defer c.Close()
		for range 500 { // the kernel sends them ever more seldom
			if _, err := c.Write([]byte("?")); err != nil {
				return err
			}
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(pod.fd), Events: unix.POLLIN}}, 100)
			if count, _ := pod.redirects(t); count > 0 {
				return nil
			}
		}
		return errors.New("not even what is not translated is redirected: the test hears nothing")
	}))
}
