package wire

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// control is a control message with the auxiliary data of a frame.
func control(level, status int, tpid, tci uint16, size int) []byte {
	b := make([]byte, unix.CmsgSpace(size))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(size)))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], unix.PACKET_AUXDATA)
	data := b[unix.CmsgLen(0):]
	if size >= auxMinimum {
		binary.NativeEndian.PutUint32(data[auxStatus:], uint32(status))
		binary.NativeEndian.PutUint16(data[auxVLAN:], tci)
		binary.NativeEndian.PutUint16(data[auxTPID:], tpid)
	}
	return b
}

func TestAuxiliaryDataIsReadFromTheRightMessage(t *testing.T) {
	const partial, valid = unix.TP_STATUS_CSUMNOTREADY, unix.TP_STATUS_VLAN_VALID | unix.TP_STATUS_VLAN_TPID_VALID
	for name, c := range map[string]struct {
		oob  []byte
		want auxiliary
		on   []uint16 // of 0, 20 and 21
	}{
		"none":                       {nil, auxiliary{}, []uint16{0}},
		"garbage":                    {[]byte{1, 2, 3}, auxiliary{}, []uint16{0}},
		"of another level":           {control(unix.SOL_SOCKET, valid, etherVLAN, 20, auxMinimum), auxiliary{}, []uint16{0}},
		"too short":                  {control(unix.SOL_PACKET, valid, etherVLAN, 20, auxMinimum-4), auxiliary{}, []uint16{0}},
		"a stale tag, not valid":     {control(unix.SOL_PACKET, 0, etherVLAN, 20, auxMinimum), auxiliary{}, []uint16{0}},
		"VLAN 20":                    {control(unix.SOL_PACKET, valid, etherVLAN, 20, auxMinimum), auxiliary{vid: 20}, []uint16{20}},
		"VLAN 20 with a priority":    {control(unix.SOL_PACKET, valid, etherVLAN, 0xf000|20, auxMinimum), auxiliary{vid: 20}, []uint16{20}},
		"a priority and no VLAN":     {control(unix.SOL_PACKET, valid, etherVLAN, 0xe000, auxMinimum), auxiliary{}, []uint16{0}},
		"802.1ad's VLAN 20":          {control(unix.SOL_PACKET, valid, 0x88a8, 20, auxMinimum), auxiliary{vid: 20, foreign: true}, nil},
		"of whose kind nobody says":  {control(unix.SOL_PACKET, unix.TP_STATUS_VLAN_VALID, etherVLAN, 20, auxMinimum), auxiliary{vid: 20, foreign: true}, nil},
		"a checksum that is partial": {control(unix.SOL_PACKET, partial, 0, 0, auxMinimum), auxiliary{partial: true}, []uint16{0}},
	} {
		got := readAuxiliary(c.oob)
		if got != c.want {
			t.Errorf("%s: %+v, wanted %+v", name, got, c.want)
		}
		for _, vid := range []uint16{0, 20, 21} {
			if want := slices.Contains(c.on, vid); got.on(vid) != want {
				t.Errorf("%s: on VLAN %d: %t", name, vid, !want)
			}
		}
	}
}

// FuzzAuxiliary: whatever comes, nothing panics, and a frame is of one VLAN at
// most.
func FuzzAuxiliary(f *testing.F) {
	f.Add([]byte{}, uint16(20))
	f.Add(control(unix.SOL_PACKET, unix.TP_STATUS_VLAN_VALID|unix.TP_STATUS_VLAN_TPID_VALID, etherVLAN, 20, auxMinimum), uint16(20))
	f.Fuzz(func(t *testing.T, oob []byte, vid uint16) {
		a := readAuxiliary(oob)
		if a.vid > vidMask || a.on(vid) && a.vid != vid {
			t.Errorf("%+v on VLAN %d", a, vid)
		}
	})
}
