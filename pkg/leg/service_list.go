package leg

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// listed is a rule that stands, as far as it is looked at: the library fails at
// rules with what it does not know.
type listed struct{ userdata, exprs []byte }

// listRules lists the rules of a chain in their order, none if it is missing.
func listRules(conn *netlink.Conn, family byte, table, chain string) ([]listed, error) {
	question, err := request(family, unix.NFT_MSG_GETRULE, netlink.Dump, func(ae *encoder) {
		ae.String(unix.NFTA_RULE_TABLE, table)
		ae.String(unix.NFTA_RULE_CHAIN, chain)
	})
	if err != nil {
		return nil, err
	}
	answers, err := conn.Execute(question)
	if err != nil {
		return nil, unlessMissing(err)
	}
	var rules []listed
	for _, m := range answers {
		if len(m.Data) < 4 || m.Header.Type == netlink.Error {
			continue
		}
		ad, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return nil, fmt.Errorf("rules of nft table %s: %w", table, err)
		}
		ad.ByteOrder = binary.BigEndian
		var r listed
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_RULE_USERDATA:
				r.userdata = ad.Bytes()
			case unix.NFTA_RULE_EXPRESSIONS:
				r.exprs = ad.Bytes()
			}
		}
		if err := ad.Err(); err != nil {
			return nil, fmt.Errorf("rules of nft table %s: %w", table, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}
