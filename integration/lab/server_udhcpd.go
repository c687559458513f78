package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab/ether"
)

// udhcpd is busybox's server. Its log has what it sends and nothing of what it
// hears, which is therefore taken from its wire.
type udhcpd struct {
	*external
	wire *Capture
}

// newUdhcpd prepares udhcpd, which knows its clients by their MACs alone and
// keeps its leases in memory; it writes them down when told.
func newUdhcpd(ctx context.Context, s spec) (backend, error) {
	e, err := newExternal(ctx, s, Udhcpd, "udhcpd")
	if err != nil {
		return nil, err
	}
	if err := e.write("udhcpd.conf", e.udhcpdConf()); err != nil {
		return nil, err
	}
	ping := "0" // milliseconds; 0 is not at all
	if e.opts.ServerPing {
		ping = "500"
	}
	e.args = []string{"-f", "-a", ping, e.path("udhcpd.conf")}
	e.ready = "started, v"
	e.serving = e.listens
	e.database = []string{e.path("leases")}
	e.empty = func() error { return e.write("leases", "") } // there must be one to watch
	e.read = e.readUdhcpd
	return &udhcpd{external: e, wire: s.ns.Capture(s.iface, isDHCP)}, e.empty()
}

func isDHCP(f ether.Frame) bool {
	_, ok := f.DHCP()
	return ok
}

func (e *external) udhcpdConf() string {
	o := e.opts
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("interface %s\nlease_file %s\npidfile %s", e.iface, e.path("leases"), e.path("udhcpd.pid"))
	line("start %s\nend %s\nmax_leases %d", e.plan.first, e.plan.last, distance(e.plan.first, e.plan.last)+1)
	line("min_lease 1\nopt lease %d\nopt subnet %s", int(o.Lease.Seconds()), mask(e.addr))
	if o.T1 > 0 {
		line("opt %#x %08x", dhcpv4.OptionRenewTimeValue.Code(), int(o.T1.Seconds()))
	}
	if o.T2 > 0 {
		line("opt %#x %08x", dhcpv4.OptionRebindingTimeValue.Code(), int(o.T2.Seconds()))
	}
	if r := text(e.router()); r != "" {
		line("opt router %s", r)
	}
	if len(o.DNS) > 0 {
		line("opt dns %s", join(o.DNS, " "))
	}
	if o.Domain != "" {
		line("opt domain %s", o.Domain)
	}
	if o.MTU > 0 {
		line("opt mtu %d", o.MTU)
	}
	for code, value := range o.DHCPOptions {
		line("opt %#x %x", code, value)
	}
	return b.String()
}

func distance(from, to netip.Addr) int {
	a, b := from.As4(), to.As4()
	return int(binary.BigEndian.Uint32(b[:])) - int(binary.BigEndian.Uint32(a[:]))
}

// listens tells whether there is a socket on port 67: the server says that it
// has started before it opens it, and before it minds signals.
func (e *external) listens() error {
	return e.ns.Do(func() error {
		sockets, err := os.ReadFile("/proc/thread-self/net/udp")
		if err == nil && !strings.Contains(string(sockets), fmt.Sprintf(":%04X ", dhcpv4.ServerPort)) {
			err = errors.New("no socket on port 67")
		}
		return err
	})
}

// nobodysMAC holds addresses that the server keeps from everybody.
const nobodysMAC = "00:00:00:00:00:00"

// readUdhcpd has the database written and reads it.
func (e *external) readUdhcpd() (held holdings, err error) {
	records, err := e.udhcpdRecords()
	for _, l := range records {
		switch {
		case time.Now().After(l.Expires):
		case l.MAC == nobodysMAC:
			held.declined = append(held.declined, l.Addr)
		default:
			held.active = append(held.active, l)
		}
	}
	return held, err
}

// udhcpdRecords reads what struct dyn_lease in busybox's networking/udhcp has:
// seconds left, address, MAC, host name, padding; before all of them the time.
// An address that was only offered is there too, for a minute.
func (e *external) udhcpdRecords() ([]Lease, error) {
	if e.running() != nil {
		if err := e.writeOut(); err != nil {
			return nil, err
		}
	}
	db, err := e.readDatabase("leases")
	if err != nil || len(db) < 8 {
		return nil, err
	}
	const size = 4 + 4 + 6 + 20 + 2
	written := time.Unix(int64(binary.BigEndian.Uint64([]byte(db[:8]))), 0)
	var leases []Lease
	for rest := []byte(db[8:]); len(rest) >= size; rest = rest[size:] {
		left := time.Duration(binary.BigEndian.Uint32(rest[:4])) * time.Second
		leases = append(leases, Lease{
			Addr: netip.AddrFrom4([4]byte(rest[4:8])), MAC: net.HardwareAddr(rest[8:14]).String(), Expires: written.Add(left),
		})
	}
	return leases, nil
}

// writeOut has the running server write its leases and waits until it has.
func (e *external) writeOut() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	defer watch.Close()
	if _, err := unix.InotifyAddWatch(fd, e.path("leases"), unix.IN_CLOSE_WRITE); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	if err := e.process.Signal(unix.SIGUSR1); err != nil {
		return err
	}
	_ = watch.SetReadDeadline(time.Now().Add(Stretch(patience)))
	if _, err := watch.Read(make([]byte, 4096)); err != nil && e.process.Running() {
		return fmt.Errorf("the server does not write its leases: %w", err)
	}
	return nil
}

// heard are the clients' messages on the server's wire.
func (u *udhcpd) heard() []message {
	var heard []message
	for _, f := range u.wire.All() {
		if m, _ := f.DHCP(); !f.Outgoing && !f.OtherHost && m.OpCode == dhcpv4.OpcodeBootRequest {
			heard = append(heard, message{Type: m.MessageType(), MAC: m.ClientHWAddr.String()})
		}
	}
	return heard
}

// releases are those RELEASEs on the wire that came from the one who had the
// address; whether the server took them its database tells.
func (u *udhcpd) releases() ([]Release, error) {
	var releases []Release
	holder := map[Release]bool{}
	for _, f := range u.wire.All() {
		m, _ := f.DHCP()
		ip := m.YourIPAddr
		if m.OpCode == dhcpv4.OpcodeBootRequest {
			ip = m.ClientIPAddr
		}
		addr, _ := netip.AddrFromSlice(ip.To4())
		r := Release{Addr: addr, MAC: m.ClientHWAddr.String()}
		switch m.MessageType() {
		case dhcpv4.MessageTypeAck:
			holder[r] = true
		case dhcpv4.MessageTypeRelease:
			if holder[r] {
				releases = append(releases, r)
			}
			delete(holder, r)
		}
	}
	return releases, nil
}
