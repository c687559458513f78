package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
	"github.com/podlan/podlan/pkg/version"
)

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func someLeases() []leaseapi.Lease {
	now := noon()
	return []leaseapi.Lease{
		{
			Key: leaseapi.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}, State: leaseapi.StateBound, Pod: "default/web-0",
			MAC: "02:00:00:00:00:01", Address: netip.MustParsePrefix("192.0.2.7/24"), Server: netip.MustParseAddr("192.0.2.1"),
			RenewAt: now.Add(30 * time.Minute), ExpiresAt: now.Add(25*time.Hour + 61*time.Second),
			Transport: leaseapi.FromUplink, Uplink: "eth1", Bridge: "lan0", VLAN: 10,
		},
		{
			Key: leaseapi.Key{Network: "lan", ContainerID: strings.Repeat("0123456789abcdef", 4), IfName: "net1"}, State: leaseapi.StateAcquiring,
			MAC: "02:00:00:00:00:02", Transport: leaseapi.FromPod, Bridge: "lan0", VLAN: 4094,
		},
		{
			Key: leaseapi.Key{Network: "lan", ContainerID: "c3", IfName: "eth0"}, State: leaseapi.StateLost, Reason: "DHCPNAK",
			MAC: "02:00:00:00:00:03", Address: netip.MustParsePrefix("192.0.2.9/24"), Server: netip.MustParseAddr("192.0.2.1"),
			RenewAt: now.Add(-time.Minute), ExpiresAt: now.Add(-time.Second), Uplink: "eth1.20", Bridge: "lan0-20",
		},
		{
			Key: leaseapi.Key{Network: "lan", ContainerID: "c4", IfName: "eth0"}, State: leaseapi.StatePending, // an infinite lease
			MAC: "02:00:00:00:00:04", Address: netip.MustParsePrefix("192.0.2.10/24"), Server: netip.MustParseAddr("192.0.2.1"),
		},
	}
}

func TestTablesAreAsPeopleReadThem(t *testing.T) {
	cases := map[string]struct {
		print func(io.Writer) error
		want  string
	}{
		"leases": {func(w io.Writer) error { return printLeases(w, someLeases(), false, noon()) }, `
ADDRESS        MAC                STATE           POD            NETWORK  INTERFACE  SEGMENT         SERVER     RENEW IN  EXPIRES IN
192.0.2.7/24   02:00:00:00:00:01  bound           default/web-0  lan      eth0       eth1 vlan 10    192.0.2.1  30m0s     25h1m
-              02:00:00:00:00:02  acquiring       0123456789abc  lan      net1       lan0 vlan 4094  -          -         -
192.0.2.9/24   02:00:00:00:00:03  lost (DHCPNAK)  c3             lan      eth0       eth1.20         192.0.2.1  now       now
192.0.2.10/24  02:00:00:00:00:04  pending         c4             lan      eth0       -               192.0.2.1  never     never
`},
		"leases, wide": {func(w io.Writer) error {
			leases := someLeases()[2:]
			leases[0].WhenLost, leases[0].Transport, leases[0].MTU = leaseapi.Replace, leaseapi.FromUplink, 1400
			leases[0].NTP = []netip.Addr{netip.MustParseAddr("192.0.2.123"), netip.MustParseAddr("192.0.2.124")}
			leases[0].Refused = []leaseapi.Route{{Dst: netip.MustParsePrefix("10.0.0.0/8")}}
			return printLeases(w, leases, true, noon())
		}, `
ADDRESS        MAC                STATE           POD  NETWORK  INTERFACE  SEGMENT  SERVER     RENEW IN  EXPIRES IN  WHEN LOST  FROM    MTU   NTP                      REFUSED ROUTES
192.0.2.9/24   02:00:00:00:00:03  lost (DHCPNAK)  c3   lan      eth0       eth1.20  192.0.2.1  now       now         replace    uplink  1400  192.0.2.123,192.0.2.124  10.0.0.0/8
192.0.2.10/24  02:00:00:00:00:04  pending         c4   lan      eth0       -        192.0.2.1  never     never       -          -       -     -                        -
`},
		"no leases": {func(w io.Writer) error { return printLeases(w, nil, false, noon()) }, `
ADDRESS  MAC  STATE  POD  NETWORK  INTERFACE  SEGMENT  SERVER  RENEW IN  EXPIRES IN
`},
		"status": {func(w io.Writer) error {
			return printStatus(w, leaseapi.Status{
				Version: "v1.2.3", StartedAt: noon().Add(-90 * time.Second), StateDir: "/var/lib/podlan",
				Leases: map[leaseapi.State]int{leaseapi.StateBound: 3, leaseapi.StateAcquiring: 1, leaseapi.StateLost: 0},
				Segments: []leaseapi.Segment{
					{Uplink: "eth1", Bridge: "br0", Present: true, Carrier: true, Leases: 4},
					{Bridge: "br1"},
					{Uplink: "eth1", Bridge: "br0", VLAN: 10, Present: true, Carrier: true, Leases: 2},
				},
			}, noon())
		}, `
podland     v1.2.3, up 1m30s
state       /var/lib/podlan
Pod access  no (dhcpFrom: pod, whenLost: replace and new Service networks for running Pods need the drop-in pod-access.conf)
leases      4 (1 acquiring, 3 bound)

UPLINK  VLAN  BRIDGE  PRESENT  CARRIER  LEASES
eth1    -     br0     yes      yes      4
-       -     br1     no       no       0
eth1    10    br0     yes      yes      2
`},
		"status of an idle podland": {func(w io.Writer) error {
			return printStatus(w, leaseapi.Status{Version: "devel", StartedAt: noon().Add(time.Minute), StateDir: "/s", PodAccess: true}, noon())
		}, `
podland     devel, up 0s
state       /s
Pod access  yes
leases      0
`},
		"Services": {func(w io.Writer) error {
			return printServices(w, &leaseapi.Services{
				Networks: []leaseapi.ServiceNetwork{
					{Network: "lan", Mode: "snat", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("10.200.0.0/16")}, NodeIP: netip.MustParseAddr("192.0.2.10"), Pods: 12},
				},
				BridgeNF: true, Problem: "no such device", ByHand: []string{"iptables-nft -w -I FORWARD 1 -i lan0"},
				Behind: []leaseapi.PodBehind{{Key: leaseapi.Key{ContainerID: "0123456789abcdef"}, Lacks: []string{"10.200.0.0/16", "192.0.2.11/32"}}},
			})
		}, `

NETWORK  SERVICES                    MODE  NODE IP     PODS
lan      10.96.0.0/12,10.200.0.0/16  snat  192.0.2.10  12

bridged frames pass iptables: yes
not all right: no such device
podland may not set these rules, run as root:
  iptables-nft -w -I FORWARD 1 -i lan0

POD/CONTAINER  LACKS (until it is made anew)
0123456789abc  10.200.0.0/16, 192.0.2.11/32
`},
		"Services that nobody asks for": {func(w io.Writer) error { return printServices(w, nil) }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := c.print(&out)
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), out.String()); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestTimesAreShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Hour, "1s": 700 * time.Millisecond, "59s": 59 * time.Second, "59m59s": time.Hour - time.Second,
		"1h0m": time.Hour - 400*time.Millisecond, "25h1m": 25*time.Hour + 61*time.Second, "2h30m": 2*time.Hour + 30*time.Minute,
	} {
		if got := short(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
}

// podland serves h on a socket and returns its path.
func podland(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "podland.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return path
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := New(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestJSONIsTheContracts(t *testing.T) {
	status := leaseapi.Status{Version: "v1.2.3", StateDir: "/s", Leases: map[leaseapi.State]int{leaseapi.StateBound: 2}, StartedAt: noon()}
	socket := podland(t, func(w http.ResponseWriter, r *http.Request) {
		answers := map[string]any{leaseapi.PathLeases: someLeases(), leaseapi.PathStatus: status}
		_ = json.NewEncoder(w).Encode(answers[r.URL.Path])
	})
	var gotLeases []leaseapi.Lease
	var gotStatus leaseapi.Status
	comparers := cmp.Options{
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b leaseapi.HexBytes) bool { return bytes.Equal(a, b) }),
	}
	for _, c := range []struct {
		command   string
		got, want any
	}{{"leases", &gotLeases, new(someLeases())}, {"status", &gotStatus, &status}} {
		out, err := run(t, c.command, "-o", "json", "--socket", socket)
		if err == nil {
			err = json.Unmarshal([]byte(out), c.got)
		}
		if diff := cmp.Diff(c.want, c.got, comparers); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s\n%s", c.command, err, diff, out)
		}
	}
	out, err := run(t, "leases", "--socket", socket)
	if err != nil || !strings.HasPrefix(out, "ADDRESS") || !strings.Contains(out, "default/web-0") {
		t.Errorf("the table: %v\n%s", err, out)
	}
	if out, err := run(t, "leases", "-o", "wide", "--socket", socket); err != nil || !strings.Contains(out, "REFUSED ROUTES") {
		t.Errorf("the wide table: %v\n%s", err, out)
	}
	if out, err := run(t, "status", "--socket", socket); err != nil || !strings.Contains(out, "2 (2 bound)") {
		t.Errorf("the status: %v\n%s", err, out)
	}
}

