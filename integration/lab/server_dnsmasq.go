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

// newDnsmasq prepares dnsmasq. It rewrites its lease file on every change.
func newDnsmasq(ctx context.Context, s spec) (backend, error) {
	e, err := newExternal(ctx, s, Dnsmasq, "dnsmasq")
	if err != nil {
		return nil, err
	}
	e.args = e.dnsmasqArgs()
	e.ready = "DHCP, sockets bound exclusively to interface"
	// A release that frees nothing ends with "unknown lease".
	e.release = regexp.MustCompile(`DHCPRELEASE\([^)]*\) (?P<ip>\S+) (?P<mac>[0-9a-f:]{17})\s*$`)
	e.message = regexp.MustCompile(`DHCP(?P<type>DISCOVER|REQUEST|DECLINE|RELEASE)\([^)]*\) .*?(?P<mac>[0-9a-f:]{17})`)
	e.database = []string{e.path("leases")}
	e.read = e.readDnsmasq
	return e, nil
}

func (e *external) dnsmasqArgs() []string {
	o := e.opts
	args := []string{
		// Its own group: a change of it would clear the death signal.
		"--group=root",
		"--conf-file=/dev/null", "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--user=root",
		"--pid-file=", "--port=0", "--no-resolv", "--no-hosts", "--bind-interfaces", "--interface=" + e.iface,
		"--dhcp-authoritative", "--dhcp-leasefile=" + e.path("leases"), "--dhcp-lease-max=65536",
		fmt.Sprintf("--dhcp-range=%s,%s,%s,%ds", e.plan.first, e.plan.last, mask(e.addr), int(o.Lease.Seconds())),
	}
	if !o.ServerPing {
		args = append(args, "--no-ping")
	}
	if o.T1 > 0 {
		args = append(args, fmt.Sprintf("--dhcp-option=option:T1,%d", int(o.T1.Seconds())))
	}
	if o.T2 > 0 {
		args = append(args, fmt.Sprintf("--dhcp-option=option:T2,%d", int(o.T2.Seconds())))
	}
	// Without a value, dnsmasq leaves out what it would send by itself.
	args = append(args, strings.TrimSuffix("--dhcp-option=option:router,"+text(e.router()), ","))
	args = append(args, strings.TrimSuffix("--dhcp-option=option:dns-server,"+join(o.DNS, ","), ","))
	if o.Domain != "" {
		args = append(args, "--dhcp-option=option:domain-name,"+o.Domain)
	}
	if o.MTU > 0 {
		args = append(args, fmt.Sprintf("--dhcp-option=option:mtu,%d", o.MTU))
	}
	for code, value := range o.DHCPOptions {
		args = append(args, fmt.Sprintf("--dhcp-option-force=%d,%s", code, colonHex(value)))
	}
	return args
}

// readDnsmasq reads lines "expiry mac address name client-id", "*" for none.
func (e *external) readDnsmasq() (held holdings, err error) {
	db, err := e.readDatabase("leases")
	if err != nil {
		return held, err
	}
	for line := range strings.Lines(db) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		l := Lease{MAC: strings.ToLower(f[1]), ClientID: hexID(strings.TrimPrefix(f[4], "*"))}
		if l.Addr, err = parseAddr(f[2]); err != nil {
			return held, err
		}
		seconds, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return held, fmt.Errorf("expiry in %q: %w", line, err)
		}
		if l.Expires = time.Unix(seconds, 0); time.Now().Before(l.Expires) {
			held.active = append(held.active, l)
		}
	}
	return held, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("address: %w", err)
	}
	return a, nil
}

func mask(p netip.Prefix) string { return netip.AddrFrom4([4]byte(ipNet(p).Mask)).String() }

// text returns the address, "" for an invalid one.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func join(addrs []netip.Addr, sep string) string {
	parts := make([]string, len(addrs))
	for i, a := range addrs {
		parts[i] = a.String()
	}
	return strings.Join(parts, sep)
}

// colonHex writes bytes as 0a:0b, which dnsmasq and ISC dhcpd take for binary
// where there is more than one; of a single byte the number does.
func colonHex(b []byte) string {
	if len(b) == 1 {
		return strconv.Itoa(int(b[0]))
	}
	parts := make([]string, len(b))
	for i, c := range b {
		parts[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(parts, ":")
}
