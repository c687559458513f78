package leg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// RuleEvents tells when nftables changes where the legs have rules: our table,
// and FORWARD where iptables keeps it there. Elements of our sets are no event,
// since every ADD and DEL has some. The legacy backend and sysctls give none.
type RuleEvents struct{ conn *netlink.Conn }

// WatchRules subscribes in the handle's namespace. Look at the state
// (Node.Restore) after WatchRules, not before, and again after every Wait.
func WatchRules(h *rtnl.Handle) (*RuleEvents, error) {
	e := &RuleEvents{}
	err := h.Do(func() (err error) {
		e.conn, err = netlink.Dial(unix.NETLINK_NETFILTER, nil)
		return err
	})
	if err == nil {
		// What the kernel keeps for who is slow to read, in bytes: kube-proxy reloads
		// large tables.
		_ = e.conn.SetReadBuffer(1 << 20)
		err = e.conn.JoinGroup(unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("watch nftables: %w", err)
	}
	return e, nil
}

// Close ends the subscription.
func (e *RuleEvents) Close() {
	if e.conn != nil {
		_ = e.conn.Close()
	}
}

// Wait returns when rules may not be as they were, or with ctx's error. What was
// lost because too much came at once counts as a change.
func (e *RuleEvents) Wait(ctx context.Context) error {
	if err := e.conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("wait for a change of nftables: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = e.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		messages, err := e.conn.Receive()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, unix.ENOBUFS):
			return nil
		case err != nil:
			return fmt.Errorf("wait for a change of nftables: %w", err)
		}
		if slices.ContainsFunc(messages, matters) {
			return nil
		}
	}
}

// matters tells whether a message is about our rules or FORWARD's.
func matters(m netlink.Message) bool {
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < 4 {
		return false
	}
	kind := uint16(0) // the attribute with the chain's name
	switch m.Header.Type & 0xff {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWSET, unix.NFT_MSG_DELSET:
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		kind = unix.NFTA_CHAIN_NAME
	case unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE:
		kind = unix.NFTA_RULE_CHAIN
	default:
		return false
	}
	table, chain := names(m.Data[4:], kind)
	ours := m.Data[0] == unix.NFPROTO_IPV4 && table == tableName
	forwards := m.Data[0] != unix.NFPROTO_BRIDGE && table == forwardTable && chain == forwardChain
	return ours || forwards
}

// names reads the name of the table, which is the first attribute of every
// kind, and of the chain.
func names(attrs []byte, kind uint16) (table, chain string) {
	ad, err := netlink.NewAttributeDecoder(attrs)
	if err != nil {
		return "", ""
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_TABLE_NAME:
			table = strings.TrimRight(string(ad.Bytes()), "\x00")
		case kind:
			chain = strings.TrimRight(string(ad.Bytes()), "\x00")
		}
	}
	return table, chain
}
