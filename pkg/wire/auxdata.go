package wire

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Where the members of struct tpacket_auxdata (packet(7)) stand, in bytes.
const (
	auxStatus  = 0
	auxVLAN    = 16
	auxTPID    = 18
	auxMinimum = 20
)

// auxiliary is what the kernel says beside a frame.
type auxiliary struct {
	// vid is the VLAN ID that it took out of the frame, 0 if none; foreign: by a
	// tag that is not 802.1Q's, such as 802.1ad's.
	vid     uint16
	foreign bool
	// partial: the UDP checksum is not complete, since the sender is this
	// machine and leaves the sum to a NIC.
	partial bool
}

// readAuxiliary reads the control messages of one recvmsg.
func readAuxiliary(oob []byte) auxiliary {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return auxiliary{}
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < auxMinimum {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data[auxStatus:])
		aux := auxiliary{partial: status&unix.TP_STATUS_CSUMNOTREADY != 0}
		if status&unix.TP_STATUS_VLAN_VALID != 0 {
			aux.vid = nativeUint16(m.Data[auxVLAN:]) & vidMask
			aux.foreign = status&unix.TP_STATUS_VLAN_TPID_VALID == 0 || nativeUint16(m.Data[auxTPID:]) != etherVLAN
		}
		return aux
	}
	return auxiliary{}
}

// on tells whether the frame is of that VLAN; of 0 is what bears no tag, or one
// with a priority alone.
func (a auxiliary) on(vid uint16) bool { return a.vid == vid && (vid == 0 || !a.foreign) }

func nativeUint16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
