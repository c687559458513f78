package nft

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// attr is an attribute as linux/netlink.h has it: a length and a type in host
// order, a value, and zeros up to 4 bytes.
func attr(kind uint16, values ...string) string {
	value := ""
	for _, v := range values {
		value += v
	}
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return string(b)
}

func nest(kind uint16, values ...string) string { return attr(unix.NLA_F_NESTED|kind, values...) }

func u32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

func TestAMessageIsBuiltByteForByte(t *testing.T) {
	table := Table{unix.NFPROTO_BRIDGE, "t"}
	name := attr(1, "t\x00")
	address := nftables.TypeIPAddr
	tests := map[string]struct {
		build func(*Batch)
		kind  uint16
		flags netlink.HeaderFlags
		want  string
	}{
		"a table": {(*Batch).AddTable, unix.NFT_MSG_NEWTABLE, 0, name},
		"a counter": {
			func(b *Batch) { b.AddCounter("c") }, unix.NFT_MSG_NEWOBJ, 0,
			name + attr(2, "c\x00") + attr(3, u32(1)) + nest(4),
		},
		"a set of names": {
			func(b *Batch) {
				b.AddSet(Set{Name: "s", Key: []nftables.SetDatatype{nftables.TypeIFName}, Order: HostOrder}, 7)
			}, unix.NFT_MSG_NEWSET, 0,
			name + attr(2, "s\x00") + attr(10, u32(7)) + attr(4, u32(41)) + attr(5, u32(16)) + attr(3, u32(0)) + attr(13, "\x00\x04\x01\x00\x00\x00"),
		},
		"a set of intervals": {
			func(b *Batch) {
				b.AddSet(Set{Name: "s", Key: []nftables.SetDatatype{address}, Order: NetworkOrder, Interval: true}, 7)
			}, unix.NFT_MSG_NEWSET, 0,
			name + attr(2, "s\x00") + attr(10, u32(7)) + attr(4, u32(7)) + attr(5, u32(4)) + attr(3, u32(4)) + attr(13, "\x00\x04\x02\x00\x00\x00"),
		},
		"a map": {
			func(b *Batch) {
				b.AddSet(Set{Name: "s", Key: []nftables.SetDatatype{address}, Value: &address, Order: NetworkOrder}, 7)
			}, unix.NFT_MSG_NEWSET, 0,
			name + attr(2, "s\x00") + attr(10, u32(7)) + attr(4, u32(7)) + attr(5, u32(4)) + attr(3, u32(8)) + attr(6, u32(7)) + attr(7, u32(4)) +
				attr(13, "\x00\x04\x02\x00\x00\x00", "\x01\x04\x02\x00\x00\x00"),
		},
		"a set of names with marks, with counters": {
			func(b *Batch) {
				b.AddSet(Set{Name: "s", Key: []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeMark}, Counts: true}, 7)
			}, unix.NFT_MSG_NEWSET, 0,
			name + attr(2, "s\x00") + attr(10, u32(7)) + attr(4, u32(41<<6|19)) + attr(5, u32(20)) + attr(3, u32(0x80)) +
				nest(9, nest(2, nest(1, attr(1, u32(16))), nest(1, attr(1, u32(4))))) +
				nest(17, attr(1, "counter\x00"), nest(2, attr(1, u32(0), u32(0)), attr(2, u32(0), u32(0)))),
		},
		"a chain": {func(b *Batch) { b.AddChain(Chain{Name: "c"}) }, unix.NFT_MSG_NEWCHAIN, 0, name + attr(3, "c\x00")},
		"a chain with a hook": {
			func(b *Batch) {
				b.AddChain(Chain{Name: "c", Type: nftables.ChainTypeNAT, Hook: new(nftables.ChainHook(4)), Priority: -5})
			}, unix.NFT_MSG_NEWCHAIN, 0,
			name + attr(3, "c\x00") + nest(4, attr(1, u32(4)), attr(2, "\xff\xff\xff\xfb")) + attr(5, u32(1)) + attr(7, "nat\x00"),
		},
		"a rule": {
			func(b *Batch) {
				b.AddRule(Rule{"c", "n", slices.Concat(Network(12, 4).Is(1, 2, 3, 4), Match{In("s")})})
			}, unix.NFT_MSG_NEWRULE, netlink.Append,
			name + attr(2, "c\x00") + nest(4,
				nest(1, attr(1, "payload\x00"), nest(2, attr(1, u32(1)), attr(2, u32(1)), attr(3, u32(12)), attr(4, u32(4)))),
				nest(1, attr(1, "cmp\x00"), nest(2, attr(1, u32(1)), attr(2, u32(0)), nest(3, attr(1, "\x01\x02\x03\x04")))),
				nest(1, attr(1, "lookup\x00"), nest(2, attr(2, u32(1)), attr(1, "s\x00"), attr(4, u32(0)))),
			) + attr(7, "\x00\x02n\x00"),
		},
		"the destination that a connection began with": {
			func(b *Batch) {
				b.AddRule(Rule{"c", "n", Match{&expr.Ct{Register: First, Key: unix.NFT_CT_DST_IP}}})
			}, unix.NFT_MSG_NEWRULE, netlink.Append,
			name + attr(2, "c\x00") + nest(4,
				nest(1, attr(1, "ct\x00"), nest(2, attr(2, u32(20)), attr(1, u32(1)), attr(3, "\x00"))),
			) + attr(7, "\x00\x02n\x00"),
		},
		"elements": {
			func(b *Batch) { b.Put("s", []Element{{Key: "k", Value: "v", Note: "n"}, {Key: "l", End: true}}) }, unix.NFT_MSG_NEWSETELEM, 0,
			name + attr(2, "s\x00") + nest(3,
				nest(1, nest(1, attr(1, "k")), nest(2, attr(1, "v")), attr(6, "\x00\x02n\x00")),
				nest(1, nest(1, attr(1, "l")), attr(3, u32(1)))),
		},
		"an element with a rate": {
			func(b *Batch) { b.Put("s", []Element{{Key: "k", Above: Rate{100, 50}}}) }, unix.NFT_MSG_NEWSETELEM, 0,
			name + attr(2, "s\x00") + nest(3, nest(1, nest(1, attr(1, "k")), nest(7, attr(1, "limit\x00"),
				nest(2, attr(1, u32(0), u32(100)), attr(2, u32(0), u32(1)), attr(3, u32(50)), attr(4, u32(0)), attr(5, u32(1)))))),
		},
		"an element that goes": {
			func(b *Batch) { b.Take("s", []Element{{Key: "k", Value: "v", Note: "n", Above: Rate{1, 1}}}) }, unix.NFT_MSG_DELSETELEM, 0,
			name + attr(2, "s\x00") + nest(3, nest(1, nest(1, attr(1, "k")))),
		},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			b := NewBatch(table)
			test.build(b)
			if b.err != nil || len(b.messages) != 1 {
				t.Fatalf("%d messages, %v", len(b.messages), b.err)
			}
			m := b.messages[0]
			want := netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | test.kind), Flags: netlink.Request | netlink.Create | test.flags}
			if m.Header != want {
				t.Errorf("header %v, want %v", m.Header, want)
			}
			if diff := cmp.Diff(hex.Dump([]byte("\x07\x00\x00\x00"+test.want)), hex.Dump(m.Data)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestABatchIsBetweenItsMarksAndAsksForOneAcknowledgement(t *testing.T) {
	b := NewBatch(Table{unix.NFPROTO_IPV4, "t"})
	b.DropTable()
	b.AddTable()
	nft := netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES << 8)
	want := []netlink.Header{
		{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request},
		{Type: nft | unix.NFT_MSG_NEWTABLE, Flags: netlink.Request | netlink.Create},
		{Type: nft | unix.NFT_MSG_DELTABLE, Flags: netlink.Request | netlink.Create},
		{Type: nft | unix.NFT_MSG_NEWTABLE, Flags: netlink.Request | netlink.Create | netlink.Acknowledge},
		{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request},
	}
	var got []netlink.Header
	for _, m := range b.sealed() {
		got = append(got, m.Header)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestElementsGoInMessagesThatTheKernelTakes(t *testing.T) {
	const count = 10_000
	els := make([]Element, count)
	for i := range els {
		els[i] = Element{Key: string(make([]byte, 32)), Note: string(make([]byte, 252)), Above: Rate{1, 1}}
	}
	b := NewBatch(Table{unix.NFPROTO_BRIDGE, "t"})
	b.Put("s", els)
	b.Put("s", nil)
	if b.err != nil {
		t.Fatal(b.err)
	}
	// Nested attributes have 16 bits for their length.
	for _, m := range b.messages {
		if len(m.Data) >= 1<<16 {
			t.Errorf("a message of %d bytes", len(m.Data))
		}
	}
	if want := (count + chunk - 1) / chunk; len(b.messages) != want {
		t.Errorf("%d messages, want %d", len(b.messages), want)
	}
}

func TestABatchThatCannotBeBuiltIsNotSent(t *testing.T) {
	b := NewBatch(Table{unix.NFPROTO_BRIDGE, "t"})
	b.AddRule(Rule{"c", "n", Match{&expr.Numgen{Type: 99}}})
	if err := new(Conn).Send(b); err == nil || !strings.Contains(err.Error(), `a rule "n"`) {
		t.Errorf("got %v, want one that names the rule", err)
	}
	if err := new(Conn).Send(NewBatch(Table{})); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}
