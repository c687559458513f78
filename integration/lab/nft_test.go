package lab_test

import (
	"slices"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// A snapshot counts rules of whatever expressions.
func TestSnapshotCountsRules(t *testing.T) {
	n := lab.New(t, lab.Options{}).Node("n1", lab.NodeOptions{})
	const table = `table ip t {
		chain c {
			ct original ip daddr 10.96.0.0/12 accept
			ip saddr 192.0.2.1 drop
		}
		chain empty { }
	}`
	if _, err := n.RunTool(t.Context(), "nft", table, "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ip t chain c: 2 rules", "ip t chain empty: 0 rules"} {
		if s := n.Snapshot(); !slices.Contains(s.NFT, want) {
			t.Errorf("%q is not in %q", want, s.NFT)
		}
	}
}
