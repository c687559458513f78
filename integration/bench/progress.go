package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells a waiting person what is being done.
type progress struct {
	w     io.Writer
	began time.Time
}

func newProgress(w io.Writer) progress { return progress{w: w, began: time.Now()} }

// logf prints a line with the time since the beginning.
func (p progress) logf(format string, args ...any) {
	s := int(time.Since(p.began).Seconds())
	fmt.Fprintf(p.w, "%02d:%02d "+format+"\n", append([]any{s / 60, s % 60}, args...)...)
}
