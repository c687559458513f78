package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// ServerKind names a DHCP server.
type ServerKind string

// The kinds. Embedded runs in the test's own process and is the one that can
// be scripted for faults; the others come from Debian packages.
const (
	Embedded ServerKind = "embedded"
	Dnsmasq  ServerKind = "dnsmasq"
	Kea      ServerKind = "kea"
	ISC      ServerKind = "isc"
	Udhcpd   ServerKind = "udhcpd"
	None     ServerKind = "none"
)

// AllServers returns every kind that serves.
func AllServers() []ServerKind { return []ServerKind{Embedded, Dnsmasq, Kea, ISC, Udhcpd} }

// Options describe a LAN. The zero value is a LAN with the embedded server.
type Options struct {
	// Server is the LAN's DHCP server. Default: Embedded.
	Server ServerKind
	// Subnet is the LAN's prefix. Default 198.18.0.0/16 (RFC 2544): nobody's.
	Subnet netip.Prefix
	// First and Last bound the server's pool. Default: 2,304 addresses from
	// .1.0 on in a wide subnet, .100 to .199 in a /24.
	First, Last netip.Addr
	// Lease is the lease time, default 1 h; dnsmasq takes none below 2 min.
	// T1 and T2 are sent if not 0.
	Lease, T1, T2 time.Duration
	// NoRouter leaves option 3 out; it is the server's own address otherwise.
	NoRouter bool
	DNS      []netip.Addr
	Domain   string
	MTU      uint16
	// DHCPOptions are sent beside, by code.
	DHCPOptions map[uint8][]byte
	// ServerPing lets dnsmasq, ISC dhcpd (by ICMP) and udhcpd (by ARP) probe an
	// address before they offer it, as they do unless told otherwise.
	ServerPing bool

	// Trunking makes the switch one that tells VLANs apart: by 802.1Q tags, or
	// with Provider by 802.1ad ones. Every port is in VLAN 1 alone, untagged,
	// until Host.Access or Host.Trunk says otherwise; what else this file says of
	// the LAN is about VLAN 1. Lab.VLAN adds others.
	Trunking, Provider bool

	// Name begins the names of named namespaces. Default: podlan.
	Name string
	// Named binds the namespaces to /run/netns/<Name>-<namespace>, for people
	// to step into; they go with the lab's orderly end only.
	Named bool
	// Bin is the folder of our binaries. Default: $PODLAN_BIN, else bin/ in the
	// module's root.
	Bin string
	// CNIPath are more folders with plugins, such as the reference ones.
	CNIPath []string
	// Env is added to the environment of plugins and podland.
	Env []string
}

// complete fills in the defaults.
func (o Options) complete() (Options, error) {
	if o.Server == "" {
		o.Server = Embedded
	}
	if !o.Subnet.IsValid() {
		o.Subnet = netip.MustParsePrefix("198.18.0.0/16")
	}
	if !o.Subnet.Addr().Is4() || o.Subnet.Bits() > 24 {
		return o, fmt.Errorf("subnet %s: an IPv4 prefix of at most 24 bits is wanted", o.Subnet)
	}
	if o.Lease == 0 {
		o.Lease = time.Hour
	}
	if o.Name == "" {
		o.Name = "podlan"
	}
	if o.Bin != "" {
		return o, nil
	}
	var err error
	o.Bin, err = defaultBin()
	return o, err
}

func defaultBin() (string, error) {
	if bin := os.Getenv("PODLAN_BIN"); bin != "" {
		return bin, nil
	}
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "bin"), nil
}

// ModuleRoot returns the folder of the go.mod above the working folder, which
// in a test is its package's.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("module root: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working folder: set Options.Bin or PODLAN_BIN")
		}
		dir = parent
	}
}
