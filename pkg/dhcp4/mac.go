package dhcp4

import (
	"fmt"
	"net"
)

// MAC is an Ethernet address. Unlike net.HardwareAddr it can be compared, and
// JSON shows it as people write it. The zero value stands for "not known".
type MAC [6]byte

// ParseMAC reads six octets in any notation that net.ParseMAC takes.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil {
		return MAC{}, fmt.Errorf("MAC address: %w", err)
	}
	if len(hw) != 6 {
		return MAC{}, fmt.Errorf("MAC address %q: %d octets, 6 wanted", s, len(hw))
	}
	return MAC(hw), nil
}

// IsZero reports whether the address is not known.
func (m MAC) IsZero() bool { return m == MAC{} }

// HardwareAddr returns a copy in the standard library's form.
func (m MAC) HardwareAddr() net.HardwareAddr { return m[:] }

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) {
	if m.IsZero() {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler; empty text is the zero
// value.
func (m *MAC) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = MAC{}
		return nil
	}
	mac, err := ParseMAC(string(text))
	if err != nil {
		return err
	}
	*m = mac
	return nil
}
