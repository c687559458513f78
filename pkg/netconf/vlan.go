package netconf

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

// VLANs is where a Pod is among the VLANs.
type VLANs struct {
	// VLAN is the VID of the Pod's untagged frames; 0: they are untagged on the
	// uplink too, or in the bridge's default VLAN.
	VLAN uint16
	// OuterVLAN is the 802.1ad VID around VLAN; 0: none.
	OuterVLAN uint16
	// Trunk are the VIDs that the Pod sends and receives tagged, ascending and
	// apart from each other and from VLAN.
	Trunk []VLANRange
	// KeepDefault leaves the bridge's default VLAN on the Pod's port
	// (`preserveDefaultVlan`).
	KeepDefault bool
	Mode        VLANMode
}
