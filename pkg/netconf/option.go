package netconf

import (
	"encoding/json"
	"strconv"
)

// entry reads one member of a list as an object of ours.
func (o *object) entry(key string, raw json.RawMessage) *object {
	in := &object{path: o.path + key + ".", known: map[string]bool{}, first: o.first}
	if json.Unmarshal(raw, &in.raw) != nil {
		o.fail(key, raw, "allowed: a list of objects")
	}
	return in
}

// optionCode turns an option's name, as the reference knows them, or its
// number into its code (RFC 2132). 0 and 255 are pad and end: no options.
func (o *object) optionCode(name string) (code uint8, ok bool) {
	switch name {
	case "dhcp-client-identifier":
		return 61, true
	case "subnet-mask":
		return 1, true
	case "routers":
		return 3, true
	case "host-name":
		return 12, true
	case "user-class":
		return 77, true
	case "vendor-class-identifier":
		return 60, true
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil || n == 0 || n == 255 {
		o.fail("option", name, "allowed: a number from 1 to 254, or dhcp-client-identifier, subnet-mask, routers, "+
			"host-name, user-class, vendor-class-identifier")
		return 0, false
	}
	return uint8(n), true
}
