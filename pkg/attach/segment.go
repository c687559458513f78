package attach

import (
	"context"
	"errors"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/identity"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/segment"
)

// makeSureOfSegment makes the segment, with the intent on record before: whoever
// takes down what a killed ADD has left knows by it what to look for. All of it is
// done under the segment's locks, so that nobody lets it go in between.
func (a *add) makeSureOfSegment(ctx context.Context) error {
	spec := segmentSpec(a.conf)
	place, unlock, err := a.store.LockPlace(ctx, a.links, spec)
	if errors.Is(err, attachment.ErrNotLocked) {
		return notLocked(ctx, err)
	}
	if err != nil {
		return err
	}
	defer unlock()
	missing, err := segment.Missing(a.links, place)
	if err != nil {
		return err
	}
	if err := a.intend(place, missing); err != nil {
		return err
	}
	if a.segment, err = segment.Ensure(ctx, a.links, spec, place); err != nil {
		return err
	}
	return segment.Give(a.links, place, missing)
}

func segmentSpec(conf *netconf.Bridge) segment.Spec {
	return segment.Spec{Bridge: conf.Bridge, Uplink: conf.Uplink, MTU: conf.MTU, Promisc: conf.Promisc, VLANs: conf.VLANs}
}

// intend puts on record what is about to be made.
func (a *add) intend(place segment.Place, missing segment.Grant) error {
	if a.mac = a.conf.MAC; a.mac == nil {
		a.mac = identity.Attachment(a.conf.Name, a.args.IfName, a.conf.Pod.UID, a.args.ContainerID).MAC()
	}
	a.rec = a.rec.At(place)
	a.rec.MAC = a.mac.String()
	if err := a.decideOrder(); err != nil {
		return err
	}
	var err error
	if a.rec, err = a.rec.Stamped(a.conf.Budget + undoTime); err != nil {
		return err
	}
	a.rec = a.store.Claim(a.rec, missing)
	return a.record()
}
