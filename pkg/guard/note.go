package guard

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/podlan/podlan/pkg/nft"
)

// maxNote is what the kernel keeps with a set's element (255 bytes), less the
// header and end that nft wants in it.
const maxNote = 252

// maxNotes bounds a port's notes, and with them its addresses.
const maxNotes = 64

// The words of a note for what is neither the MAC nor an address.
const (
	noteDHCP      = "dhcp-client"
	noteLayerTwo  = "layer2"
	noteServer    = "dhcp-server"
	noteRA        = "router-advertisement"
	noteVRRP      = "vrrp"
	noteRouting   = "multicast-routing"
	noteMAC       = "mac="
	noteAddr      = "ip="
	noteARP       = "arp="
	noteMulticast = "multicast="
	noteVLANs     = "vlan="
	noteMore      = "more=" // how many notes follow; the first one's first word
)

// notes are what the kernel keeps with the port's name: from them the elements
// that stand are known without listing any set, and nft shows them as comments.
// One is enough for most ports.
func (p Port) notes() []string {
	var notes []string
	note := ""
	for _, word := range p.words() {
		// Room for the count, which is known at the end.
		if note != "" && len(note)+1+len(word) > maxNote-len(noteMore+"99 ") {
			notes, note = append(notes, note), ""
		}
		if note != "" {
			note += " "
		}
		note += word
	}
	notes = append(notes, note)
	if more := len(notes) - 1; more > 0 {
		notes[0] = noteMore + strconv.Itoa(more) + " " + notes[0]
	}
	return notes
}

// farewell is a note that Remove puts and takes in one transaction, so that who
// watches the table tells it from somebody who flushes sets.
func farewell(name string) element {
	return element{nft.Element{Key: noteKey(name, maxNotes), Note: "removed"}, setPorts}
}

func (p Port) words() []string {
	words := []string{p.MAC.String()}
	for _, a := range inOrder(p.Addrs) {
		words = append(words, a.String())
	}
	flags := []struct {
		word string
		set  bool
	}{
		{noteDHCP, p.DHCPClient},
		{noteLayerTwo, p.LayerTwo},
		{noteServer, p.DHCPServer},
		{noteRA, p.RouterAdvertisement},
		{noteVRRP, p.VRRP},
		{noteRouting, p.MulticastRouting},
		{noteARP + strconv.Itoa(p.Rates.ARP), p.Rates.ARP != 0},
		{noteMulticast + strconv.Itoa(p.Rates.Multicast), p.Rates.Multicast != 0},
	}
	for _, f := range flags {
		if f.set {
			words = append(words, f.word)
		}
	}
	for _, m := range p.macs()[1:] {
		words = append(words, noteMAC+m.String())
	}
	for _, a := range inOrder(p.ExtraAddrs) {
		words = append(words, noteAddr+a.String())
	}
	for _, vlans := range p.VLANs() {
		words = append(words, noteVLANs+vlans)
	}
	return words
}

// following returns how many notes follow the first.
func following(first string) int {
	word, _, _ := strings.Cut(first, " ")
	count, found := strings.CutPrefix(word, noteMore)
	n, err := strconv.Atoi(count)
	if !found || err != nil {
		return 0
	}
	return min(n, maxNotes)
}

func parseNotes(name string, notes []string) (Port, error) {
	p := Port{Name: name}
	for word := range strings.FieldsSeq(strings.Join(notes, " ")) {
		if err := read(&p, word); err != nil {
			return Port{}, fmt.Errorf("note of port %s: %w", name, err)
		}
	}
	if p.MAC == nil {
		return Port{}, fmt.Errorf("note of port %s names no MAC", name)
	}
	return p, nil
}

func read(p *Port, word string) (err error) {
	if flag := flagOf(p, word); flag != nil {
		*flag = true
		return nil
	}
	kind, value, found := strings.Cut(word, "=")
	if !found {
		return readPlain(p, word)
	}
	switch kind + "=" {
	case noteMore:
	case noteMAC:
		var mac net.HardwareAddr
		mac, err = net.ParseMAC(value)
		p.ExtraMACs = append(p.ExtraMACs, mac)
	case noteAddr:
		var addr netip.Addr
		addr, err = netip.ParseAddr(value)
		p.ExtraAddrs = append(p.ExtraAddrs, addr)
	case noteVLANs:
		var vids []uint16
		vids, err = readVLANs(value)
		p.Trunk = append(p.Trunk, vids...)
	case noteARP:
		p.Rates.ARP, err = strconv.Atoi(value)
	case noteMulticast:
		p.Rates.Multicast, err = strconv.Atoi(value)
	default:
		return fmt.Errorf("%q is unknown", word)
	}
	return err
}

// readPlain: the MAC, and after it an address.
func readPlain(p *Port, word string) (err error) {
	if p.MAC == nil {
		p.MAC, err = net.ParseMAC(word)
		return err
	}
	addr, err := netip.ParseAddr(word)
	p.Addrs = append(p.Addrs, addr)
	return err
}

func flagOf(p *Port, word string) *bool {
	switch word {
	case noteDHCP:
		return &p.DHCPClient
	case noteLayerTwo:
		return &p.LayerTwo
	case noteServer:
		return &p.DHCPServer
	case noteRA:
		return &p.RouterAdvertisement
	case noteVRRP:
		return &p.VRRP
	case noteRouting:
		return &p.MulticastRouting
	}
	return nil
}
