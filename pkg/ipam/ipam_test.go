package ipam

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/tombstone"
)

// object is JSON in the making.
type object map[string]any

// setup is one network with its podland, and the plugin.
type setup struct {
	stateDir, socket string
	asked            []string // method, path and body of each call
	stdout, stderr   bytes.Buffer
}

// down is a node whose podland is not running.
func down(t *testing.T) *setup {
	t.Helper()
	dir := t.TempDir()
	return &setup{stateDir: filepath.Join(dir, "state"), socket: filepath.Join(dir, "podland.sock")}
}

// up is one whose podland answers every call so.
func up(t *testing.T, status int, answer string) *setup {
	t.Helper()
	s := down(t)
	l, err := net.Listen("unix", s.socket)
	must(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.asked = append(s.asked, r.Method+" "+r.URL.Path+" "+string(body))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return s
}

// args are podlan-bridge's call, with keys of the top level changed; nil drops
// one.
func (s *setup) args(t *testing.T, change object) *skel.CmdArgs {
	t.Helper()
	conf := object{
		"cniVersion": "1.1.0", "name": "lan", "type": "podlan-bridge", "bridge": "br0", "stateDir": s.stateDir,
		"ipam":   object{"type": "podlan-dhcp", "daemonSocketPath": s.socket},
		"podlan": object{"mac": "02:00:00:00:00:01", "bridge": "br0", "uplink": "eth1", "from": "uplink", "budgetMS": 5000},
	}
	for key, value := range change {
		conf[key] = value
		if value == nil {
			delete(conf, key)
		}
	}
	data, err := json.Marshal(conf)
	must(t, err)
	return &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", Netns: "/run/netns/p1", StdinData: data}
}

func (s *setup) plugin() Plugin { return Plugin{Stdout: &s.stdout, Stderr: &s.stderr} }

// buried returns the keys that have a tombstone.
func (s *setup) buried(t *testing.T) []leaseapi.Key {
	t.Helper()
	var keys []leaseapi.Key
	must(t, tombstone.Settle(s.stateDir, func(k leaseapi.Key) error { keys = append(keys, k); return nil }))
	return keys
}

func oneKey() leaseapi.Key {
	return leaseapi.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}
}

func grant(t *testing.T, change func(*leaseapi.Lease)) string {
	t.Helper()
	lease := leaseapi.Lease{
		Key: oneKey(), State: leaseapi.StatePending, MAC: "02:00:00:00:00:01",
		Address: netip.MustParsePrefix("192.0.2.7/24"), Router: netip.MustParseAddr("192.0.2.1"),
	}
	if change != nil {
		change(&lease)
	}
	data, err := json.Marshal(lease)
	must(t, err)
	return string(data)
}

func TestAnADDPrintsTheLeaseInTheRuntimesVersion(t *testing.T) {
	for _, v := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(v, func(t *testing.T) {
			answer := strings.Replace(grant(t, nil), "{", `{"ofNewer":{"a":[1]},`, 1)
			s := up(t, 200, answer)
			must(t, s.plugin().Add(s.args(t, object{"cniVersion": v})))
			var got struct {
				CNIVersion string `json:"cniVersion"`
				IPs        []struct{ Address, Gateway string }
			}
			must(t, json.Unmarshal(s.stdout.Bytes(), &got))
			if got.CNIVersion != v || len(got.IPs) != 1 || got.IPs[0].Address != "192.0.2.7/24" || got.IPs[0].Gateway != "192.0.2.1" {
				t.Errorf("got %s", s.stdout.String())
			}
			if len(s.asked) != 1 || !strings.HasPrefix(s.asked[0], "PUT /v1/leases/lan/c1/eth0 {") {
				t.Errorf("asked %q", s.asked)
			}
		})
	}
}

func TestErrorsKeepPodlandsCode(t *testing.T) {
	cases := map[string]struct {
		status int
		answer string
		code   uint
		words  []string
	}{
		"no server":    {503, `{"code":11,"msg":"no DHCPOFFER on eth1","details":"is DHCP served?"}`, 11, []string{"no DHCPOFFER on eth1", "is DHCP served?"}},
		"a conf":       {400, `{"code":7,"msg":"field \"uplink\"","details":"allowed"}`, 7, []string{`field "uplink"`, "allowed"}},
		"a newer code": {503, `{"code":142,"msg":"of a newer podland"}`, 142, []string{"newer"}},
		"no podland":   {404, "404 page not found", 11, []string{"404", "systemctl status podland"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := up(t, c.status, c.answer)
			said(t, s.plugin().Add(s.args(t, nil)), c.code, c.words...)
			said(t, s.plugin().Check(s.args(t, nil)), c.code, c.words...)
			said(t, s.plugin().GC(s.args(t, object{"cni.dev/valid-attachments": []any{}})), c.code, c.words...)
			if s.stdout.Len() != 0 {
				t.Errorf("standard output beside an error: %s", s.stdout.String())
			}
		})
	}
}

