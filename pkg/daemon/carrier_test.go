package daemon

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// verifiedUplinks returns what has been verified so far.
func (f *fakeLeases) verifiedUplinks() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.verified)
}

// watch watches until the test's end.
func (r *reconciled) watch(t *testing.T, uplinks ...string) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	t.Cleanup(func() {
		end()
		r.carriers.all.Wait()
	})
	r.carriers.watch(ctx, uplinks)
}

// uplinked is a Pod with an address that is not leased, on a bridge whose uplink
// eth1 is watched: its conf names none, it is found. It returns the other end of
// the cable and a socket that hears ARP there.
func (r *reconciled) uplinked(t *testing.T) (there *rtnltest.Netns, cable, heard int) {
	t.Helper()
	there = rtnltest.New(t)
	uplink := r.Cable(t, "eth1", there, "switch")
	rec, _ := r.attached(t)
	must(t, r.SetMaster(uplink, r.Must(t, "lan0").Attrs().Index))
	rec.IPAM, rec.Addrs = "host-local", []netip.Prefix{netip.MustParsePrefix("198.51.100.7/24")}
	must(t, r.store.Put(rec))
	heard = there.PacketSocket(t, "switch", unix.ETH_P_ARP)
	r.watch(t, "eth1", "eth1", "")
	return there, there.Must(t, "switch").Attrs().Index, heard
}

// carrierReturns pulls the cable and puts it in again.
func (r *reconciled) carrierReturns(t *testing.T, there *rtnltest.Netns, cable int) {
	t.Helper()
	must(t, there.SetDown(cable))
	must(t, there.SetUp(cable))
	await(t, "the leases of eth1 are verified", func() bool {
		return slices.Contains(r.verifiedUplinks(), "eth1") && slices.Contains(r.verifiedUplinks(), "lan0")
	})
}

// awaitAnnouncement reads until 198.51.100.7 is announced.
func awaitAnnouncement(t *testing.T, heard int) {
	t.Helper()
	frame := make([]byte, 128)
	patience := unix.NsecToTimeval(rtnltest.Stretch(time.Minute).Nanoseconds())
	must(t, unix.SetsockoptTimeval(heard, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
	for {
		n, err := unix.Read(heard, frame)
		if errors.Is(err, unix.ENETDOWN) {
			continue // told once
		}
		if err != nil {
			t.Fatalf("no announcement: %v", err)
		}
		if n >= 42 && slices.Equal(frame[28:32], []byte{198, 51, 100, 7}) && slices.Equal(frame[38:42], frame[28:32]) {
			return
		}
	}
}

func TestWhenAnUplinksCarrierReturnsLeasesAreVerifiedAndOtherAddressesAnnounced(t *testing.T) {
	r := newReconciled(t)
	there, cable, heard := r.uplinked(t)
	r.carrierReturns(t, there, cable)
	awaitAnnouncement(t, heard)
}

// A bridge hears of the carrier later than podland, or lets the port wait by STP.
func TestAddressesAreAnnouncedOnceTheBridgeForwardsByTheUplink(t *testing.T) {
	r := newReconciled(t)
	there, cable, heard := r.uplinked(t)
	bridge := r.Must(t, "lan0").Attrs().Index
	must(t, r.SetDown(bridge))
	r.carrierReturns(t, there, cable)
	must(t, r.SetUp(bridge))
	awaitAnnouncement(t, heard)
}

func TestAnUplinkThatIsMadeAnewIsWatchedAgain(t *testing.T) {
	r := newReconciled(t)
	lan := rtnltest.New(t)
	r.Cable(t, "eth1", lan, "switch")
	r.watch(t, "eth1")
	must(t, r.Delete("eth1"))
	r.Cable(t, "eth1", lan, "switch")
	await(t, "the leases of eth1 are verified", func() bool { return len(r.verifiedUplinks()) > 0 })
}

func TestAnUplinkThatNobodyUsesIsNotWatched(t *testing.T) {
	r := newReconciled(t)
	r.watch(t, "eth1", "eth2")
	r.watch(t, "eth2")
	if len(r.carriers.watched) != 1 || r.carriers.watched["eth2"] == nil {
		t.Errorf("watched: %v", r.carriers.watched)
	}
}

func TestTheUplinksOfTheNode(t *testing.T) {
	r := newReconciled(t)
	lan := rtnltest.New(t)
	uplink := r.Cable(t, "eth1", lan, "switch")
	bridge := r.Bridge(t, "lan0")
	must(t, r.SetMaster(uplink, bridge))
	got := r.uplinks([]attachment.Record{{Uplink: "eth7"}, {Bridge: "lan0"}, {Bridge: "lan0"}}, nil)
	if !slices.Contains(got, "eth7") || !slices.Contains(got, "eth1") {
		t.Errorf("%q", got)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(rtnltest.Stretch(time.Minute)); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
