package daemon

import (
	"github.com/podlan/podlan/pkg/attachment"
)

// superseded tells whether a later port of the same segment bears the record's
// MAC: a retried sandbox has its Pod's. The bridge has one entry for a MAC, and
// the later port's stays. Links count their indices upwards.
func (r *restorer) superseded(rec attachment.Record, all func() ([]attachment.Record, error)) (bool, error) {
	records, err := all()
	if err != nil {
		return false, err
	}
	own := r.indexOf(rec)
	for _, other := range records {
		if other.Key != rec.Key && other.MAC == rec.MAC && other.Bridge == rec.Bridge && other.PVID() == rec.PVID() && r.indexOf(other) > own {
			return true, nil
		}
	}
	return false, nil
}

// indexOf is the host end's, 0 if there is none.
func (r *restorer) indexOf(rec attachment.Record) int {
	link, err := r.links.Link(rec.HostEnd)
	if err != nil {
		return 0
	}
	return link.Attrs().Index
}
