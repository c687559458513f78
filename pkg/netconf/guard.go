package netconf

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
)

// Guard is the key `guard`: what the port is held to beyond its MAC and its
// addresses, and what it may do besides. JSON, as the attachment's record has
// it.
type Guard struct {
	// Off: nothing is checked.
	Off bool `json:"off,omitempty"`
	// DHCPServer, DHCPClient, RouterAdvertisement, VRRP and MulticastRouting
	// let out what bears that name.
	DHCPServer          bool `json:"dhcpServer,omitempty"`
	DHCPClient          bool `json:"dhcpClient,omitempty"`
	RouterAdvertisement bool `json:"routerAdvertisement,omitempty"`
	VRRP                bool `json:"vrrp,omitempty"`
	MulticastRouting    bool `json:"multicastRouting,omitempty"`
	// ExtraMACs and ExtraIPs are the port's besides its own.
	ExtraMACs []MAC        `json:"extraMACs,omitempty"`
	ExtraIPs  []netip.Addr `json:"extraIPs,omitempty"`
	// Rates bound what the port sends to all.
	Rates Rates `json:"rates,omitzero"`
}

// Rates are in packets per second. 0 is the guard's own, -1 none at all.
type Rates struct {
	ARP       int `json:"arp,omitempty"`
	Multicast int `json:"multicast,omitempty"`
}

// MAC is a hardware address that JSON shows as people write it.
type MAC net.HardwareAddr

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(net.HardwareAddr(m).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(text []byte) error {
	hw, err := net.ParseMAC(string(text))
	*m = MAC(hw)
	return err
}

const (
	maxExtra = 32 // addresses of a kind
	maxRate  = 1_000_000
)

// readGuard reads "strict", "off", or an object that opens by name.
func readGuard(conf *object) Guard {
	raw := conf.value("guard")
	if len(bytes.TrimSpace(raw)) == 0 || bytes.TrimSpace(raw)[0] != '{' {
		return Guard{Off: conf.oneOf("guard", "strict", "strict", "off") == "off"}
	}
	open := conf.object("guard")
	g := Guard{
		DHCPServer:          open.boolean("dhcpServer"),
		DHCPClient:          open.boolean("dhcpClient"),
		RouterAdvertisement: open.boolean("routerAdvertisement"),
		VRRP:                open.boolean("vrrp"),
		MulticastRouting:    open.boolean("multicastRouting"),
		ExtraMACs:           open.extraMACs(),
		ExtraIPs:            open.extraIPs(),
	}
	rates := open.object("rates")
	g.Rates = Rates{ARP: rates.rate("arp"), Multicast: rates.rate("multicast")}
	rates.closed()
	open.closed()
	return g
}

func (o *object) extraMACs() []MAC {
	const want = `allowed: up to 32 unicast addresses, such as ["52:54:00:12:34:56"]`
	var macs []MAC
	for _, raw := range o.list("extraMACs", "a list of hardware addresses") {
		var m MAC
		if json.Unmarshal(raw, &m) != nil || len(m) != 6 || m[0]&1 == 1 || bytes.Equal(m, make([]byte, 6)) || len(macs) == maxExtra {
			o.fail("extraMACs", raw, want)
			continue
		}
		macs = append(macs, m)
	}
	return macs
}

func (o *object) extraIPs() []netip.Addr {
	var addrs []netip.Addr
	for _, raw := range o.list("extraIPs", "a list of addresses") {
		var a netip.Addr
		if json.Unmarshal(raw, &a) != nil || a.Zone() != "" || a.Is4In6() || !a.IsGlobalUnicast() && !a.IsLinkLocalUnicast() || len(addrs) == maxExtra {
			o.fail("extraIPs", raw, `allowed: up to 32 unicast addresses, such as ["192.0.2.9", "2001:db8::9"]`)
			continue
		}
		addrs = append(addrs, a)
	}
	return addrs
}

// rate reads a rate: an integer, 0 for none at all.
func (o *object) rate(key string) int {
	if o.value(key) == nil {
		return 0
	}
	if n := o.integer(key, 0, maxRate); n != 0 {
		return n
	}
	return -1
}
