package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
)

func newGuard(opts *options) *cobra.Command {
	return &cobra.Command{
		Use:   "guard",
		Short: "List what each Pod's port may send, and what of it was dropped",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			guard, err := client.New(opts.socket).Guard(ctx)
			if err != nil {
				return explained(err)
			}
			if opts.output == "json" {
				return printJSON(cmd.OutOrStdout(), guard)
			}
			return printGuard(cmd.OutOrStdout(), guard, opts.output == "wide")
		},
	}
}

func printGuard(out io.Writer, guard leaseapi.Guard, wide bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(narrow, more []string) {
		if wide {
			narrow = slices.Concat(narrow, more)
		}
		fmt.Fprintln(w, strings.Join(narrow, "\t"))
	}
	row([]string{"POD/CONTAINER", "PORT", "ADDRESSES", "OPENED", "DROPPED"},
		[]string{"MAC", "NETWORK", "INTERFACE", "EXTRA MACS", "EXTRA IPS", "TRUNK"})
	for _, p := range guard.Ports {
		row([]string{podOf(leaseapi.Lease{Key: p.Key, Pod: p.Pod}), p.Port, addresses(p), openings(p), droppedOf(p.Dropped)},
			[]string{p.MAC, p.Network, p.IfName, dash(strings.Join(p.ExtraMACs, ",")), dash(joined(p.ExtraIPs)), dash(strings.Join(p.Trunk, ","))})
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\ndropped in all: %s\n", droppedOf(guard.Dropped))
	return err
}

func addresses(p leaseapi.GuardedPort) string {
	if p.AnyAddress {
		return "any"
	}
	return dash(joined(p.Addresses))
}

func openings(p leaseapi.GuardedPort) string {
	if p.Closed != "" {
		return "closed (" + p.Closed + ")"
	}
	return dash(strings.Join(p.Opened, ","))
}

func joined(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, ",")
}

func droppedOf(byKind map[string]uint64) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		if n := byKind[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", kind, n))
		}
	}
	return dash(strings.Join(parts, ", "))
}
