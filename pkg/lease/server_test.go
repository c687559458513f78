package lease_test

import (
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/wire"
)

// frame is a message that a client sent, as the LAN saw it.
type frame struct {
	wire.Datagram
	at   time.Time
	msg  *dhcpv4.DHCPv4
	from string // the door: uplink eth1, pod /ns eth0, port br0
}

func (f frame) kind() dhcpv4.MessageType { return f.msg.MessageType() }

// lan is a Wire with a DHCP server on the other side.
type lan struct {
	tb testing.TB

	mu       sync.Mutex
	open     map[string]int // doors that are open, by name
	conns    map[*door]bool
	frames   []frame
	openErr  map[string]error // by door; "" is every door's
	sendErr  error
	failed   int // packets that met it
	carrier  bool
	noUplink bool
	vlans    map[uint16]*lan // each with a server of its own
	nics     map[string]string
	gone     string          // an uplink that was removed
	inFlight map[string]bool // clients whose DISCOVER or REQUEST has no answer yet
	most     int             // the most that there ever were

	slowPort         time.Duration // how long a momentary port takes to make
	ports, mostPorts int

	// The server.
	delay    time.Duration // of an answer
	terms    time.Duration // lease time
	mute     func(dhcpv4.MessageType) bool
	stranger func(mac string) bool // nobody answers it
	rapid    bool                  // grants in two messages (RFC 4039)
	refuse   bool                  // NAK every REQUEST
	strict   bool                  // NAK those for another address than it has for the client
	known    map[string]netip.Addr // by client-id
	leases   map[netip.Addr]string // active, client-ids
	slow     map[dhcpv4.MessageType]time.Duration
	declined map[netip.Addr]bool      // granted to nobody any more
	learns   bool                     // whoever has an address that nobody has, has it
	expires  map[netip.Addr]time.Time // if not nil, when leases end
	forget   bool                     // what was sent: for long tests
	count    map[dhcpv4.MessageType]int

	ether
}

func newLAN(tb testing.TB) *lan {
	tb.Helper()
	return &lan{
		tb: tb, open: map[string]int{}, conns: map[*door]bool{}, openErr: map[string]error{}, carrier: true, inFlight: map[string]bool{},
		vlans: map[uint16]*lan{}, nics: map[string]string{},
		delay: time.Millisecond, terms: time.Hour, known: map[string]netip.Addr{}, leases: map[netip.Addr]string{},
		mute: func(dhcpv4.MessageType) bool { return false }, slow: map[dhcpv4.MessageType]time.Duration{},
		declined: map[netip.Addr]bool{}, count: map[dhcpv4.MessageType]int{}, ether: newEther(),
	}
}

// set changes the LAN or its server.
func (l *lan) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *lan) deaf() {
	l.set(func() { l.mute = func(dhcpv4.MessageType) bool { return true } })
}

func (l *lan) awake() {
	l.set(func() { l.mute = func(dhcpv4.MessageType) bool { return false } })
}

// door is an open socket.
type door struct {
	lan   *lan
	name  string
	heard chan wire.Message
	ended chan struct{}
	once  sync.Once
	dead  bool // its device was removed
}

