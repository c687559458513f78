// Package dhcp4 is a DHCPv4 client after RFC 2131: its messages and its state
// machine. It does no I/O, reads no clock and draws on no randomness but what
// it is given: (time, event) go in; messages to send, the next deadline and
// what changed come out. Times are durations since boot.
//
// What deviates from the letter of RFC 2131, and why:
//   - INIT-REBOOT asks once, then turns to DISCOVER: a server without a record
//     of the client must stay silent (§4.3.2), so repeating costs an ADD its
//     budget and gains nothing that DISCOVER would not.
//   - REQUEST in SELECTING is sent three times, over half a minute: an ADD has
//     no minute, and DISCOVER finds a second server.
//   - There is no random pause before the first message (§4.4.1): who drives the
//     clients of a segment lets so many of them begin at a time.
//   - Each attempt to renew or rebind is a transaction of its own, with its own
//     xid, so that the new times count from the very REQUEST that was answered.
//   - Verify asks again sooner than after 60 s (§4.4.5), and all servers before
//     T2, instead of by INIT-REBOOT (§3.7): the lease is held meanwhile.
//   - The BROADCAST bit is never set: the packet socket hears unicast replies.
//   - An offer without a subnet mask gets its class's mask, as dhclient,
//     networkd and udhcpc do; a mask with holes is refused.
package dhcp4
