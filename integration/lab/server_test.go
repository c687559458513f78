package lab_test

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab"
)

// Every kind of server grants a lease and sees its release, judged through the
// one interface.
func TestServers(t *testing.T) {
	for _, kind := range lab.AllServers() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, lab.Options{Server: kind, Lease: 10 * time.Minute, T1: 2 * time.Minute, T2: 5 * time.Minute, Domain: "lan.example", MTU: 1400})
			srv := l.Server()
			h := l.Host("h")
			for i := range 3 {
				leaseAndRelease(t, srv, h, byte(i))
			}
			if got := len(srv.Releases()); got != 3 {
				t.Errorf("%d releases, want 3", got)
			}
		})
	}
}

func leaseAndRelease(t *testing.T, srv *lab.Server, h *lab.Host, n byte) {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0xab, 0, n}
	id := []byte{0xff, 0x22, 0x5c, '\\', n, '"'}
	c := h.DHCPClient("eth0", mac, id)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lease, err := c.Lease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	checkOptions(t, lease.ACK)
	held := srv.AwaitLeases(1)[0]
	held.Expires = time.Time{}
	want := lab.Lease{Addr: lease.Addr, MAC: mac.String(), ClientID: hex.EncodeToString(id)}
	if srv.Kind() == lab.Udhcpd { // goes by the MAC
		want.ClientID = ""
	}
	if diff := cmp.Diff(want, held, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("lease on the server (-want +got):\n%s", diff)
	}
	if err := c.Release(lease); err != nil {
		t.Fatal(err)
	}
	srv.AwaitLeases(0)
	releases := srv.AwaitReleases(int(n) + 1)
	if diff := cmp.Diff(lab.Release{Addr: lease.Addr, MAC: mac.String()}, releases[n], cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("release (-want +got):\n%s", diff)
	}
}

func checkOptions(t *testing.T, ack *dhcpv4.DHCPv4) {
	t.Helper()
	for what, ok := range map[string]bool{
		"lease time 10m": ack.IPAddressLeaseTime(0) == 10*time.Minute,
		"T1 2m":          ack.IPAddressRenewalTime(0) == 2*time.Minute,
		"T2 5m":          ack.IPAddressRebindingTime(0) == 5*time.Minute,
		"mask /16":       ack.SubnetMask().String() == "ffff0000",
		"router":         len(ack.Router()) == 1 && ack.Router()[0].String() == "198.18.0.1",
	} {
		if !ok {
			t.Errorf("%s is not in the ACK: %s", what, ack.Summary())
		}
	}
}

// A server keeps its leases over an orderly stop and over a kill, and loses
// them when told.
func TestServerRestart(t *testing.T) {
	for _, kind := range lab.AllServers() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, lab.Options{Server: kind})
			srv := l.Server()
			c := l.Host("h").DHCPClient("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 1}, nil)
			first, err := c.Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			srv.Stop()
			srv.Start()
			srv.AwaitLeases(1)
			srv.Kill()
			srv.Start()
			srv.AwaitLeases(1)
			again, err := c.Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if first.Addr != again.Addr {
				t.Errorf("address %s after a restart, was %s", again.Addr, first.Addr)
			}
			srv.Stop()
			srv.Forget()
			srv.Start()
			srv.AwaitLeases(0)
		})
	}
}

// What a client said is told by the server's log, what became of a declined
// address by its database.
func TestServersTellWhatTheyHeard(t *testing.T) {
	for _, kind := range lab.AllServers() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, lab.Options{Server: kind})
			srv := l.Server()
			c := l.Host("h").DHCPClient("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 0xc}, nil)
			lease, err := c.Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			srv.AwaitLeases(1)
			if err := c.Decline(lease); err != nil {
				t.Fatal(err)
			}
			heard := slices.Compact(srv.AwaitHeard(c.MAC.String(), 0, dhcpv4.MessageTypeDecline))
			want := []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeDecline}
			if !slices.Equal(heard, want) {
				t.Errorf("heard %v, want %v", heard, want)
			}
			srv.AwaitLeases(0)
			if kind != lab.Dnsmasq && !slices.Equal(srv.Declined(), []netip.Addr{lease.Addr}) {
				t.Errorf("declined: %v, want %s", srv.Declined(), lease.Addr)
			}
			if heard := srv.Heard("02:00:00:00:00:0d"); len(heard) > 0 {
				t.Errorf("heard of another client: %v", heard)
			}
		})
	}
}

// A successor has another address and the same leases.
func TestServerSuccessor(t *testing.T) {
	for _, kind := range lab.AllServers() {
		if kind == lab.Embedded {
			continue // it has no database on disk
		}
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, lab.Options{Server: kind})
			c := l.Host("h").DHCPClient("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 0xc}, nil)
			first, err := c.Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.Server().AwaitLeases(1)
			next := l.Server().Successor()
			l.Server().Stop()
			next.AwaitLeases(1)
			again, err := c.Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if first.Addr != again.Addr {
				t.Errorf("address %s from the successor, was %s", again.Addr, first.Addr)
			}
			if id := again.ACK.ServerIdentifier(); !id.Equal(next.Host.Addr.Addr().AsSlice()) {
				t.Errorf("server identifier %s, want %s", id, next.Host.Addr)
			}
		})
	}
}

// A server on the node itself serves what is on the node's bridge.
func TestServerOnNode(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None})
	n := l.Node("n1", lab.NodeOptions{Bridge: "lan0", NoUplink: true})
	srv := n.RunServer(lab.Dnsmasq, "lan0")
	if !strings.Contains(srv.Log(), "lan0") {
		t.Errorf("dnsmasq does not serve lan0: %s", srv.Log())
	}
}
