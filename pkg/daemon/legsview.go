package daemon

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
)

// legsView gathers what a look at all legs tells people.
type legsView struct {
	told     leaseapi.Services
	networks map[string]*leaseapi.ServiceNetwork
}

func newView(bridged bool) *legsView {
	return &legsView{told: leaseapi.Services{BridgeNF: bridged}, networks: map[string]*leaseapi.ServiceNetwork{}}
}

// pod adds one, with what it lacks.
func (v *legsView) pod(rec attachment.Record, latest netconf.Service, behind []string) {
	if rec.PodSide.NoReplies {
		behind = append(behind, "answers by the node: no nftables in its namespace")
	}
	if len(behind) > 0 {
		lacking := leaseapi.PodBehind{Key: rec.Key, Lacks: behind}
		if rec.Lease != nil {
			lacking.Pod = rec.Lease.Pod
		}
		v.told.Behind = append(v.told.Behind, lacking)
	}
	if rec.Leg == "" {
		return
	}
	n := v.networks[rec.Network]
	if n == nil {
		if !latest.On() {
			latest = rec.Service
		}
		n = &leaseapi.ServiceNetwork{Network: rec.Network, Mode: string(latest.Mode), CIDRs: latest.CIDRs, NodeIP: rec.NodeIP}
		v.networks[rec.Network] = n
	}
	n.Pods++
}

// failed adds what could not be restored.
func (v *legsView) failed(err error) {
	var problems []string
	for _, e := range each(err) {
		if u, ok := errors.AsType[*leg.ByHandError](e); ok {
			v.told.ByHand = append(v.told.ByHand, u.Command)
		} else {
			problems = append(problems, e.Error())
		}
	}
	v.told.Problem = strings.Join(problems, "; ")
}

// each returns the errors that errors.Join has made one of.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = slices.Concat(all, each(e))
	}
	return all
}

// services is the view, nil if no Pod has or lacks a leg.
func (v *legsView) services() *leaseapi.Services {
	if len(v.networks)+len(v.told.Behind) == 0 {
		return nil
	}
	v.told.Networks = []leaseapi.ServiceNetwork{}
	for _, name := range slices.Sorted(maps.Keys(v.networks)) {
		v.told.Networks = append(v.told.Networks, *v.networks[name])
	}
	slices.SortFunc(v.told.Behind, func(a, b leaseapi.PodBehind) int { return strings.Compare(a.String(), b.String()) })
	return &v.told
}