// vlan is what bears that tag, a LAN of its own.
func (l *lan) vlan(vid uint16) *lan {
	if vid == 0 {
		return l
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.vlans[vid] == nil {
		l.vlans[vid] = newLAN(l.tb)
	}
	return l.vlans[vid]
}

func (l *lan) Uplink(name string, vid uint16) (lease.Conn, error) {
	l = l.vlan(vid)
	l.mu.Lock()
	gone := l.noUplink || l.gone == name
	l.mu.Unlock()
	if gone {
		return nil, wire.ErrNoLink
	}
	return l.enter("uplink " + name)
}

func (l *lan) Pod(netns, ifName string) (lease.Conn, error) {
	return l.enter("pod " + netns + " " + ifName)
}

func (l *lan) Port(bridge string, vid uint16, _ wire.MAC) (lease.Conn, error) {
	l = l.vlan(vid)
	l.mu.Lock()
	slow := l.slowPort
	l.ports++
	l.mostPorts = max(l.mostPorts, l.ports)
	l.mu.Unlock()
	time.Sleep(slow)
	l.set(func() { l.ports-- })
	return l.enter("port " + bridge)
}

// NIC is the link itself unless nics says otherwise; "" is one that is not there.
// The tag is what stands behind the link's last dot.
func (l *lan) NIC(link string) (name string, vid uint16, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	nic, ok := l.nics[link]
	if !ok {
		return link, 0, true
	}
	_, tag, _ := strings.Cut(link, ".")
	n, _ := strconv.Atoi(tag)
	return nic, uint16(n), nic != ""
}

func (l *lan) State(string) (present, carrier bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.noUplink, l.carrier
}

func (l *lan) enter(name string) (lease.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range []string{"", name} {
		if err := l.openErr[key]; err != nil {
			return nil, err
		}
	}
	d := &door{lan: l, name: name, heard: make(chan wire.Message, 1024), ended: make(chan struct{})}
	l.open[name]++
	l.conns[d] = true
	return d, nil
}

func (d *door) Receive() (wire.Message, error) {
	select {
	case m := <-d.heard:
		return m, nil
	case <-d.ended:
		return wire.Message{}, net.ErrClosed
	}
}

func (d *door) Close() error {
	err := net.ErrClosed
	d.once.Do(func() {
		close(d.ended)
		d.lan.set(func() {
			d.lan.open[d.name]--
			delete(d.lan.conns, d)
		})
		err = nil
	})
	return err
}

func (d *door) Send(dg wire.Datagram) error {
	l := d.lan
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.sendErr != nil:
		l.failed++
		return l.sendErr
	case d.dead || l.gone != "" && d.name == "uplink "+l.gone || l.noUplink && strings.HasPrefix(d.name, "uplink"):
		return wire.ErrNoLink
	}
	if !l.conns[d] {
		return net.ErrClosed
	}
	m, err := dhcpv4.FromBytes(dg.Payload)
	if err != nil {
		l.tb.Errorf("the keeper sent what is no DHCP: %v", err)
		return nil
	}
	l.count[m.MessageType()]++
	if !l.forget {
		l.frames = append(l.frames, frame{Datagram: dg, at: time.Now(), msg: m, from: d.name})
	}
	l.track(m, true)
	if answer := l.serve(m); answer != nil {
		time.AfterFunc(l.delay+l.slow[m.MessageType()], func() { l.deliver(answer) })
	}
	return nil
}

// track counts the exchanges in flight as the server sees them.
func (l *lan) track(m *dhcpv4.DHCPv4, begins bool) {
	switch {
	case m.MessageType() == dhcpv4.MessageTypeRelease || m.MessageType() == decline:
	case begins:
		l.inFlight[m.ClientHWAddr.String()] = true
		l.most = max(l.most, len(l.inFlight))
	case m.MessageType() == dhcpv4.MessageTypeAck || m.MessageType() == dhcpv4.MessageTypeNak:
		delete(l.inFlight, m.ClientHWAddr.String())
	}
}

func (l *lan) deliver(m *dhcpv4.DHCPv4) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.track(m, false)
	for d := range l.conns {
		if d.dead {
			continue
		}
		d.heard <- wire.Message{From: serverMAC(), To: wire.MAC(m.ClientHWAddr), Src: serverIP(), Payload: m.ToBytes()}
	}
}

func serverMAC() wire.MAC  { return wire.MAC{0x52, 0x54, 0, 9, 9, 9} }
func serverIP() netip.Addr { return netip.MustParseAddr("10.0.0.1") }