func TestAGrantWithoutAnAddressIsAnError(t *testing.T) {
	s := up(t, 200, grant(t, func(l *leaseapi.Lease) { l.Address = netip.Prefix{} }))
	said(t, s.plugin().Add(s.args(t, nil)), types.ErrInternal, "without an address", "lan/c1/eth0")
}

func TestABudgetThatPassesIsSaid(t *testing.T) {
	s := down(t)
	l, err := net.Listen("unix", s.socket)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() }) // accepts, and never answers
	said(t, s.plugin().Add(s.args(t, object{"budget": "1s"})), types.ErrTryAgainLater, "budget of 1s", "systemctl status podland")
}

func TestWithPodlandDown(t *testing.T) {
	s := down(t)
	said(t, s.plugin().Add(s.args(t, nil)), types.ErrTryAgainLater, "podland is not running", s.socket, "no such file", "systemctl status podland")
	said(t, s.plugin().Check(s.args(t, nil)), types.ErrTryAgainLater, "podland is not running")
	said(t, s.plugin().GC(s.args(t, object{"cni.dev/valid-attachments": []any{}})), types.ErrTryAgainLater, "podland is not running")
	said(t, s.plugin().Status(s.args(t, nil)), uint(leaseapi.CodeNotAvailable), s.socket, "systemctl status podland")
	must(t, s.plugin().Del(s.args(t, nil)))
	if !strings.Contains(s.stderr.String(), "podland is not reachable") {
		t.Errorf("the log: %q", s.stderr.String())
	}
	if diff := cmp.Diff([]leaseapi.Key{oneKey()}, s.buried(t)); diff != "" {
		t.Errorf("buried (-want +got):\n%s", diff)
	}
}

// podland forgets it once it has taken the ADD: an ADD that never reached it
// must not lose the DEL before it.
func TestAnADDThatFailsKeepsTheTombstone(t *testing.T) {
	s := down(t)
	must(t, s.plugin().Del(s.args(t, nil)))
	said(t, s.plugin().Add(s.args(t, nil)), types.ErrTryAgainLater, "podland is not running")
	if diff := cmp.Diff([]leaseapi.Key{oneKey()}, s.buried(t)); diff != "" {
		t.Errorf("buried (-want +got):\n%s", diff)
	}
}

func TestADELGivesBackOrLeavesATombstone(t *testing.T) {
	cases := map[string]struct {
		status int
		answer string
		change object
		buried int
	}{
		"given back":              {204, "", nil, 0},
		"podland ends":            {503, `{"code":11,"msg":"podland is shutting down"}`, nil, 1},
		"a conf that ADD refuses": {204, "", object{"vlan": 5000}, 0},
		"no handover":             {204, "", object{"podlan": nil, "type": "macvlan"}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := up(t, c.status, c.answer)
			args := s.args(t, c.change)
			args.Netns = "" // gone
			must(t, s.plugin().Del(args))
			must(t, s.plugin().Del(args))
			if diff := cmp.Diff([]string{"DELETE /v1/leases/lan/c1/eth0 ", "DELETE /v1/leases/lan/c1/eth0 "}, s.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if keys := s.buried(t); len(keys) != c.buried {
				t.Errorf("buried %v, want %d", keys, c.buried)
			}
		})
	}
}

func TestADELThatCannotBeRememberedFails(t *testing.T) {
	s := down(t)
	must(t, os.WriteFile(s.stateDir, nil, 0o600))
	said(t, s.plugin().Del(s.args(t, nil)), types.ErrIOFailure, "podland is down", s.stateDir, "writable")
}

func TestACONFThatIsNoJSONIsRefused(t *testing.T) {
	s := down(t)
	args := s.args(t, nil)
	args.StdinData = []byte(`{`)
	verbs := map[string]func(*skel.CmdArgs) error{
		"ADD": s.plugin().Add, "DEL": s.plugin().Del, "CHECK": s.plugin().Check, "GC": s.plugin().GC, "STATUS": s.plugin().Status,
	}
	for name, verb := range verbs {
		t.Run(name, func(t *testing.T) { said(t, verb(args), types.ErrDecodingFailure, "JSON") })
	}
}

