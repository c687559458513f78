package leg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// those asks a set for these addresses alone, each by itself: the library knows
// no question for a single element. What is not there is not returned.
func (t *table) those(set string, addrs []netip.Addr) ([]nftables.SetElement, error) {
	var els []nftables.SetElement
	for _, a := range addrs {
		question, err := request(unix.NFPROTO_IPV4, unix.NFT_MSG_GETSETELEM, 0, func(ae *encoder) {
			ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
			ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
			nested(ae, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *encoder) {
				nested(list, unix.NFTA_LIST_ELEM, func(one *encoder) { encode(one, nftables.SetElement{Key: a.AsSlice()}, true) })
			})
		})
		if err != nil {
			return nil, err
		}
		t.sent++
		answers, err := t.conn.Execute(question)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t.heard += len(answers)
		for _, m := range answers {
			e, err := decode(m)
			if err != nil {
				return nil, fmt.Errorf("element of nft set %s: %w", set, err)
			}
			els = append(els, e)
		}
	}
	return els, nil
}

// decode reads the one element of an answer.
func decode(m netlink.Message) (e nftables.SetElement, err error) {
	if len(m.Data) < 4 {
		return e, errors.New("a short answer")
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[4:])
	if err != nil {
		return e, err
	}
	ad.ByteOrder = binary.BigEndian
	within(ad, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *netlink.AttributeDecoder) {
		within(list, unix.NFTA_LIST_ELEM, func(one *netlink.AttributeDecoder) { read(one, &e) })
	})
	return e, ad.Err()
}

func read(ad *netlink.AttributeDecoder, e *nftables.SetElement) {
	value := func(to *[]byte) func(*netlink.AttributeDecoder) error {
		return func(d *netlink.AttributeDecoder) error {
			for d.Next() {
				*to = d.Bytes()
			}
			return nil
		}
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			ad.Nested(value(&e.Key))
		case unix.NFTA_SET_ELEM_DATA:
			ad.Nested(value(&e.Val))
		case unix.NFTA_SET_ELEM_USERDATA:
			e.Comment, _ = userdata.GetString(ad.Bytes(), userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
		}
	}
}

// within calls fn with what is nested in each attribute of the kind.
func within(ad *netlink.AttributeDecoder, kind uint16, fn func(*netlink.AttributeDecoder)) {
	for ad.Next() {
		if ad.Type() == kind {
			ad.Nested(func(inner *netlink.AttributeDecoder) error {
				fn(inner)
				return nil
			})
		}
	}
}
