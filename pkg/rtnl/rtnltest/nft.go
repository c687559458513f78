package rtnltest

import (
	"testing"

	"github.com/google/nftables"
)

// ChangeNFT has somebody else change the namespace's ruleset: what fn does is one
// transaction.
func (n *Netns) ChangeNFT(tb testing.TB, fn func(*nftables.Conn)) {
	tb.Helper()
	must(tb, n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		fn(c)
		return c.Flush()
	}))
}
