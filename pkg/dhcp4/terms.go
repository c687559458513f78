package dhcp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Why an offer or an ACK is refused.
var (
	errNoServerID  = errors.New("no server identifier (option 54)")
	errNoLeaseTime = errors.New("no lease time (option 51), or one of 0 s")
)

// minLease keeps a server from making the client spin.
const minLease = time.Second

// lifetimes are T1, T2 and the lease time, counted from the REQUEST.
type lifetimes struct{ t1, t2, lease time.Duration }

// terms reads an OFFER or ACK: the lease without its times, and these.
func terms(r Reply) (Lease, lifetimes, error) {
	server, ok := option4(r.msg, dhcpv4.OptionServerIdentifier)
	if !ok {
		return Lease{}, lifetimes{}, errNoServerID
	}
	prefix, err := leasedPrefix(r.msg)
	if err != nil {
		return Lease{}, lifetimes{}, err
	}
	times, ok := leaseTimes(r.msg)
	if !ok {
		return Lease{}, lifetimes{}, errNoLeaseTime
	}
	l := Lease{Address: prefix, Server: server, ServerMAC: r.From}
	l.Router, l.Routes = routes(r.msg.Options)
	l.DNS = addrs(r.msg.Options[uint8(dhcpv4.OptionDomainNameServer)])
	l.NTP = addrs(r.msg.Options[uint8(dhcpv4.OptionNTPServers)])
	l.Domain = domain(r.msg.Options[uint8(dhcpv4.OptionDomainName)])
	l.Search = search(r.msg.Options[uint8(dhcpv4.OptionDNSDomainSearchList)])
	l.MTU = mtu(r.msg.Options[uint8(dhcpv4.OptionInterfaceMTU)])
	return l, times, nil
}

func leasedPrefix(m *dhcpv4.DHCPv4) (netip.Prefix, error) {
	ip, ok := netip.AddrFromSlice(m.YourIPAddr.To4())
	if !ok || !usable(ip) {
		return netip.Prefix{}, fmt.Errorf("%s is no address for a host", m.YourIPAddr)
	}
	bits := classBits(ip)
	if raw := first4(m.Options[uint8(dhcpv4.OptionSubnetMask)]); raw != nil {
		ones, size := net.IPMask(raw).Size()
		if size == 0 || ones == 0 {
			return netip.Prefix{}, fmt.Errorf("subnet mask %s (option 1) is none", net.IP(raw))
		}
		bits = ones
	}
	p := netip.PrefixFrom(ip, bits)
	if bits < 31 && (ip == p.Masked().Addr() || ip == lastAddr(p)) {
		return netip.Prefix{}, fmt.Errorf("%s is the network's or the broadcast address of its subnet", p)
	}
	return p, nil
}

// usable tells whether a host may bear ip at all.
func usable(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && ip.As4()[0] != 0 && ip.As4()[0] < 240
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|uint32(math.MaxUint32)>>p.Bits())
	return netip.AddrFrom4(b)
}

// classBits is the prefix length of an address's class (RFC 791 §3.2).
func classBits(ip netip.Addr) int {
	ones, _ := net.IP(ip.AsSlice()).DefaultMask().Size()
	return ones
}

// leaseTimes reads options 51, 58 and 59 and brings them into the order
// T1 < T2 < lease; defaults are 0.5 and 0.875 (RFC 2131 §4.4.5). False if the
// lease has no time. All are Never for an infinite lease.
func leaseTimes(m *dhcpv4.DHCPv4) (lifetimes, bool) {
	lease, ok := seconds(m.Options, dhcpv4.OptionIPAddressLeaseTime)
	if !ok || lease < minLease {
		return lifetimes{}, false
	}
	if lease == Never {
		return lifetimes{Never, Never, Never}, true
	}
	t2, ok := seconds(m.Options, dhcpv4.OptionRebindingTimeValue)
	if !ok || t2 <= 0 || t2 >= lease {
		t2 = lease / 8 * 7
	}
	t1, ok := seconds(m.Options, dhcpv4.OptionRenewTimeValue)
	if !ok || t1 <= 0 || t1 >= t2 {
		t1 = min(lease/2, t2/7*4)
	}
	return lifetimes{t1, t2, lease}, true
}

// seconds reads a 32-bit time; all ones is Never.
func seconds(opts dhcpv4.Options, code dhcpv4.OptionCode) (time.Duration, bool) {
	raw := first4(opts[code.Code()])
	if raw == nil {
		return 0, false
	}
	s := binary.BigEndian.Uint32(raw)
	if s == math.MaxUint32 {
		return Never, true
	}
	return time.Duration(s) * time.Second, true
}

func option4(m *dhcpv4.DHCPv4, code dhcpv4.OptionCode) (netip.Addr, bool) {
	ip, ok := netip.AddrFromSlice(first4(m.Options[code.Code()]))
	return ip, ok && !ip.IsUnspecified()
}

// first4 returns the first four bytes of an option of four; nil if it is
// malformed. Servers that send such an option twice get it joined (RFC 3396).
func first4(raw []byte) []byte {
	if len(raw) == 0 || len(raw)%4 != 0 {
		return nil
	}
	return raw[:4]
}
