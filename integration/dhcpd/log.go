package dhcpd

import (
	"context"
	"fmt"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Log returns every message that the server saw and sent, in order.
func (s *Server) Log() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Received returns the clients' messages of the given types, all without one.
func (s *Server) Received(types ...dhcpv4.MessageType) []Entry {
	return slices.DeleteFunc(s.Log(), func(e Entry) bool {
		return e.Sent || (len(types) > 0 && !slices.Contains(types, e.Type))
	})
}

// Notes returns errors of the server's own: sending, interface down.
func (s *Server) Notes() []error {
	s.noteMu.Lock()
	defer s.noteMu.Unlock()
	return slices.Clone(s.notes)
}

// Await waits until the log pleases the predicate, which is asked at once and
// after each message.
func (s *Server) Await(ctx context.Context, pleased func(log []Entry) bool) error {
	for {
		s.mu.Lock()
		changed, log := s.changed, slices.Clone(s.log)
		s.mu.Unlock()
		if pleased(log) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("dhcp server's log, %d messages: %w", len(log), context.Cause(ctx))
		}
	}
}

// AwaitType waits for n messages of a type.
func (s *Server) AwaitType(ctx context.Context, kind dhcpv4.MessageType, n int) error {
	err := s.Await(ctx, func(log []Entry) bool {
		seen := 0
		for _, e := range log {
			if e.Type == kind {
				seen++
			}
		}
		return seen >= n
	})
	if err != nil {
		return fmt.Errorf("wait for %d of %s: %w", n, kind, err)
	}
	return nil
}

func (s *Server) append(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) note(err error) {
	// Called with and without the lock held: notes have their own.
	s.noteMu.Lock()
	defer s.noteMu.Unlock()
	s.notes = append(s.notes, err)
}
