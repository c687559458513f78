package leg

import (
	"net/netip"

	"github.com/google/nftables"

	"github.com/podlan/podlan/pkg/nft"
)

// install puts the whole table with these contents. After a drop in the same batch
// there is no moment without one.
func install(b *nft.Batch, c contents) {
	b.AddTable()
	addrs := []nftables.SetDatatype{nftables.TypeIPAddr}
	b.AddSet(nft.Set{Name: setServices, Key: addrs, Order: nft.NetworkOrder, Interval: true}, 1)
	b.AddSet(nft.Set{Name: setClients, Key: addrs, Order: nft.NetworkOrder, Value: &addrs[0]}, 2)
	b.AddSet(nft.Set{Name: setPods, Key: addrs, Order: nft.NetworkOrder, Value: &addrs[0]}, 3)
	b.AddChain(nft.Chain{
		Name: chainName, Type: nftables.ChainTypeNAT, Hook: nftables.ChainHookPostrouting,
		// Before kube-proxy's chains, which masquerade: with whatever address the
		// kernel finds for a bridge that has none. The first translation stays.
		Priority: *nftables.ChainPriorityNATSource - 5,
	})
	for _, r := range translations() {
		b.AddRule(nft.Rule{Chain: chainName, Note: r.note, Match: r.match})
	}
	b.Put(setServices, networks(c.services))
	update(b, contents{}, c)
}

// update changes the elements of Pods that differ.
func update(b *nft.Batch, stood, wanted contents) {
	b.Take(setClients, pods(without(stood.clients, wanted.clients)))
	b.Take(setPods, pods(without(stood.pods, wanted.pods)))
	b.Put(setClients, pods(without(wanted.clients, stood.clients)))
	b.Put(setPods, pods(without(wanted.pods, stood.pods)))
}

func networks(all spans) []nft.Element {
	var els []nft.Element
	for _, s := range all {
		els = append(els, nft.Element{Key: key(s.from)})
		if s.to < 1<<32 {
			els = append(els, nft.Element{Key: key(s.to), End: true})
		}
	}
	return els
}

func pods(all map[netip.Addr]shown) []nft.Element {
	var els []nft.Element
	for pod, s := range all {
		els = append(els, nft.Element{Key: string(pod.AsSlice()), Value: string(s.nodeIP.AsSlice()), Note: s.port})
	}
	return els
}

// without returns the Pods that are not, exactly as they are, among others.
func without(all, others map[netip.Addr]shown) map[netip.Addr]shown {
	left := make(map[netip.Addr]shown)
	for pod, s := range all {
		if o, ok := others[pod]; !ok || o != s {
			left[pod] = s
		}
	}
	return left
}
