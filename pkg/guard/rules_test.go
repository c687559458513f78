package guard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"testing"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A table of the same version is taken for the same rules, so whoever changes
// sets or rules raises version, and writes the new sum here.
func TestTheVersionStandsForTheRules(t *testing.T) {
	const of = "4"
	const want = "4c3cc46eb968e022"
	sum := sha256.New()
	for _, s := range sets() {
		fmt.Fprintln(sum, s.Name, s.KeyType().Name)
	}
	fmt.Fprintln(sum, counters())
	for _, c := range chains() {
		fmt.Fprintln(sum, c.Name, c.Priority, c.Hook != nil && *c.Hook > 0)
		for _, r := range c.rules {
			add(t, sum, r)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil))[:16]; version != of || got != want {
		t.Errorf("version %s has the sum %s; version %s had %s", version, got, of, want)
	}
}

func add(t *testing.T, sum hash.Hash, rule []expr.Any) {
	t.Helper()
	for _, e := range rule {
		b, err := expr.Marshal(unix.NFPROTO_BRIDGE, e)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(b)
	}
}
