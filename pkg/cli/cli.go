// Package cli is podlan, the operator's command: it asks podland and prints.
// It changes nothing.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
	"github.com/podlan/podlan/pkg/version"
)

// askTimeout bounds every question to podland, which answers from memory.
const askTimeout = 10 * time.Second

// options are the flags that all commands share.
type options struct {
	socket string
	output string
}

// New returns the command tree; it prints to out.
func New(out io.Writer) *cobra.Command {
	var opts options
	root := &cobra.Command{
		Use:           "podlan",
		Short:         "Pods on your LAN: what this node holds",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return opts.valid()
		},
	}
	root.SetOut(out)
	root.PersistentFlags().StringVar(&opts.socket, "socket", leaseapi.DefaultSocket, "podland's socket")
	root.PersistentFlags().StringVarP(&opts.output, "output", "o", "table", "how to print: table, wide or json")
	root.AddCommand(newStatus(&opts), newLeases(&opts), newGuard(&opts), newVersion(&opts))
	return root
}

func (o options) valid() error {
	switch o.output {
	case "table", "wide", "json":
		return nil
	}
	return fmt.Errorf(`--output: value %q is refused; allowed: table, wide, json`, o.output)
}

func newStatus(opts *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show whether podland runs, its segments and how many leases it holds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			status, err := client.New(opts.socket).Status(ctx)
			if err != nil {
				return explained(err)
			}
			if opts.output == "json" {
				return printJSON(cmd.OutOrStdout(), status)
			}
			return printStatus(cmd.OutOrStdout(), status, time.Now())
		},
	}
}

func newLeases(opts *options) *cobra.Command {
	return &cobra.Command{
		Use:   "leases",
		Short: "List the leases that podland holds for this node's Pods",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			leases, err := client.New(opts.socket).List(ctx)
			if err != nil {
				return explained(err)
			}
			if opts.output == "json" {
				return printJSON(cmd.OutOrStdout(), leases)
			}
			return printLeases(cmd.OutOrStdout(), leases, opts.output == "wide", time.Now())
		},
	}
}

func newVersion(opts *options) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print this command's version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": version.String()})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "podlan", version.String())
			return err
		},
	}
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// explained adds what to do to an error that only says what is.
func explained(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w\nOnly root may ask podland: `sudo podlan ...`", err)
	case errors.Is(err, client.ErrUnreachable):
		return fmt.Errorf("%w\nIs it running? `systemctl status podland`; another socket? `--socket`", err)
	}
	return err
}
