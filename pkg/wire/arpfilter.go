package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Claim is an address and who of ours has it.
type Claim struct {
	Addr netip.Addr
	MAC  MAC
}

// claimants are the claims by address.
type claimants map[netip.Addr][]MAC

func sortClaims(claims []Claim) claimants {
	by := make(claimants, len(claims))
	for _, c := range claims {
		if addr := c.Addr.Unmap(); addr.Is4() && !slices.Contains(by[addr], c.MAC) {
			by[addr] = append(by[addr], c.MAC)
		}
	}
	return by
}

// want tells whether the packet is about an address that somebody else claims,
// or probes for.
func (c claimants) want(p ARP) bool {
	about := p.SenderIP
	if p.isProbe() {
		about = p.TargetIP
	}
	return slices.ContainsFunc(c[about], func(own MAC) bool { return own != p.SenderMAC })
}

// filter is want for the kernel, but that it compares only the last four bytes
// of the MAC and leaves it to want where there is more than one claim to an
// address. Three instructions a claim, since a filter has 4,096 at most, and the
// packet's MAC in X all the while.
func (c claimants) filter() []bpf.Instruction {
	packet := []bpf.Instruction{
		bpf.Jump{Skip: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: arpSenderMAC + 2, Size: 4},
		bpf.TAX{},
		bpf.LoadAbsolute{Off: arpSenderIP, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 4},
		bpf.LoadAbsolute{Off: arpOp, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: opRequest, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: arpTargetIP, Size: 4},
	}
	return slices.Concat(anyARP()[:arpChecks], packet, c.chain())
}

// chain looks in A for the address, and with it for the MAC.
func (c claimants) chain() []bpf.Instruction {
	const each = 3
	end := each * len(c)
	prog := make([]bpf.Instruction, 0, end+4)
	for addr, macs := range c {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number(addr.AsSlice()), SkipTrue: 2})
		found := 1 // where the MACs are compared, behind the end
		if len(macs) > 1 {
			found = 2
		}
		prog = append(prog, bpf.LoadConstant{Dst: bpf.RegA, Val: number(macs[0][2:])})
		prog = append(prog, bpf.Jump{Skip: uint32(end - len(prog) - 1 + found)})
	}
	return append(prog,
		bpf.RetConstant{Val: 0},
		bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: 1},
		bpf.RetConstant{Val: keepBytes},
		bpf.RetConstant{Val: 0},
	)
}

func number(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// arpChecks is how many instructions of anyARP come before its verdict.
const arpChecks = 6

// anyARP lets pass ARP for IPv4 over Ethernet.
func anyARP() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherARP<<16 | arpHardware, SkipTrue: 5},
		bpf.LoadAbsolute{Off: 16, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv4<<16 | arpSizes, SkipTrue: 3},
		bpf.LoadAbsolute{Off: arpOp, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: opReply, SkipTrue: 1},
		bpf.RetConstant{Val: keepBytes},
		bpf.RetConstant{Val: 0},
	}
}

// arpPlace is how ARP is heard on a link.
type arpPlace struct {
	tag uint16 // 0: none
	// all: by a socket for all protocols. One for ARP alone costs the link's other
	// traffic nothing, but is not told of tags, and hears nothing on a port.
	all bool
}

// only drops what is of another VLAN. To a socket for ARP alone it comes without
// its tag, but the kernel says that it is for somebody else.
func (p arpPlace) only() []bpf.Instruction {
	if p.all {
		return onVLAN(p.tag)
	}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
}

// silent hears nothing yet.
func (p arpPlace) silent() hearing {
	if p.all {
		return hearing{filter: nothing(), protocol: unix.ETH_P_ALL}
	}
	return hearing{filter: nothing(), protocol: unix.ETH_P_ARP}
}
