package dhcp4_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// raw is an OFFER up to its options, for transaction xid.
func raw(xid uint32) []byte {
	b := make([]byte, 240)
	b[0], b[1], b[2] = 2, 1, 6
	binary.BigEndian.PutUint32(b[4:], xid)
	copy(b[16:], leased().AsSlice())
	copy(b[28:], podMAC().HardwareAddr())
	copy(b[236:], []byte{99, 130, 83, 99})
	return b
}

// pack is options as bytes, without an END.
func pack(opts ...[]byte) []byte {
	var b []byte
	for _, o := range opts {
		b = append(append(b, o[0], byte(len(o)-1)), o[1:]...)
	}
	return b
}

func option(code byte, value ...byte) []byte { return append([]byte{code}, value...) }

func TestDecodeIsPatientWithServers(t *testing.T) {
	var (
		kind   = option(53, 2)
		server = option(54, serverIP().AsSlice()...)
		lease  = option(51, 0, 0, 14, 16)
		end    = []byte{255}
	)
	into := func(field []byte, opts []byte) { copy(field, append(opts, 255)) }
	for name, build := range map[string]func(b []byte) []byte{
		"ordinary":        func(b []byte) []byte { return append(append(b, pack(kind, server, lease)...), end...) },
		"without END":     func(b []byte) []byte { return append(b, pack(kind, server, lease)...) },
		"with padding":    func(b []byte) []byte { return append(append(b, 0, 0), append(pack(kind, server, lease), 0, 0, 255)...) },
		"rubbish at END":  func(b []byte) []byte { return append(append(b, pack(kind, server, lease)...), 255, 51, 200) },
		"cut off":         func(b []byte) []byte { return append(append(b, pack(kind, server, lease)...), 3, 200, 1) },
		"cut off in code": func(b []byte) []byte { return append(append(b, pack(kind, server, lease)...), 3) },
		"a bad option": func(b []byte) []byte {
			return append(b, pack(option(1, 255), option(3, 1, 2, 3), option(121, 99), option(119, 0xc0), kind, server, lease)...)
		},
		"server identifier twice": func(b []byte) []byte { return append(b, pack(kind, server, lease, server)...) },
		"overflow into file": func(b []byte) []byte {
			into(b[108:236], pack(server, lease))
			return append(b, pack(kind, option(52, 1))...)
		},
		"overflow into sname": func(b []byte) []byte {
			into(b[44:108], pack(server, lease))
			return append(b, pack(kind, option(52, 2))...)
		},
		"overflow into both": func(b []byte) []byte {
			into(b[108:236], pack(server))
			into(b[44:108], pack(lease))
			return append(b, pack(kind, option(52, 3))...)
		},
		"one option over all three fields": func(b []byte) []byte {
			into(b[108:236], pack(option(54, serverIP().AsSlice()[1:3]...)))
			into(b[44:108], pack(option(54, serverIP().AsSlice()[3:]...)))
			return append(b, pack(kind, lease, option(52, 3), option(54, serverIP().AsSlice()[:1]...))...)
		},
		"overflow told twice": func(b []byte) []byte {
			into(b[108:236], pack(server, lease))
			return append(b, pack(kind, option(52, 1), option(52, 1))...)
		},
		"a nonsensical overflow": func(b []byte) []byte {
			into(b[108:236], pack(option(54, 1, 2, 3, 4)))
			return append(b, pack(kind, server, lease, option(52, 0xfd))...)
		},
		"options cut off, the rest in file": func(b []byte) []byte {
			into(b[108:236], pack(server, lease))
			return append(append(b, pack(kind, option(52, 1))...), 6, 200, 1)
		},
		"one option in two parts (RFC 3396), over two fields": func(b []byte) []byte {
			into(b[108:236], pack(option(54, serverIP().AsSlice()[2:]...), lease))
			return append(b, pack(kind, option(52, 1), option(54, serverIP().AsSlice()[:2]...))...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := in(t, dhcp4.Selecting)
			r, err := dhcp4.Decode(build(raw(c.XID())))
			if err != nil {
				t.Fatal(err)
			}
			if c.Handle(now, r); c.State() != dhcp4.Requesting {
				t.Fatalf("refused: %v", c.Counts().Refused)
			}
			if l, _ := c.Offered(); l.Server != serverIP() {
				t.Errorf("offered by %s", l.Server)
			}
		})
	}
}

func TestDecodeRefusesWhatIsNoReply(t *testing.T) {
	good := append(raw(7), pack(option(53, 2))...)
	for name, alter := range map[string]func([]byte) []byte{
		"empty":              func([]byte) []byte { return nil },
		"cut in the head":    func(b []byte) []byte { return b[:239] },
		"a request":          func(b []byte) []byte { b[0] = 1; return b },
		"another cookie":     func(b []byte) []byte { b[236]++; return b },
		"another hlen":       func(b []byte) []byte { b[2] = 8; return b },
		"BOOTP, no type":     func(b []byte) []byte { return b[:240] },
		"a type of 2 octets": func(b []byte) []byte { return append(b[:240], 53, 2, 1, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := dhcp4.Decode(alter(append([]byte(nil), good...))); !errors.Is(err, dhcp4.ErrNotReply) {
				t.Errorf("%+v, %v: ErrNotReply wanted", r, err)
			}
		})
	}
}
