package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// podlan runs the operator's command on the node.
func (d *demo) podlan(ctx context.Context, args ...string) ([]byte, error) {
	args = append([]string{"--socket", d.node.Socket()}, args...)
	return d.node.Command(ctx, filepath.Join(d.bin, "podlan"), args...).Output()
}

// showLeases prints what the operator's command prints.
func (d *demo) showLeases(ctx context.Context) error {
	text, err := d.podlan(ctx, "leases")
	if err != nil {
		return err
	}
	d.out.command("podlan leases")
	d.out.block(string(text))
	return nil
}

// leases are those that podland holds now.
func (d *demo) leases(ctx context.Context) ([]leaseapi.Lease, error) {
	text, err := d.podlan(ctx, "leases", "-o", "json")
	if err != nil {
		return nil, err
	}
	var leases []leaseapi.Lease
	if err := json.Unmarshal(text, &leases); err != nil {
		return nil, fmt.Errorf("podlan leases -o json: %w", err)
	}
	return leases, nil
}

// awaitBound waits until podland holds a lease for each Pod: it is pending
// until podland has seen that the ADD has finished.
func (d *demo) awaitBound(ctx context.Context) (leases []leaseapi.Lease, err error) {
	err = lab.Until(ctx, func() error {
		if leases, err = d.leases(ctx); err != nil {
			return err
		}
		bound := 0
		for _, l := range leases {
			if l.State == leaseapi.StateBound {
				bound++
			}
		}
		if bound != len(d.pods) || len(leases) != bound {
			return fmt.Errorf("%d leases, %d of them bound, for %d Pods", len(leases), bound, len(d.pods))
		}
		return nil
	})
	return leases, err
}
