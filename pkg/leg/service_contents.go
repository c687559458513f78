package leg

import (
	"maps"
	"net/netip"

	"github.com/podlan/podlan/pkg/netconf"
)

// contents is what the table's sets hold.
type contents struct {
	// clients are the Pods whose traffic to Services bears the node's address.
	clients map[netip.Addr]shown
	// pods are all: what kube-proxy masquerades on its way to them does so too.
	pods map[netip.Addr]shown
	// services are the destinations that clients ask for.
	services spans
	// exists: there is a table; whole: its rules stand.
	exists, whole bool
}

func (c contents) empty() bool {
	return len(c.clients) == 0 && len(c.pods) == 0 && len(c.services) == 0
}

func (c contents) equal(o contents) bool {
	return maps.Equal(c.clients, o.clients) && maps.Equal(c.pods, o.pods) && c.services.equal(o.services)
}

// serving returns what these legs need, and what stands for others: an ADD may
// be under way. Where there are none, networks that none of the legs asks for go:
// where bridged frames pass nftables, they may be a neighbour's by now.
func (c contents) serving(legs []Leg) contents {
	all, known := c.with(legs...), contents{exists: c.exists, whole: c.whole}.with(legs...)
	if len(all.pods) == len(known.pods) {
		return known
	}
	return all
}

// with returns the contents and what these legs need.
func (c contents) with(legs ...Leg) contents {
	c.clients, c.pods = clone(c.clients), clone(c.pods)
	for _, l := range legs {
		if !l.Service.On() || !l.NodeIP.Is4() {
			continue
		}
		translated := l.Service.Mode == netconf.ServiceSNAT
		for _, a := range l.addrs() {
			c.pods[a] = shown{l.NodeIP, l.Port}
			delete(c.clients, a)
			if translated {
				c.clients[a] = shown{l.NodeIP, l.Port}
			}
		}
		if translated {
			c.services = c.services.with(l.destinations()...)
		}
	}
	return c
}

// without returns the contents without what stands for the leg's port.
func (c contents) without(l Leg) contents {
	c.clients, c.pods = clone(c.clients), clone(c.pods)
	theirs := func(_ netip.Addr, s shown) bool { return s.port == l.Port }
	maps.DeleteFunc(c.clients, theirs)
	maps.DeleteFunc(c.pods, theirs)
	return c
}

// disputed tells whether something else than what the leg needs stands for one of
// its addresses: another port's, or what it had before.
func (c contents) disputed(l Leg) bool {
	wanted := c.with(l)
	return len(without(c.clients, wanted.clients))+len(without(c.pods, wanted.pods)) > 0
}

// destinations are the networks of Services and the node itself: what a Pod
// asked the node's own address for and what is sent on was a NodePort or a
// hostPort.
func (l Leg) destinations() []netip.Prefix {
	nets := []netip.Prefix{netip.PrefixFrom(l.NodeIP, 32)}
	for _, p := range l.Service.CIDRs {
		if p.Addr().Is4() {
			nets = append(nets, p.Masked())
		}
	}
	return nets
}

func clone(m map[netip.Addr]shown) map[netip.Addr]shown {
	if m == nil {
		return make(map[netip.Addr]shown)
	}
	return maps.Clone(m)
}
