package leg

import (
	"github.com/mdlayher/netlink"

	nf "github.com/podlan/podlan/pkg/nft"
)

// What forward asks on a socket of its own.

type encoder = nf.Encoder

func request(family byte, kind uint16, flags netlink.HeaderFlags, fill func(*encoder)) (netlink.Message, error) {
	return nf.Request(family, kind, flags, fill)
}

// listed is a rule that stands, as far as it is looked at.
type listed struct{ userdata, exprs []byte }

// listRules lists the rules of a chain in their order, none if it is missing.
func listRules(conn *netlink.Conn, family byte, table, chain string) ([]listed, error) {
	all, err := nf.NewConn(conn).Rules(nf.Table{Family: family, Name: table}, chain)
	var rules []listed
	for _, r := range all {
		rules = append(rules, listed{r.UserData, r.Exprs})
	}
	return rules, err
}
