package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// ANSI's ways to print (ECMA-48 §8.3.117).
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

const indent = "   "

// printer lays the demo out for a person: a headline per step, under it what is
// done and what was seen.
type printer struct {
	out    io.Writer
	colour bool
}

func (p *printer) paint(style, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (p *printer) headline(n int, title string) {
	fmt.Fprintf(p.out, "\n%s  %s\n", p.paint(cyan, fmt.Sprint(n)), p.paint(bold, title))
}

// gap ends a line that somebody else began.
func (p *printer) gap() { fmt.Fprintln(p.out) }

// does tells what is done now.
func (p *printer) does(format string, args ...any) {
	fmt.Fprintf(p.out, "%s%s %s\n", indent, p.paint(cyan, "→"), fmt.Sprintf(format, args...))
}

// saw tells what came of it.
func (p *printer) saw(format string, args ...any) {
	fmt.Fprintf(p.out, "%s%s %s\n", indent, p.paint(green, "✓"), fmt.Sprintf(format, args...))
}

// command tells what a person would type.
func (p *printer) command(line string) {
	fmt.Fprintf(p.out, "%s%s %s\n", indent, p.paint(dim, "$"), line)
}

// block prints lines as they are, farther in.
func (p *printer) block(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(p.out, "%s  %s\n", indent, strings.TrimRight(line, "\n"))
	}
}

// table prints rows under a head, columns aligned.
func (p *printer) table(head []string, rows ...[]string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	// Painted afterwards: tabwriter would count the escapes as text.
	first, rest, _ := strings.Cut(b.String(), "\n")
	p.block(p.paint(dim, first) + "\n" + rest)
}

// log prints a program's log, which a failure is explained by.
func (p *printer) log(text string) {
	fmt.Fprintln(p.out)
	for line := range strings.Lines(text) {
		fmt.Fprintf(p.out, "%s%s\n", indent, p.paint(dim, strings.TrimRight(line, "\n")))
	}
}

// verdict is the last line.
func (p *printer) verdict(err error, summary string) {
	failed := p.paint(red, "✗")
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintf(p.out, "\n%s The demo was interrupted; its LAN is removed.\n", failed)
	case err != nil:
		fmt.Fprintf(p.out, "\n%s The demo failed: %v\n", failed, err)
	default:
		fmt.Fprintf(p.out, "\n%s %s\n", p.paint(green, "✓"), p.paint(bold, summary))
	}
}

// ms writes a time as a person compares it.
func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
