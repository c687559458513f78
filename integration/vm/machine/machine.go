// Package machine boots a virtual machine with a Debian kernel in which the
// host's own programs run: it shows the host's file system, and what the guest
// writes goes to a layer in memory. It is for what a build machine's kernel
// lacks, and needs no root and no network. A program that boots one calls
// agent.Main first.
package machine

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/podlan/podlan/integration/vm/agent"
)

// How long a boot may take. In plain emulation it takes seven seconds on a quiet
// machine; with KVM, two.
const (
	bootBudget    = 3 * time.Minute
	bootBudgetKVM = 30 * time.Second
)

// closeBudget is how long a machine has to power off before it is switched off.
const closeBudget = 20 * time.Second

// Options say what the machine has.
type Options struct {
	// NICs is the number of virtio NICs, eth0 and on. Two and two are joined by
	// a cable: eth0 with eth1, eth2 with eth3.
	NICs int
}

// Machine is a booted virtual machine. It is not safe for concurrent use.
type Machine struct {
	// Release is the guest's kernel, as uname -r has it.
	Release string

	cmd     *exec.Cmd
	dir     string
	conn    net.Conn
	out     *gob.Encoder
	in      *gob.Decoder
	console *console
	ended   chan struct{} // closed when QEMU is no more
}

// Boot starts a machine and returns when it takes commands.
func Boot(ctx context.Context, o Options) (*Machine, error) {
	im, err := findImage(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, accel := range accels() {
		m, err := boot(ctx, o, accel, im)
		if err == nil || ctx.Err() != nil {
			return m, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func boot(ctx context.Context, o Options, accel string, im image) (*Machine, error) {
	budget := bootBudget
	if accel == kvm {
		budget = bootBudgetKVM
	}
	ctx, cancel := context.WithTimeoutCause(ctx, budget, fmt.Errorf("the virtual machine (%s) was not up after %s", accel, budget))
	defer cancel()
	dir, err := os.MkdirTemp("", "podlan-vm-")
	if err != nil {
		return nil, fmt.Errorf("folder for the virtual machine: %w", err)
	}
	m := &Machine{dir: dir, console: &console{}, ended: make(chan struct{})}
	if err := m.start(ctx, o, accel, im); err != nil {
		m.stop()
		return nil, err
	}
	if err := m.awaitReady(ctx); err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

// start runs QEMU and waits for it to call back.
func (m *Machine) start(ctx context.Context, o Options, accel string, im image) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("path of the agent: %w", err)
	}
	socket := filepath.Join(m.dir, "agent")
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("socket for the agent: %w", err)
	}
	defer listener.Close()
	// Not ended by ctx, which is only the boot's.
	cmd, err := qemu(context.WithoutCancel(ctx), arguments(o, accel, im, self, socket))
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = m.console, m.console
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start QEMU: %w", err)
	}
	m.cmd = cmd
	go func() {
		_ = cmd.Wait() // how it ended, the console tells
		_ = listener.Close()
		close(m.ended)
	}()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	if m.conn, err = listener.Accept(); err != nil {
		return m.failed(ctx, err)
	}
	m.in, m.out = gob.NewDecoder(m.conn), gob.NewEncoder(m.conn)
	return nil
}

func (m *Machine) awaitReady(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = m.conn.Close() })()
	var first agent.Message
	if err := m.in.Decode(&first); err != nil {
		return m.failed(ctx, err)
	}
	if first.Ready == nil {
		return errors.New("the guest's first message is not that it is up")
	}
	m.Release = first.Ready.Release
	return nil
}

// failed explains an error of the connection by what ended it.
func (m *Machine) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	} else {
		err = fmt.Errorf("the virtual machine is gone: %w", err)
		select { // its last words
		case <-m.ended:
		case <-time.After(closeBudget):
		}
	}
	return fmt.Errorf("%w; its console ended:\n%s", err, m.console.tail())
}

// Close powers the machine off.
func (m *Machine) Close() {
	_ = m.conn.Close() // the agent ends when the host hangs up
	select {
	case <-m.ended:
	case <-time.After(closeBudget):
	}
	m.stop()
}

// stop ends QEMU, if it runs, and leaves nothing.
func (m *Machine) stop() {
	if m.conn != nil {
		_ = m.conn.Close()
	}
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		<-m.ended
	}
	_ = os.RemoveAll(m.dir)
}
