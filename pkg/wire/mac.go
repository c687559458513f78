package wire

import "net"

// MAC is an Ethernet address, in the order in which it is sent.
type MAC [6]byte

// String returns the address as six pairs of hexadecimal digits.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// HardwareAddr returns a copy in the standard library's type.
func (m MAC) HardwareAddr() net.HardwareAddr { return net.HardwareAddr(m[:]) }
