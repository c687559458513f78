package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// fakeLeases keeps what it is told in memory.
type fakeLeases struct {
	mu       sync.Mutex
	held     map[leaseapi.Key]leaseapi.Lease
	released []leaseapi.Key
	gc       []string
	asked    []leaseapi.Request
	alone    []lease.Held
	verified []string
	// acquire replaces Acquire, fail is Release's and GC's error.
	acquire func(context.Context) (leaseapi.Lease, error)
	fail    error
}

func (f *fakeLeases) Acquire(ctx context.Context, key leaseapi.Key, req leaseapi.Request) (leaseapi.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req)
	if f.acquire != nil {
		return f.acquire(ctx)
	}
	lease := leaseapi.Lease{Key: key, State: leaseapi.StatePending, MAC: req.MAC}
	f.held[key] = lease
	return lease, nil
}

func (f *fakeLeases) Get(key leaseapi.Key) (leaseapi.Lease, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.held[key]
	return l, ok
}

func (f *fakeLeases) List() []leaseapi.Lease {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []leaseapi.Lease
	for _, l := range f.held {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b leaseapi.Lease) int { return slices.Compare([]byte(a.Key.String()), []byte(b.Key.String())) })
	return all
}

func (f *fakeLeases) Release(_ context.Context, key leaseapi.Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		delete(f.held, key)
	}
	f.released = append(f.released, key)
	return f.fail
}

func (f *fakeLeases) GC(_ context.Context, network string, valid []leaseapi.Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gc = append(f.gc, network)
	for key := range f.held {
		if key.Network == network && !slices.Contains(valid, key) {
			delete(f.held, key)
		}
	}
	return f.fail
}

func (f *fakeLeases) Held() []lease.Held { return f.alone }

func (f *fakeLeases) Recover(key leaseapi.Key, req leaseapi.Request, address netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[key] = leaseapi.Lease{Key: key, State: leaseapi.StateLost, Reason: "its file is gone", MAC: req.MAC, ClientID: req.ClientID, Address: address}
	return nil
}

func (f *fakeLeases) Verify(uplink string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verified = append(f.verified, uplink)
	return nil
}

// set makes the lease what a server made of it.
func (f *fakeLeases) set(l leaseapi.Lease) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[l.Key] = l
}

func newFake() *fakeLeases { return &fakeLeases{held: map[leaseapi.Key]leaseapi.Lease{}} }

// served is podland's API on a socket of its own.
type served struct {
	*fakeLeases
	api    *api
	socket string
	http   *http.Client
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{fakeLeases: newFake(), socket: filepath.Join(t.TempDir(), "run", "podland.sock")}
	s.api = &api{
		leases: s.fakeLeases, log: slog.New(slog.DiscardHandler),
		status: func() leaseapi.Status { return leaseapi.Status{Version: "v1.2.3", PodAccess: s.api.pods} },
		anew:   func(context.Context, leaseapi.Key) error { return nil },
	}
	l, err := listen(t.Context(), s.socket)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveHTTP(ctx, l, s.api.handler()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}
	s.http = &http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
