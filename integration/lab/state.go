package lab

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/debs"
)

// State is what a namespace's administrator sees by nft, iptables-save, ip rule,
// ip route show table all and sysctl -a: a line each.
type State struct {
	Nft, IPTables, Rules, Routes, Sysctls []string
}

// TakeState returns the namespace's state, for cmp.Diff with another.
func (n *Netns) TakeState(ctx context.Context) (s State, err error) {
	h, err := n.Netlink()
	if err != nil {
		return s, err
	}
	if s.Nft, err = n.printed(ctx, "nft", "nft", "--stateless", "list", "ruleset"); err != nil {
		return s, err
	}
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		lines, err := n.printed(ctx, "iptables", save)
		if err != nil {
			return s, err
		}
		s.IPTables = append(s.IPTables, lines...)
	}
	rules, err := h.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return s, fmt.Errorf("rules: %w", err)
	}
	for _, r := range rules {
		s.Rules = append(s.Rules, r.String())
	}
	if s.Routes, err = allRoutes(h); err != nil {
		return s, err
	}
	s.Sysctls, err = n.sysctls()
	return s, err
}

// printed returns a program's lines but for comments, which bear the time, and
// without counters.
func (n *Netns) printed(ctx context.Context, pkg, program string, args ...string) ([]string, error) {
	out, err := n.RunTool(ctx, pkg, "", program, args...)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		line, _, _ = strings.Cut(line, " [") // a chain's counters
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines, nil
}

// RunTool runs a program of a Debian package (see debs.Find) in the namespace, fed
// with text, and returns what it prints.
func (n *Netns) RunTool(ctx context.Context, pkg, text, program string, args ...string) ([]byte, error) {
	tool, err := debs.Find(ctx, pkg)
	if err != nil {
		return nil, err
	}
	cmd := n.Command(ctx, filepath.Join(filepath.Dir(tool.Path), program), args...)
	// The machine's own lock would be everybody's.
	cmd.Env = append(append(cmd.Env, tool.Env...), "XTABLES_LOCKFILE="+filepath.Join(n.lab.dir, "xtables-"+n.name))
	cmd.Stdin = strings.NewReader(text)
	return cmd.Output()
}

// allRoutes lists those of every table but what comes with a carrier: IPv6's own.
func allRoutes(h *netlink.Handle) ([]string, error) {
	list, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	var lines []string
	for _, r := range list {
		lines = append(lines, fmt.Sprintf("table %d: %v via %v dev %d src %v type %d proto %d", r.Table, r.Dst, r.Gw, r.LinkIndex, r.Src, r.Type, r.Protocol))
	}
	slices.Sort(lines)
	return lines, nil
}

// sysctls reads all of net. but what counts, or is made at first use.
func (n *Netns) sysctls() ([]string, error) {
	var lines []string
	err := n.Do(func() error {
		return filepath.WalkDir("/proc/sys/net", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch filepath.Base(path) {
			case "nf_conntrack_count", "tcp_fastopen_key", "stable_secret":
				return nil
			}
			// Those for writing alone have no value.
			if value, err := os.ReadFile(path); err == nil {
				lines = append(lines, strings.TrimPrefix(path, "/proc/sys/")+" = "+strings.TrimSpace(string(value)))
			}
			return nil
		})
	})
	return lines, err
}
