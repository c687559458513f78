package dhcpd_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// wire is a server and a client with a LAN between.
func wire(t *testing.T) (*dhcpd.Server, *lab.Host, *lab.DHCPClient) {
	t.Helper()
	l := lab.New(t, lab.Options{Server: lab.Embedded, Bin: t.TempDir()})
	h := l.Host("h")
	return l.Server().Embedded(), h, h.DHCPClient("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 1}, nil)
}

func TestSilent(t *testing.T) {
	srv, _, client := wire(t)
	srv.SetScript(dhcpd.Silent())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_ = srv.AwaitType(t.Context(), dhcpv4.MessageTypeDiscover, 1)
		cancel()
	}()
	if _, err := client.Lease(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want no answer", err)
	}
}

func TestNAK(t *testing.T) {
	srv, _, client := wire(t)
	srv.On(dhcpd.Requesting).Answer(dhcpd.NAK)
	if _, err := client.Lease(t.Context()); err == nil || !strings.Contains(err.Error(), "NAK") {
		t.Errorf("got %v, want a NAK", err)
	}
	if got := srv.ActiveLeases(); len(got) != 0 {
		t.Errorf("leases %v", got)
	}
}

// An OFFER that is held goes out when the channel is closed; one that is
// altered, duplicated and broadcast arrives so.
func TestHoldAndAlter(t *testing.T) {
	srv, h, client := wire(t)
	offers := h.Capture("eth0", func(f ether.Frame) bool {
		m, ok := f.DHCP()
		return ok && m.MessageType() == dhcpv4.MessageTypeOffer
	})
	open := make(chan struct{})
	srv.SetScript(dhcpd.On(dhcpd.Hold(open), dhcpv4.MessageTypeDiscover))
	go func() {
		_ = srv.AwaitType(t.Context(), dhcpv4.MessageTypeDiscover, 1)
		srv.SetScript(func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
			replies := req.Regular()
			for i := range replies {
				replies[i].Copies, replies[i].Broadcast = 1, true
				replies[i].Message.UpdateOption(dhcpv4.OptDomainName("altered"))
			}
			return replies, true
		})
		close(open)
	}()
	lease, err := client.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if lease.ACK.DomainName() != "altered" {
		t.Errorf("the ACK is not altered: %s", lease.ACK.Summary())
	}
	if _, err := offers.AwaitFrame(t.Context(), func(ether.Frame) bool { return true }); err != nil {
		t.Error(err)
	}
	var acks int
	for _, e := range srv.Log() {
		if e.Sent && e.Type == dhcpv4.MessageTypeAck && !e.UnicastL2() && !e.UnicastL3() {
			acks++
		}
	}
	if acks != 2 {
		t.Errorf("%d broadcast ACKs, want 2", acks)
	}
}

// A stopped server is deaf, a restarted one knows its leases, a forgetful one
// does not; the log tells unicast from broadcast and where frames came from.
func TestLifeAndLog(t *testing.T) {
	srv, _, client := wire(t)
	lease, err := client.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err == nil {
		t.Error("it starts twice")
	}
	if err := client.Release(lease); err != nil {
		t.Fatal(err)
	}
	if err := srv.AwaitType(t.Context(), dhcpv4.MessageTypeRelease, 1); err != nil {
		t.Fatal(err)
	}
	discover, release := srv.Received(dhcpv4.MessageTypeDiscover)[0], srv.Received(dhcpv4.MessageTypeRelease)[0]
	if discover.UnicastL2() || discover.UnicastL3() || !release.UnicastL2() || !release.UnicastL3() {
		t.Errorf("DISCOVER %+v, RELEASE %+v", discover, release)
	}
	if release.SrcIP != lease.Addr || release.SrcMAC.String() != client.MAC.String() || !release.Known {
		t.Errorf("RELEASE from %s %s, known %v", release.SrcIP, release.SrcMAC, release.Known)
	}
}

func TestReconfigure(t *testing.T) {
	srv, _, client := wire(t)
	moved := netip.MustParseAddr("198.18.50.0")
	if err := srv.Reconfigure(func(c *dhcpd.Config) {
		c.First, c.Last, c.Lease = moved, moved.Next(), 5*time.Second
	}); err != nil {
		t.Fatal(err)
	}
	lease, err := client.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if lease.Addr != moved || lease.ACK.IPAddressLeaseTime(0) != 5*time.Second {
		t.Errorf("got %s for %s", lease.Addr, lease.ACK.IPAddressLeaseTime(0))
	}
	if err := srv.Reconfigure(func(c *dhcpd.Config) { c.Address = netip.MustParsePrefix("198.18.0.2/16") }); err == nil {
		t.Error("its own address changes")
	}
}
