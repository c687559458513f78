package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/podlan/podlan/integration/lab"
)

// registry is a service registry as Nacos, Consul, Eureka or Dubbo's ZooKeeper
// are, as small as can be: PUT and GET of /services/{name}, an address each.
type registry struct {
	mu       sync.Mutex
	services map[string]string
}

func newRegistry() http.Handler {
	r := &registry{services: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /services/{name}", r.put)
	mux.HandleFunc("GET /services/{name}", r.get)
	return mux
}

// put answers with the address that the client came from.
func (r *registry) put(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services[req.PathValue("name")] = string(body)
	fmt.Fprint(w, req.RemoteAddr)
}

func (r *registry) get(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	addr, ok := r.services[req.PathValue("name")]
	if !ok {
		http.NotFound(w, req)
		return
	}
	fmt.Fprint(w, addr)
}

// register is the step in which a Pod is found by a registry outside of the
// cluster and dialled by a machine outside of it.
func (d *demo) register(ctx context.Context) error {
	if _, err := d.services.serve(ctx, d.registry.Netns, d.registry.Addr.Addr(), newRegistry()); err != nil {
		return err
	}
	if err := d.serveInPods(ctx); err != nil {
		return err
	}
	provider := d.pods[0]
	url := fmt.Sprintf("http://%s/services/%s", netip.AddrPortFrom(d.registry.Addr.Addr(), port), provider.short)
	if err := d.put(ctx, provider, url); err != nil {
		return err
	}
	found, err := call(ctx, d.client.Netns, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	d.out.does("the client, a LAN host outside the cluster, looks up %q: %s", provider.short, found.body)
	target, err := netip.ParseAddrPort(string(found.body))
	if err != nil {
		return fmt.Errorf("what is registered: %w", err)
	}
	return d.dial(ctx, target)
}

func (d *demo) serveInPods(ctx context.Context) (err error) {
	for _, p := range d.pods {
		if p.service, err = d.services.serve(ctx, p.Netns, p.addr.Addr(), introduce(p.full)); err != nil {
			return err
		}
	}
	return nil
}

// put registers the Pod under the address that the Pod itself knows, as Dubbo
// and Nacos clients do: they ask their own interface.
func (d *demo) put(ctx context.Context, p *pod, url string) error {
	own, err := ownAddress(p.Netns)
	if err != nil {
		return err
	}
	addr := netip.AddrPortFrom(own, port)
	r, err := call(ctx, p.Netns, http.MethodPut, url, strings.NewReader(addr.String()))
	if err != nil {
		return err
	}
	from, err := netip.ParseAddrPort(string(r.body))
	if err != nil || from.Addr() != own {
		return errors.Join(fmt.Errorf("the registry saw the Pod as %q, its own address is %s", r.body, own), err)
	}
	d.out.does("%s asks its own eth0, as Dubbo and Nacos clients do, and registers %s", p.full, addr)
	d.out.saw("the registry was called from %s, the Pod's own address (%s)", from.Addr(), ms(r.took))
	return nil
}

func ownAddress(ns *lab.Netns) (own netip.Addr, err error) {
	err = ns.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return fmt.Errorf("the Pod's interface: %w", err)
		}
		addrs, err := link.Addrs()
		if err != nil {
			return fmt.Errorf("the Pod's addresses: %w", err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				own = p.Addr()
				return nil
			}
		}
		return fmt.Errorf("the Pod has no IPv4 address: %v", addrs)
	})
	return own, err
}

// dial calls what was registered and shows both ends' views.
func (d *demo) dial(ctx context.Context, target netip.AddrPort) error {
	a, r, err := visit(ctx, d.client.Netns, target)
	if err != nil {
		return err
	}
	d.out.saw("it dials that, and %s answers after %s", a.Name, ms(r.took))
	d.out.table([]string{"", "FROM", "TO"},
		[]string{"the client sees", r.flow.From.String(), r.flow.To.String()},
		[]string{"the Pod sees", a.Saw.From.String(), a.Saw.To.String()})
	d.out.saw("the same: no NAT, no proxy, no node port in between")
	return nil
}
