package nft

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// FuzzAnswers reads what the kernel may hand on of anybody's: it never panics.
func FuzzAnswers(f *testing.F) {
	head := "\x07\x00\x00\x00" + attr(1, "t\x00")
	for _, body := range []string{
		nest(3, nest(1, nest(1, attr(1, "k")), nest(2, attr(1, "v")), attr(3, u32(1)), attr(6, "\x00\x02n\x00"))),
		nest(3, nest(1, nest(7, attr(1, "counter\x00"), nest(2, attr(1, u32(0), u32(1)), attr(2, u32(0), u32(2)))))),
		nest(3, nest(1, nest(1, attr(1, "k")), attr(6, "\x00\xffn"))), // at which the library's reader panics
		attr(2, "c\x00") + nest(4, nest(1)) + attr(7, "\x00\xffn"),
		attr(2, "c\x00") + attr(3, u32(1)) + nest(4, attr(2, u32(0), u32(9))),
	} {
		f.Add([]byte(head + body))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = attributes(data, elements(func(Standing) {}))
		_ = attributes(data, func(ad *Decoder) error { decodeRule(ad); return nil })
		_ = attributes(data, func(ad *Decoder) error { decodeCounter(ad); return nil })
	})
}

// FuzzEvents reads what a socket gives, as notifications and as answers.
func FuzzEvents(f *testing.F) {
	message := func(kind byte, data string) []byte {
		return append([]byte{byte(16 + len(data)), 0, 0, 0, kind, unix.NFNL_SUBSYS_NFTABLES, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}, data...)
	}
	f.Add(message(unix.NFT_MSG_NEWRULE, "\x07\x00\x00\x00"+attr(1, "t\x00")+attr(2, "c\x00")))
	f.Add(message(unix.NFT_MSG_NEWGEN, "\x00\x00\x00\x00"+attr(1, u32(7))))
	refusal := message(unix.NLMSG_ERROR, "\xfe\xff\xff\xff")
	refusal[5] = 0
	f.Add(refusal)
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := parseEvents(data)
		if err != nil && len(events) > 0 {
			t.Error("events beside an error")
		}
		for _, e := range events {
			if e.Kind == unix.NFT_MSG_NEWGEN && e.Table+e.Name != "" {
				t.Errorf("the end of a transaction has names: %+v", e)
			}
		}
		o := new(outcome)
		_ = o.read(data)
		if o.failed != nil && (!o.answered || o.err() == nil) {
			t.Error("a refusal is no answer")
		}
	})
}

// FuzzAnElementIsReadAsItWasWritten whatever its bytes.
func FuzzAnElementIsReadAsItWasWritten(f *testing.F) {
	f.Add("key", "value", "note", true)
	f.Add("", "", "", false)
	f.Fuzz(func(t *testing.T, key, value, note string, end bool) {
		if len(key)+len(value) > 1000 || len(note) > 252 || strings.Contains(note, "\x00") {
			t.Skip()
		}
		want := Element{Key: key, Value: value, Note: note, End: end}
		m, err := Request(unix.NFPROTO_INET, unix.NFT_MSG_NEWSETELEM, 0, elementsOf(Table{Name: "t"}, "s", []Element{want, want}, (*Element).encode))
		if err != nil {
			t.Fatal(err)
		}
		var got []Element
		err = attributes(m.Data, elements(func(e Standing) { got = append(got, e.Element) }))
		if diff := cmp.Diff([]Element{want, want}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
}

func TestANoteIsFoundAmongWhatOthersKeepBesideIt(t *testing.T) {
	tests := map[string]struct{ data, want string }{
		"none":                       {"", ""},
		"alone":                      {"\x00\x02n\x00", "n"},
		"behind another":             {"\x01\x01x\x00\x02n\x00", "n"},
		"another alone":              {"\x01\x01x", ""},
		"without its end":            {"\x00\x01n", "n"},
		"with a length and no bytes": {"\x00", ""},
		"shorter than it says":       {"\x00\x09n", ""},
		"behind one that is shorter": {"\x01\x09\x00\x02n\x00", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := note([]byte(test.data), userdata.TypeComment); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
