package leg

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// podTable is the nft table in the Pod, of the family ip.
const podTable = "podlan"

// register is what every part of a rule loads into, anew.
const register = unix.NFT_REG_1

// markChain is a chain with rules that set the mark.
type markChain struct {
	nftables.Chain
	rules []markRule
}

// markRule is known again by its note.
type markRule struct {
	note  string
	exprs []expr.Any
}

func markChains(ifName string, legMAC net.HardwareAddr) []markChain {
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: podTable}
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook) nftables.Chain {
		return nftables.Chain{Name: name, Table: table, Type: kind, Hooknum: hook, Priority: nftables.ChainPriorityMangle}
	}
	return []markChain{
		{chain("prerouting", nftables.ChainTypeFilter, nftables.ChainHookPrerouting), []markRule{
			{fmt.Sprintf("brought by the node: %s %s", ifName, legMAC), slices.Concat(cameBy(ifName, expr.CmpOpEq), sentBy(legMAC), isNew(), markConnection())},
			// Of a virtual machine or container behind the Pod.
			{"forwarded answers", slices.Concat(cameBy(ifName, expr.CmpOpNeq), isMarked(), markPacket())},
		}},
		{chain("output", nftables.ChainTypeRoute, nftables.ChainHookOutput), []markRule{
			{"own answers", slices.Concat(isMarked(), markPacket())},
		}},
	}
}

// named compares the name of the interface that a packet came in by.
func cameBy(ifName string, op expr.CmpOp) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, ifName)
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: register}, &expr.Cmp{Op: op, Register: register, Data: name}}
}

func sentBy(mac net.HardwareAddr) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: binaryutil.NativeEndian.PutUint16(unix.ARPHRD_ETHER)},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: mac},
	}
}

// bits masks what is in the register and changes it.
func bits(mask, change uint32) expr.Any {
	return &expr.Bitwise{
		SourceRegister: register, DestRegister: register, Len: 4,
		Mask: binaryutil.NativeEndian.PutUint32(mask), Xor: binaryutil.NativeEndian.PutUint32(change),
	}
}

func notZero() expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: make([]byte, 4)}
}

func isNew() []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: register}, bits(expr.CtStateBitNEW, 0), notZero()}
}

func isMarked() []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: register}, bits(replyMark, 0), notZero()}
}

func markConnection() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: register}, bits(^uint32(replyMark), replyMark),
		&expr.Ct{Key: expr.CtKeyMARK, Register: register, SourceRegister: true},
	}
}

func markPacket() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: register}, bits(^uint32(replyMark), replyMark),
		&expr.Meta{Key: expr.MetaKeyMARK, Register: register, SourceRegister: true},
	}
}

// setMarks installs the table, unless it stands, in one batch.
func setMarks(h *rtnl.Handle, ifName string, legMAC net.HardwareAddr) error {
	err := verifyMarks(h, ifName, legMAC)
	if !errors.Is(err, errDiffers) {
		return err
	}
	return h.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
		chains := markChains(ifName, legMAC)
		table := chains[0].Table
		// To remove one costs a wait, of 5 to 30 ms, when the connection closes.
		if _, err := conn.ListTableOfFamily(podTable, table.Family); err == nil {
			conn.DelTable(table)
		}
		conn.AddTable(table)
		for _, ch := range chains {
			conn.AddChain(&ch.Chain)
			for _, r := range ch.rules {
				conn.AddRule(&nftables.Rule{Table: table, Chain: &ch.Chain, Exprs: r.exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, r.note)})
			}
		}
		if err := conn.Flush(); err != nil {
			return fmt.Errorf("nft table ip %s, which needs conntrack: %w", podTable, err)
		}
		return nil
	})
}

// verifyMarks returns errDiffers if the rules do not stand, in their order and
// with no others.
func verifyMarks(h *rtnl.Handle, ifName string, legMAC net.HardwareAddr) error {
	return h.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
		for _, ch := range markChains(ifName, legMAC) {
			stand, err := conn.GetRules(ch.Table, &ch.Chain)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("nftables: %w", err)
			}
			same := slices.EqualFunc(stand, ch.rules, func(has *nftables.Rule, want markRule) bool {
				note, _ := userdata.GetString(has.UserData, userdata.TypeComment)
				return note == want.note
			})
			if !same {
				return fmt.Errorf("%w: chain %s of nft table ip %s", errDiffers, ch.Name, podTable)
			}
		}
		return nil
	})
}
