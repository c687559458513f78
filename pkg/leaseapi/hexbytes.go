package leaseapi

import (
	"encoding/hex"
	"fmt"
)

// HexBytes are bytes that JSON shows as hexadecimal digits, for people who
// compare them with a server's log.
type HexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (b HexBytes) MarshalText() ([]byte, error) {
	return []byte(hex.EncodeToString(b)), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *HexBytes) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("hexadecimal digits wanted: %w", err)
	}
	*b = raw
	return nil
}
