package wire

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	etherVLAN = 0x8100 // the TPID of IEEE 802.1Q
	vidMask   = 0x0fff
	maxVID    = 4094
	tagLen    = 4
	// etherMinimum is the least Ethernet frame without its FCS, in bytes.
	etherMinimum = 60
)

// checkVID refuses what no frame can bear (IEEE 802.1Q §9.6). 0 is no VLAN.
func checkVID(vid uint16) error {
	if vid > maxVID {
		return fmt.Errorf("VLAN %d: %w: 1 to %d, or 0 for none", vid, unix.EINVAL, maxVID)
	}
	return nil
}

// tag puts an 802.1Q tag into the frame, of priority 0; none for VID 0. A short
// frame is made so long that it is not too short either where the tag is taken
// out again: not every switch pads it.
func tag(frame []byte, vid uint16) []byte {
	if vid == 0 {
		return frame
	}
	const at = 12
	b := make([]byte, 0, max(len(frame), etherMinimum)+tagLen)
	b = append(b, frame[:at]...)
	b = binary.BigEndian.AppendUint16(b, etherVLAN)
	b = binary.BigEndian.AppendUint16(b, vid)
	b = append(b, frame[at:]...)
	return append(b, make([]byte, cap(b)-len(b))...)
}

// onVLAN drops what is of another VLAN, and leaves the rest to what follows. The
// kernel has taken the outermost tag out of the frame by now, of whatever kind,
// also where the NIC did not (skb_vlan_untag). Where there is none any more, the
// field may still hold the last.
func onVLAN(vid uint16) []bpf.Instruction {
	if vid == 0 {
		return []bpf.Instruction{
			bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 3},
			bpf.LoadExtension{Num: bpf.ExtVLANTag},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: vidMask, SkipTrue: 1}, // a priority alone
			bpf.RetConstant{Val: 0},
		}
	}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 5},
		bpf.LoadExtension{Num: bpf.ExtVLANProto},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherVLAN, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtVLANTag},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: vidMask},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(vid), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
}
