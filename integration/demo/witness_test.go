package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/lab"
)

// "0 of them DHCP" is worth something: the witness hears DHCP when there is
// some, and counts other frames without complaint.
func TestWitness(t *testing.T) {
	l := lab.New(t, lab.Options{})
	d := &demo{lab: l, client: l.Host("client"), node: l.Node("n1", lab.NodeOptions{Bridge: bridge})}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	quiet := d.startWitness()
	frames, err := quiet.testify(ctx, d.node.Addr.Addr())
	if err != nil || frames == 0 {
		t.Errorf("a ping only: %d frames, error %v", frames, err)
	}
	alarmed := d.startWitness()
	if _, err := d.node.DHCPClient("eth1", net.HardwareAddr{2, 0, 0, 0, 0, 1}, nil).Lease(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := alarmed.testify(ctx, d.node.Addr.Addr()); err == nil || !strings.Contains(err.Error(), "DISCOVER") {
		t.Errorf("got %v, want an error that names the DISCOVER", err)
	}
}
