// Package churn makes Pods come and go on a node of a lab, over and over, and
// tells whether everything is then as it was. It touches only the lab that it
// is given.
package churn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
)

// Network is the name of the arena's network.
const Network = "lan"

// Arena is a node with the administrator's bridge lan0, a podland as shipped,
// and Pods of two kinds: those that stay, and the namespaces in which others
// come and go. The namespaces are used again and again: the kernel makes and
// removes them one at a time, all labs of the machine together.
type Arena struct {
	Node   *lab.Node
	Server *lab.Server
	Client *lab.Host
	// Held are the Pods that stay, once Hold has attached them.
	Held []Held

	conf []byte
	pods []*lab.Pod
	next atomic.Int64
}

// Held is a Pod that stays, with what it got.
type Held struct {
	Pod  *lab.Pod
	Addr netip.Addr
	MAC  string
}

// New makes the node and starts podland on it. As many Pods as there are
// workers come and go at once.
func New(l *lab.Lab, workers int) *Arena {
	a := &Arena{Server: l.Server(), Client: l.Host("client"), Node: l.Node("n1", lab.NodeOptions{Bridge: "lan0"})}
	a.conf = a.Node.Conf(map[string]any{
		"cniVersion": "1.1.0", "name": Network, "type": "podlan-bridge", "bridge": "lan0",
		"ipam": map[string]any{"type": "podlan-dhcp"},
	})
	for i := range workers {
		a.pods = append(a.pods, a.Node.Pod(fmt.Sprintf("churn%d", i)))
	}
	a.Node.StartPodland()
	return a
}

// Workers is how many Pods may come and go at once.
func (a *Arena) Workers() int { return len(a.pods) }

// Podland returns a client of the node's podland.
func (a *Arena) Podland() *client.Client { return client.New(a.Node.Socket()) }

// Hold attaches n Pods that stay.
func (a *Arena) Hold(ctx context.Context, n int) error {
	a.Held = make([]Held, n)
	for i := range a.Held {
		a.Held[i].Pod = a.Node.Pod(fmt.Sprintf("held%d", i))
	}
	return each(n, func(i int) error {
		h := &a.Held[i]
		result, err := a.Node.Add(ctx, a.conf, h.Pod)
		if err != nil {
			return fmt.Errorf("ADD of %s: %w", h.Pod.Name(), err)
		}
		current, err := types100.NewResultFromResult(result)
		if err == nil && (len(current.IPs) != 1 || len(current.Interfaces) != 3) {
			err = fmt.Errorf("%v", current)
		}
		if err != nil {
			return fmt.Errorf("result of %s: %w", h.Pod.Name(), err)
		}
		h.Addr, _ = netip.AddrFromSlice(current.IPs[0].Address.IP.To4())
		h.MAC = current.Interfaces[2].Mac
		return nil
	})
}

// LetGo detaches the Pods that stayed.
func (a *Arena) LetGo(ctx context.Context) error {
	return each(len(a.Held), func(i int) error {
		if err := a.Node.Del(ctx, a.conf, a.Held[i].Pod); err != nil {
			return fmt.Errorf("DEL of %s: %w", a.Held[i].Pod.Name(), err)
		}
		return nil
	})
}

// each runs f n times at once.
func each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Key names a Pod that stays, as podland does.
func (h Held) Key() leaseapi.Key {
	return leaseapi.Key{Network: Network, ContainerID: h.Pod.ContainerID, IfName: "eth0"}
}

// Add attaches a new container in the worker's namespace, and returns what
// detaches it again, whether Add succeeded or not.
func (a *Arena) Add(ctx context.Context, worker int) (del func(context.Context) error, err error) {
	id := lab.Attachment{ContainerID: fmt.Sprintf("churn-%d", a.next.Add(1))}
	_, err = a.Node.Add(ctx, a.conf, a.pods[worker], id)
	if err != nil {
		err = fmt.Errorf("ADD of %s: %w", id.ContainerID, err)
	}
	return func(ctx context.Context) error {
		if err := a.Node.Del(ctx, a.conf, a.pods[worker], id); err != nil {
			return fmt.Errorf("DEL of %s: %w", id.ContainerID, err)
		}
		return nil
	}, err
}

// Run attaches and detaches n containers, each worker one after another, until
// the first call that fails. told hears how many are done.
func (a *Arena) Run(ctx context.Context, n int, told func(done int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var begun, done atomic.Int64
	var all sync.WaitGroup
	for worker := range a.Workers() {
		all.Go(func() {
			for ctx.Err() == nil && begun.Add(1) <= int64(n) {
				del, err := a.Add(ctx, worker)
				if err = errors.Join(err, del(ctx)); err != nil {
					cancel(err)
					return
				}
				told(int(done.Add(1)))
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
