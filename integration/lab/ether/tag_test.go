package ether_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/podlan/podlan/integration/lab/ether"
)

func TestTagsWrittenByHandAreReadAgain(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	plain := ether.ARPFrame(ether.Broadcast(), mac, ether.ARP{
		Op: ether.ARPRequest, SenderMAC: mac, SenderIP: netip.MustParseAddr("198.18.0.9"), TargetIP: netip.MustParseAddr("198.18.0.1"),
	})
	cases := map[string][]ether.Tag{
		"none":     nil,
		"one":      {{TPID: ether.Dot1Q, VID: 4094}},
		"priority": {{TPID: ether.Dot1Q, PCP: 7}},
		"service":  {{TPID: ether.Dot1AD, VID: 100}, {TPID: ether.Dot1Q, VID: 10, PCP: 3}},
		"double":   {{TPID: ether.Dot1Q, VID: 10}, {TPID: ether.Dot1Q, VID: 20}},
	}
	for name, tags := range cases {
		f, err := ether.Parse(ether.Tagged(plain, tags...))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Tags(); !slices.Equal(got, tags) {
			t.Errorf("%s: tags %v, want %v", name, got, tags)
		}
		if _, ok := f.Inner().ARP(); !ok || len(f.Inner().Tags()) > 0 {
			t.Errorf("%s: within is %s, want ARP", name, f.Inner())
		}
	}
}
