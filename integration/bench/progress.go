package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// progress tells a waiting person what is being done.
type progress struct {
	w     io.Writer
	began time.Time
	// over: nobody waits any more, and what fails is no news.
	over <-chan struct{}
}

func newProgress(ctx context.Context, w io.Writer) progress {
	return progress{w: w, began: time.Now(), over: ctx.Done()}
}

// logf prints a line with the time since the beginning.
func (p progress) logf(format string, args ...any) {
	select {
	case <-p.over:
		return
	default:
	}
	s := int(time.Since(p.began).Seconds())
	fmt.Fprintf(p.w, "%02d:%02d "+format+"\n", append([]any{s / 60, s % 60}, args...)...)
}
