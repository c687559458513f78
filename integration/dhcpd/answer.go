package dhcpd

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// regular answers a request as RFC 2131 §4.3 has it, and notes
// whether a RELEASE or DECLINE was for an address of the client's.
func (s *Server) regular(r *Request) []Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch r.Type {
	case dhcpv4.MessageTypeDiscover:
		return s.discover(r, now)
	case dhcpv4.MessageTypeRequest:
		return s.request(r, now)
	case dhcpv4.MessageTypeRelease:
		*r.known = s.db.release(r.key(), r.CIAddr, now) || *r.known // scripts may ask twice
	case dhcpv4.MessageTypeDecline:
		*r.known = s.db.decline(r.key(), r.Requested, now) || *r.known
	case dhcpv4.MessageTypeInform:
		return s.inform(r)
	}
	return nil
}

func (s *Server) discover(r *Request, now time.Time) []Reply {
	addr, ok := s.db.pick(r.key(), r.MAC.String(), r.Requested, now)
	if !ok {
		return nil // RFC 2131 §4.3.1: a full server is silent
	}
	if b := s.db.holder(addr, now); b == nil || !b.bound {
		s.db.put(r.key(), s.lease(r, addr, now.Add(offerTime)), false)
	}
	return s.reply(r, dhcpv4.MessageTypeOffer, addr)
}

// request tells the four kinds of REQUEST apart by the table in RFC 2131
// §4.3.6: SELECTING names a server, INIT-REBOOT an address, the others fill
// ciaddr.
func (s *Server) request(r *Request, now time.Time) []Reply {
	if r.ServerID.IsValid() {
		return s.selecting(r, now)
	}
	want := r.CIAddr
	if !want.IsValid() {
		want = r.Requested
	}
	b := s.db.byKey[r.key()]
	mine := b != nil && b.Addr == want
	if !mine && s.cfg.NotAuthoritative && s.cfg.Address.Contains(want) && b == nil {
		return nil
	}
	return s.grantIf(r, want, now)
}

func (s *Server) selecting(r *Request, now time.Time) []Reply {
	if r.ServerID != s.addr {
		s.withdrawOffer(r, now)
		return nil // the client chose another server
	}
	return s.grantIf(r, r.Requested, now)
}

func (s *Server) withdrawOffer(r *Request, now time.Time) {
	if b := s.db.byKey[r.key()]; b != nil && !b.bound {
		b.Expires = now
	}
}

func (s *Server) grantIf(r *Request, addr netip.Addr, now time.Time) []Reply {
	if !s.db.available(addr, r.key(), r.MAC.String(), now) {
		return s.nak(r, s.addr, "address not available")
	}
	s.db.put(r.key(), s.lease(r, addr, now.Add(s.cfg.Lease)), true)
	return s.reply(r, dhcpv4.MessageTypeAck, addr)
}

// inform answers with configuration alone: no address, no lease time (RFC 2131
// §4.3.5).
func (s *Server) inform(r *Request) []Reply {
	replies := s.reply(r, dhcpv4.MessageTypeAck, netip.Addr{})
	for _, reply := range replies {
		for _, code := range []dhcpv4.OptionCode{
			dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
		} {
			reply.Message.Options.Del(code)
		}
	}
	return replies
}

func (s *Server) lease(r *Request, addr netip.Addr, until time.Time) Lease {
	return Lease{Addr: addr, MAC: r.MAC, ClientID: r.ClientID, Hostname: r.Hostname, Expires: until}
}

func (s *Server) reply(r *Request, kind dhcpv4.MessageType, addr netip.Addr) []Reply {
	m, err := dhcpv4.NewReplyFromRequest(r.Message, dhcpv4.WithMessageType(kind),
		dhcpv4.WithServerIP(s.addr.AsSlice()))
	if err != nil {
		s.note(err)
		return nil
	}
	if addr.IsValid() {
		m.YourIPAddr = addr.AsSlice()
	}
	m.ClientIPAddr = net.IPv4zero
	if kind == dhcpv4.MessageTypeAck {
		m.ClientIPAddr = r.Message.ClientIPAddr // RFC 2131 table 3
	}
	for _, o := range s.options() {
		m.UpdateOption(o)
	}
	if len(r.ClientID) > 0 { // RFC 6842
		m.UpdateOption(dhcpv4.OptClientIdentifier(r.ClientID))
	}
	return []Reply{{Message: m}}
}

// refusal is what a script's NAK says.
const refusal = "refused by script"

// refuse is a NAK of a server that knows nothing of the client's lease.
func (s *Server) refuse(r *Request) []Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db.drop(r.key())
	return s.nak(r, s.addr, refusal)
}

func (s *Server) nak(r *Request, as netip.Addr, why string) []Reply {
	m, err := nakTo(r.Message, as, why)
	if err != nil {
		s.note(err)
		return nil
	}
	return []Reply{{Message: m}}
}
