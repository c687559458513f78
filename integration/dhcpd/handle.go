package dhcpd

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab/ether"
)

// handle takes one frame: what is for this server is answered by the script or
// by the rules, then noted.
func (s *Server) handle(r *run, f ether.Frame) {
	u, ok := f.UDP()
	if !ok || f.Outgoing || f.OtherHost || f.VID != 0 || !s.forUs(u.Dst.Addr()) {
		return
	}
	m, err := dhcpv4.FromBytes(u.Payload)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest {
		return
	}
	req := Request{Entry: newEntry(f, u, m), Message: m, server: s, known: new(bool)}
	replies, handled := s.scripted(req)
	if !handled {
		replies = s.regular(&req)
	}
	req.Known = *req.known
	s.append(req.Entry)
	for _, reply := range replies {
		s.dispatch(r, reply)
	}
}

func (s *Server) forUs(dst netip.Addr) bool {
	return dst == limitedBroadcast() || dst == s.addr
}

// dispatch sends a reply now, or later beside the serving goroutine.
func (s *Server) dispatch(r *run, reply Reply) {
	if reply.When == nil && reply.After == 0 {
		s.send(r, reply)
		return
	}
	r.group.Go(func() {
		if reply.When != nil {
			select {
			case <-reply.When:
			case <-r.ctx.Done():
				return
			}
		}
		timer := time.NewTimer(reply.After)
		defer timer.Stop()
		select {
		case <-timer.C:
			s.send(r, reply)
		case <-r.ctx.Done():
		}
	})
}

func (s *Server) send(r *run, reply Reply) {
	raw := reply.frame(r.mac, s.addr)
	f, err := ether.Parse(raw)
	if err != nil {
		s.note(err)
		return
	}
	f.At = time.Now()
	u, _ := f.UDP()
	entry := newEntry(f, u, reply.Message)
	entry.Sent = true
	for range 1 + reply.Copies {
		// Noted before it is on the wire: who has the answer finds it in the log.
		s.append(entry)
		if err := r.frames.Send(raw); err != nil {
			s.note(err)
		}
	}
}
