package netconf

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

// object reads one JSON object key by key and remembers the first thing wrong
// with it, so that a parser reads like the list of its keys. Objects within it
// share that memory.
type object struct {
	path  string // "" for the top, "ipam." within
	raw   map[string]json.RawMessage
	known map[string]bool
	first *firstError
}

type firstError struct{ err *types.Error }

func decode(stdin []byte) (*object, *types.Error) {
	o := &object{known: map[string]bool{}, first: &firstError{}}
	if err := json.Unmarshal(stdin, &o.raw); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "the network configuration is not a JSON object", err.Error())
	}
	return o, nil
}

func (o *object) fail(key string, value any, allowed string) {
	o.failCode(types.ErrInvalidNetworkConfig, key, value, allowed)
}

func (o *object) failCode(code uint, key string, value any, allowed string) {
	if o.first.err == nil {
		o.first.err = types.NewError(code, fmt.Sprintf("key %q: value %s is refused", o.path+key, shown(value)), allowed)
	}
}

// shown cuts long values: an error goes into logs and Pod events.
func shown(value any) string {
	var s string
	switch v := value.(type) {
	case json.RawMessage:
		s = string(v)
	case string:
		s = strconv.Quote(v)
	default:
		s = fmt.Sprint(v)
	}
	const limit = 80
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// value returns the raw value of key, nil if absent or null. Like Go's own
// decoder, and so like the reference plugins, it accepts another case.
func (o *object) value(key string) json.RawMessage {
	o.known[key] = true
	v, ok := o.raw[key]
	if !ok {
		for _, name := range slices.Sorted(maps.Keys(o.raw)) {
			if strings.EqualFold(name, key) {
				o.known[name] = true
				v = o.raw[name]
				break
			}
		}
	}
	if string(v) == "null" {
		return nil
	}
	return v
}

// read decodes key into dst; false if it is absent or of another type.
func (o *object) read(key string, dst any, want string) bool {
	v := o.value(key)
	if v == nil {
		return false
	}
	if err := json.Unmarshal(v, dst); err != nil {
		o.fail(key, v, "allowed: "+want)
		return false
	}
	return true
}

func (o *object) text(key, absent string) string {
	var s string
	if !o.read(key, &s, "a string") {
		return absent
	}
	return s
}

func (o *object) boolean(key string) bool {
	var b bool
	return o.read(key, &b, "true or false") && b
}

func (o *object) integer(key string, low, high int) int {
	var n int
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	if !o.read(key, &n, want) {
		return 0
	}
	if n < low || n > high {
		o.fail(key, n, "allowed: "+want)
		return 0
	}
	return n
}

func (o *object) oneOf(key, absent string, allowed ...string) string {
	s := o.text(key, absent)
	if !slices.Contains(allowed, s) {
		o.fail(key, s, "allowed: "+strings.Join(allowed, ", "))
		return absent
	}
	return s
}

func (o *object) ifName(key, absent string) string {
	s := o.text(key, absent)
	if s == "" {
		return absent
	}
	if err := validIfName(s); err != nil {
		o.fail(key, s, err.Error())
	}
	return s
}

func (o *object) absolutePath(key, absent string) string {
	s := o.text(key, "")
	if s == "" {
		return absent
	}
	if !filepath.IsAbs(s) || filepath.Clean(s) != s {
		o.fail(key, s, "allowed: an absolute path without . and ..")
		return absent
	}
	return s
}

func (o *object) duration(key string, absent, low, high time.Duration) time.Duration {
	s := o.text(key, "")
	if s == "" {
		return absent
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < low || d > high {
		o.fail(key, s, fmt.Sprintf(`allowed: a time from %q to %q, such as "30s"`, low, high))
		return absent
	}
	return d
}

func (o *object) mac(key string) net.HardwareAddr {
	s := o.text(key, "")
	if s == "" {
		return nil
	}
	mac, err := parseMAC(s)
	if err != nil {
		o.fail(key, s, err.Error())
		return nil
	}
	return mac
}

// object returns the object under key, an empty one if there is none.
func (o *object) object(key string) *object {
	in := &object{path: o.path + key + ".", known: map[string]bool{}, first: o.first}
	o.read(key, &in.raw, "a JSON object")
	return in
}

// loose is object for what others own too: another type is as good as absent.
func (o *object) loose(key string) *object {
	in := &object{path: o.path + key + ".", known: map[string]bool{}, first: o.first}
	if v := o.value(key); v != nil && json.Unmarshal(v, &in.raw) != nil {
		in.raw = nil
	}
	return in
}

// unknown returns the keys that nobody asked for, sorted.
func (o *object) unknown() []string {
	var keys []string
	for key := range o.raw {
		if !o.known[key] {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// closed refuses keys that nobody asked for: the object is ours.
func (o *object) closed() {
	if keys := o.unknown(); len(keys) > 0 {
		names := slices.Sorted(maps.Keys(o.known))
		o.fail(keys[0], o.raw[keys[0]], "no such key; allowed: "+strings.Join(names, ", "))
	}
}
