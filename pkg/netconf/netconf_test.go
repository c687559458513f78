package netconf_test

import (
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/netconf"
)

func TestTheBudgetLeavesTheMainPluginItsShare(t *testing.T) {
	for _, c := range []struct{ left, from, to time.Duration }{
		{time.Minute, 57 * time.Second, 58 * time.Second}, {5 * time.Second, 3 * time.Second, 4 * time.Second}, {-time.Second, time.Millisecond, time.Millisecond},
	} {
		got := time.Duration(netconf.LeaseShareMS(c.left)) * time.Millisecond
		if got < c.from || got > c.to {
			t.Errorf("of %s: %s, want %s to %s", c.left, got, c.from, c.to)
		}
	}
}
