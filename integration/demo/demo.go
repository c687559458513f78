package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/podlan/podlan/integration/lab"
)

// errInterrupted is why the demo ends when it is told to.
var errInterrupted = errors.New("interrupted")

// options say how the demo is performed.
type options struct {
	// name begins the names of named namespaces.
	name string
	// keep leaves the LAN standing, with named namespaces, until the context
	// ends.
	keep   bool
	colour bool
}

// demo is one performance.
type demo struct {
	opts options
	out  *printer
	root string // the module's
	bin  string // of our binaries
	// ended is closed when the demo is told to end; ignoreEnd lets it go on
	// nevertheless, abandon ends it at once.
	ended     <-chan struct{}
	ignoreEnd func() bool
	abandon   context.CancelCauseFunc

	// at is the step that is played.
	at string

	lab              *lab.Lab
	registry, client *lab.Host
	node             *lab.Node
	conf             []byte
	pods             []*pod
	services         services
	// bare is the node before its first Pod.
	bare inventory
}

// run performs the demo and tells in its last line how it went. When ctx ends,
// everything is taken down: at once, or where the LAN was left standing, in
// order.
func run(ctx context.Context, out io.Writer, opts options) error {
	d := &demo{opts: opts, out: &printer{out: out, colour: opts.colour}, ended: ctx.Done()}
	playCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	d.abandon = cancel
	d.ignoreEnd = context.AfterFunc(ctx, func() { cancel(errInterrupted) })
	started := time.Now()
	err := d.prepare()
	if err == nil {
		err = d.perform(playCtx)
	}
	if err != nil && d.at != "" {
		err = fmt.Errorf("%s: %w", d.at, err)
	}
	if errors.Is(context.Cause(playCtx), errInterrupted) {
		err = errInterrupted
	}
	d.out.verdict(err, d.summary(time.Since(started)))
	return err
}

// summary is the verdict of a demo that went well.
func (d *demo) summary(took time.Duration) string {
	text := fmt.Sprintf("%d Pods were machines on the LAN, and the DHCP server has every lease back; nothing is left.", len(d.pods))
	if d.opts.keep { // the time is that of who looked around
		return text
	}
	return text + fmt.Sprintf(" %.1f s.", took.Seconds())
}

// prepare looks for what the demo needs, before it makes anything.
func (d *demo) prepare() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: sudo make demo")
	}
	root, err := lab.ModuleRoot()
	if err != nil {
		return err
	}
	d.root, d.bin = root, filepath.Join(root, "bin")
	if bin := os.Getenv("PODLAN_BIN"); bin != "" {
		d.bin = bin
	}
	for _, program := range []string{"podlan-bridge", "podlan-dhcp", "podland", "podlan"} {
		if _, err := os.Stat(filepath.Join(d.bin, program)); err != nil {
			return fmt.Errorf("%w: run make build first, or make demo", err)
		}
	}
	return nil
}

// perform raises the lab and plays the steps in it.
func (d *demo) perform(ctx context.Context) error {
	if d.opts.keep {
		removeFolder, err := prepareNames(d.opts.name)
		if err != nil {
			return err
		}
		defer removeFolder()
	}
	logs := func(format string, args ...any) {
		// Who interrupts does not ask what went wrong.
		if !errors.Is(context.Cause(ctx), errInterrupted) {
			d.out.log(fmt.Sprintf(format, args...))
		}
	}
	opts := lab.Options{Bin: d.bin, Name: d.opts.name, Named: d.opts.keep}
	return lab.Run(ctx, logs, opts, func(l *lab.Lab) error {
		d.lab = l
		defer d.services.stop()
		return d.play(ctx)
	})
}

// step is one part of the play.
type step struct {
	title string
	act   func(context.Context) error
}

func (d *demo) play(ctx context.Context) error {
	steps := []step{
		{"A LAN, with nothing of a cluster in it but one node", d.raise},
		{"Three Pods join the LAN", d.attach},
		{"A Pod registers its own address, and it works outside the cluster", d.register},
		{"Pods and node reach one another", d.reach},
		{"podland is killed, and started again", d.restart},
	}
	if d.opts.keep {
		steps = append(steps, step{"The LAN stands", d.stand})
	}
	steps = append(steps, step{"The Pods are deleted, and everything is given back", d.remove})
	for i, s := range steps {
		d.out.headline(i+1, s.title)
		d.at = fmt.Sprintf("step %d, %q", i+1, s.title)
		if err := s.act(ctx); err != nil {
			return err
		}
	}
	return nil
}
