package guard

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/nft"
)

// nameSize is IFNAMSIZ, the size of a link's name in a set's key.
const nameSize = 16

// element is one element of one set.
type element struct {
	nft.Element

	set string
}

func elementOf(set, key string) element { return element{nft.Element{Key: key}, set} }

// elements returns the port's elements by set, each with its key, in the order
// in which they are put.
func (p Port) elements() []element {
	var els []element
	for i, note := range p.notes() {
		els = append(els, element{nft.Element{Key: noteKey(p.Name, i), Note: note}, setPorts})
	}
	for _, mac := range p.macs() {
		els = append(els, elementOf(setMAC, key(p.Name, mac)))
	}
	els = append(els, p.addrElements()...)
	els = append(els, p.trunkElements()...)
	for _, set := range p.openings() {
		els = append(els, elementOf(set, key(p.Name)))
	}
	if l := p.Rates.arp(); l != (nft.Rate{}) {
		els = append(els, element{nft.Element{Key: key(p.Name), Above: l}, setARPRate})
	}
	if l := p.Rates.multicast(); l != (nft.Rate{}) {
		els = append(els, element{nft.Element{Key: key(p.Name), Above: l}, setMulticastRate})
	}
	return els
}

// addrElements: an address that is named twice, or is a link-local one that
// stands anyway, gives one element.
func (p Port) addrElements() []element {
	allowed := p.addrs()
	if !p.LayerTwo {
		for _, mac := range p.macs() {
			allowed = append(allowed, linkLocal(mac))
		}
	}
	var els []element
	for _, a := range inOrder(allowed) {
		if !a.Is4() {
			els = append(els, elementOf(setIP6, key(p.Name, a.AsSlice())))
			continue
		}
		els = append(els, elementOf(setIP4, key(p.Name, a.AsSlice())),
			elementOf(setSender4, key(p.Name, p.macAndIPv4(), a.AsSlice())))
	}
	if p.LayerTwo {
		els = append(els, elementOf(setAnySender4, key(p.Name, p.macAndIPv4())))
	}
	for _, a := range inOrder(p.ExtraAddrs) {
		if p.VRRP && a.Is4() {
			els = append(els, elementOf(setVirtualIP4, key(p.Name, a.AsSlice())))
		}
	}
	return els
}

// macAndIPv4 is how a frame of IPv4 begins after its destination.
func (p Port) macAndIPv4() []byte { return append(slices.Clone(p.MAC), 0x08, 0x00) }

// openings are the sets that have the port by its name alone.
func (p Port) openings() []string {
	open := map[string]bool{
		setDHCP: p.DHCPClient, setLayerTwo: p.LayerTwo, setServer: p.DHCPServer,
		setRA: p.RouterAdvertisement, setVRRP: p.VRRP, setRouting: p.MulticastRouting,
	}
	maps.DeleteFunc(open, func(_ string, yes bool) bool { return !yes })
	return slices.Sorted(maps.Keys(open))
}

// counterElements count the port's drops by kind. Nothing is allowed by them,
// so nobody asks whether they stand.
func (p Port) counterElements() []element {
	var els []element
	for i := range counters() {
		els = append(els, elementOf(setDrops, key(p.Name, index(i))))
	}
	return els
}

// all returns the elements of every kind, each key once: the kernel does not
// remove one twice.
func all(ports []Port) []element {
	var els []element
	seen := make(map[[2]string]bool)
	for _, p := range ports {
		for _, e := range append(p.elements(), p.counterElements()...) {
			if id := [2]string{e.set, e.Key}; !seen[id] {
				seen[id] = true
				els = append(els, e)
			}
		}
	}
	return els
}

// without returns the elements that are not, exactly as they are, among others.
func without(els, others []element) []element {
	same := make(map[element]bool, len(others))
	for _, e := range others {
		same[e] = true
	}
	return slices.DeleteFunc(slices.Clone(els), func(e element) bool { return same[e] })
}

// key is a link's name and values, each padded to the kernel's 4-byte registers.
func key(name string, values ...[]byte) string {
	b := make([]byte, nameSize, nameSize+16)
	copy(b, name)
	for _, v := range values {
		b = append(b, v...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return string(b)
}

// noteKey is that of the port's i-th note.
func noteKey(name string, i int) string { return key(name, index(i)) }

// index is a number as nft shows a mark.
func index(i int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(i)) }

// splitKey takes key apart; there is no index in the sets of version 1.
func splitKey(key string) (name string, i int) {
	if len(key) < nameSize {
		return "", 0
	}
	if rest := key[nameSize:]; len(rest) == 4 {
		i = int(binary.NativeEndian.Uint32([]byte(rest)))
	}
	return strings.TrimRight(key[:nameSize], "\x00"), i
}
