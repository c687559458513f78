package nft

import (
	"encoding/binary"
	"errors"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// attributes calls fn with the attributes behind a message's header.
func attributes(data []byte, fn func(*Decoder) error) error {
	if len(data) < headerSize {
		return errors.New("a message without header")
	}
	ad, err := netlink.NewAttributeDecoder(data[headerSize:])
	if err != nil {
		return err
	}
	ad.ByteOrder = binary.BigEndian
	if err := fn(ad); err != nil {
		return err
	}
	return ad.Err()
}

// inside calls fn with each attribute nested in the current one.
func inside(ad *Decoder, fn func(*Decoder)) {
	ad.Nested(func(inner *Decoder) error {
		for inner.Next() {
			fn(inner)
		}
		return nil
	})
}

func elements(fn func(Standing)) func(*Decoder) error {
	return func(ad *Decoder) error {
		for ad.Next() {
			if ad.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				inside(ad, func(list *Decoder) {
					var e Standing
					inside(list, e.decode)
					fn(e)
				})
			}
		}
		return nil
	}
}

func decodeRule(ad *Decoder) (r StandingRule) {
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			r.Chain = ad.String()
		case unix.NFTA_RULE_EXPRESSIONS:
			r.Exprs = ad.Bytes()
		case unix.NFTA_RULE_USERDATA:
			r.UserData = ad.Bytes()
			r.Note = note(r.UserData, userdata.TypeComment)
		}
	}
	return r
}

func decodeCounter(ad *Decoder) (name string, n uint64, counts bool) {
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_OBJ_NAME:
			name = ad.String()
		case unix.NFTA_OBJ_TYPE:
			counts = ad.Uint32() == unix.NFT_OBJECT_COUNTER
		case unix.NFTA_OBJ_DATA:
			n = packets(ad)
		}
	}
	return name, n, counts
}

// note finds the text of a kind in what is kept beside a rule or an element; ""
// is none. It may be anybody's bytes, at which the library panics.
func note(data []byte, kind userdata.Type) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		size := int(data[1])
		if userdata.Type(data[0]) == kind {
			return text(data[2 : 2+size])
		}
		data = data[2+size:]
	}
	return ""
}
