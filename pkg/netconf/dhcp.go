package netconf

import (
	"encoding/json"
	"slices"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// DHCP is podlan-dhcp's configuration: the `ipam` object, and what the main
// plugin's keys around it tell of the interface.
type DHCP struct {
	Common
	Keep
	// Socket is podland's.
	Socket string
	// From is `dhcpFrom`.
	From From
	// ParameterRequest is option 55's value (RFC 2132 §9.8), in order.
	ParameterRequest []byte
	// Send are options for DISCOVER and REQUEST, by code.
	Send map[uint8][]byte
	// ClientID is option 61's value, if `provide` gives one; else nil.
	ClientID []byte
	// Priority is the metric of every route; 0: the kernel's.
	Priority int
	// Main is what the main plugin's conf says of the interface's place.
	Main Main
	// Handover is what podlan-bridge says about its port; nil under another
	// main plugin.
	Handover *Handover
}

// Main are the keys of main plugins that tell where an interface is.
type Main struct {
	// Bridge is the bridge's name, Master the parent's (macvlan, vlan), Uplink
	// the key `uplink`.
	Bridge, Master, Uplink string
	// VLAN is `vlan` (bridge) or `vlanId` (vlan).
	VLAN int
}

// defaultRequest is what is asked for unless `skipDefault` says not to: mask,
// router, DNS, domain, MTU, static routes, search list, classless routes. A
// server sends 3 and 33 to those who do not read 121, which RFC 3442 wants
// first.
func defaultRequest() []byte { return []byte{121, 1, 3, 33, 6, 15, 119, 26} }

// ParseDHCP reads podlan-dhcp's stdin and CNI_ARGS. Together with an error of
// code 7 it returns what could be read, so that a DEL can still clean up.
func ParseDHCP(stdin []byte, cniArgs string) (*DHCP, error) {
	args, err := ParseArgs(cniArgs)
	if err != nil {
		return nil, err
	}
	conf, err := decode(stdin)
	if err != nil {
		return nil, err
	}
	d := &DHCP{Common: parseCommon(conf, args)}
	ipam := conf.object("ipam")
	ipam.text("type", "")
	d.Socket = ipam.absolutePath("daemonSocketPath", leaseapi.DefaultSocket)
	d.From = readFrom(ipam)
	d.Priority = ipam.integer("priority", 0, 1<<31-1)
	d.readRequest(ipam)
	provided := d.readProvide(ipam, args)
	d.readKeep(ipam)
	d.readHostname(ipam, provided)
	ipam.closed()
	d.ServiceCIDRs = conf.prefixes("serviceCIDRs")
	if d.Type == TypeBridge { // under another main plugin that key is not ours
		d.ServiceCIDRs = readServices(conf).cidrs
	}
	d.readMain(conf)
	d.readHandover(conf)
	if conf.first.err != nil {
		return d, conf.first.err
	}
	return d, nil
}

// readRequest keeps the reference's meaning: `skipDefault` on any entry drops
// the defaults as a whole.
func (d *DHCP) readRequest(ipam *object) {
	var entries []json.RawMessage
	ipam.read("request", &entries, "a list of objects with option, skipDefault")
	var asked []byte
	skip := false
	for _, raw := range entries {
		entry := ipam.entry("request", raw)
		skip = entry.boolean("skipDefault") || skip
		if name := entry.text("option", ""); name != "" {
			if code, ok := entry.optionCode(name); ok && !slices.Contains(asked, code) {
				asked = append(asked, code)
			}
		}
		entry.closed()
	}
	if !skip {
		for _, code := range defaultRequest() {
			if !slices.Contains(asked, code) {
				asked = append(asked, code)
			}
		}
	}
	d.ParameterRequest = asked
}

// readProvide returns the codes that it found, with a value or without.
func (d *DHCP) readProvide(ipam *object, args Args) (codes []uint8) {
	var entries []json.RawMessage
	ipam.read("provide", &entries, "a list of objects with option, value, fromArg")
	for _, raw := range entries {
		entry := ipam.entry("provide", raw)
		code, ok := entry.optionCode(entry.text("option", ""))
		value := entry.text("value", "")
		if from := entry.text("fromArg", ""); from != "" {
			if given, found := args[from]; found {
				value = given
			}
		}
		entry.closed()
		codes = append(codes, code)
		if ok && value != "" {
			d.provide(entry, code, value)
		}
	}
	return codes
}

func (d *DHCP) provide(entry *object, code uint8, value string) {
	const optClientID = 61
	switch {
	case len(value) > 255:
		entry.fail("value", value, "allowed: up to 255 bytes")
	case slices.Contains([]uint8{50, 51, 52, 53, 54, 55, 57}, code):
		entry.fail("option", code, "allowed: any option but 50 to 55 and 57, which the protocol itself sets")
	case code == optClientID && len(value) < 2:
		entry.fail("value", value, "allowed: a client identifier of at least 2 bytes (RFC 2132 §9.14)")
	case code == optClientID:
		// As it stands, its first byte the type: servers hold reservations
		// for what the reference sends, and it adds no type byte either.
		d.ClientID = []byte(value)
	default:
		if d.Send == nil {
			d.Send = map[uint8][]byte{}
		}
		d.Send[code] = []byte(value)
	}
}

func (d *DHCP) readMain(conf *object) {
	d.Main = Main{
		Bridge: conf.text("bridge", ""),
		Master: conf.text("master", ""),
		Uplink: conf.ifName("uplink", ""),
		VLAN:   max(conf.integer("vlan", 0, 4094), conf.integer("vlanId", 0, 4094)),
	}
	if d.Main.Bridge == "" && (d.Type == "bridge" || d.Type == TypeBridge) {
		d.Main.Bridge = "cni0"
	}
}
