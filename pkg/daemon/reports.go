package daemon

import (
	"context"
	"errors"
	"log/slog"
)

// reports logs what fails again and again once, and its end. It is one
// goroutine's.
type reports struct {
	log  *slog.Logger
	told map[string]string // what was logged of what still fails
	seen map[string]bool   // in this pass
}

// report logs an error when it is new, and its end.
func (r *reports) report(what string, err error) {
	if r.told == nil {
		r.told, r.seen = map[string]string{}, map[string]bool{}
	}
	r.seen[what] = true
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && r.told[what] != "":
		delete(r.told, what)
		r.log.Info("all right again", "what", what)
	case err != nil && r.told[what] != err.Error():
		r.told[what] = err.Error()
		r.log.Error("not all right", "what", what, "error", err)
	}
}

// turn ends a pass: what was not looked at is not there any more.
func (r *reports) turn() {
	for what := range r.told {
		if !r.seen[what] {
			delete(r.told, what)
		}
	}
	clear(r.seen)
}
