package guard

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// asker asks the kernel for single elements: the library can only list a whole
// set.
type asker struct {
	conn *netlink.Conn
}

// element asks for one element and returns its note; found is false if the
// element, the set or the table is missing.
func (a asker) element(set, key string) (note string, found bool, err error) {
	request, err := elementRequest(set, key)
	if err != nil {
		return "", false, err
	}
	answer, err := a.conn.Execute(request)
	if errors.Is(err, unix.ENOENT) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("ask for an element of %s: %w", set, err)
	}
	for _, m := range answer {
		if note, found, err = parseElement(m.Data); found || err != nil {
			return note, found, err
		}
	}
	return "", false, nil
}

// nfgenmsg is the size of struct nfgenmsg, which begins every message.
const nfgenmsg = 4

func elementRequest(set, key string) (netlink.Message, error) {
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, table().Name)
	ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
	ae.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *netlink.AttributeEncoder) error {
		list.Nested(unix.NFTA_LIST_ELEM, func(e *netlink.AttributeEncoder) error {
			e.Nested(unix.NFTA_SET_ELEM_KEY, func(k *netlink.AttributeEncoder) error {
				k.Bytes(unix.NFTA_DATA_VALUE, []byte(key))
				return nil
			})
			return nil
		})
		return nil
	})
	attrs, err := ae.Encode()
	if err != nil {
		return netlink.Message{}, err
	}
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM),
			Flags: netlink.Request,
		},
		Data: append([]byte{unix.NFPROTO_BRIDGE, unix.NFNETLINK_V0, 0, 0}, attrs...),
	}, nil
}

func parseElement(data []byte) (note string, found bool, err error) {
	if len(data) < nfgenmsg {
		return "", false, errors.New("a message without header")
	}
	ad, err := netlink.NewAttributeDecoder(data[nfgenmsg:])
	if err != nil {
		return "", false, err
	}
	for ad.Next() {
		if ad.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		ad.Nested(func(list *netlink.AttributeDecoder) error {
			for list.Next() {
				found = true
				list.Nested(func(e *netlink.AttributeDecoder) error {
					for e.Next() {
						if e.Type() == unix.NFTA_SET_ELEM_USERDATA {
							note = elementNote(e.Bytes())
						}
					}
					return nil
				})
			}
			return nil
		})
	}
	return note, found, ad.Err()
}

func elementNote(data []byte) string {
	note, _ := userdata.GetString(data, userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
	return note
}

// standing lists the ports of the table that stands, of whatever version; none
// if there is no table. It dumps a set: not for hot paths.
func standing(c *nftables.Conn) ([]Port, error) {
	// GetSets drops the errno that tells a missing table from a failure.
	if _, err := c.ListTableOfFamily(table().Name, table().Family); errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	all, err := c.GetSets(table())
	if err != nil {
		return nil, fmt.Errorf("list the sets: %w", err)
	}
	var ports []Port
	for _, s := range all {
		if !strings.HasPrefix(s.Name, setPortsPrefix) {
			continue
		}
		elements, err := c.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", s.Name, err)
		}
		for _, e := range elements {
			// What another version wrote and this one cannot read stays closed.
			if p, err := parseNote(strings.TrimRight(string(e.Key), "\x00"), e.Comment); err == nil {
				ports = append(ports, p)
			}
		}
	}
	return ports, nil
}
