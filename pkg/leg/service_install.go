package leg

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// chunk is how many elements go into one message, whose length is 16 bits.
const chunk = 150

// install puts the whole table with these contents. After drop in the same batch
// there is no moment without one.
func (b *batch) install(c contents) {
	b.table(unix.NFT_MSG_NEWTABLE)
	b.set(setServices, 1)
	b.set(setClients, 2)
	b.set(setPods, 3)
	b.chain()
	for _, r := range translations() {
		b.rule(r)
	}
	b.elements(unix.NFT_MSG_NEWSETELEM, setServices, networks(c.services))
	b.update(contents{}, c)
}

// update changes the elements of Pods that differ.
func (b *batch) update(stood, wanted contents) {
	b.elements(unix.NFT_MSG_DELSETELEM, setClients, pods(without(stood.clients, wanted.clients)))
	b.elements(unix.NFT_MSG_DELSETELEM, setPods, pods(without(stood.pods, wanted.pods)))
	b.elements(unix.NFT_MSG_NEWSETELEM, setClients, pods(without(wanted.clients, stood.clients)))
	b.elements(unix.NFT_MSG_NEWSETELEM, setPods, pods(without(wanted.pods, stood.pods)))
}

// drop removes the table, if there is any.
func (b *batch) drop() {
	b.table(unix.NFT_MSG_NEWTABLE) // so that there is one to remove
	b.table(unix.NFT_MSG_DELTABLE)
}

func (b *batch) table(kind uint16) {
	b.add(kind, 0, "nf_tables for IPv4 (CONFIG_NF_TABLES_IPV4)", func(ae *encoder) {
		ae.String(unix.NFTA_TABLE_NAME, tableName)
	})
}

// set adds a set; id is its name within the batch.
func (b *batch) set(name string, id uint32) {
	b.add(unix.NFT_MSG_NEWSET, 0, "nf_tables' sets (before Linux 5.10: CONFIG_NF_TABLES_SET)", func(ae *encoder) {
		ae.String(unix.NFTA_SET_TABLE, tableName)
		ae.String(unix.NFTA_SET_NAME, name)
		ae.Uint32(unix.NFTA_SET_ID, id)
		ae.Uint32(unix.NFTA_SET_KEY_TYPE, nftables.TypeIPAddr.GetNFTMagic())
		ae.Uint32(unix.NFTA_SET_KEY_LEN, nftables.TypeIPAddr.Bytes)
		// For nft's eyes: the byte order of what it prints.
		order := userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, 2)
		if name == setServices {
			ae.Uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_INTERVAL)
		} else {
			ae.Uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_MAP)
			ae.Uint32(unix.NFTA_SET_DATA_TYPE, nftables.TypeIPAddr.GetNFTMagic())
			ae.Uint32(unix.NFTA_SET_DATA_LEN, nftables.TypeIPAddr.Bytes)
			order = userdata.AppendUint32(order, userdata.NFTNL_UDATA_SET_DATABYTEORDER, 2)
		}
		ae.Bytes(unix.NFTA_SET_USERDATA, order)
	})
}

func (b *batch) chain() {
	b.add(unix.NFT_MSG_NEWCHAIN, 0, "NAT by nf_tables (CONFIG_NFT_NAT and CONFIG_NF_NAT, modules nft_chain_nat and nf_nat)", func(ae *encoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, tableName)
		ae.String(unix.NFTA_CHAIN_NAME, chainName)
		nested(ae, unix.NFTA_CHAIN_HOOK, func(hook *encoder) {
			hook.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(*nftables.ChainHookPostrouting))
			// Before kube-proxy's chains, which masquerade: with whatever address the
			// kernel finds for a bridge that has none. The first translation stays.
			hook.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(*nftables.ChainPriorityNATSource-5))
		})
		ae.Uint32(unix.NFTA_CHAIN_POLICY, uint32(nftables.ChainPolicyAccept))
		ae.String(unix.NFTA_CHAIN_TYPE, string(nftables.ChainTypeNAT))
	})
}

func (b *batch) elements(kind uint16, set string, els []nftables.SetElement) {
	for part := range slices.Chunk(els, chunk) {
		b.add(kind, 0, "nf_tables' sets (before Linux 5.10: CONFIG_NF_TABLES_SET)", func(ae *encoder) {
			ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
			ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
			nested(ae, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *encoder) {
				for _, e := range part {
					nested(list, unix.NFTA_LIST_ELEM, func(one *encoder) { encode(one, e, kind == unix.NFT_MSG_DELSETELEM) })
				}
			})
		})
	}
}

func encode(ae *encoder, e nftables.SetElement, keyOnly bool) {
	nested(ae, unix.NFTA_SET_ELEM_KEY, func(k *encoder) { k.Bytes(unix.NFTA_DATA_VALUE, e.Key) })
	if keyOnly {
		return
	}
	if e.IntervalEnd {
		ae.Uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	if e.Val != nil {
		nested(ae, unix.NFTA_SET_ELEM_DATA, func(d *encoder) { d.Bytes(unix.NFTA_DATA_VALUE, e.Val) })
	}
	if e.Comment != "" {
		ae.Bytes(unix.NFTA_SET_ELEM_USERDATA, userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, e.Comment))
	}
}

func networks(all spans) []nftables.SetElement {
	var els []nftables.SetElement
	for _, s := range all {
		els = append(els, nftables.SetElement{Key: key(s.from)})
		if s.to < 1<<32 {
			els = append(els, nftables.SetElement{Key: key(s.to), IntervalEnd: true})
		}
	}
	return els
}

func pods(all map[netip.Addr]shown) []nftables.SetElement {
	var els []nftables.SetElement
	for pod, s := range all {
		els = append(els, nftables.SetElement{Key: pod.AsSlice(), Val: s.nodeIP.AsSlice(), Comment: s.port})
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

// roomy lets a table of thousands of Pods go in one batch; the kernel takes
// memory only for what is sent.
func roomy(c *netlink.Conn) error {
	const size = 4 << 20 // bytes
	return c.SetWriteBuffer(size)
}
