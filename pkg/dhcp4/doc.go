// Package dhcp4 is a DHCPv4 client after RFC 2131: its messages and its state
// machine. It does no I/O, reads no clock and draws on no randomness but what
// it is given: (time, event) go in; messages to send, the next deadline and
// what changed come out. Times are durations since boot.
//
// What deviates from the letter of RFC 2131, and why:
//   - INIT-REBOOT asks once, then turns to DISCOVER: a server without a record
//     of the client must stay silent (§4.3.2), so repeating costs an ADD its
//     budget and gains nothing that DISCOVER would not.
//   - Each attempt to renew or rebind is a transaction of its own, with its own
//     xid, so that the new times count from the very REQUEST that was answered.
//   - The BROADCAST bit is never set: the packet socket hears unicast replies.
//   - An offer without a subnet mask gets its class's mask, as dhclient,
//     networkd and udhcpc do; a mask with holes is refused.
package dhcp4
