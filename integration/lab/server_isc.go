package lab

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// newISC prepares ISC dhcpd, whose database is a log of lease declarations.
func newISC(ctx context.Context, s spec) (backend, error) {
	e, err := newExternal(ctx, s, ISC, "dhcpd")
	if err != nil {
		return nil, err
	}
	if err := e.write("dhcpd.conf", e.iscConf()); err != nil {
		return nil, err
	}
	e.args = []string{
		"-f", "-d", "-4", "-cf", e.path("dhcpd.conf"), "-lf", e.path("dhcpd.leases"), "-pf", e.path("dhcpd.pid"),
		"-user", "root", "-group", "root", e.iface,
	}
	e.ready = "Server starting service."
	e.release = regexp.MustCompile(`DHCPRELEASE of (?P<ip>\S+) from (?P<mac>[0-9a-f:]{17}).*\(found\)`)
	e.message = regexp.MustCompile(`DHCP(?P<type>DISCOVER|REQUEST|DECLINE|RELEASE) (?:for|of|from) .*?(?P<mac>[0-9a-f:]{17})`)
	e.database = []string{e.path("dhcpd.leases"), e.path("dhcpd.leases~")}
	e.empty = func() error { return e.write("dhcpd.leases", "") } // it refuses to start without
	e.read = e.readISC
	return e, e.empty()
}

func (e *external) iscConf() string {
	o := e.opts
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }
	line("authoritative")
	line("db-time-format local") // "epoch <seconds>"
	line("ping-check %t", o.ServerPing)
	line("dhcp-cache-threshold 0") // else an early renewal leaves the lease as it was
	line("ddns-update-style none")
	for _, kind := range []string{"default", "max", "min"} {
		line("%s-lease-time %d", kind, int(o.Lease.Seconds()))
	}
	if o.T1 > 0 {
		line("option dhcp-renewal-time %d", int(o.T1.Seconds()))
	}
	if o.T2 > 0 {
		line("option dhcp-rebinding-time %d", int(o.T2.Seconds()))
	}
	if r := text(e.router()); r != "" {
		line("option routers %s", r)
	}
	if len(o.DNS) > 0 {
		line("option domain-name-servers %s", join(o.DNS, ", "))
	}
	if o.Domain != "" {
		line("option domain-name %q", o.Domain)
	}
	if o.MTU > 0 {
		line("option interface-mtu %d", o.MTU)
	}
	for code, value := range o.DHCPOptions {
		line("option custom-%d code %d = string", code, code)
		line("option custom-%d %s", code, iscHex(value))
	}
	fmt.Fprintf(&b, "subnet %s netmask %s { range %s %s; }\n", e.plan.subnet.Addr(), mask(e.addr), e.plan.first, e.plan.last)
	return b.String()
}

func iscHex(b []byte) string {
	parts := make([]string, len(b))
	for i, c := range b {
		parts[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(parts, ":")
}

// readISC reads the declarations "lease ADDRESS { ... }"; the last of an address
// counts, and one in the making does not.
func (e *external) readISC() (held holdings, err error) {
	db, err := e.readDatabase("dhcpd.leases")
	if err != nil {
		return held, err
	}
	last := map[netip.Addr]string{}
	declaration := regexp.MustCompile(`(?ms)^lease (\S+) \{\n(.*?)^\}`)
	for _, m := range declaration.FindAllStringSubmatch(db, -1) {
		addr, err := parseAddr(m[1])
		if err != nil {
			return held, err
		}
		last[addr] = m[2]
	}
	for addr, body := range last {
		switch l, state := iscLease(addr, body); {
		case state == "abandoned":
			held.declined = append(held.declined, addr)
		case state == "active" && time.Now().Before(l.Expires):
			held.active = append(held.active, l)
		}
	}
	return held, nil
}

func iscLease(addr netip.Addr, body string) (l Lease, state string) {
	l.Addr = addr
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ";")
		switch key, value, _ := strings.Cut(line, " "); key {
		case "binding":
			state = strings.TrimPrefix(value, "state ")
		case "hardware":
			l.MAC = strings.ToLower(strings.TrimPrefix(value, "ethernet "))
		case "uid":
			l.ClientID = iscUID(value)
		case "ends":
			l.Expires = iscTime(value)
		}
	}
	return l, state
}

// iscTime reads "epoch <seconds>; # comment"; "never" is far away.
func iscTime(value string) time.Time {
	f := strings.Fields(value)
	if len(f) < 2 {
		return time.Now().AddDate(100, 0, 0)
	}
	seconds, err := strconv.ParseInt(strings.TrimSuffix(f[1], ";"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// iscUID reads a client-id: a quoted string with octal escapes, or hexadecimal
// bytes with colons.
func iscUID(value string) string {
	if !strings.HasPrefix(value, `"`) {
		return hexID(value)
	}
	text, err := strconv.Unquote(value)
	if err != nil {
		return value
	}
	return fmt.Sprintf("%x", text)
}
