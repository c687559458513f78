package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
)

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

func key() leaseapi.Key {
	return leaseapi.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}
}

func TestEachCallIsTheContracts(t *testing.T) {
	const one = leaseapi.PathLeases + "/lan/c1/eth0"
	cases := map[string]struct {
		call   func(ctx context.Context, c *client.Client) (any, error)
		asked  string
		answer string
		want   any
	}{
		"acquire": {
			func(ctx context.Context, c *client.Client) (any, error) {
				return c.Acquire(ctx, key(), leaseapi.Request{MAC: "02:00:00:00:00:01"})
			},
			"PUT " + one + ` {"clientID":"","mac":"02:00:00:00:00:01","transport":"","confirm":"","budgetMS":0}`,
			`{"network":"lan","state":"pending","address":"192.0.2.7/24","ofNewer":{"a":1}}`,
			leaseapi.Lease{Key: leaseapi.Key{Network: "lan"}, State: leaseapi.StatePending, Address: netip.MustParsePrefix("192.0.2.7/24")},
		},
		"get": {
			func(ctx context.Context, c *client.Client) (any, error) { return c.Get(ctx, key()) },
			"GET " + one + " ", `{"state":"bound"}`,
			leaseapi.Lease{State: leaseapi.StateBound},
		},
		"list": {
			func(ctx context.Context, c *client.Client) (any, error) { return c.List(ctx) },
			"GET " + leaseapi.PathLeases + " ", `[]`,
			[]leaseapi.Lease{},
		},
		"release": {
			func(ctx context.Context, c *client.Client) (any, error) { return nil, c.Release(ctx, key()) },
			"DELETE " + one + " ", ``, nil,
		},
		"GC": {
			func(ctx context.Context, c *client.Client) (any, error) {
				return nil, c.GC(ctx, leaseapi.GCRequest{Network: "lan", Valid: []leaseapi.Key{}})
			},
			"POST " + leaseapi.PathGC + ` {"network":"lan","valid":[]}`, ``, nil,
		},
		"status": {
			func(ctx context.Context, c *client.Client) (any, error) { return c.Status(ctx) },
			"GET " + leaseapi.PathStatus + " ", `{"version":"v9","later":true}`,
			leaseapi.Status{Version: "v9"},
		},
		"guard": {
			func(ctx context.Context, c *client.Client) (any, error) { return c.Guard(ctx) },
			"GET " + leaseapi.PathGuard + " ", `{"ports":[{"port":"vethpl1","opened":["vrrp"]}],"dropped":{"dhcp":3}}`,
			leaseapi.Guard{Ports: []leaseapi.GuardedPort{{Port: "vethpl1", Opened: []string{"vrrp"}}}, Dropped: map[string]uint64{"dhcp": 3}},
		},
		"a key with odd letters": {
			func(ctx context.Context, c *client.Client) (any, error) {
				return nil, c.Release(ctx, leaseapi.Key{Network: "l/n", ContainerID: "c?1", IfName: "e#0"})
			},
			"DELETE " + leaseapi.PathLeases + "/l%2Fn/c%3F1/e%230 ", ``, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var asked string
			socket := podland(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked = r.Method + " " + r.URL.EscapedPath() + " " + string(body)
				_, _ = io.WriteString(w, c.answer)
			})
			got, err := c.call(t.Context(), client.New(socket))
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if asked != c.asked {
				t.Errorf("asked %q, want %q", asked, c.asked)
			}
		})
	}
}

func TestAnAnsweredErrorIsThatError(t *testing.T) {
	want := &leaseapi.Error{Code: 11, Msg: "no DHCPOFFER", Details: "check"}
	socket := podland(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"code":11,"msg":"no DHCPOFFER","details":"check","ofNewer":1}`)
	})
	_, err := client.New(socket).Acquire(t.Context(), key(), leaseapi.Request{})
	got, ok := errors.AsType[*leaseapi.Error](err)
	if !ok || *got != *want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// Another program's socket, or a proxy's.
func TestAnAnswerThatIsNotTheContractsIsQuotedShort(t *testing.T) {
	cases := map[string]struct {
		status int
		body   string
		words  string
	}{
		"a text":           {404, "404 page not found\n", "404 page not found"},
		"another JSON":     {500, `{"error":"x"}`, `{\"error\":\"x\"}`},
		"no code":          {500, `{"msg":"x"}`, "500"},
		"nothing":          {502, "", "502"},
		"a long text":      {500, strings.Repeat("x", 5000), "500"},
		"success, no JSON": {200, "<html>", "answer of podland"},
		"success, nothing": {200, "", "answer of podland"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			socket := podland(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := client.New(socket).Status(t.Context())
			var answered *leaseapi.Error
			if err == nil || errors.As(err, &answered) || !strings.Contains(err.Error(), c.words) || len(err.Error()) > 300 {
				t.Errorf("got %v; want an error of ours with %q", err, c.words)
			}
		})
	}
}

func TestNobodyThereIsToldFromACallThatWasCutOff(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent.sock")
	_, err := client.New(absent).Status(t.Context())
	if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), absent) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("nobody there: %v", err)
	}
	socket := podland(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := client.New(socket).Status(t.Context()); err == nil || errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), socket) {
		t.Errorf("cut off: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	socket = podland(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel(nil)
		<-r.Context().Done()
	})
	if _, err := client.New(socket).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	ctx2, cancel2 := context.WithTimeout(t.Context(), 0)
	defer cancel2()
	if _, err := client.New(socket).Acquire(ctx2, key(), leaseapi.Request{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}
