package guard

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Port is what a port may send.
type Port struct {
	// Name is the host end's: it begins with rtnl.HostEndPrefix.
	Name string
	MAC  net.HardwareAddr
	// Addrs are the port's addresses of both families. The IPv6 link-local
	// address made from MAC is allowed besides.
	Addrs []netip.Addr
	// DHCPClient lets the port's own DHCPv4 client speak, as MAC only.
	DHCPClient bool
	// LayerTwo ties the port to MAC and ethertypes alone: any address, but no
	// DHCP server and no router advertisement.
	LayerTwo bool
}

// maxNote is what the kernel keeps with a set's element (255 bytes), less the
// header and end that nft wants in it.
const maxNote = 252

// The words of a note for what is no address.
const (
	noteDHCP     = "dhcp-client"
	noteLayerTwo = "layer2"
)

// note is what the kernel keeps with the port's name: from it the elements that
// stand are known without listing any set, and nft shows it as a comment.
func (p Port) note() string {
	words := []string{p.MAC.String()}
	for _, a := range p.addrs() {
		words = append(words, a.String())
	}
	if p.DHCPClient {
		words = append(words, noteDHCP)
	}
	if p.LayerTwo {
		words = append(words, noteLayerTwo)
	}
	return strings.Join(words, " ")
}

func parseNote(name, note string) (Port, error) {
	p := Port{Name: name}
	for i, word := range strings.Fields(note) {
		var err error
		switch {
		case i == 0:
			p.MAC, err = net.ParseMAC(word)
		case word == noteDHCP:
			p.DHCPClient = true
		case word == noteLayerTwo:
			p.LayerTwo = true
		default:
			var addr netip.Addr
			addr, err = netip.ParseAddr(word)
			p.Addrs = append(p.Addrs, addr)
		}
		if err != nil {
			return Port{}, fmt.Errorf("note of port %s: %w", name, err)
		}
	}
	if p.MAC == nil {
		return Port{}, fmt.Errorf("note of port %s is empty", name)
	}
	return p, nil
}

// addrs returns the addresses in order, each once.
func (p Port) addrs() []netip.Addr {
	addrs := make([]netip.Addr, 0, len(p.Addrs))
	for _, a := range p.Addrs {
		addrs = append(addrs, a.Unmap().WithZone(""))
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

func (p Port) check() error {
	switch {
	case !strings.HasPrefix(p.Name, rtnl.HostEndPrefix) || len(p.Name) >= nameSize:
		return fmt.Errorf("guard: port %q: the name has to begin with %s and have at most %d bytes", p.Name, rtnl.HostEndPrefix, nameSize-1)
	case len(p.MAC) != 6:
		return fmt.Errorf("guard: port %s: MAC %q has to have 6 bytes", p.Name, p.MAC)
	case len(p.note()) > maxNote:
		return fmt.Errorf("guard: port %s has %d addresses: their text has to fit into %d bytes", p.Name, len(p.Addrs), maxNote)
	}
	return nil
}

// linkLocal is the IPv6 link-local address that a kernel makes from a MAC (RFC
// 4291, appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// nameSize is IFNAMSIZ, the size of a link's name in a set's key.
const nameSize = 16

// elements returns the port's elements by set, each with its key, in the order
// in which they are put.
func (p Port) elements() []element {
	els := []element{{set: setPorts, key: key(p.Name, nil), note: p.note()}, {set: setMAC, key: key(p.Name, p.MAC)}}
	if !p.LayerTwo {
		els = append(els, element{set: setIP6, key: key(p.Name, linkLocal(p.MAC).AsSlice())})
	}
	for _, a := range p.addrs() {
		if a.Is4() {
			els = append(els, element{set: setIP4, key: key(p.Name, a.AsSlice())})
		} else if a != linkLocal(p.MAC) {
			els = append(els, element{set: setIP6, key: key(p.Name, a.AsSlice())})
		}
	}
	if p.DHCPClient {
		els = append(els, element{set: setDHCP, key: key(p.Name, nil)})
	}
	if p.LayerTwo {
		els = append(els, element{set: setLayerTwo, key: key(p.Name, nil)})
	}
	return els
}

// element is one element of one set.
type element struct {
	set, key, note string
}

// key is a link's name and a value, each padded to the kernel's 4-byte
// registers.
func key(name string, value []byte) string {
	b := make([]byte, nameSize, nameSize+16)
	copy(b, name)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return string(b)
}
