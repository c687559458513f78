package leg

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/statefile"
)

// lockName is the lock under which plugins and podland change the node's side.
const lockName = "service.lock"

// Node is the node's side of all legs in one network namespace: routes and
// neighbours, the rules that translate sources, and those of FORWARD. It is safe
// against other processes with the same lock folder.
type Node struct {
	h       *rtnl.Handle
	lockDir string
}

// NewNode returns the node's side in the handle's namespace. lockDir is where
// plugins and podland have their lock.
func NewNode(h *rtnl.Handle, lockDir string) *Node { return &Node{h: h, lockDir: lockDir} }

// Legs lists legs on record. It is asked under the lock, by Add once or not at all.
type Legs func() ([]Leg, error)

// part is one of the things that a node keeps for its legs. Its caller holds the
// lock.
type part interface {
	// add puts what the leg needs and lacks; others are all legs but this one, and
	// cost a read of all records.
	add(ctx context.Context, l Leg, others Legs) error
	// remove takes away what only this leg needed.
	remove(ctx context.Context, l Leg, others []Leg) error
	// intact tells whether what these legs need stands; beside shortfalls, whether
	// all else does.
	intact(ctx context.Context, legs []Leg) (bool, error)
	// restore puts what these legs need and lack.
	restore(ctx context.Context, legs []Leg) error
}

// named is a part with its name for people.
type named struct {
	part
	name string
}

func (n *Node) parts() []named { return n.partsBy(AddressesOf(n.h)) }

func (n *Node) partsBy(own Addresses) []named {
	return []named{
		{routes{own}, "the node's route to the Pod"},
		{rules{n.h}, "the translation of sources"},
		{forward{n.h, n.lockDir}, "what FORWARD accepts"},
	}
}

// Add gives the node its way to the Pod; what stood for the Pod's addresses before
// is replaced, what the port had by others is Remove's. others are all other legs
// on record. Code 7 if another Pod has one of its addresses by another device.
// Nothing but shortfalls (Shortfalls): all else stands.
func (n *Node) Add(ctx context.Context, l Leg, others Legs) error {
	return n.alone(ctx, func() error {
		others := Legs(sync.OnceValues(others))
		own := AddressesOf(n.h)
		if err := n.refused(ctx, l, own, others); err != nil {
			return err
		}
		err := each(n.partsBy(own), func(p part) error { return p.add(ctx, l, others) })
		if err != nil && !mere(err) {
			return err
		}
		return errors.Join(err, n.unseen(l))
	})
}

// unseen is a Shortfall where answers are to be caught on the bridge, and are not.
func (n *Node) unseen(l Leg) error {
	if l.Service.Mode != netconf.ServiceBridgeNF {
		return nil
	}
	bridged, err := BridgeNF(n.h)
	if err != nil || bridged {
		return err
	}
	return &Shortfall{
		What: "service.mode bridge-nf: answers from endpoints on the Pods' own segment are lost",
		Err:  errors.New("net.bridge.bridge-nf-call-iptables is not 1 on this node"),
	}
}

// Remove takes away what stands for the Pod and for no other leg on record. What
// is gone is no error, nor is what this machine cannot do.
func (n *Node) Remove(ctx context.Context, l Leg, others Legs) error {
	return n.locked(ctx, others, func(others []Leg) error {
		var failed error
		for _, p := range n.parts() {
			if err := p.remove(ctx, l, others); !mere(err) {
				failed = errors.Join(failed, err)
			}
		}
		return failed
	})
}

// Check returns nil if what the leg needs stands, as far as this machine can, else
// an error of code 105 that names what does not.
func (n *Node) Check(ctx context.Context, l Leg) error {
	for _, p := range n.parts() {
		intact, err := p.intact(ctx, []Leg{l})
		switch {
		case err != nil && !mere(err):
			return err
		case !intact:
			return types.NewError(uint(leaseapi.CodeChanged), p.name+" is not as ADD left it", "port "+l.Port)
		}
	}
	return nil
}

// Shortfalls returns what these legs do without on this machine, for people.
func (n *Node) Shortfalls(ctx context.Context, legs []Leg) []*Shortfall {
	_, err := forward{n.h, n.lockDir}.intact(ctx, legs)
	return Shortfalls(err)
}

// Intact tells whether everything that these legs need stands.
func (n *Node) Intact(ctx context.Context, legs []Leg) (bool, error) {
	intact := true
	err := n.locked(ctx, func() ([]Leg, error) { return legs, nil }, func([]Leg) error {
		for _, p := range n.parts() {
			ok, err := p.intact(ctx, legs)
			if err != nil {
				return err
			}
			intact = intact && ok
		}
		return nil
	})
	return intact && err == nil, err
}

// Restore puts back what the wanted legs lack, and tells whether they lacked
// anything. What it knows nothing of stays: an ADD may be under way. The error
// joins what could not be done, shortfalls included; all else is done.
func (n *Node) Restore(ctx context.Context, wanted Legs) (restored bool, err error) {
	err = n.locked(ctx, wanted, func(legs []Leg) error {
		var failed error
		for _, p := range n.parts() {
			ok, err := p.intact(ctx, legs)
			if (err == nil || mere(err)) && !ok {
				err = p.restore(ctx, legs)
				restored = restored || err == nil
			}
			failed = errors.Join(failed, err)
		}
		return failed
	})
	return restored, err
}

func (n *Node) locked(ctx context.Context, ask Legs, fn func([]Leg) error) error {
	return n.alone(ctx, func() error {
		legs, err := ask()
		if err != nil {
			return fmt.Errorf("leg: %w", err)
		}
		return fn(legs)
	})
}

// alone calls fn under the lock.
func (n *Node) alone(ctx context.Context, fn func() error) error {
	lock, err := statefile.Acquire(ctx, n.lockDir, lockName)
	if err != nil {
		return fmt.Errorf("leg: %w", err)
	}
	defer lock.Release()
	return fn()
}

// each stops at the first error that is more than shortfalls, which it joins at
// the end.
func each(parts []named, fn func(part) error) error {
	var short error
	for _, p := range parts {
		err := fn(p.part)
		if err != nil && !mere(err) {
			return err
		}
		short = errors.Join(short, err)
	}
	return short
}
