package guard

import (
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
)

// table is the one that Podlan has of the family bridge.
func table() nft.Table { return nft.Table{Family: unix.NFPROTO_BRIDGE, Name: "podlan"} }

// chain is a chain with its rules.
type chain struct {
	nft.Chain

	rules rules
}

// chains stand in an order in which each comes before those that go to it.
func chains() []chain {
	var chs []chain
	add := func(name string, rules rules) { chs = append(chs, chain{nft.Chain{Name: name}, rules}) }
	for i, kind := range counters() {
		add(chainDrop+kind, dropped(i, kind))
	}
	add(chainForeignMAC, foreignMAC())
	add(chainForeignIP4, foreignIP4())
	add(chainForeignIP6, foreignIP6())
	add(chainForeignDHCP, unlessFree(dropDHCP))
	add(chainForeignND, unlessFree(dropControl))
	add(chainARP, arp())
	add(chainDHCP, dhcp())
	add(chainIGMP, igmp())
	add(chainMulticast4, localMulticast4())
	add(chainPlainUDP4, plainUDP4())
	add(chainUDP4, udp4())
	add(chainOwnIP4, ownIP4())
	add(chainSender4, sender4())
	add(chainUDP6, udp6())
	add(chainICMP6, icmp6())
	add(chainIP4, ip4())
	add(chainIP6, ip6())
	add(chainTagged, tagged())
	add(chainToPod, dhcpToPod())
	return append(chs,
		// Before br_netfilter (0) and everything else that is usual (-300).
		hooked(chainFrom, nftables.ChainHookPrerouting, -450, fromPod()),
		// Also before br_netfilter's (-1): it hands frames on to the chains behind 0
		// alone (seen on Linux 6.1).
		hooked(chainForward, nftables.ChainHookForward, -200, towardsPod()),
		hooked(chainOutput, nftables.ChainHookOutput, -200, towardsPod()),
	)
}

func hooked(name string, hook *nftables.ChainHook, priority nftables.ChainPriority, rules rules) chain {
	return chain{nft.Chain{Name: name, Type: nftables.ChainTypeFilter, Hook: hook, Priority: priority}, rules}
}

func sets() []nft.Set {
	var all []nft.Set
	for _, name := range []string{setDHCP, setLayerTwo, setServer, setRA, setVRRP, setRouting, setARPRate, setMulticastRate} {
		all = append(all, nft.Set{Name: name, Key: []nftables.SetDatatype{nftables.TypeIFName}, Order: nft.HostOrder})
	}
	// with is a set whose keys are a port's name and values of these types.
	with := func(name string, values ...nftables.SetDatatype) nft.Set {
		return nft.Set{Name: name, Key: append([]nftables.SetDatatype{nftables.TypeIFName}, values...)}
	}
	drops := with(setDrops, nftables.TypeMark)
	drops.Counts = true
	return append(all,
		with(setPorts, nftables.TypeMark), drops, with(setMAC, nftables.TypeEtherAddr),
		with(setSender4, nftables.TypeEtherAddr, nftables.TypeIPAddr), with(setAnySender4, nftables.TypeEtherAddr),
		with(setTrunk, nftables.TypeInetService), // which nft shows as a VID
		with(setIP4, nftables.TypeIPAddr), with(setVirtualIP4, nftables.TypeIPAddr), with(setIP6, nftables.TypeIP6Addr),
	)
}

// install puts the whole table with these elements in the place of what stood,
// within the batch: there is no moment between the two.
func install(b *nft.Batch, els []element) {
	b.DropTable()
	b.AddTable()
	for _, name := range counters() {
		b.AddCounter(name)
	}
	for i, s := range sets() {
		b.AddSet(s, uint32(i+1))
	}
	for _, ch := range chains() {
		b.AddChain(ch.Chain)
	}
	for _, r := range placed() {
		b.AddRule(r)
	}
	put(b, els)
}

// put adds the elements; those that stand are no error.
func put(b *nft.Batch, els []element) { eachSet(els, b.Put) }

// take removes the elements. Older kernels refuse to remove an element that is
// not there, so it is added before, in the same batch.
func take(b *nft.Batch, els []element) {
	eachSet(els, b.Put)
	eachSet(els, b.Take)
}

func eachSet(els []element, do func(set string, els []nft.Element)) {
	bySet := make(map[string][]nft.Element)
	for _, e := range els {
		bySet[e.set] = append(bySet[e.set], e.Element)
	}
	for _, s := range sets() {
		do(s.Name, bySet[s.Name])
	}
}
