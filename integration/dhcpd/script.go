package dhcpd

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Script is asked about every message before the server answers. With handled
// the replies go out instead of the regular ones; Request.Regular gives those
// to be altered. It may be called from one goroutine only at a time.
type Script func(req Request) (replies []Reply, handled bool)

// Silent answers nothing.
func Silent() Script {
	return func(Request) ([]Reply, bool) { return nil, true }
}

// DropFirst loses the first n messages, then leaves the server to itself.
func DropFirst(n int) Script {
	var seen atomic.Int64
	return func(Request) ([]Reply, bool) { return nil, seen.Add(1) <= int64(n) }
}

// NAKEverything refuses every REQUEST; DISCOVER gets its OFFER.
func NAKEverything() Script {
	return NAKIf(func(Request) bool { return true })
}

// NAKIf refuses the REQUESTs that the predicate picks.
func NAKIf(pick func(Request) bool) Script {
	return func(req Request) ([]Reply, bool) {
		if req.Type != dhcpv4.MessageTypeRequest || !pick(req) {
			return nil, false
		}
		return req.server.nak(&req, "refused by script"), true
	}
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

// Hold sends the regular replies once the channel is closed.
func Hold(until <-chan struct{}) Script {
	return alterReplies(func(r *Reply) { r.When = until })
}

// Duplicate sends every regular reply n times more.
func Duplicate(n int) Script {
	return alterReplies(func(r *Reply) { r.Copies = n })
}

// ByBroadcast sends every regular reply to everybody.
func ByBroadcast() Script {
	return alterReplies(func(r *Reply) { r.Broadcast = true })
}

// Alter changes every regular reply's message before it is sent.
func Alter(change func(*dhcpv4.DHCPv4)) Script {
	return alterReplies(func(r *Reply) { change(r.Message) })
}

// AsServer makes the regular replies bear another server's identity and source
// address.
func AsServer(id netip.Addr) Script {
	return alterReplies(func(r *Reply) {
		r.FromIP = id
		r.Message.UpdateOption(dhcpv4.OptServerIdentifier(id.AsSlice()))
	})
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

// First asks several scripts in turn until one handles the message.
func First(scripts ...Script) Script {
	return func(req Request) ([]Reply, bool) {
		for _, s := range scripts {
			if replies, handled := s(req); handled {
				return replies, true
			}
		}
		return nil, false
	}
}
