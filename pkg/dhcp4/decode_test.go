package dhcp4_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

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

func FuzzDecode(f *testing.F) {
	f.Add(append(raw(7), pack(option(53, 2), option(54, 1, 2, 3, 4), option(52, 3))...))
	f.Add(append(raw(7), pack(option(53, 5), option(51, 0, 0, 0, 9), option(121, 33))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		r, err := dhcp4.Decode(b)
		if err != nil && !errors.Is(err, dhcp4.ErrNotReply) {
			t.Errorf("not ErrNotReply: %v", err)
		}
		if err == nil && r.Type == 0 {
			t.Error("a reply without a type")
		}
		if string(b) != before {
			t.Error("the packet was altered")
		}
	})
}

// FuzzClient feeds a client with whatever replies to its transactions, at
// whatever times, and checks what must always hold.
func FuzzClient(f *testing.F) {
	f.Add([]byte{2, 5, 0, 5, 1, 6, 0}, pack(option(54, 192, 0, 2, 1), option(51, 0, 0, 0, 60)), uint64(1))
	f.Add([]byte{2, 5, 0, 0, 0, 0, 0, 0, 6, 2, 5}, pack(option(54, 192, 0, 2, 1), option(51, 255, 255, 255, 255)), uint64(2))
	f.Fuzz(func(t *testing.T, script, opts []byte, seed uint64) {
		script, opts = script[:min(len(script), 100)], opts[:min(len(opts), 2000)]
		c := dhcp4.New(params(), rand.New(rand.NewPCG(seed, 0)))
		now := boot
		check(t, c, now, c.Start(now))
		for _, step := range script {
			if step < 2 {
				now = max(now, min(c.Deadline(), now+1000*time.Hour)) + time.Duration(step)*time.Minute
				check(t, c, now, c.Tick(now))
				continue
			}
			b := append(append(raw(c.XID()), 53, 1, step%9), opts...)
			if r, err := dhcp4.Decode(b); err == nil {
				check(t, c, now, c.Handle(now, r))
			}
		}
		if out := c.Release(); len(out.Send) > 1 {
			t.Errorf("%d messages release one lease", len(out.Send))
		}
	})
}

func check(t *testing.T, c *dhcp4.Client, now time.Duration, out dhcp4.Output) {
	t.Helper()
	l, holds := c.Lease()
	if holds && c.Deadline() > l.Expiry {
		t.Errorf("in %s nothing is due before the lease ends", c.State())
	}
	if len(out.Send) > 0 && out.Change != dhcp4.Lost && c.Deadline() <= now && c.State() != dhcp4.Init {
		t.Errorf("in %s, having sent, it is due again at once", c.State())
	}
	if holds && (l.T1 > l.T2 || l.T2 > l.Expiry || !l.Address.IsValid() || !l.Server.IsValid() || len(l.Routes) > 64) {
		t.Errorf("the lease is in disorder: %+v", l)
	}
	if out.Change == dhcp4.Lost && (holds || out.Reason == "") {
		t.Errorf("lost, but held or without a reason: %+v", out)
	}
	if (out.Change == dhcp4.Granted || out.Change == dhcp4.Extended) && (!holds || now >= l.Expiry) {
		t.Error("granted, but not held, or over already")
	}
	for _, d := range out.Send {
		if m := sent(t, d); m.TransactionID == (dhcpv4.TransactionID{}) {
			t.Error("a message without a number")
		}
	}
}
