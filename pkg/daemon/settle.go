package daemon

import (
	"context"
	"errors"
	"io/fs"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/statefile"
)

// gone says why the attachment's Pod, or its port, is not there any more; ""
// if it is.
func (r *reconciler) gone(p *pass, rec attachment.Record, fate attachment.Fate) string {
	switch {
	case fate == attachment.Orphaned && rec.BootID != r.bootID:
		return "the node has been rebooted"
	case fate == attachment.Orphaned:
		return "its network namespace is gone"
	case rec.State == attachment.Ready && p.links != nil && !p.links[rec.HostEnd]:
		return "its host end is gone"
	}
	return ""
}

// hostEnds are the links that are there, nil if they cannot be listed.
func (r *reconciler) hostEnds() map[string]bool {
	links, err := r.teardown.Links.Links()
	r.report("links", err)
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, link := range links {
		names[link.Attrs().Name] = true
	}
	return names
}

// settle takes an attachment down for which no DEL will come, unless a verb is
// at work on it.
func (r *reconciler) settle(ctx context.Context, seen attachment.Record, why string) {
	key := seen.Key
	lock, err := r.store.TryLock(key)
	if errors.Is(err, statefile.ErrLocked) {
		return
	}
	if err != nil {
		r.report("attachment "+key.String(), err)
		return
	}
	defer lock.Retire()
	// It may have been taken up anew since it was read.
	rec, err := r.store.Get(key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (rec.Netns != seen.Netns || rec.NetnsInode != seen.NetnsInode || rec.State != seen.State) {
		return
	}
	if err == nil {
		err = errors.Join(r.teardown.CloseUp(rec), r.release(ctx, rec), r.teardown.Remove(ctx, rec))
	}
	r.report("attachment "+key.String(), err)
	if err == nil {
		r.log.Info("took down what no DEL came for", "key", key.String(), "why", why)
	}
}

// release gives the lease back. After a reboot it stays for a while: the same
// Pod will come with another sandbox, and shall have the same address.
func (r *reconciler) release(ctx context.Context, rec attachment.Record) error {
	if rec.BootID != r.bootID {
		return nil
	}
	return r.leases.Release(ctx, rec.Key)
}

// restore is for an attachment of whose lease podland knows nothing: its file
// is lost, or another sandbox of the Pod has it.
func (r *reconciler) restore(ctx context.Context, p *pass, rec attachment.Record) error {
	if rec.Lease == nil || len(rec.Addrs) != 1 {
		return nil // an older podlan-bridge's
	}
	lock, rec, err := r.store.TryTake(rec.Key)
	if notNow(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	if rec.State != attachment.Ready {
		return nil
	}
	if owner, taken := p.owner[clientOf(rec.Lease.MAC, rec.Lease.ClientID)]; taken {
		return r.follower.close(ctx, rec, "another sandbox of the Pod has its lease: "+owner.ContainerID)
	}
	if err := r.follower.close(ctx, rec, "its lease file is gone; asking the server for it again"); err != nil {
		return err
	}
	return r.leases.Recover(rec.Key, *rec.Lease, rec.Addrs[0])
}

// leasesAlone gives back the leases to which no attachment belongs any more.
func (r *reconciler) leasesAlone(ctx context.Context, p *pass) {
	held := r.leases.Held()
	r.follower.foreign.all(ctx, held, p.leased, r.report)
	for _, h := range held {
		why := ""
		switch h.Request.Confirm {
		case leaseapi.ByRecord:
			if !p.record[h.Key] {
				why = "it has no attachment"
			}
		case leaseapi.ByAddress:
			if _, err := pod.NetnsInode(h.Request.Netns); errors.Is(err, fs.ErrNotExist) {
				why = "its network namespace is gone"
			}
		}
		if why == "" || r.wrong.age("alone "+h.Key.String(), p.now) < r.settleAfter {
			continue
		}
		r.log.Info("giving back a lease that nobody uses", "key", h.Key.String(), "why", why)
		r.report("lease "+h.Key.String(), r.leases.Release(ctx, h.Key))
	}
}
