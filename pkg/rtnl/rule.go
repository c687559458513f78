package rtnl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// MarkRule sends IPv4 packets that bear all bits of Mark to a routing table.
type MarkRule struct {
	Mark     uint32
	Table    int
	Priority int
}

// AddMarkRule adds the rule; one that stands is no error.
func (h *Handle) AddMarkRule(r MarkRule) error {
	err := h.lib.RuleAdd(r.kernel())
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add the rule for table %d: %w", r.Table, err)
	}
	return nil
}

// DelMarkRule removes the rule; one that does not stand is no error.
func (h *Handle) DelMarkRule(r MarkRule) error {
	err := h.lib.RuleDel(r.kernel())
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the rule for table %d: %w", r.Table, err)
	}
	return nil
}

// HasMarkRule tells whether the rule stands.
func (h *Handle) HasMarkRule(want MarkRule) (bool, error) {
	var all []netlink.Rule
	err := retry(func() (err error) {
		all, err = h.lib.RuleList(netlink.FAMILY_V4)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list the rules of routing: %w", err)
	}
	for _, r := range all {
		if r.Mask != nil && *r.Mask == want.Mark && (MarkRule{r.Mark, r.Table, r.Priority}) == want {
			return true, nil
		}
	}
	return false, nil
}

func (r MarkRule) kernel() *netlink.Rule {
	rule := netlink.NewRule()
	rule.Family = netlink.FAMILY_V4
	rule.Mark, rule.Mask = r.Mark, &r.Mark
	rule.Table, rule.Priority = r.Table, r.Priority
	return rule
}
