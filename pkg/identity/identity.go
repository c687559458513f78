// Package identity derives what a DHCP server knows a client by, client-id and
// MAC, from what the client is. It is pure: no I/O, no clock, no randomness.
package identity

import (
	"crypto/sha1" //nolint:gosec // RFC 4122 §4.3 defines version 5 by SHA-1; nothing is protected by it
	"crypto/sha256"
	"encoding/binary"
	"net"
	"strings"
)

// Key is what an identity is derived from: equal keys, equal identity.
type Key struct {
	// Network is the name of the CNI network.
	Network string
	// IfName is the interface's name inside the Pod.
	IfName string
	// Subject is whom the identity belongs to: see Attachment.
	Subject string
}

// Attachment is the default key: the Pod's UID where the runtime tells it, so
// that a retried sandbox keeps its address, else the container's ID.
func Attachment(network, ifName, podUID, containerID string) Key {
	subject := "container/" + containerID
	if podUID != "" {
		subject = "pod/" + podUID
	}
	return Key{Network: network, IfName: ifName, Subject: subject}
}

// MAC returns the key's locally administered unicast address (IEEE 802c: the
// second-lowest bit of the first octet set, the lowest clear). It starts with
// 02.
func (k Key) MAC() net.HardwareAddr {
	sum := k.sum()
	return net.HardwareAddr{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// ClientID returns the value of option 61 after RFC 4361 §6.1: type 255, the
// IAID (4 bytes, from network and interface), and a DUID-UUID (RFC 6355: type
// 4, then 16 bytes of UUID version 5 over the whole key). 23 bytes.
func (k Key) ClientID() []byte {
	iaid := sha256.Sum256([]byte(join("iaid", k.Network, k.IfName)))
	id := make([]byte, 0, 23)
	id = append(id, 0xff)
	id = append(id, iaid[:4]...)
	id = binary.BigEndian.AppendUint16(id, 4)
	uuid := k.uuid()
	return append(id, uuid[:]...)
}

func (k Key) sum() [sha256.Size]byte {
	return sha256.Sum256([]byte(join("podlan", k.Network, k.IfName, k.Subject)))
}

// uuid is a UUID of version 5 (RFC 4122 §4.3) in a name space of our own.
func (k Key) uuid() [16]byte {
	space := []byte{0x0d, 0x5e, 0x6b, 0x7c, 0x52, 0x0a, 0x4f, 0x0e, 0x9b, 0x1e, 0x70, 0x6f, 0x64, 0x6c, 0x61, 0x6e}
	sum := sha1.Sum(append(space, join(k.Network, k.IfName, k.Subject)...)) //nolint:gosec // see the import
	var u [16]byte
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// join cannot be read in two ways: no part may hold the separator, and CNI
// allows it in no name.
func join(parts ...string) string { return strings.Join(parts, "\x00") }
