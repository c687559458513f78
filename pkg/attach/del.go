package attach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
)

// Del takes the attachment down and gives its address back. It succeeds for
// what is gone already, needs neither the namespace nor prevResult, and works
// with a conf that ADD would refuse.
func (p Plugin) Del(args *skel.CmdArgs) error {
	conf, err := netconf.ParseBridge(args.StdinData, args.Args)
	if conf == nil {
		return err
	}
	return p.verb("DEL", conf, args, func(ctx context.Context, n *node) error {
		return n.del(ctx, keyOf(conf, args))
	})
}

func (n *node) del(ctx context.Context, key attachment.Key) error {
	unlock, err := n.lockForDel(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := n.store.Get(key)
	switch {
	case errors.Is(err, attachment.ErrNewer):
		return types.NewError(types.ErrIOFailure, err.Error(), "")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		n.warn([]string{"DEL without the attachment's record: " + err.Error()})
		rec = n.unrecorded(key)
	case err != nil:
		rec = n.unrecorded(key)
		if _, missing := n.delegate.find(); missing != nil {
			return n.teardown.Remove(ctx, rec) // no ADD can have got an address
		}
	}
	var ipamErr error
	if rec.Order == attachment.PortFirst {
		// Its address is given back over the port, which goes down after.
		ipamErr = n.delegate.run(ctx, "DEL")
	} else {
		// Not a frame with the address may follow its release.
		ipamErr = errors.Join(n.teardown.CloseUp(rec), n.delegate.run(ctx, "DEL"))
	}
	return errors.Join(ipamErr, n.teardown.Remove(ctx, rec))
}

// unrecorded is what the record would say if ADD had come no further than the
// veth: the host end's name is the key's.
func (n *node) unrecorded(key attachment.Key) attachment.Record {
	return attachment.Record{Key: key, HostEnd: attachment.HostEnd(key, !n.conf.Guard.Off), IPAM: n.conf.IPAM, Guard: !n.conf.Guard.Off}
}

// lockForDel goes on where a full or read-only disk has no room for a lock:
// nobody else can have made it there either.
func (n *node) lockForDel(ctx context.Context, key attachment.Key) (unlock func(), err error) {
	lock, err := n.store.Lock(ctx, key)
	switch {
	case err == nil:
		return lock.Retire, nil
	case ctx.Err() != nil:
		return nil, err
	}
	n.warn([]string{"DEL without a lock: " + err.Error()})
	return func() {}, nil
}

// GC takes down every attachment of the network that the runtime does not
// list, and what stands of segments without one, and has the IPAM plugin do the
// same. It goes on past errors.
func (p Plugin) GC(args *skel.CmdArgs) error {
	conf, err := netconf.ParseBridge(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	valid, err := netconf.ValidAttachments(args.StdinData)
	if err != nil {
		return err
	}
	return p.verb("GC", conf, args, func(ctx context.Context, n *node) error {
		return errors.Join(n.gc(ctx, valid), n.delegate.run(ctx, "GC"))
	})
}

func (n *node) gc(ctx context.Context, valid []netconf.Attachment) error {
	keep := map[attachment.Key]bool{}
	for _, v := range valid {
		keep[attachment.Key{Network: n.conf.Name, ContainerID: v.ContainerID, IfName: v.IfName}] = true
	}
	all, err := n.store.All()
	for _, rec := range all {
		if rec.Network == n.conf.Name && !keep[rec.Key] {
			err = errors.Join(err, n.collect(ctx, rec.Key))
		}
	}
	return errors.Join(err, n.teardown.RemoveOrphans(ctx))
}

// gcPatience is how long GC waits for an attachment's lock.
const gcPatience = 2 * time.Second

// collect removes one attachment, unless a verb of its own is at work on it.
// Its address is the GC of the IPAM plugin's business.
func (n *node) collect(ctx context.Context, key attachment.Key) error {
	// podland may look at it just now; a verb takes longer, and is left alone.
	soon, cancel := context.WithTimeout(ctx, gcPatience)
	defer cancel()
	lock, err := n.store.Lock(soon, key)
	if err != nil {
		return fmt.Errorf("GC of %s: %w", key, err)
	}
	defer lock.Retire()
	rec, err := n.store.Get(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return n.teardown.Remove(ctx, rec)
}

// Status fails with code 50 if no ADD can succeed: the IPAM plugin says so, or
// the uplink is missing.
func (p Plugin) Status(args *skel.CmdArgs) error {
	conf, err := netconf.ParseBridge(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	return p.verb("STATUS", conf, args, func(ctx context.Context, n *node) error {
		if conf.Uplink != "" {
			if _, err := n.links.Link(conf.Uplink); err != nil {
				return types.NewError(uint(leaseapi.CodeNotAvailable), fmt.Sprintf("uplink %q is missing", conf.Uplink), err.Error())
			}
		}
		if conf.Service.On() {
			n.tell(n.store.Shortfalls(ctx, n.legs))
		}
		return n.delegate.run(ctx, "STATUS")
	})
}
