package guard

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
)

// Events tells when somebody has changed the table who is not this Guard and
// does not change it as a plugin does.
type Events struct {
	all  *nft.Events
	own  *atomic.Uint32
	seen transaction
}

// Watch subscribes to the changes of nftables. Look at the state (Restore) after
// Watch, not before, and again after every Wait. At an Add, Set or Remove of a
// plugin Wait goes on; when one installs the table, it returns.
func (g *Guard) Watch() (*Events, error) {
	e := &Events{own: &g.port}
	err := g.inside(func() (err error) {
		e.all, err = nft.Watch()
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	return e, nil
}

// Wait returns when the table may not be as it was, or with ctx's error. What
// was lost because too much came at once counts as a change.
func (e *Events) Wait(ctx context.Context) error {
	for {
		events, err := e.all.Next(ctx)
		if errors.Is(err, nft.ErrLost) {
			e.seen = transaction{}
			return nil
		}
		if err != nil || e.take(events) {
			return err
		}
	}
}

// Close ends the subscription.
func (e *Events) Close() { e.all.Close() }

// take takes in events; a transaction ends with that of its generation.
func (e *Events) take(events []nft.Event) (changed bool) {
	for _, ev := range events {
		switch {
		case ev.Kind == unix.NFT_MSG_NEWGEN:
			changed = changed || e.seen.foreign()
			e.seen = transaction{}
		case ev.Port != e.own.Load() && (nft.Table{Family: ev.Family, Name: ev.Table}) == table():
			e.seen.note(ev)
		}
	}
	return changed
}

// transaction is what one has done to the table so far.
type transaction struct {
	structure bool // the table, a chain, a rule, a set
	removed   bool // elements of sets that rules look at, or notes
	notePut   bool // in the set of ports
}

// foreign: plugins touch elements only, and put a note whenever they remove some,
// if only the one of a farewell.
func (t *transaction) foreign() bool { return t.structure || t.removed && !t.notePut }

func (t *transaction) note(ev nft.Event) {
	switch ev.Kind {
	case unix.NFT_MSG_NEWSETELEM:
		t.notePut = t.notePut || strings.HasPrefix(ev.Name, setPortsPrefix)
	case unix.NFT_MSG_DELSETELEM:
		t.removed = t.removed || ev.Name != setDrops
	case unix.NFT_MSG_NEWOBJ, unix.NFT_MSG_DELOBJ:
	default:
		t.structure = true
	}
}
