package daemon

import (
	"errors"
	"io/fs"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// verdict is what can be said of a pending lease.
type verdict int

const (
	// unknown: not to be told; the lease is kept, doubt being in its favour.
	unknown verdict = iota
	confirmed
	refuted
)

// byRecord asks the attachment's record: "ready" is podlan-bridge's word that
// the ADD has finished.
func byRecord(store *attachment.Store, key attachment.Key) verdict {
	rec, err := store.Get(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuted
	case err != nil:
		return unknown
	case rec.State == attachment.Ready:
		return confirmed
	}
	return refuted
}

// byAddress asks the Pod's interface, for main plugins that are not ours.
// Without Pod access it can only tell whether the namespace is still there.
func byAddress(netns, ifName, address string) verdict {
	if _, err := pod.NetnsInode(netns); errors.Is(err, fs.ErrNotExist) {
		return refuted
	}
	h, err := rtnl.At(netns)
	if err != nil {
		return unknown
	}
	defer h.Close()
	link, err := h.Link(ifName)
	if errors.Is(err, rtnl.ErrNotFound) {
		return refuted
	}
	if err != nil {
		return unknown
	}
	addrs, err := h.Addrs(link.Attrs().Index)
	if err != nil {
		return unknown
	}
	for _, a := range addrs {
		if a.IPNet.String() == address {
			return confirmed
		}
	}
	return refuted
}
