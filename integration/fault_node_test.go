package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// faultyNode is a node whose podland may die anywhere.
type faultyNode struct {
	t      *testing.T
	node   *lab.Node
	server *dhcpd.Server
	conf   []byte

	faults string // a variable for podland's environment, as long as none died
	deaths int
	daemon *lab.Cmd
	ended  chan struct{} // closed when the daemon has ended
}

func newFaultyNode(t *testing.T) *faultyNode {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded, T2: 50 * time.Minute}))
	n := &faultyNode{t: t, server: l.Server().Embedded(), node: l.Node("n1", lab.NodeOptions{Bridge: "lan0"})}
	n.server.SetScript(renewSoon())
	n.conf = network(n.node, leased(), object{"budget": "10s"})
	t.Cleanup(func() {
		if n.daemon != nil {
			n.kill()
		}
	})
	return n
}

// start starts podland and waits until it serves, or has died of its faults.
func (n *faultyNode) start() {
	n.t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		n.t.Fatal(err)
	}
	n.daemon = n.node.Command(n.t.Context(), filepath.Join(root, "bin", "fault", "podland"), "--socket", n.node.Socket(), "--state-dir", n.node.StateDir())
	log, err := os.OpenFile(filepath.Join(n.node.Dir(), "podland.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.daemon.Stdout, n.daemon.Stderr = log, log
	n.daemon.Env = append(n.daemon.Env, n.faults)
	if err := n.daemon.Start(); err != nil {
		n.t.Fatalf("%v; it is built by `make faulty`", err)
	}
	n.ended = make(chan struct{})
	go func(daemon *lab.Cmd, ended chan<- struct{}) {
		_ = daemon.Wait()
		close(ended)
	}(n.daemon, n.ended)
	lab.Eventually(n.t, "podland's start", func() error {
		if n.dead() {
			return nil
		}
		_, err := n.leases()
		return err
	})
}

func (n *faultyNode) dead() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

func (n *faultyNode) kill() {
	_ = n.daemon.Process.Kill()
	<-n.ended
}

// revive starts podland again, without faults, if it has died.
func (n *faultyNode) revive() (died bool) {
	n.t.Helper()
	for {
		if _, err := n.leases(); err == nil {
			return died
		}
		<-n.ended // where nobody answers, or it is about to
		died = true
		n.deaths++
		n.faults = ""
		n.start()
	}
}

// excuse accepts a failure if podland has died, or had a system call fail.
func (n *faultyNode) excuse(what string, err error) {
	n.t.Helper()
	if mayFail := strings.HasSuffix(n.faults, ":EIO"); !n.revive() && !mayFail {
		n.t.Fatalf("%s: %v, and podland lives", what, err)
	}
}

func (n *faultyNode) leases() ([]leaseapi.Lease, error) {
	client := n.node.PodlandClient()
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://podland" + leaseapi.PathLeases)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var leases []leaseapi.Lease
	return leases, json.NewDecoder(resp.Body).Decode(&leases)
}

// owns checks that podland holds the Pod's lease and the server one of that
// client, and that CHECK passes.
func (n *faultyNode) owns(s sandbox) {
	n.t.Helper()
	for err := n.look(s); err != nil; err = n.look(s) {
		n.excuse("the lease of "+s.ContainerID, err)
	}
}

func (n *faultyNode) look(s sandbox) error {
	leases, err := n.leases()
	if err != nil {
		return err
	}
	var keys []string
	for _, l := range leases {
		if l.MAC != s.mac {
			continue
		}
		keys = append(keys, l.Key.ContainerID)
		if l.Address.Addr() != s.addr || l.State == leaseapi.StateLost {
			return fmt.Errorf("podland has %+v, want %s", l, s.addr)
		}
	}
	if len(keys) != 1 || keys[0] != s.ContainerID {
		return fmt.Errorf("of %s podland has the leases of %v, want one of %s", s.mac, keys, s.ContainerID)
	}
	for _, l := range n.server.ActiveLeases() {
		if l.MAC.String() == s.mac {
			keys = append(keys, l.Addr.String())
		}
	}
	if len(keys) != 2 || keys[1] != s.addr.String() {
		return fmt.Errorf("the server has %v of %s, want %s", keys[1:], s.mac, s.addr)
	}
	return n.node.Check(n.t.Context(), n.conf, s.Pod, s.at)
}

// nothingLeft waits until no lease and no file is left. A file that could not
// be removed is found by the next podland.
func (n *faultyNode) nothingLeft() {
	n.t.Helper()
	if strings.HasSuffix(n.faults, ":EIO") {
		n.faults = ""
		n.kill()
	}
	lab.Eventually(n.t, "nothing is left", func() error {
		n.revive()
		leases, err := n.leases()
		if err != nil {
			return err
		}
		if len(leases) > 0 {
			return fmt.Errorf("podland holds %v", leases)
		}
		if leases := n.server.ActiveLeases(); len(leases) > 0 {
			return fmt.Errorf("the server holds %v", leases)
		}
		files, err := filepath.Glob(filepath.Join(n.node.StateDir(), "*", "*.json"))
		if len(files) > 0 {
			return fmt.Errorf("there are %v", files)
		}
		return err
	})
}
