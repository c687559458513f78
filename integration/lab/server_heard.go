package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// message is a client's in a server's log.
type message struct {
	Type dhcpv4.MessageType
	MAC  string
}

// Heard returns the messages of a client, or with "" of all, that the server
// logged, in order, since the lab began.
func (s *Server) Heard(mac string) []dhcpv4.MessageType {
	var types []dhcpv4.MessageType
	for _, m := range s.heard() {
		if mac == "" || m.MAC == strings.ToLower(mac) {
			types = append(types, m.Type)
		}
	}
	return types
}

// AwaitHeard waits until the server logged, after the client's first messages,
// one of the type, and returns all of them.
func (s *Server) AwaitHeard(mac string, after int, kind dhcpv4.MessageType) []dhcpv4.MessageType {
	s.tb.Helper()
	var heard []dhcpv4.MessageType
	Eventually(s.tb, fmt.Sprintf("%s of %s in the log of %s", kind, mac, s.kind), func() error {
		heard = s.Heard(mac)
		if !slices.Contains(heard[min(after, len(heard)):], kind) {
			return fmt.Errorf("it has %v", heard)
		}
		return nil
	})
	return heard
}

// Declined returns the addresses that the server's database keeps from
// everybody since a client declined them. dnsmasq keeps none: it only chooses
// another address the next time.
func (s *Server) Declined() []netip.Addr {
	s.tb.Helper()
	addrs, err := s.declined()
	if err != nil {
		s.tb.Fatalf("lab: declined addresses of %s: %v", s.kind, err)
	}
	return addrs
}
