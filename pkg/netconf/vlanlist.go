package netconf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/containernetworking/cni/pkg/types"
)

// vlanRanges reads a list of the reference's forms, {"id": 20} and {"minID":
// 100, "maxID": 199}, ascending, those that touch made one; with numbers also
// plain ones. Nothing of a list with an error is returned.
func (o *object) vlanRanges(key string, numbers bool) []VLANRange {
	want := `a list such as [{"id": 20}, {"minID": 100, "maxID": 199}]`
	if numbers {
		want = `a list such as [20, {"id": 30}, {"minID": 100, "maxID": 199}]`
	}
	var entries []json.RawMessage
	o.read(key, &entries, want)
	var taken [maxVID + 1]bool
	for _, raw := range entries {
		r, ok := o.vlanRange(key, raw, numbers, want)
		if !ok {
			return nil
		}
		for vid := r.First; vid <= r.Last; vid++ {
			if taken[vid] {
				o.fail(key, raw, fmt.Sprintf("allowed: each VLAN once; %d is there twice", vid))
				return nil
			}
			taken[vid] = true
		}
	}
	var ranges []VLANRange
	for vid, is := range taken {
		switch last := len(ranges) - 1; {
		case !is:
		case last >= 0 && int(ranges[last].Last) == vid-1:
			ranges[last].Last++
		default:
			ranges = append(ranges, VLANRange{uint16(vid), uint16(vid)})
		}
	}
	return ranges
}

func (o *object) vlanRange(key string, raw json.RawMessage, numbers bool, want string) (VLANRange, bool) {
	var number json.Number
	if json.Unmarshal(raw, &number) == nil && number != "" && raw[0] != '"' {
		vid, ok := parseVID(number.String())
		if !ok || !numbers {
			o.fail(key, raw, fmt.Sprintf("allowed: %s, of VLANs from 1 to %d", want, maxVID))
		}
		return VLANRange{vid, vid}, ok && numbers
	}
	in := o.entry(key, raw)
	id, first, last := in.vid("id"), in.vid("minID"), in.vid("maxID")
	in.closed()
	r := VLANRange{first, last}
	switch {
	case id != 0 && (first != 0 || last != 0):
		o.fail(key, raw, "allowed: either id, or minID and maxID")
		return r, false
	case id != 0:
		return VLANRange{id, id}, true
	case first == 0 || last == 0:
		o.fail(key, raw, "allowed: id, or minID together with maxID")
		return r, false
	case first > last:
		o.fail(key, raw, "allowed: a minID that is not above maxID")
		return r, false
	}
	return r, true
}

// vid reads a VID from 1 to 4094; 0 if it is absent or refused.
func (o *object) vid(key string) uint16 { return uint16(o.integer(key, 1, maxVID)) }

func parseVID(s string) (vid uint16, ok bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && 1 <= n && n <= maxVID
}

// chosenVLAN reads the three places where a Pod may ask for a VLAN, and refuses
// one that the network does not allow; 0 if it asks for none.
func chosenVLAN(conf *object, args Args, allowed []VLANRange) uint16 {
	for _, from := range []struct {
		key string
		vid uint16
	}{
		{"runtimeConfig.vlan", conf.loose("runtimeConfig").vid("vlan")},
		{"args.cni.vlan", conf.loose("args").loose("cni").vid("vlan")},
		{"CNI_ARGS VLAN", args.vlan(conf)},
	} {
		switch {
		case from.vid == 0:
		case len(allowed) == 0:
			conf.fail(from.key, from.vid, `allowed: nothing, Pods of this network do not choose; its key "vlanAllowed" lists the VLANs that they may, such as [20, {"minID": 100, "maxID": 199}]`)
			return 0
		case !slices.ContainsFunc(allowed, func(r VLANRange) bool { return r.Contains(from.vid) }):
			conf.fail(from.key, from.vid, `allowed: `+join(allowed)+` (the network's "vlanAllowed")`)
			return 0
		default:
			return from.vid
		}
	}
	return 0
}

func (a Args) vlan(conf *object) uint16 {
	s, ok := a["VLAN"]
	if !ok {
		return 0
	}
	vid, ok := parseVID(s)
	if !ok {
		conf.failCode(types.ErrInvalidEnvironmentVariables, "CNI_ARGS VLAN", s, fmt.Sprintf("allowed: a whole number from 1 to %d", maxVID))
		return 0
	}
	return vid
}
