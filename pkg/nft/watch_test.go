package nft_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func watch(t *testing.T, n *rtnltest.Netns) *nft.Events {
	t.Helper()
	var e *nft.Events
	must(t, n.Do(func() (err error) {
		e, err = nft.Watch()
		return err
	}))
	t.Cleanup(e.Close)
	return e
}

// transaction returns the events until one ends.
func transaction(t *testing.T, e *nft.Events) (all []nft.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		some, err := e.Next(ctx)
		must(t, err)
		all = append(all, some...)
		if all[len(all)-1].Kind == unix.NFT_MSG_NEWGEN {
			return all
		}
	}
}

func TestEventsNameWhatChangedAndWhoChangedIt(t *testing.T) {
	n := rtnltest.New(t)
	c, tab := dial(t, n), table(unix.NFPROTO_BRIDGE)
	e := watch(t, n)
	must(t, send(c, tab, install))
	must(t, send(c, tab, func(b *nft.Batch) { b.Take("ports", []nft.Element{{Key: key(1)}}) }))
	of := func(kind uint16, name string) nft.Event {
		return nft.Event{Kind: kind, Family: tab.Family, Port: c.Port(), Table: tab.Name, Name: name}
	}
	seen := make(map[nft.Event]bool)
	for _, ev := range transaction(t, e) {
		seen[ev] = true
	}
	for _, want := range []nft.Event{
		of(unix.NFT_MSG_NEWTABLE, ""), of(unix.NFT_MSG_NEWOBJ, "count"), of(unix.NFT_MSG_NEWSET, "nets"),
		of(unix.NFT_MSG_NEWCHAIN, "called"), of(unix.NFT_MSG_NEWRULE, "first"), of(unix.NFT_MSG_NEWSETELEM, "shown"),
	} {
		if !seen[want] {
			t.Errorf("%+v is missing from %+v", want, seen)
		}
	}
	end := nft.Event{Kind: unix.NFT_MSG_NEWGEN, Port: c.Port()}
	if diff := cmp.Diff([]nft.Event{of(unix.NFT_MSG_DELSETELEM, "ports"), end}, transaction(t, e)); diff != "" {
		t.Error(diff)
	}
}

func TestWhoIsTooSlowForTheEventsIsTold(t *testing.T) {
	n := rtnltest.New(t)
	c, tab := dial(t, n), table(unix.NFPROTO_BRIDGE)
	must(t, send(c, tab, install))
	e := watch(t, n)
	els := make([]nft.Element, 20_000)
	for i := range els {
		els[i].Key = key(i + 2)
	}
	must(t, send(c, tab, func(b *nft.Batch) { b.Put("ports", els) }))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := e.Next(ctx)
		if errors.Is(err, nft.ErrLost) {
			break
		}
		must(t, err)
	}
	// What was kept is read first; before that, the kernel drops what comes.
	again := nft.Table{Family: unix.NFPROTO_BRIDGE, Name: "again"}
	for !hears(t, e, again.Name) {
		must(t, ctx.Err())
		must(t, send(c, again, (*nft.Batch).DropTable))
	}
}

// hears tells whether an event of the table comes before it is quiet for a second.
func hears(t *testing.T, e *nft.Events, table string) bool {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		events, err := e.Next(ctx)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return false
		case errors.Is(err, nft.ErrLost):
			continue
		}
		must(t, err)
		if slices.ContainsFunc(events, func(ev nft.Event) bool { return ev.Table == table }) {
			return true
		}
	}
}

func TestEventsEndWithTheContext(t *testing.T) {
	e := watch(t, rtnltest.New(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