// serve answers as a server does: it knows clients by their client-id, gives
// each the address that it had, and forgets at a RELEASE.
func (l *lan) serve(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	id := string(m.Options[uint8(dhcpv4.OptionClientIdentifier)])
	if l.mute(m.MessageType()) || l.stranger != nil && l.stranger(m.ClientHWAddr.String()) {
		return nil
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		if !l.known[id].IsValid() || l.declined[l.known[id]] {
			l.known[id] = l.next()
		}
		if _, wanted := m.Options[80]; wanted && l.rapid {
			l.grant(id)
			ack := l.reply(m, dhcpv4.MessageTypeAck, l.known[id])
			ack.Options[80] = nil
			return ack
		}
		return l.reply(m, dhcpv4.MessageTypeOffer, l.known[id])
	case dhcpv4.MessageTypeRequest:
		if l.learns && !l.known[id].IsValid() && l.leases[asked(m)] == "" {
			maps.DeleteFunc(l.known, func(_ string, a netip.Addr) bool { return a == asked(m) }) // only offered
			l.known[id] = asked(m)
		}
		// One that it does not know, or would give another, it refuses.
		wrong := !l.known[id].IsValid() || l.declined[l.known[id]] || l.known[id] != asked(m)
		if l.refuse || l.strict && wrong {
			if l.leases[l.known[id]] == id {
				delete(l.leases, l.known[id])
			}
			return l.reply(m, dhcpv4.MessageTypeNak, netip.IPv4Unspecified())
		}
		l.grant(id)
		return l.reply(m, dhcpv4.MessageTypeAck, l.known[id])
	case dhcpv4.MessageTypeRelease:
		a, _ := netip.AddrFromSlice(m.ClientIPAddr.To4())
		if l.leases[a] == id {
			delete(l.leases, a)
		}
	case decline:
		delete(l.leases, asked(m))
		l.declined[asked(m)] = true
	}
	return nil
}

// grant holds the client's address for it.
func (l *lan) grant(id string) {
	l.leases[l.known[id]] = id
	if l.expires != nil {
		l.expires[l.known[id]] = time.Now().Add(l.terms)
	}
}

// next is an address for a client that has none.
func (l *lan) next() netip.Addr {
	n := len(l.known) + len(l.declined) + 10
	for {
		a := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
		if l.leases[a] == "" {
			return a
		}
		n++
	}
}

// asked is the address that a message is about.
func asked(m *dhcpv4.DHCPv4) netip.Addr {
	if a, ok := netip.AddrFromSlice(m.Options[uint8(dhcpv4.OptionRequestedIPAddress)]); ok {
		return a
	}
	a, _ := netip.AddrFromSlice(m.ClientIPAddr.To4())
	return a
}

func (l *lan) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, a netip.Addr) *dhcpv4.DHCPv4 {
	return &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: 1, ClientHWAddr: m.ClientHWAddr, TransactionID: m.TransactionID,
		YourIPAddr: a.AsSlice(), ClientIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: dhcpv4.Options{
			53: {byte(kind)}, 54: serverIP().AsSlice(), 1: {255, 255, 0, 0},
			51: binary.BigEndian.AppendUint32(nil, uint32(l.terms/time.Second)),
		},
	}
}

// sent returns what was sent of the kinds, all if none is named.
func (l *lan) sent(kinds ...dhcpv4.MessageType) []frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []frame
	for _, f := range l.frames {
		for _, k := range kinds {
			if f.kind() == k {
				all = append(all, f)
			}
		}
		if len(kinds) == 0 {
			all = append(all, f)
		}
	}
	return all
}

// active returns how many leases the server holds to be granted.
func (l *lan) active() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.leases)
}

// opened returns how many sockets are open, in all VLANs.
func (l *lan) opened() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.conns)
	for _, v := range l.vlans {
		n += v.opened()
	}
	return n
}

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
	release  = dhcpv4.MessageTypeRelease
	decline  = dhcpv4.MessageTypeDecline
)
