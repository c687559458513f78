package dhcpd

import (
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Script is asked about a message before the server answers. With handled the
// replies go out instead of the regular ones; Request.Regular gives those to be
// altered. It is called by one goroutine only at a time.
type Script func(req Request) (replies []Reply, handled bool)

// SetScript puts a script, instead of all rules, between the clients and the
// server; nil leaves the server to itself.
func (s *Server) SetScript(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
	if script != nil {
		s.rules = []*rule{{answer: script}}
	}
}

func (s *Server) lift(r *rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = slices.DeleteFunc(slices.Clone(s.rules), func(other *rule) bool { return other == r })
}

// scripted asks the rules, the latest first, until one handles the message.
func (s *Server) scripted(req Request) ([]Reply, bool) {
	s.mu.Lock()
	rules := s.rules
	s.mu.Unlock()
	for _, r := range slices.Backward(rules) {
		if !r.fits(req) {
			continue
		}
		if replies, handled := r.answer(req); handled {
			return replies, true
		}
	}
	return nil, false
}

// On restricts a script to messages of the given types.
func On(script Script, types ...dhcpv4.MessageType) Script {
	return func(req Request) ([]Reply, bool) {
		if slices.Contains(types, req.Type) {
			return script(req)
		}
		return nil, false
	}
}

// Silent answers nothing.
func Silent() Script {
	return func(Request) ([]Reply, bool) { return nil, true }
}

// Regularly answers by the RFC.
func Regularly(req Request) ([]Reply, bool) { return req.Regular(), true }

// NAK refuses, and forgets the client's lease if it had one.
func NAK(req Request) ([]Reply, bool) { return req.server.refuse(&req), true }

// RegularlyOrNAK answers by the RFC, and refuses where that would be silence: a
// full pool.
func RegularlyOrNAK(req Request) ([]Reply, bool) {
	if replies := req.Regular(); len(replies) > 0 {
		return replies, true
	}
	return NAK(req)
}

// NAKBy is a refusal by another server; this one forgets nothing.
func NAKBy(id netip.Addr) Script {
	return func(req Request) ([]Reply, bool) {
		replies := req.server.nak(&req, id, refusal)
		for i := range replies {
			replies[i].FromIP = id
		}
		return replies, true
	}
}

// Slow sends the regular replies so much later.
func Slow(by time.Duration) Script {
	return alterReplies(func(r *Reply) { r.After = by })
}

// Hold sends the regular replies once the channel is closed.
func Hold(until <-chan struct{}) Script {
	return alterReplies(func(r *Reply) { r.When = until })
}

// Duplicate sends every regular reply n times more.
func Duplicate(n int) Script {
	return alterReplies(func(r *Reply) { r.Copies = n })
}

// Alter changes every regular reply's message before it is sent.
func Alter(changes ...Change) Script {
	return alterReplies(func(r *Reply) {
		for _, change := range changes {
			change(r.Message)
		}
	})
}

// Written sends the regular replies as bytes of another writer's.
func Written(by Writer) Script {
	return alterReplies(func(r *Reply) { r.Writer = by })
}

// CutShort sends every regular reply cut off after 0 bytes, after 1, and so on
// until but not including the length that end returns for it, a millisecond
// apart: what receives them shall not lose some.
func CutShort(end Writer) Script {
	return func(req Request) (all []Reply, handled bool) {
		for _, reply := range req.Regular() {
			whole := end(reply.Message)
			for n := range whole {
				reply.After = time.Duration(n) * time.Millisecond
				reply.Writer = func(*dhcpv4.DHCPv4) []byte { return whole[:n] }
				all = append(all, reply)
			}
		}
		return all, true
	}
}

func alterReplies(change func(*Reply)) Script {
	return func(req Request) ([]Reply, bool) {
		replies := req.Regular()
		for i := range replies {
			change(&replies[i])
		}
		return replies, true
	}
}
