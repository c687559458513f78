package dhcp4_test

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// Whom the tests are about.
func podMAC() dhcp4.MAC    { return dhcp4.MAC{0x02, 1, 2, 3, 4, 5} }
func serverMAC() dhcp4.MAC { return dhcp4.MAC{0x52, 0x54, 0, 9, 9, 9} }
func clientID() []byte     { return []byte{0xff, 1, 2, 3, 4, 0, 4, 9} }
func leased() netip.Addr   { return netip.MustParseAddr("192.0.2.50") }
func serverIP() netip.Addr { return netip.MustParseAddr("192.0.2.1") }

// boot is when the tests begin: a node that has been up for a while.
const boot = 1000 * time.Hour

func params() dhcp4.Params { return dhcp4.Params{MAC: podMAC(), ClientID: clientID()} }

func rng() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// options are a server's, by code.
type options map[uint8][]byte

func b4(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func secs(d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))
}

// generous are the options of an ordinary server that leases for an hour.
func generous() options {
	return options{1: b4("255.255.255.0"), 3: b4("192.0.2.254"), 51: secs(time.Hour), 54: serverIP().AsSlice()}
}

func (o options) with(code uint8, value []byte) options {
	c := maps.Clone(o)
	c[code] = value
	if value == nil {
		delete(c, code)
	}
	return c
}

// sent decodes what the client sent, with the codec alone.
func sent(tb testing.TB, d dhcp4.Datagram) *dhcpv4.DHCPv4 {
	tb.Helper()
	if len(d.Payload) < 300 {
		tb.Errorf("%s of %d bytes, at least 300 wanted (RFC 951)", d.Type, len(d.Payload))
	}
	m, err := dhcpv4.FromBytes(d.Payload)
	if err != nil {
		tb.Fatalf("the client's %s: %v", d.Type, err)
	}
	return m
}

// only returns the one datagram of an output.
func only(tb testing.TB, out dhcp4.Output) dhcp4.Datagram {
	tb.Helper()
	if len(out.Send) != 1 {
		tb.Fatalf("%d messages, 1 wanted: %+v", len(out.Send), out)
	}
	return out.Send[0]
}

// answer is a server's reply to the client's current transaction.
func answer(tb testing.TB, c *dhcp4.Client, kind dhcpv4.MessageType, yiaddr netip.Addr, opts options) dhcp4.Reply {
	tb.Helper()
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: 1, ClientHWAddr: podMAC().HardwareAddr(),
		YourIPAddr: net.IP(yiaddr.AsSlice()), Options: dhcpv4.Options{53: {byte(kind)}},
	}
	binary.BigEndian.PutUint32(m.TransactionID[:], c.XID())
	maps.Copy(m.Options, opts)
	r, err := dhcp4.Decode(m.ToBytes())
	if err != nil {
		tb.Fatalf("decode the server's %s: %v", kind, err)
	}
	r.From = serverMAC()
	return r
}

func offer(tb testing.TB, c *dhcp4.Client, opts options) dhcp4.Reply {
	tb.Helper()
	return answer(tb, c, dhcpv4.MessageTypeOffer, leased(), opts)
}

func ack(tb testing.TB, c *dhcp4.Client, opts options) dhcp4.Reply {
	tb.Helper()
	return answer(tb, c, dhcpv4.MessageTypeAck, leased(), opts)
}

func nak(tb testing.TB, c *dhcp4.Client, opts options) dhcp4.Reply {
	tb.Helper()
	return answer(tb, c, dhcpv4.MessageTypeNak, netip.IPv4Unspecified(), opts)
}

// bound returns a client that was granted a lease at boot.
func bound(tb testing.TB, opts options) *dhcp4.Client {
	tb.Helper()
	return boundWith(tb, params(), opts)
}

func boundWith(tb testing.TB, p dhcp4.Params, opts options) *dhcp4.Client {
	tb.Helper()
	c := dhcp4.New(p, rng())
	c.Start(boot)
	c.Handle(boot, offer(tb, c, opts))
	if out := c.Handle(boot, ack(tb, c, opts)); out.Change != dhcp4.Granted {
		tb.Fatalf("no lease: %+v, %+v", out, c.Counts())
	}
	return c
}

// in brings a client into a state, its REQUEST sent; the time is when.
func in(tb testing.TB, state dhcp4.State) (*dhcp4.Client, time.Duration) {
	tb.Helper()
	return inWith(tb, params(), state)
}

func inWith(tb testing.TB, p dhcp4.Params, state dhcp4.State) (*dhcp4.Client, time.Duration) {
	tb.Helper()
	c, now := dhcp4.New(p, rng()), boot
	switch state {
	case dhcp4.Selecting:
		c.Start(now)
	case dhcp4.Requesting:
		c.Start(now)
		c.Handle(now, offer(tb, c, generous()))
	case dhcp4.Rebooting:
		c.Reboot(now, held(tb))
	default:
		c = boundWith(tb, p, generous())
		for c.State() != state {
			now = c.Deadline()
			c.Tick(now)
		}
	}
	if c.State() != state {
		tb.Fatalf("the client is in %s, not in %s", c.State(), state)
	}
	return c, now
}

func held(tb testing.TB) dhcp4.Lease {
	tb.Helper()
	l, ok := bound(tb, generous()).Lease()
	if !ok {
		tb.Fatal("no lease")
	}
	return l
}
