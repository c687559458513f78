package netconf

import (
	"fmt"
	"slices"
	"strings"
)

// maxVID is 802.1Q's last VID; 4095 is reserved, 0 means no VLAN.
const maxVID = 4094

// VLANMode is the key `vlanMode`: how a node brings its Pods onto a VLAN.
type VLANMode string

// The values of `vlanMode`.
const (
	// ModeAuto: decided by what stands and what is named (package segment).
	ModeAuto VLANMode = ""
	// ModeSubinterface: a bridge for each VLAN, over <uplink>.<vid>.
	ModeSubinterface VLANMode = "subinterface"
	// ModeFiltering: one bridge that tells VLANs apart.
	ModeFiltering VLANMode = "filtering"
)

// VLANRange are the VIDs from First to Last, both among them, 1 to 4094 (IEEE
// 802.1Q).
type VLANRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Contains tells whether vid is one of them.
func (r VLANRange) Contains(vid uint16) bool { return r.First <= vid && vid <= r.Last }

// String returns "20" or "100-199".
func (r VLANRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// VLANs is where a Pod is among the VLANs.
type VLANs struct {
	// VLAN is the VID of the Pod's untagged frames; 0: they are untagged on the
	// uplink too, or in the bridge's default VLAN.
	VLAN uint16
	// OuterVLAN is the 802.1ad VID around VLAN; 0: none.
	OuterVLAN uint16
	// Trunk are the VIDs that the Pod sends and receives tagged, ascending, none
	// touching another and none with VLAN in it.
	Trunk []VLANRange
	// KeepDefault leaves the bridge's default VLAN on the Pod's port
	// (`preserveDefaultVlan`).
	KeepDefault bool
	// Mode is also what other keys imply: OuterVLAN a sub-interface, Trunk a
	// bridge that filters.
	Mode VLANMode
}

// readVLANs reads where the network is among the VLANs and, within its bounds,
// which one the Pod chose.
func (b *Bridge) readVLANs(conf *object, args Args) {
	b.VLANs = VLANs{
		VLAN:        uint16(conf.integer("vlan", 0, maxVID)),
		OuterVLAN:   uint16(conf.integer("outerVlan", 1, maxVID)),
		Trunk:       conf.vlanRanges("vlanTrunk", false),
		KeepDefault: conf.boolean("preserveDefaultVlan"),
	}
	if conf.text("vlanMode", "") != "" {
		b.Mode = VLANMode(conf.oneOf("vlanMode", "", string(ModeSubinterface), string(ModeFiltering)))
	}
	allowed := conf.vlanRanges("vlanAllowed", true)
	if vid := chosenVLAN(conf, args, allowed); vid != 0 {
		b.VLAN = vid
	}
	if b.Mode != ModeAuto && b.VLAN == 0 && len(b.Trunk) == 0 && len(allowed) == 0 {
		b.Warnings = append(b.Warnings, fmt.Sprintf("key \"vlanMode\": %q changes nothing without \"vlan\", \"vlanTrunk\" or \"vlanAllowed\"", b.Mode))
	}
}

// implyMode follows vlanContradiction, which compares what was written.
func (v *VLANs) implyMode() {
	switch {
	case v.OuterVLAN != 0:
		v.Mode = ModeSubinterface
	case len(v.Trunk) > 0:
		v.Mode = ModeFiltering
	}
}

func (b *Bridge) vlanContradiction() error {
	refuse := func(keys, why string) error { return confError(keys+" contradict each other", why) }
	outer := fmt.Sprintf(`"outerVlan": %d`, b.OuterVLAN)
	switch {
	case b.Mode == ModeSubinterface && b.Uplink == "":
		return refuse(`"vlanMode": "subinterface" and an absent "uplink"`, "the VLAN's own device stands on the uplink; allowed: name the NIC by the key \"uplink\"")
	case b.Mode == ModeSubinterface && len(b.Trunk) > 0:
		return refuse(`"vlanMode": "subinterface" and "vlanTrunk"`, `a sub-interface carries one VLAN; allowed: a trunk with "vlanMode": "filtering"`)
	case slices.ContainsFunc(b.Trunk, func(r VLANRange) bool { return r.Contains(b.VLAN) }):
		return refuse(fmt.Sprintf(`"vlan": %d and "vlanTrunk"`, b.VLAN), fmt.Sprintf("the Pod's VLAN %d is untagged for it, those of the trunk (%s) are tagged; allowed: each VLAN once", b.VLAN, join(b.Trunk)))
	case b.OuterVLAN == 0:
		return nil
	case b.Mode == ModeFiltering || len(b.Trunk) > 0:
		return refuse(outer+` and a filtering bridge`, `allowed: "vlanMode": "subinterface" without "vlanTrunk"; a bridge filters one tag only`)
	case b.Uplink == "":
		return refuse(outer+` and an absent "uplink"`, "the VLAN's own device stands on the uplink; allowed: name the NIC by the key \"uplink\"")
	case b.VLAN == 0:
		return refuse(outer+` and "vlan": 0`, `there is no inner VLAN to put inside; allowed: "vlan" from 1 to 4094; for one tag alone "vlan" without "outerVlan"`)
	}
	return nil
}

// join lists ranges for people.
func join(ranges []VLANRange) string {
	var words []string
	for _, r := range ranges {
		words = append(words, r.String())
	}
	return strings.Join(words, ", ")
}
