package wire

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// control is a control message with the auxiliary data of a frame.
func control(level, status int, tci uint16, size int) []byte {
	b := make([]byte, unix.CmsgSpace(size))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(size)))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], unix.PACKET_AUXDATA)
	data := b[unix.CmsgLen(0):]
	if size >= auxMinimum {
		binary.NativeEndian.PutUint32(data[auxStatus:], uint32(status))
		binary.NativeEndian.PutUint16(data[auxVLAN:], tci)
	}
	return b
}

func TestAuxiliaryDataIsReadFromTheRightMessage(t *testing.T) {
	const valid, partial = unix.TP_STATUS_VLAN_VALID, unix.TP_STATUS_CSUMNOTREADY
	for name, c := range map[string]struct {
		oob  []byte
		want auxiliary
	}{
		"none":                       {nil, auxiliary{}},
		"garbage":                    {[]byte{1, 2, 3}, auxiliary{}},
		"of another level":           {control(unix.SOL_SOCKET, valid, 20, auxMinimum), auxiliary{}},
		"too short":                  {control(unix.SOL_PACKET, valid, 20, auxMinimum-4), auxiliary{}},
		"a stale tag, not valid":     {control(unix.SOL_PACKET, 0, 20, auxMinimum), auxiliary{}},
		"VLAN 20":                    {control(unix.SOL_PACKET, valid, 20, auxMinimum), auxiliary{vid: 20}},
		"VLAN 20 with a priority":    {control(unix.SOL_PACKET, valid, 0xe000|20, auxMinimum), auxiliary{vid: 20}},
		"a priority and no VLAN":     {control(unix.SOL_PACKET, valid, 0xe000, auxMinimum), auxiliary{}},
		"a checksum that is partial": {control(unix.SOL_PACKET, partial, 0, auxMinimum), auxiliary{partial: true}},
	} {
		if got := readAuxiliary(c.oob); got != c.want {
			t.Errorf("%s: %+v, wanted %+v", name, got, c.want)
		}
	}
}
