package daemon

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/netconf"
)

// living are the attachments whose ADDs have finished, and whose Pods are there: a
// dead one's path may be another namespace's by now, and a former boot's networks are
// no news.
func (k *legs) living(records []attachment.Record) (alive []attachment.Record) {
	var err error
	if k.bootID == "" {
		k.bootID, err = boottime.BootID()
		k.report("this boot's ID", err)
	}
	for _, rec := range records {
		if rec.State == attachment.Ready && err == nil && attachment.FateOf(rec, k.bootID, boottime.Now()) == attachment.Alive {
			alive = append(alive, rec)
		}
	}
	return alive
}

// latestServices are the networks' ways as their latest ADDs have been told, all of
// one boot.
func latestServices(records []attachment.Record) map[string]netconf.Service {
	latest, at := map[string]netconf.Service{}, map[string]attachment.Record{}
	for _, rec := range records {
		// Deadlines rise with the ADDs' times.
		if was, ok := at[rec.Network]; !ok || rec.Deadline > was.Deadline {
			latest[rec.Network], at[rec.Network] = rec.Service, rec
		}
	}
	return latest
}

// never is what a Pod lacks that has no leg, though one made now would.
func (k *legs) never(rec attachment.Record, latest netconf.Service) (behind []string) {
	if rec.Leg == "" && latest.On() {
		for _, cidr := range latest.CIDRs {
			behind = append(behind, cidr.String())
		}
	}
	return behind
}

// now is the record as an ADD would write it; with an error, the node's address
// is the former one.
func (k *legs) now(rec attachment.Record, latest netconf.Service) (attachment.Record, error) {
	if latest.On() { // what is off is so for Pods to come
		rec.Service = latest
	}
	nodeIP, err := k.own.NodeIP(rec.Service)
	if err == nil {
		rec.NodeIP = nodeIP
	}
	return rec, err
}

// sameNode tells whether the node's side is the same by both records.
func sameNode(a, b attachment.Record) bool {
	return a.NodeIP == b.NodeIP && a.Service.Mode == b.Service.Mode && a.Service.NodeIP == b.Service.NodeIP
}

// lacks says what the Pod's side lacks of what is wanted. What it has beyond that
// leads astray: an address that has left the node may be another's.
func (k *legs) lacks(has, want attachment.Record) (lacks []string, err error) {
	side, err := want.SideNow(k.links, k.own)
	if err != nil {
		return nil, err
	}
	for _, cidr := range side.CIDRs {
		if !slices.Contains(has.Service.CIDRs, cidr) {
			lacks = append(lacks, cidr.String())
		}
	}
	for _, addr := range side.NodeAddrs {
		if !slices.Contains(has.PodSide.NodeAddrs, addr) {
			lacks = append(lacks, netip.PrefixFrom(addr, addr.BitLen()).String())
		}
	}
	for _, cidr := range has.Service.CIDRs {
		if !slices.Contains(side.CIDRs, cidr) {
			lacks = append(lacks, fmt.Sprintf("word that %s is no network of Services", cidr))
		}
	}
	for _, addr := range has.PodSide.NodeAddrs {
		if !slices.Contains(side.NodeAddrs, addr) {
			lacks = append(lacks, fmt.Sprintf("word that %s has left the node", addr))
		}
	}
	if mac := side.LegMAC.String(); mac != has.PodSide.LegMAC {
		lacks = append(lacks, "the node's MAC "+mac)
	}
	return lacks, nil
}
