package dhcpd

import (
	"net"
	"sync/atomic"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Condition tells whether a rule is about a message.
type Condition func(Request) bool

// rule is one fault.
type rule struct {
	when   []Condition
	answer Script
}

// fits asks the conditions in turn, so that one that counts is asked about what
// those before it let pass.
func (r *rule) fits(req Request) bool {
	for _, c := range r.when {
		if !c(req) {
			return false
		}
	}
	return true
}

// Case is messages that are to be answered otherwise than by the RFC.
type Case struct {
	server *Server
	when   []Condition
}

// On picks the messages that meet all conditions; without any, all messages. A
// server that plays faults reads so:
//
//	server.On(dhcpd.Renewing, dhcpd.From(mac)).Answer(dhcpd.NAK)
//	server.On(dhcpd.Discovering, dhcpd.Times(2)).Answer(dhcpd.Silent())
//	server.On(dhcpd.Selecting).Answer(dhcpd.Alter(dhcpd.As(dhcpv4.MessageTypeOffer)), dhcpd.Regularly)
//
// Where several rules fit, the one that was made last holds; where none does,
// the server answers by the RFC.
func (s *Server) On(when ...Condition) Case { return Case{s, when} }

// Answer has the scripts answer, in their order, each what it would answer
// alone. The returned function takes the rule away again.
func (c Case) Answer(scripts ...Script) (lift func()) {
	r := &rule{when: c.when, answer: together(scripts)}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, r)
	return func() { s.lift(r) }
}

// together joins what the scripts that handle a message answer.
func together(scripts []Script) Script {
	return func(req Request) (all []Reply, handled bool) {
		for _, s := range scripts {
			replies, ok := s(req)
			all, handled = append(all, replies...), handled || ok
		}
		return all, handled
	}
}

// Discovering is the client in INIT: DHCPDISCOVER.
func Discovering(r Request) bool { return r.Type == dhcpv4.MessageTypeDiscover }

// Requesting is a DHCPREQUEST in whatever state. RFC 2131 §4.3.6 tells the
// states apart as the next four do.
func Requesting(r Request) bool { return r.Type == dhcpv4.MessageTypeRequest }

// Selecting is a DHCPREQUEST of what a server has offered.
func Selecting(r Request) bool { return Requesting(r) && r.ServerID.IsValid() }

// Rebooting is a DHCPREQUEST of an address of old (INIT-REBOOT).
func Rebooting(r Request) bool {
	return Requesting(r) && !r.ServerID.IsValid() && !r.CIAddr.IsValid()
}

// Renewing is a DHCPREQUEST for more time, to this server alone.
func Renewing(r Request) bool { return extending(r) && r.UnicastL3() }

// Rebinding is a DHCPREQUEST for more time, to any server.
func Rebinding(r Request) bool { return extending(r) && !r.UnicastL3() }

func extending(r Request) bool {
	return Requesting(r) && !r.ServerID.IsValid() && r.CIAddr.IsValid()
}

// From picks the messages of one client, by chaddr.
func From(mac net.HardwareAddr) Condition {
	return func(r Request) bool { return r.MAC.String() == mac.String() }
}

// Times picks the first n messages that it is asked about: those that meet the
// conditions before it.
func Times(n int) Condition {
	var seen atomic.Int64
	return func(Request) bool { return seen.Add(1) <= int64(n) }
}
