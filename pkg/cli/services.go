package cli

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// printServices prints nothing where no Pod has a way to Services.
func printServices(out io.Writer, s *leaseapi.Services) error {
	if s == nil {
		return nil
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NETWORK\tSERVICES\tMODE\tNODE IP\tPODS")
	for _, n := range s.Networks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", n.Network, dash(prefixes(n.CIDRs)), n.Mode, n.NodeIP, n.Pods)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nbridged frames pass iptables: %s\n", yesNo(s.BridgeNF, "no"))
	if s.Problem != "" {
		fmt.Fprintf(out, "not all right: %s\n", s.Problem)
	}
	if len(s.ByHand) > 0 {
		fmt.Fprintf(out, "podland may not set these rules, run as root:\n  %s\n", strings.Join(s.ByHand, "\n  "))
	}
	return printBehind(out, s.Behind)
}

func printBehind(out io.Writer, behind []leaseapi.PodBehind) error {
	if len(behind) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POD/CONTAINER\tLACKS (until it is made anew)")
	for _, p := range behind {
		fmt.Fprintf(w, "%s\t%s\n", podOf(leaseapi.Lease{Key: p.Key, Pod: p.Pod}), strings.Join(p.Lacks, ", "))
	}
	return w.Flush()
}

func prefixes(all []netip.Prefix) string {
	var texts []string
	for _, p := range all {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ",")
}
