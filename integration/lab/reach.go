package lab

import (
	"context"
	"net/netip"
)

// Reaches ends the test unless the address answers the namespace's pings within
// a minute (Stretch).
func (n *Netns) Reaches(tb TB, addr netip.Addr) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Stretch(patience))
	defer cancel()
	if err := n.Ping(ctx, addr); err != nil {
		tb.Fatalf("%v", err)
	}
}
