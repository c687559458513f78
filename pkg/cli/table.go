package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func printStatus(out io.Writer, s leaseapi.Status, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "podland\t%s, up %s\n", s.Version, short(now.Sub(s.StartedAt)))
	fmt.Fprintf(w, "state\t%s\n", s.StateDir)
	fmt.Fprintf(w, "Pod access\t%s\n", yesNo(s.PodAccess, "no (dhcpFrom: pod, whenLost: replace and new Service networks for running Pods need the drop-in pod-access.conf)"))
	fmt.Fprintf(w, "leases\t%s\n", counts(s.Leases))
	if err := w.Flush(); err != nil {
		return err
	}
	if err := printSegments(out, s.Segments); err != nil {
		return err
	}
	return printServices(out, s.Services)
}

func printSegments(out io.Writer, segments []leaseapi.Segment) error {
	if len(segments) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "UPLINK\tVLAN\tBRIDGE\tPRESENT\tCARRIER\tLEASES")
	for _, seg := range segments {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", dash(seg.Uplink), dash(vlan(seg.VLAN)), dash(seg.Bridge),
			yesNo(seg.Present, "no"), yesNo(seg.Carrier, "no"), seg.Leases)
	}
	return w.Flush()
}

func printLeases(out io.Writer, leases []leaseapi.Lease, wide bool, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(narrow, more []string) {
		if wide {
			narrow = slices.Concat(narrow, more)
		}
		fmt.Fprintln(w, strings.Join(narrow, "\t"))
	}
	row([]string{"ADDRESS", "MAC", "STATE", "POD", "NETWORK", "INTERFACE", "SEGMENT", "SERVER", "RENEW IN", "EXPIRES IN"},
		[]string{"WHEN LOST", "FROM", "MTU", "NTP", "REFUSED ROUTES"})
	for _, l := range leases {
		row(columns(l, now), wideColumns(l))
	}
	return w.Flush()
}

func columns(l leaseapi.Lease, now time.Time) []string {
	address, renew, expire := "-", "-", "-" // of what is not leased yet
	if l.Address.IsValid() {
		address, renew, expire = l.Address.String(), until(l.RenewAt, now), until(l.ExpiresAt, now)
	}
	server := "-"
	if l.Server.IsValid() {
		server = l.Server.String()
	}
	return []string{address, l.MAC, state(l), podOf(l), l.Network, l.IfName, segment(l), server, renew, expire}
}

func wideColumns(l leaseapi.Lease) []string {
	mtu := "-"
	if l.MTU != 0 {
		mtu = strconv.Itoa(l.MTU)
	}
	var ntp, refused []string
	for _, server := range l.NTP {
		ntp = append(ntp, server.String())
	}
	for _, r := range l.Refused {
		refused = append(refused, r.Dst.String())
	}
	return []string{
		dash(string(l.WhenLost)), dash(string(l.Transport)), mtu,
		dash(strings.Join(ntp, ",")), dash(strings.Join(refused, ",")),
	}
}

// segment tells leases of one address apart: where podland speaks for it.
func segment(l leaseapi.Lease) string {
	link := l.Uplink
	if l.Transport == leaseapi.FromPod || link == "" {
		link = l.Bridge
	}
	if l.VLAN != 0 {
		link += " vlan " + vlan(l.VLAN)
	}
	return dash(link)
}

func vlan(vid uint16) string {
	if vid == 0 {
		return ""
	}
	return strconv.Itoa(int(vid))
}

func state(l leaseapi.Lease) string {
	if l.Reason == "" {
		return string(l.State)
	}
	return fmt.Sprintf("%s (%s)", l.State, l.Reason)
}

// podOf falls back to the container's ID, cut as runtimes' own tools cut it.
func podOf(l leaseapi.Lease) string {
	const digits = 13
	switch {
	case l.Pod != "":
		return l.Pod
	case len(l.ContainerID) > digits:
		return l.ContainerID[:digits]
	}
	return l.ContainerID
}

func counts(byState map[leaseapi.State]int) string {
	total := 0
	var parts []string
	for _, st := range slices.Sorted(maps.Keys(byState)) {
		if n := byState[st]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%d %s", n, st))
		}
	}
	if total == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", "))
}

func until(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case t.Before(now):
		return "now"
	}
	return short(t.Sub(now))
}

// short cuts a time to whole seconds, and to whole minutes above an hour. What a
// clock that was set back makes negative is 0.
func short(d time.Duration) string {
	d = max(0, d.Round(time.Second))
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.String()
}

func yesNo(b bool, no string) string {
	if b {
		return "yes"
	}
	return no
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
