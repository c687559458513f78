package nft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Batch is a transaction about one table: all of its messages hold, or none.
type Batch struct {
	table    Table
	messages []message
	err      error
}

// message is one of a batch, and the name of what it is about.
type message struct {
	netlink.Message
	name string
}

// NewBatch returns an empty transaction.
func NewBatch(t Table) *Batch { return &Batch{table: t} }

func (b *Batch) add(kind uint16, flags netlink.HeaderFlags, name string, fill func(*Encoder)) {
	m, err := Request(b.table.Family, kind, netlink.Create|flags, fill)
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("nftables, %s %q: %w", what(kind), name, err))
	}
	b.messages = append(b.messages, message{m, name})
}

// AddTable makes sure that there is the table.
func (b *Batch) AddTable() { b.ofTable(unix.NFT_MSG_NEWTABLE) }

// DropTable removes the table with all that is in it, if there is any: the kernel
// refuses to remove what is not there.
func (b *Batch) DropTable() {
	b.ofTable(unix.NFT_MSG_NEWTABLE)
	b.ofTable(unix.NFT_MSG_DELTABLE)
}

func (b *Batch) ofTable(kind uint16) {
	b.add(kind, 0, b.table.Name, func(ae *Encoder) { ae.String(unix.NFTA_TABLE_NAME, b.table.Name) })
}

// AddCounter adds a counter that rules count under.
func (b *Batch) AddCounter(name string) {
	b.add(unix.NFT_MSG_NEWOBJ, 0, name, func(ae *Encoder) {
		ae.String(unix.NFTA_OBJ_TABLE, b.table.Name)
		ae.String(unix.NFTA_OBJ_NAME, name)
		ae.Uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		nested(ae, unix.NFTA_OBJ_DATA, func(*Encoder) {})
	})
}

// Chain is one that the kernel calls, or with a nil Hook one that rules go to.
type Chain struct {
	Name     string
	Type     nftables.ChainType
	Hook     *nftables.ChainHook
	Priority nftables.ChainPriority
}

// AddChain adds a chain whose policy is to accept.
func (b *Batch) AddChain(c Chain) {
	b.add(unix.NFT_MSG_NEWCHAIN, 0, c.Name, func(ae *Encoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, b.table.Name)
		ae.String(unix.NFTA_CHAIN_NAME, c.Name)
		if c.Hook == nil {
			return
		}
		nested(ae, unix.NFTA_CHAIN_HOOK, func(hook *Encoder) {
			hook.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(*c.Hook))
			hook.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.Priority))
		})
		ae.Uint32(unix.NFTA_CHAIN_POLICY, uint32(nftables.ChainPolicyAccept))
		ae.String(unix.NFTA_CHAIN_TYPE, string(c.Type))
	})
}

// Rule is known again by its note, which nft shows as a comment.
type Rule struct {
	Chain, Note string
	Match       Match
}

// AddRule puts a rule behind those of its chain.
func (b *Batch) AddRule(r Rule) {
	b.add(unix.NFT_MSG_NEWRULE, netlink.Append, r.Note, func(ae *Encoder) {
		ae.String(unix.NFTA_RULE_TABLE, b.table.Name)
		ae.String(unix.NFTA_RULE_CHAIN, r.Chain)
		nested(ae, unix.NFTA_RULE_EXPRESSIONS, func(list *Encoder) {
			for _, e := range r.Match {
				nested(list, unix.NFTA_LIST_ELEM, func(one *Encoder) { expression(one, b.table.Family, e) })
			}
		})
		ae.Bytes(unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.Note))
	})
}

// chunk is how many elements go into one message, whose length is 16 bits.
const chunk = 150

// Put adds elements to a set; those that stand as they are are no error.
func (b *Batch) Put(set string, els []Element) {
	b.elements(unix.NFT_MSG_NEWSETELEM, set, els, (*Element).encode)
}

// Take removes elements, known by their keys. The kernel refuses if one of them is
// not there.
func (b *Batch) Take(set string, els []Element) {
	b.elements(unix.NFT_MSG_DELSETELEM, set, els, (*Element).encodeKey)
}

func (b *Batch) elements(kind uint16, set string, els []Element, encode func(*Element, *Encoder, byte)) {
	for part := range slices.Chunk(els, chunk) {
		b.add(kind, 0, set, elementsOf(b.table, set, part, encode))
	}
}

// sealed returns the batch between the messages that begin and end it. Only the
// last message asks to be acknowledged: a failure is told anyway.
func (b *Batch) sealed() []netlink.Message {
	mark := func(kind netlink.HeaderType) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request},
			Data:   header(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES),
		}
	}
	sealed := []netlink.Message{mark(unix.NFNL_MSG_BATCH_BEGIN)}
	for _, m := range b.messages {
		sealed = append(sealed, m.Message)
	}
	sealed[len(sealed)-1].Header.Flags |= netlink.Acknowledge
	return append(sealed, mark(unix.NFNL_MSG_BATCH_END))
}
