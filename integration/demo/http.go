package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"

	"github.com/podlan/podlan/integration/lab"
)

// port is where every HTTP server of the demo listens.
const port = 8080

// flow is a TCP connection as one of its ends sees it.
type flow struct {
	From netip.AddrPort `json:"from"`
	To   netip.AddrPort `json:"to"`
}

func (f flow) String() string { return f.From.String() + " → " + f.To.String() }

// answer is what a Pod's server answers: who it is and what it saw.
type answer struct {
	Name string `json:"name"`
	Saw  flow   `json:"saw"`
}

// service is a running HTTP server.
type service struct{ server *http.Server }

func (s *service) stop() { _ = s.server.Close() }

// services are all that were started. The zero value is ready to use.
type services struct {
	mu  sync.Mutex
	all []*service
}

func (s *services) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range s.all {
		service.stop()
	}
}

// serve runs an HTTP server in a namespace, on the address only.
func (s *services) serve(ctx context.Context, ns *lab.Netns, addr netip.Addr, h http.Handler) (*service, error) {
	l, err := ns.Listen(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
	if err != nil {
		return nil, fmt.Errorf("HTTP server in %s: %w", ns.Name(), err)
	}
	running := &service{&http.Server{Handler: h, ReadHeaderTimeout: time.Minute}}
	go func() { _ = running.server.Serve(l) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, running)
	return running, nil
}

// introduce answers every request with the name and with what the server sees
// of the client.
func introduce(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, to, err := ends(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer{Name: name, Saw: flow{from, to}})
	})
}

// ends returns a request's connection as its server sees it.
func ends(r *http.Request) (from, to netip.AddrPort, err error) {
	from, err = netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return from, to, fmt.Errorf("client's address: %w", err)
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string })
	if !ok {
		return from, to, errors.New("the request has no local address")
	}
	to, err = netip.ParseAddrPort(local.String())
	return from, to, err
}

// reply is an HTTP answer and how it came.
type reply struct {
	body []byte
	flow flow // as the client sees it
	took time.Duration
}

// call makes one HTTP request from a namespace, on a connection of its own.
func call(ctx context.Context, from *lab.Netns, method, url string, body io.Reader) (reply, error) {
	var r reply
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		r.flow.From, _ = netip.ParseAddrPort(info.Conn.LocalAddr().String())
		r.flow.To, _ = netip.ParseAddrPort(info.Conn.RemoteAddr().String())
	}})
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return r, err
	}
	started := time.Now()
	resp, err := from.HTTPClient().Do(req)
	if err != nil {
		return r, fmt.Errorf("from %s: %w", from.Name(), err)
	}
	defer resp.Body.Close()
	r.body, err = io.ReadAll(resp.Body)
	r.took = time.Since(started)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, r.body)
	}
	return r, err
}

// visit calls a server that introduces itself, and makes sure that both ends
// see the same connection: nothing on the way has translated an address.
func visit(ctx context.Context, from *lab.Netns, to netip.AddrPort) (answer, reply, error) {
	r, err := call(ctx, from, http.MethodGet, "http://"+to.String()+"/", nil)
	if err != nil {
		return answer{}, r, err
	}
	var a answer
	if err := json.Unmarshal(r.body, &a); err != nil {
		return a, r, fmt.Errorf("answer %q: %w", r.body, err)
	}
	if a.Saw != r.flow {
		return a, r, fmt.Errorf("%s saw %s where the client sees %s: an address was translated", a.Name, a.Saw, r.flow)
	}
	return a, r, nil
}
