package leg

import (
	"slices"
	"strings"
)

// acceptance is a rule of FORWARD that accepts something of ours.
type acceptance struct {
	// note is the comment by which it is known.
	note string
	// device is the bridge or the leg device that it is for.
	device string
	match  []string
	// routed: what the node forwards, not what its bridge does.
	//
	// Such a rule comes behind all others, and only the policy to drop, Docker's,
	// makes it needed: others refuse with reason, kube-proxy what goes to a Service
	// without endpoints or from outside of loadBalancerSourceRanges, a policy engine
	// what may not reach a Pod of its own. What is bridged is no business of theirs,
	// and comes first, so that nobody's thousand rules are asked before.
	routed bool
}

// acceptances are the rules that these legs need, each once.
func acceptances(legs ...Leg) []acceptance {
	var all []acceptance
	for _, l := range legs {
		all = append(all, bridgedBy(l.Bridge), redirected(l.Device, "from", "-i"), redirected(l.Device, "to", "-o"))
	}
	slices.SortFunc(all, func(a, b acceptance) int { return strings.Compare(a.note, b.note) })
	return slices.CompactFunc(all, func(a, b acceptance) bool { return a.note == b.note })
}

func bridgedBy(bridge string) acceptance {
	return acceptance{note: notePrefix + bridge, device: bridge, match: []string{"-i", bridge, "-m", "physdev", "--physdev-is-bridged"}}
}

// redirected: what a Pod asked a Service for, or somebody a port of the node that
// leads to a Pod, and the answers. In no chain of ours it could be accepted: what
// one accepts, the next may drop. IPVS takes requests past FORWARD.
func redirected(device, way, option string) acceptance {
	return acceptance{
		note: notePrefix + device + ":" + way, device: device, routed: true,
		match: []string{option, device, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED,DNAT"},
	}
}

// words are the rule as iptables takes it.
func (a acceptance) words() []string {
	return slices.Concat(a.match, []string{"-m", "comment", "--comment", a.note, "-j", "ACCEPT"})
}

// isSettled: wanted, it stands once, and before all that are not ours unless it
// is routed. Where a routed one stands is left to others: of two that both want
// to be last, neither would rest.
func (a acceptance) isSettled(notes []string, wanted bool) bool {
	at := slices.Index(notes, a.note)
	if !wanted || at < 0 {
		return wanted == (at >= 0)
	}
	others := slices.Index(notes, "")
	return !slices.Contains(notes[at+1:], a.note) && (a.routed || others < 0 || at < others)
}
