package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is the state of a link that a Podlan bug could leave changed.
type Link struct {
	Type, MAC, Master, Alias string
	MTU                      int
	// Up is the administrator's wish, not the carrier.
	Up bool
	// Promiscuity counts who asked for it.
	Promiscuity int
	Addresses   []string // with prefix length, sorted
	AcceptRA    string   // sysctl, empty where there is no IPv6
	DisableIPv6 string
	// Tag is that of a VLAN device, and the link that it is on.
	Tag string
	// VLANs is the VLAN table of a port of a bridge that filters, or of such a
	// bridge itself.
	VLANs []PortVLAN
}

// Snapshot is the network state of a namespace.
type Snapshot struct {
	Links map[string]Link
	// Routes of the main table, permanent neighbours, static entries of
	// bridges, and what nftables holds: a line each, sorted.
	Routes, Neighbours, FDB, NFT []string
}

// Diff tells how other differs; empty if it does not.
func (s Snapshot) Diff(other Snapshot) string { return cmp.Diff(s, other) }

// Snapshot returns the namespace's state, to be compared with another.
func (n *Netns) Snapshot() Snapshot {
	n.lab.tb.Helper()
	s, err := n.TakeSnapshot()
	if err != nil {
		n.lab.tb.Fatalf("lab: snapshot of %s: %v", n.name, err)
	}
	return s
}

// TakeSnapshot is Snapshot for goroutines that cannot end the test.
func (n *Netns) TakeSnapshot() (Snapshot, error) {
	s := Snapshot{Links: map[string]Link{}}
	h, err := n.Netlink()
	if err != nil {
		return s, err
	}
	links, err := h.LinkList()
	if err != nil {
		return s, fmt.Errorf("links: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	tables, err := vlanTables(h)
	if err != nil {
		return s, err
	}
	for _, l := range links {
		link, err := n.linkState(h, l, names)
		if err != nil {
			return s, fmt.Errorf("link %s: %w", l.Attrs().Name, err)
		}
		link.Tag, link.VLANs = tag(l, names), tables[l.Attrs().Index]
		s.Links[l.Attrs().Name] = link
	}
	if s.Routes, err = routes(h, names); err != nil {
		return s, err
	}
	if s.Neighbours, err = neighbours(h, names, netlink.FAMILY_ALL); err != nil {
		return s, err
	}
	if s.FDB, err = neighbours(h, names, unix.AF_BRIDGE); err != nil {
		return s, err
	}
	s.NFT, err = n.nftables()
	return s, err
}

// Links returns the names of the namespace's links, sorted.
func (n *Netns) Links() ([]string, error) {
	h, err := n.Netlink()
	if err != nil {
		return nil, err
	}
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("links of %s: %w", n.name, err)
	}
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Attrs().Name
	}
	slices.Sort(names)
	return names, nil
}

func (n *Netns) linkState(h *netlink.Handle, l netlink.Link, names map[int]string) (Link, error) {
	a := l.Attrs()
	link := Link{
		Type: l.Type(), MAC: a.HardwareAddr.String(), Master: names[a.MasterIndex], Alias: a.Alias,
		MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Promiscuity: a.Promisc,
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return link, fmt.Errorf("addresses: %w", err)
	}
	for _, addr := range addrs {
		if !addr.IP.IsLinkLocalUnicast() || addr.IP.To4() != nil { // IPv6's own come and go with carrier
			link.Addresses = append(link.Addresses, addr.IPNet.String())
		}
	}
	slices.Sort(link.Addresses)
	for key, value := range map[string]*string{"accept_ra": &link.AcceptRA, "disable_ipv6": &link.DisableIPv6} {
		if *value, err = n.Sysctl("net/ipv6/conf/" + a.Name + "/" + key); err != nil && !os.IsNotExist(err) {
			return link, err
		}
	}
	return link, nil
}

func routes(h *netlink.Handle, names map[int]string) ([]string, error) {
	list, err := h.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	var lines []string
	for _, r := range list {
		if r.Dst != nil && r.Dst.IP.IsLinkLocalUnicast() && r.Dst.IP.To4() == nil {
			continue // as the addresses
		}
		lines = append(lines, fmt.Sprintf("%v via %v dev %s src %v", r.Dst, r.Gw, names[r.LinkIndex], r.Src))
	}
	slices.Sort(lines)
	return lines, nil
}

// neighbours lists the entries that somebody has set.
func neighbours(h *netlink.Handle, names map[int]string, family int) ([]string, error) {
	list, err := h.NeighList(0, family)
	if err != nil {
		return nil, fmt.Errorf("neighbours: %w", err)
	}
	var lines []string
	for _, e := range list {
		set := e.State&netlink.NUD_PERMANENT != 0 || (family == unix.AF_BRIDGE && e.State&netlink.NUD_NOARP != 0)
		// Multicast addresses come and go with the kernel's own IPv6.
		if set && (len(e.HardwareAddr) == 0 || e.HardwareAddr[0]&1 == 0) {
			lines = append(lines, fmt.Sprintf("%v %s dev %s flags %#x", e.IP, e.HardwareAddr, names[e.LinkIndex], e.Flags))
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// StateFiles returns the files below the node's state folder, as paths relative
// to it, but for lock files.
func (n *Node) StateFiles() ([]string, error) {
	var files []string
	err := filepath.WalkDir(n.StateDir(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "lock") {
			return err
		}
		rel, err := filepath.Rel(n.StateDir(), path)
		if !strings.HasPrefix(rel, "locks/") {
			files = append(files, rel)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("state folder of %s: %w", n.name, err)
	}
	return files, nil
}
