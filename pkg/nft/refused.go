package nft

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// RefusedError is the kernel's refusal of a batch, with the message that it refused.
type RefusedError struct {
	// Message is NFT_MSG_*, or another number where it is the batch as a whole.
	Message uint16
	// Name is that of the table, counter, set or chain, or the rule's note.
	Name  string
	Errno unix.Errno
}

// ofNone is the message of a refusal of none in particular.
const ofNone = ^uint16(0)

func (r *RefusedError) Error() string {
	return fmt.Sprintf("nftables, %s: %s", what(r.Message), r.Errno)
}

func (r *RefusedError) Unwrap() error { return r.Errno }

func what(message uint16) string {
	switch message {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		return "the table"
	case unix.NFT_MSG_NEWOBJ:
		return "a counter"
	case unix.NFT_MSG_NEWSET:
		return "a set"
	case unix.NFT_MSG_NEWCHAIN:
		return "a chain"
	case unix.NFT_MSG_NEWRULE:
		return "a rule"
	case unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		return "an element"
	}
	return "the transaction"
}
