package ether

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ethertypes of tags.
const (
	Dot1Q  = unix.ETH_P_8021Q  // a VLAN's tag (IEEE 802.1Q)
	Dot1AD = unix.ETH_P_8021AD // a service tag around it (802.1ad)
)

// tagLen is that of a tag in a frame.
const tagLen = 4

// Tag is a VLAN tag.
type Tag struct {
	TPID, VID uint16
	PCP       uint8
}

func (t Tag) String() string {
	text := fmt.Sprintf("vlan %d", t.VID)
	if t.TPID == Dot1AD {
		text = fmt.Sprintf("service vlan %d", t.VID)
	}
	if t.PCP != 0 {
		text += fmt.Sprintf(" priority %d", t.PCP)
	}
	return text
}

func tagOf(tpid, tci uint16) Tag {
	return Tag{TPID: tpid, VID: tci & 0xfff, PCP: uint8(tci >> 13)}
}

// Tags returns the frame's tags, the outermost first: the one that the kernel
// took out and those that are still before the payload.
func (f Frame) Tags() []Tag {
	var tags []Tag
	if f.TPID != 0 {
		tags = append(tags, Tag{TPID: f.TPID, VID: f.VID, PCP: f.PCP})
	}
	for f.tagged() {
		var tag Tag
		tag, f = f.untag()
		tags = append(tags, tag)
	}
	return tags
}

// Inner returns the frame without its tags.
func (f Frame) Inner() Frame {
	f.VID, f.TPID, f.PCP = 0, 0, 0
	for f.tagged() {
		_, f = f.untag()
	}
	return f
}

func (f Frame) tagged() bool {
	return (f.EtherType == Dot1Q || f.EtherType == Dot1AD) && len(f.Payload) >= tagLen
}

func (f Frame) untag() (Tag, Frame) {
	tag := tagOf(f.EtherType, binary.BigEndian.Uint16(f.Payload))
	f.EtherType, f.Payload = binary.BigEndian.Uint16(f.Payload[2:]), f.Payload[tagLen:]
	return tag, f
}

// Tagged returns the frame with tags written into it by hand, the outermost
// first.
func Tagged(frame []byte, tags ...Tag) []byte {
	var words []byte
	for _, t := range tags {
		words = binary.BigEndian.AppendUint16(words, t.TPID)
		words = binary.BigEndian.AppendUint16(words, uint16(t.PCP)<<13|t.VID)
	}
	const addresses = 12
	return slices.Concat(frame[:addresses], words, frame[addresses:])
}

// takenTag returns the tag that the kernel took out of a frame, zero if none.
func takenTag(oob []byte) (tag Tag) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return Tag{}
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA ||
			len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
		if aux.Status&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		tag = tagOf(Dot1Q, aux.Vlan_tci)
		if aux.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tag.TPID = aux.Vlan_tpid
		}
	}
	return tag
}
