package netconf

import (
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// From is the key `dhcpFrom`: from where podland speaks DHCP.
type From string

// The values of `dhcpFrom`.
const (
	// FromAuto: decided by topology alone.
	FromAuto From = "auto"
	// FromUplink: from the uplink, as the Pod's MAC.
	FromUplink From = "uplink"
	// FromPod: from a socket in the Pod's namespace.
	FromPod From = "pod"
)

// Bridge is podlan-bridge's configuration.
type Bridge struct {
	Common
	// Bridge and Uplink name links; Uplink may be empty.
	Bridge, Uplink string
	// MTU is the Pod end's in bytes, and that of a bridge made without an
	// uplink; 0: the bridge's own.
	MTU int

	IsGateway        bool
	IsDefaultGateway bool
	ForceAddress     bool
	IPMasq           bool
	// IPMasqBackend is "iptables", "nftables", or empty: the reference's choice.
	IPMasqBackend string
	Hairpin       bool
	Promisc       bool
	EnableDAD     bool
	// NoPodEnd leaves the Pod end down (`disableContainerInterface`).
	NoPodEnd      bool
	PortIsolation bool
	// Guard is what the port is held to.
	Guard Guard
	VLANs
	// Service is the Pod's way to Services and to its node.
	Service Service

	// IPAM is the delegate's type; empty for layer 2 only.
	IPAM string
	// DHCPFrom is `ipam.dhcpFrom` where the delegate is podlan-dhcp.
	DHCPFrom From
	// DNS overrides the delegate's.
	DNS types.DNS
}

const (
	minMTU = 68    // RFC 791 §3.2
	maxMTU = 65535 // veth's own limit
)

// ParseBridge reads podlan-bridge's stdin and CNI_ARGS. Together with an error
// of code 7 it returns what could be read, so that a DEL can still clean up.
func ParseBridge(stdin []byte, cniArgs string) (*Bridge, error) {
	args, err := ParseArgs(cniArgs)
	if err != nil {
		return nil, err
	}
	conf, err := decode(stdin)
	if err != nil {
		return nil, err
	}
	b := readBridge(conf, args)
	b.readIPAM(conf.object("ipam"))
	b.readVLANs(conf, args)
	b.readService(conf)
	for _, key := range append(validKeys(), "prevResult", "capabilities", "disableCheck", "disableGC", "loadOnlyInlinedPlugins") {
		conf.value(key)
	}
	for _, key := range conf.unknown() {
		b.Warnings = append(b.Warnings, fmt.Sprintf("key %q is unknown and ignored", key))
	}
	if conf.first.err != nil {
		return b, conf.first.err
	}
	if err := b.contradiction(); err != nil {
		return b, err
	}
	b.implyMode()
	return b, nil
}

func readBridge(conf *object, args Args) *Bridge {
	b := &Bridge{
		Common:           parseCommon(conf, args),
		Bridge:           conf.ifName("bridge", "cni0"),
		Uplink:           conf.ifName("uplink", ""),
		IsDefaultGateway: conf.boolean("isDefaultGateway"),
		ForceAddress:     conf.boolean("forceAddress"),
		IPMasq:           conf.boolean("ipMasq"),
		Hairpin:          conf.boolean("hairpinMode"),
		Promisc:          conf.boolean("promiscMode"),
		EnableDAD:        conf.boolean("enabledad"),
		NoPodEnd:         conf.boolean("disableContainerInterface"),
		PortIsolation:    conf.boolean("portIsolation"),
		DHCPFrom:         FromAuto,
	}
	b.IsGateway = conf.boolean("isGateway") || b.IsDefaultGateway
	if b.IPMasqBackend = conf.text("ipMasqBackend", ""); b.IPMasqBackend != "" {
		b.IPMasqBackend = conf.oneOf("ipMasqBackend", "", "iptables", "nftables")
	}
	if conf.integer("mtu", 0, maxMTU) != 0 {
		b.MTU = conf.integer("mtu", minMTU, maxMTU)
	}
	b.Guard = readGuard(conf)
	if conf.boolean("macspoofchk") && b.Guard.Off {
		conf.fail("macspoofchk", true, `allowed beside "guard": "off": false; the guard is what checks`)
	}
	conf.read("dns", &b.DNS, "an object with nameservers, domain, search, options")
	return b
}

// readIPAM looks only at what decides the order of an ADD; the delegate checks
// the rest of its keys.
func (b *Bridge) readIPAM(ipam *object) {
	b.IPAM = ipam.text("type", "")
	switch {
	case b.IPAM == "" && len(ipam.unknown()) > 0: // "type": "" alone is the reference's layer 2
		ipam.fail("type", "", "allowed: the name of an IPAM plugin; leave `ipam` out for layer 2 only")
	case strings.ContainsAny(b.IPAM, "/\x00"):
		ipam.fail("type", b.IPAM, "allowed: a file name without a slash")
	case b.IPAM == TypeDHCP:
		b.DHCPFrom = readFrom(ipam)
	}
}

func readFrom(ipam *object) From {
	return From(ipam.oneOf("dhcpFrom", string(FromAuto), string(FromAuto), string(FromUplink), string(FromPod)))
}

func (b *Bridge) contradiction() error {
	refuse := func(keys, why string) error { return confError(keys+" contradict each other", why) }
	switch {
	case b.Uplink == b.Bridge:
		return refuse(`"bridge" and "uplink"`, fmt.Sprintf("both are %q; allowed: two links", b.Bridge))
	case b.Hairpin && b.Promisc:
		return refuse(`"hairpinMode" and "promiscMode"`, "allowed: one of them")
	case b.NoPodEnd && b.IPAM != "":
		return refuse(`"disableContainerInterface" and "ipam"`, "an interface that stays down has no use for an address; allowed: one of them")
	case b.IsGateway && b.IPAM == "":
		return refuse(`"isGateway" and an absent "ipam"`, "the gateway's address comes from IPAM; allowed: both or neither")
	case b.Service.On() && b.IPAM == "":
		return refuse(`"service" and an absent "ipam"`, "the way to Services starts from an address; allowed: both or neither")
	case b.IPMasq && b.IPAM == "":
		return refuse(`"ipMasq" and an absent "ipam"`, "there is no address to translate; allowed: both or neither")
	}
	return b.vlanContradiction()
}
