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
}

// report logs an error when it is new, and its end.
func (r *reports) report(what string, err error) {
	if r.told == nil {
		r.told = map[string]string{}
	}
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
