package guard

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is that of the one table that Podlan has, of the family bridge.
const tableName = "podlan"

// chunk is how many elements go into one message, whose length is 16 bits.
const chunk = 150

// chain is a chain with its rules; hook is nil for one that others go to.
type chain struct {
	name     string
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    rules
}

// chains stand in an order in which each comes before those that go to it.
func chains() []chain {
	var chs []chain
	for i, kind := range counters() {
		chs = append(chs, chain{name: chainDrop + kind, rules: dropped(i, kind)})
	}
	return append(chs,
		chain{name: chainForeignMAC, rules: foreignMAC()},
		chain{name: chainForeignIP4, rules: foreignIP4()},
		chain{name: chainForeignIP6, rules: foreignIP6()},
		chain{name: chainForeignDHCP, rules: unlessFree(dropDHCP)},
		chain{name: chainForeignND, rules: unlessFree(dropControl)},
		chain{name: chainARP, rules: arp()},
		chain{name: chainDHCP, rules: dhcp()},
		chain{name: chainIGMP, rules: igmp()},
		chain{name: chainMulticast4, rules: localMulticast4()},
		chain{name: chainPlainUDP4, rules: plainUDP4()},
		chain{name: chainUDP4, rules: udp4()},
		chain{name: chainOwnIP4, rules: ownIP4()},
		chain{name: chainSender4, rules: sender4()},
		chain{name: chainUDP6, rules: udp6()},
		chain{name: chainICMP6, rules: icmp6()},
		chain{name: chainIP4, rules: ip4()},
		chain{name: chainIP6, rules: ip6()},
		chain{name: chainTagged, rules: tagged()},
		chain{name: chainToPod, rules: dhcpToPod()},
		// Before br_netfilter (0) and everything else that is usual (-300).
		chain{name: chainFrom, hook: nftables.ChainHookPrerouting, priority: -450, rules: fromPod()},
		// Also before br_netfilter's (-1): it hands frames on to the chains behind 0
		// alone (seen on Linux 6.1).
		chain{name: chainForward, hook: nftables.ChainHookForward, priority: -200, rules: towardsPod()},
		chain{name: chainOutput, hook: nftables.ChainHookOutput, priority: -200, rules: towardsPod()},
	)
}

// set is a set whose keys are a port's name and values of these types.
type set struct {
	name   string
	values []nftables.SetDatatype
	// counts: each element has a counter.
	counts bool
}

func sets() []set {
	var all []set
	for _, name := range []string{setDHCP, setLayerTwo, setServer, setRA, setVRRP, setRouting, setARPRate, setMulticastRate} {
		all = append(all, set{name: name})
	}
	with := func(name string, values ...nftables.SetDatatype) set {
		return set{name: name, values: values}
	}
	drops := with(setDrops, nftables.TypeMark)
	drops.counts = true
	return append(all,
		with(setPorts, nftables.TypeMark), drops, with(setMAC, nftables.TypeEtherAddr),
		with(setSender4, nftables.TypeEtherAddr, nftables.TypeIPAddr), with(setAnySender4, nftables.TypeEtherAddr),
		with(setTrunk, nftables.TypeInetService), // which nft shows as a VID
		with(setIP4, nftables.TypeIPAddr), with(setVirtualIP4, nftables.TypeIPAddr), with(setIP6, nftables.TypeIP6Addr),
	)
}

func (s set) key() nftables.SetDatatype {
	if len(s.values) == 0 {
		return nftables.TypeIFName
	}
	return nftables.MustConcatSetType(append([]nftables.SetDatatype{nftables.TypeIFName}, s.values...)...)
}

// install puts the whole table with these elements in the place of what stood,
// within the batch: there is no moment between the two.
func (b *batch) install(els []element) {
	b.table(unix.NFT_MSG_NEWTABLE) // so that there is one to remove
	b.table(unix.NFT_MSG_DELTABLE)
	b.table(unix.NFT_MSG_NEWTABLE)
	for _, name := range counters() {
		b.counter(name)
	}
	for i, s := range sets() {
		b.set(s, uint32(i+1))
	}
	for _, ch := range chains() {
		b.chain(ch)
	}
	for _, t := range placed() {
		b.rule(t)
	}
	b.put(els)
}

// placedRule is a rule with its place and the note by which it is known again.
type placedRule struct {
	chain, note string
	exprs       []expr.Any
}

// put adds the elements; those that stand are no error.
func (b *batch) put(els []element) { b.eachSet(unix.NFT_MSG_NEWSETELEM, els) }

// take removes the elements. Older kernels refuse to remove an element that is
// not there, so it is added before, in the same batch.
func (b *batch) take(els []element) {
	b.eachSet(unix.NFT_MSG_NEWSETELEM, els)
	b.eachSet(unix.NFT_MSG_DELSETELEM, els)
}

func (b *batch) eachSet(message uint16, els []element) {
	bySet := make(map[string][]element)
	for _, e := range els {
		bySet[e.set] = append(bySet[e.set], e)
	}
	for _, s := range sets() {
		for part := range slices.Chunk(bySet[s.name], chunk) {
			b.elements(message, s.name, part)
		}
	}
}