func TestNoLeasesAreAnEmptyList(t *testing.T) {
	socket := podland(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") })
	if out, err := run(t, "leases", "-o", "json", "--socket", socket); err != nil || out != "[]\n" {
		t.Errorf("%v: %q, want []", err, out)
	}
}

func TestVersion(t *testing.T) {
	if out, err := run(t, "version"); err != nil || out != "podlan "+version.String()+"\n" {
		t.Errorf("%v: %q", err, out)
	}
	if out, err := run(t, "version", "--output=json"); err != nil || out != fmt.Sprintf("{\n  %q: %q\n}\n", "version", version.String()) {
		t.Errorf("%v: %q", err, out)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	refusing := podland(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"code":11,"msg":"podland is shutting down"}`)
	})
	absent := filepath.Join(t.TempDir(), "absent.sock")
	cases := map[string]struct {
		args  []string
		words []string
	}{
		"podland down":       {[]string{"leases", "--socket", absent}, []string{absent, "systemctl status podland", "--socket"}},
		"podland down too":   {[]string{"status", "--socket", absent}, []string{absent, "systemctl status podland"}},
		"podland refuses":    {[]string{"leases", "--socket", refusing}, []string{"podland is shutting down"}},
		"an unknown output":  {[]string{"status", "-o", "yaml"}, []string{"--output", `"yaml"`, "table, wide, json"}},
		"an unknown command": {[]string{"lease"}, []string{`"lease"`}},
		"an unknown flag":    {[]string{"leases", "--wide"}, []string{"--wide"}},
		"an argument":        {[]string{"leases", "eth0"}, []string{"eth0"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, c.args...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if out != "" {
				t.Errorf("standard output: %q; want none beside an error", out)
			}
		})
	}
}

func TestOneWhoIsNotRootIsToldSo(t *testing.T) {
	err := explained(fmt.Errorf("%w on /s: %w", client.ErrUnreachable, &net.OpError{Op: "connect", Err: syscall.EACCES}))
	if !strings.Contains(err.Error(), "sudo") || strings.Contains(err.Error(), "systemctl") {
		t.Errorf("got %q", err)
	}
}
