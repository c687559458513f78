package lab

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nftables lists the namespace's tables, chains, numbers of rules, sets and
// their elements, a line each.
func (n *Netns) nftables() ([]string, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(n.FD()))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return nil, fmt.Errorf("nftables: tables: %w", err)
	}
	var lines []string
	for _, t := range tables {
		name := family(t.Family) + " " + t.Name
		lines = append(lines, name)
		chains, err := n.chainLines(conn, t)
		if err != nil {
			return nil, fmt.Errorf("nftables: %s: %w", name, err)
		}
		sets, err := setLines(conn, t)
		if err != nil {
			return nil, fmt.Errorf("nftables: %s: %w", name, err)
		}
		for _, line := range append(chains, sets...) {
			lines = append(lines, name+" "+line)
		}
	}
	slices.Sort(lines)
	return lines, nil
}

func (n *Netns) chainLines(conn *nftables.Conn, t *nftables.Table) ([]string, error) {
	chains, err := conn.ListChainsOfTableFamily(t.Family)
	if err != nil {
		return nil, fmt.Errorf("chains: %w", err)
	}
	var lines []string
	for _, c := range chains {
		if c.Table.Name != t.Name {
			continue
		}
		rules, err := n.countRules(t, c.Name)
		if err != nil {
			return nil, fmt.Errorf("rules of %s: %w", c.Name, err)
		}
		lines = append(lines, fmt.Sprintf("chain %s: %d rules", c.Name, rules))
	}
	return lines, nil
}

// countRules asks by itself: the library fails at expressions that it does not
// know, such as a connection's original destination.
func (n *Netns) countRules(t *nftables.Table, chain string) (int, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: n.FD()})
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: append([]byte(t.Name), 0)},
		{Type: unix.NFTA_RULE_CHAIN, Data: append([]byte(chain), 0)},
	})
	if err != nil {
		return 0, err
	}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE,
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append([]byte{byte(t.Family), unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	return len(answers), err
}

func setLines(conn *nftables.Conn, t *nftables.Table) ([]string, error) {
	sets, err := conn.GetSets(t)
	if err != nil {
		return nil, fmt.Errorf("sets: %w", err)
	}
	var lines []string
	for _, s := range sets {
		lines = append(lines, "set "+s.Name)
		elements, err := conn.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("elements of %s: %w", s.Name, err)
		}
		for _, e := range elements {
			// Quoted bytes: interface names can be read in them.
			lines = append(lines, fmt.Sprintf("set %s: %s %s", s.Name, strconv.QuoteToASCII(string(e.Key)), strconv.QuoteToASCII(string(e.Val))))
		}
	}
	return lines, nil
}

func family(f nftables.TableFamily) string {
	names := map[nftables.TableFamily]string{
		nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
		nftables.TableFamilyARP: "arp", nftables.TableFamilyNetdev: "netdev", nftables.TableFamilyBridge: "bridge",
	}
	if name, ok := names[f]; ok {
		return name
	}
	return strconv.Itoa(int(f))
}
