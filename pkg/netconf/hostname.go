package netconf

import (
	"slices"
	"strings"
)

// Options by which a client tells its name.
const (
	optHostName = 12 // RFC 2132 §3.14
	optFQDN     = 81 // RFC 4702
)

// maxLabel is DNS's (RFC 1035 §2.3.4).
const maxLabel = 63

// maxHostnameDomain leaves room for two labels within an option's 255 bytes.
const maxHostnameDomain = 120

// readHostname makes of the key `hostname` the option that tells the Pod's name.
// There is none without a name from the runtime: a container's ID would fill
// the site's DNS with what nobody asks for.
func (d *DHCP) readHostname(ipam *object, provided []uint8) {
	how := ipam.oneOf("hostname", "off", "off", "name", "fqdn")
	suffix := ipam.hostnameDomain(how)
	if how == "off" {
		return
	}
	if slices.Contains(provided, optHostName) || slices.Contains(provided, optFQDN) {
		ipam.fail("hostname", how, `allowed beside a "provide" of option 12 or 81: off; a name is told once`)
		return
	}
	pod := label(d.Pod.Name)
	if pod == "" {
		return
	}
	if d.Send == nil {
		d.Send = map[uint8][]byte{}
	}
	if how == "name" {
		d.Send[optHostName] = []byte(pod)
		return
	}
	labels := []string{pod}
	if namespace := label(d.Pod.Namespace); namespace != "" {
		labels = append(labels, namespace)
	}
	d.Send[optFQDN] = fqdn(labels, suffix)
}

func (o *object) hostnameDomain(how string) (labels []string) {
	const key = "hostnameDomain"
	s := strings.TrimSuffix(o.text(key, ""), ".")
	if s == "" {
		return nil
	}
	if how != "fqdn" {
		o.fail(key, s, `allowed: with "hostname": "fqdn" only`)
		return nil
	}
	labels = strings.Split(strings.ToLower(s), ".")
	for _, l := range labels {
		if l != label(l) || l == "" || len(s) > maxHostnameDomain {
			o.fail(key, s, "allowed: a domain of letters, digits and hyphens (RFC 1123), 120 characters at most")
			return nil
		}
	}
	return labels
}

// label makes one DNS label of a name after RFC 1123 §2.1: lower case, letters,
// digits and hyphens, none of these at its ends; "" if nothing is left of it.
func label(name string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, strings.ToLower(name))
	s = strings.TrimLeft(s, "-")
	return strings.TrimRight(s[:min(len(s), maxLabel)], "-")
}

// fqdn is option 81's value (RFC 4702 §2): the server is to register the name
// (flag S), which is in DNS's wire form (flag E). Without a suffix the name is a
// partial one, which has no root label at its end (§2.3).
func fqdn(labels, suffix []string) []byte {
	const flagS, flagE = 1, 4
	value := []byte{flagS | flagE, 0, 0}
	for _, l := range append(labels, suffix...) {
		value = append(value, byte(len(l)))
		value = append(value, l...)
	}
	if len(suffix) > 0 {
		value = append(value, 0)
	}
	return value
}
