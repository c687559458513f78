package daemon

import (
	"testing"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// beside is what the ADD of another sandbox leaves: a later port beside that of
// rec.
func (r *reconciled) beside(t *testing.T, rec attachment.Record, sandbox, mac string) attachment.Record {
	t.Helper()
	rec.ContainerID, rec.MAC = sandbox, mac
	rec.HostEnd = attachment.HostEnd(rec.Key, true)
	there := rtnltest.New(t)
	must(t, pod.Create(t.Context(), r.Handle, pod.Spec{
		HostEnd: rec.HostEnd, Netns: there.Path, IfName: "eth0", MAC: rec.HardwareAddr(), BridgeMTU: 1500, Alias: "podlan:1:" + rec.Hash(),
	}))
	must(t, r.store.Put(rec))
	must(t, r.teardown.Guard.Add(t.Context(), rec.GuardPort()))
	must(t, pod.Join(t.Context(), r.Handle, rec.HostEnd, r.Must(t, rec.Bridge).Attrs().Index, rec.HardwareAddr(), rec.PortFlags(false)))
	return rec
}

// A retried sandbox bears its Pod's MAC before the first one's end is known: the
// bridge has one entry for both.
func TestTheEntryOfARetriedSandboxIsNotGivenBackToTheFirst(t *testing.T) {
	r := newReconciled(t)
	first, _ := r.attached(t)
	second := r.beside(t, first, "retried", first.MAC)
	restorer := r.newRestorer()
	restorer.count = func(event string) { t.Errorf("%s", event) }
	restorer.once(t.Context())
	has, err := r.HasFDB(r.Must(t, second.HostEnd).Attrs().Index, second.HardwareAddr())
	if err != nil || !has {
		t.Errorf("the retried sandbox has its entry: %t, %v", has, err)
	}
}

// A bridge that is made anew has lost all of its ports, hundreds maybe.
func TestTheRecordsAreReadAsOftenForManyPortsAsForOne(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	ports := []attachment.Record{rec, r.beside(t, rec, "second", "02:00:00:00:00:02"), r.beside(t, rec, "third", "02:00:00:00:00:03")}
	restorer := r.newRestorer()
	reads := 0
	restorer.records = func() ([]attachment.Record, error) {
		reads++
		return r.store.All()
	}
	var took []int
	for _, fallen := range [][]attachment.Record{ports[2:], ports} {
		for _, rec := range fallen {
			must(t, r.SetNoMaster(r.Must(t, rec.HostEnd).Attrs().Index))
		}
		before := reads
		restorer.once(t.Context())
		took = append(took, reads-before)
		for _, rec := range fallen {
			if r.Must(t, rec.HostEnd).Attrs().MasterIndex == 0 {
				t.Errorf("the port of %s is not back in its bridge", rec.ContainerID)
			}
		}
	}
	if took[0] != took[1] {
		t.Errorf("reads for one port and for three: %v", took)
	}
}
