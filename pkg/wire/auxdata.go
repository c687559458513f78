package wire

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Where the members of struct tpacket_auxdata (packet(7)) stand, in bytes.
const (
	auxStatus  = 0
	auxVLAN    = 16
	auxMinimum = 20
)

// auxiliary is what the kernel says beside a frame.
type auxiliary struct {
	// vid is the VLAN ID that it took out of the frame, 0 if none.
	vid uint16
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
		}
		return aux
	}
	return auxiliary{}
}

func nativeUint16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
