package daemon

import (
	"net/netip"
	"testing"
)

func TestTheNodesOwnAddressesAreKnown(t *testing.T) {
	var b borne
	if !b.has(netip.MustParseAddr("127.0.0.1")) {
		t.Error("loopback's address is not known")
	}
	if b.has(netip.MustParseAddr("192.0.2.77")) { // RFC 5737
		t.Error("an address of nobody's is")
	}
}