func TestCHECKComparesTheLeaseWithTheResult(t *testing.T) {
	prev := func(address string) object {
		return object{"prevResult": object{"cniVersion": "1.1.0", "ips": []object{{"address": address}}}}
	}
	cases := map[string]struct {
		lease  func(*leaseapi.Lease)
		change object
		code   leaseapi.Code // 0: no error
		words  []string
	}{
		"the same":              {nil, prev("192.0.2.7/24"), 0, nil},
		"one of several":        {nil, object{"prevResult": object{"ips": []object{{"address": "2001:db8::7/64"}, {"address": "192.0.2.7/24"}}}}, 0, nil},
		"no result to compare":  {nil, nil, 0, nil},
		"another address":       {nil, prev("192.0.2.8/24"), leaseapi.CodeChanged, []string{"leased 192.0.2.7/24", "given 192.0.2.8/24"}},
		"another prefix length": {nil, prev("192.0.2.7/25"), 0, nil},
		"a lost lease": {
			func(l *leaseapi.Lease) { l.State, l.Reason = leaseapi.StateLost, "DHCPNAK by 192.0.2.1" }, prev("192.0.2.7/24"),
			leaseapi.CodeLeaseLost,
			[]string{"no longer leased", "DHCPNAK by 192.0.2.1"},
		},
		"one that is asked for again": {
			func(l *leaseapi.Lease) { l.State, l.Address = leaseapi.StateAcquiring, netip.Prefix{} }, prev("192.0.2.7/24"),
			leaseapi.CodeLeaseLost,
			[]string{"no longer leased"},
		},
		"another address, replaced": {func(l *leaseapi.Lease) { l.State, l.WhenLost = leaseapi.StateBound, leaseapi.Replace }, prev("192.0.2.8/24"), 0, nil},
		"a lost lease to be replaced": {
			func(l *leaseapi.Lease) {
				l.State, l.WhenLost, l.Reason = leaseapi.StateLost, leaseapi.Replace, "it ran out"
			}, prev("192.0.2.7/24"),
			leaseapi.CodeLeaseLost,
			[]string{"it ran out"},
		},
		"a result that is none": {nil, object{"prevResult": "x"}, leaseapi.CodeDecode, []string{"prevResult"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := up(t, 200, grant(t, c.lease))
			err := s.plugin().Check(s.args(t, c.change))
			if c.code == 0 {
				must(t, err)
				return
			}
			said(t, err, uint(c.code), c.words...)
		})
	}
}

func TestGCTellsWhatToKeep(t *testing.T) {
	cases := map[string]struct {
		change object
		want   string
	}{
		"none":              {object{"cni.dev/valid-attachments": []any{}}, `{"network":"lan","valid":[]}`},
		"one":               {object{"cni.dev/valid-attachments": []object{{"containerID": "c1", "ifname": "eth0"}}}, `{"network":"lan","valid":[{"network":"lan","containerID":"c1","ifName":"eth0"}]}`},
		"by the older name": {object{"cni.dev/attachments": []object{{"containerID": "c2", "ifname": "net1"}}}, `{"network":"lan","valid":[{"network":"lan","containerID":"c2","ifName":"net1"}]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := up(t, 204, "")
			must(t, s.plugin().GC(s.args(t, c.change)))
			if diff := cmp.Diff([]string{"POST /v1/gc " + c.want}, s.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// Acting on it would give back every lease of the network.
func TestAGCWithoutItsListIsRefused(t *testing.T) {
	s := up(t, 204, "")
	said(t, s.plugin().GC(s.args(t, nil)), types.ErrInvalidNetworkConfig, "cni.dev/valid-attachments", "absent", "an empty one too")
	if len(s.asked) != 0 {
		t.Errorf("asked %q", s.asked)
	}
}

func TestSTATUSSucceedsWithPodland(t *testing.T) {
	s := up(t, 200, `{"version":"v9","ofNewer":1}`)
	must(t, s.plugin().Status(s.args(t, nil)))
}

// said fails unless err has the CNI code and says the words.
func said(t *testing.T, err error, code uint, words ...string) {
	t.Helper()
	var e *types.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want code %d", err, code)
		return
	}
	for _, w := range words {
		if text := e.Msg + "; " + e.Details; !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
