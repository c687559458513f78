package leg_test

import (
	"net"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// TestTheAnswerOfAMachineBehindThePodReturnsByTheNode: a Pod that hands its
// connections on, as one with a virtual machine does, only forwards answers.
func TestTheAnswerOfAMachineBehindThePodReturnsByTheNode(t *testing.T) {
	p, machine := apart(t), rtnltest.New(t)
	p.nodePort(t)
	machine.Cable(t, "nic0", p.pod, "inner0")
	p.pod.Address(t, "inner0", "10.0.2.1/24")
	machine.Address(t, "nic0", "10.0.2.2/24")
	must(t, machine.AddRoute(&netlink.Route{LinkIndex: machine.Must(t, "nic0").Attrs().Index, Gw: net.ParseIP("10.0.2.1")}))
	must(t, p.pod.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}))
	conn := podTables(t, p.pod)
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "machine"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(80)},
		&expr.Immediate{Register: 1, Data: []byte{10, 0, 2, 2}},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}})
	must(t, conn.Flush())
	wantTalk(t, "a NodePort", p.host, machine, "10.0.2.2:80", nodeAddr+":30080", hostOnNode)
}
