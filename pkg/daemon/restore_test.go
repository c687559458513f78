package daemon

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

func (r *reconciled) newRestorer() *restorer {
	return newRestorer(r.teardown, true, slog.New(slog.DiscardHandler), func(string) {})
}

// restored is a node on which a restorer runs until the test's end.
func (r *reconciled) restored(t *testing.T) (attachment.Record, *restorer) {
	t.Helper()
	rec, _ := r.attached(t)
	restorer := r.newRestorer()
	r.runs(t, restorer)
	return rec, restorer
}

// runs runs the restorer until the test's end.
func (r *reconciled) runs(t *testing.T, restorer *restorer) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		restorer.run(ctx)
	}()
	t.Cleanup(func() {
		end()
		<-ended
	})
}

// stands tells whether the port is held as its ADD left it.
func (r *reconciled) holds(t *testing.T, rec attachment.Record) bool {
	t.Helper()
	link, err := r.Link(rec.HostEnd)
	must(t, err)
	bridge, err := r.Link(rec.Bridge)
	if err != nil {
		return false
	}
	port, err := r.Port(link.Attrs().Index)
	return err == nil && port.Bridge == bridge.Attrs().Index && port.Flags.Locked && !port.Flags.Learning && rtnl.HasCarrier(link) &&
		r.teardown.Guard.Check(t.Context(), rec.GuardPort()) == nil
}

// flushRuleset is `nft flush ruleset`.
func (r *reconciled) flushRuleset(t *testing.T) {
	t.Helper()
	r.ChangeNFT(t, func(c *nftables.Conn) { c.FlushRuleset() })
}

func TestWhatHoldsAPortIsPutBack(t *testing.T) {
	cases := map[string]func(t *testing.T, r *reconciled, rec attachment.Record){
		"the ruleset is flushed": func(t *testing.T, r *reconciled, _ attachment.Record) {
			t.Helper()
			r.flushRuleset(t)
		},
		"the port is detached": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			must(t, r.SetNoMaster(r.Must(t, rec.HostEnd).Attrs().Index))
		},
		"its flags are changed": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			must(t, r.SetPortFlags(r.Must(t, rec.HostEnd).Attrs().Index, rtnl.PortFlags{Learning: true, Flood: true}))
		},
		"the bridge is deleted and made anew": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			must(t, r.Delete(rec.Bridge))
			await(t, "the port is down while there is no bridge", func() bool { return !rtnl.HasCarrier(r.Must(t, rec.HostEnd)) })
			r.Bridge(t, rec.Bridge)
		},
	}
	for name, disturb := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReconciled(t)
			rec, restorer := r.restored(t)
			await(t, "all stands", func() bool { return r.holds(t, rec) })
			disturb(t, r, rec)
			if name == "the bridge is deleted and made anew" {
				restorer.wake() // nothing tells of a bridge that is made
			}
			await(t, "all stands again", func() bool { return r.holds(t, rec) })
		})
	}
}

func TestAClosedPortIsNotOpenedByRestoringIt(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	r.lose(rec.Key, "expired")
	must(t, r.follower.follow(t.Context(), rec.Key))
	rec.Closed = "expired"
	r.flushRuleset(t)
	r.newRestorer().once(t.Context())
	if !r.closed(t, rec) {
		t.Error("it is open")
	}
}

// The kernel tells of flags that are set, changed or not: who sets them whenever
// it is told would never rest.
func TestWhatStandsIsNotTouched(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	must(t, pod.WaitForwarding(t.Context(), r.Handle, rec.HostEnd)) // of which the bridge tells too
	restorer := r.newRestorer()
	restorer.count = func(event string) { t.Errorf("%s", event) }
	var told *nl.NetlinkSocket
	must(t, r.Do(func() (err error) {
		told, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
		return err
	}))
	defer told.Close()
	restorer.once(t.Context())
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(told.GetFd(), buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) { // events are queued before their cause returns
			return
		}
		must(t, err)
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		must(t, err)
		for _, m := range messages {
			if m.Header.Type == unix.RTM_NEWLINK && m.Data[0] == unix.AF_BRIDGE {
				t.Error("podland set the port's flags")
			}
		}
	}
}
