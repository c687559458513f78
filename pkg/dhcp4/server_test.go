package dhcp4_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// Whom the tests are about.
var (
	podMAC    = dhcp4.MAC{0x02, 1, 2, 3, 4, 5}
	serverMAC = dhcp4.MAC{0x52, 0x54, 0, 9, 9, 9}
	clientID  = []byte{0xff, 1, 2, 3, 4, 0, 4, 9}
	leased    = netip.MustParseAddr("192.0.2.50")
	serverIP  = netip.MustParseAddr("192.0.2.1")
)

// boot is when the tests begin: a node that has been up for a while.
const boot = 1000 * time.Hour

func params() dhcp4.Params { return dhcp4.Params{MAC: podMAC, ClientID: clientID} }

func rng() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// options are a server's, by code.
type options map[uint8][]byte

func b4(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func secs(d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))
}

// generous are the options of an ordinary server that leases for an hour.
func generous() options {
	return options{1: b4("255.255.255.0"), 3: b4("192.0.2.254"), 51: secs(time.Hour), 54: serverIP.AsSlice()}
}

func (o options) with(code uint8, value []byte) options {
	c := options{}
	for k, v := range o {
		c[k] = v
	}
	c[code] = value
	if value == nil {
		delete(c, code)
	}
	return c
}

// sent decodes what the client sent, with the codec alone.
func sent(t testing.TB, d dhcp4.Datagram) *dhcpv4.DHCPv4 {
	t.Helper()
	if len(d.Payload) < 300 {
		t.Errorf("%s of %d bytes, at least 300 wanted (RFC 951)", d.Type, len(d.Payload))
	}
	m, err := dhcpv4.FromBytes(d.Payload)
	if err != nil {
		t.Fatalf("the client's %s: %v", d.Type, err)
	}
	return m
}

// only returns the one datagram of an output.
func only(t testing.TB, out dhcp4.Output) dhcp4.Datagram {
	t.Helper()
	if len(out.Send) != 1 {
		t.Fatalf("%d messages, 1 wanted: %+v", len(out.Send), out)
	}
	return out.Send[0]
}

// answer is a server's reply to the client's current transaction.
func answer(t testing.TB, c *dhcp4.Client, kind dhcpv4.MessageType, yiaddr netip.Addr, opts options) dhcp4.Reply {
	t.Helper()
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: 1, ClientHWAddr: podMAC.HardwareAddr(),
		YourIPAddr: net.IP(yiaddr.AsSlice()), Options: dhcpv4.Options{53: {byte(kind)}},
	}
	binary.BigEndian.PutUint32(m.TransactionID[:], c.XID())
	for code, value := range opts {
		m.Options[code] = value
	}
	r, err := dhcp4.Decode(m.ToBytes())
	if err != nil {
		t.Fatalf("decode the server's %s: %v", kind, err)
	}
	r.From = serverMAC
	return r
}

func offer(t testing.TB, c *dhcp4.Client, opts options) dhcp4.Reply {
	t.Helper()
	return answer(t, c, dhcpv4.MessageTypeOffer, leased, opts)
}

func ack(t testing.TB, c *dhcp4.Client, opts options) dhcp4.Reply {
	t.Helper()
	return answer(t, c, dhcpv4.MessageTypeAck, leased, opts)
}

func nak(t testing.TB, c *dhcp4.Client, opts options) dhcp4.Reply {
	t.Helper()
	return answer(t, c, dhcpv4.MessageTypeNak, netip.IPv4Unspecified(), opts)
}

// bound returns a client that was granted a lease at boot.
func bound(t testing.TB, opts options) *dhcp4.Client {
	t.Helper()
	c := dhcp4.New(params(), rng())
	c.Start(boot)
	c.Handle(boot, offer(t, c, opts))
	if out := c.Handle(boot, ack(t, c, opts)); out.Change != dhcp4.Granted {
		t.Fatalf("no lease: %+v, %+v", out, c.Counts())
	}
	return c
}

// in brings a client into a state, its REQUEST sent; the time is when.
func in(t testing.TB, state dhcp4.State) (*dhcp4.Client, time.Duration) {
	t.Helper()
	c, now := dhcp4.New(params(), rng()), boot
	switch state {
	case dhcp4.Selecting:
		c.Start(now)
	case dhcp4.Requesting:
		c.Start(now)
		c.Handle(now, offer(t, c, generous()))
	case dhcp4.Rebooting:
		c.Reboot(now, held(t))
	default:
		c = bound(t, generous())
		for c.State() != state {
			now = c.Deadline()
			c.Tick(now)
		}
	}
	if c.State() != state {
		t.Fatalf("the client is in %s, not in %s", c.State(), state)
	}
	return c, now
}

func held(t testing.TB) dhcp4.Lease {
	t.Helper()
	l, ok := bound(t, generous()).Lease()
	if !ok {
		t.Fatal("no lease")
	}
	return l
}
