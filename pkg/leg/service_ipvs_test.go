package leg_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// TestAPodReachesAServiceOfIPVS wherever its endpoint is: IPVS leaves no mark of
// a translation on a connection but its original destination.
func TestAPodReachesAServiceOfIPVS(t *testing.T) {
	rtnltest.NeedVLAN(t) // a kernel that has 802.1Q has IPVS
	for where, newPlace := range places() {
		t.Run(where, func(t *testing.T) {
			p := newPlace(t)
			all := p.answers(t)
			viaIPTables(t, p.node) // the chains that masquerade
			must(t, p.node.Add(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "kube-ipvs0"}}))
			for i, a := range all {
				viaIPVS(t, p.node, serviceOf(i, a))
			}
			must(t, p.node.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/vs/conntrack", Value: "1"}))
			for i, a := range all {
				s := serviceOf(i, a)
				wantTalk(t, a.what, p.pod, a.at, s.endpoint, s.addr, a.seen)
			}
		})
	}
}

// The parts of IPVS' generic netlink, linux/ip_vs.h.
const (
	ipvsNewService, ipvsNewDest = 1, 5
	ipvsService, ipvsDest       = 1, 2
)

// viaIPVS makes the Service as kube-proxy does in its mode ipvs.
func viaIPVS(t *testing.T, n *rtnltest.Netns, s service) {
	t.Helper()
	from, to := netip.MustParseAddrPort(s.addr), netip.MustParseAddrPort(s.endpoint)
	n.Address(t, "kube-ipvs0", from.Addr().String()+"/32")
	must(t, n.Do(func() error {
		family, err := netlink.GenlFamilyGet("IPVS")
		if err != nil {
			return err
		}
		for _, command := range []uint8{ipvsNewService, ipvsNewDest} {
			req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
			req.AddData(&nl.Genlmsg{Command: command, Version: 1})
			which := nl.NewRtAttr(ipvsService|unix.NLA_F_NESTED, nil)
			which.AddRtAttr(1, nl.Uint16Attr(unix.AF_INET))
			which.AddRtAttr(2, nl.Uint16Attr(unix.IPPROTO_TCP))
			which.AddRtAttr(3, ipvsAddr(from))
			which.AddRtAttr(4, binary.BigEndian.AppendUint16(nil, from.Port()))
			which.AddRtAttr(6, nl.ZeroTerminated("rr"))
			which.AddRtAttr(7, make([]byte, 8)) // flags
			which.AddRtAttr(8, nl.Uint32Attr(0))
			which.AddRtAttr(9, nl.Uint32Attr(^uint32(0)))
			req.AddData(which)
			if command == ipvsNewDest {
				dest := nl.NewRtAttr(ipvsDest|unix.NLA_F_NESTED, nil)
				dest.AddRtAttr(1, ipvsAddr(to))
				dest.AddRtAttr(2, binary.BigEndian.AppendUint16(nil, to.Port()))
				dest.AddRtAttr(3, nl.Uint32Attr(0)) // masquerading
				dest.AddRtAttr(4, nl.Uint32Attr(1)) // weight
				dest.AddRtAttr(5, nl.Uint32Attr(0))
				dest.AddRtAttr(6, nl.Uint32Attr(0))
				dest.AddRtAttr(11, nl.Uint16Attr(unix.AF_INET))
				req.AddData(dest)
			}
			if _, err := req.Execute(unix.NETLINK_GENERIC, 0); err != nil {
				return err
			}
		}
		return nil
	}))
}

// ipvsAddr is union nf_inet_addr.
func ipvsAddr(a netip.AddrPort) []byte {
	b := make([]byte, 16)
	copy(b, a.Addr().AsSlice())
	return b
}
