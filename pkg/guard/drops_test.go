package guard_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDropsCountByPortAndKindUntilThePortGoes(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.add(t)
	quiet := port(7)
	must(t, l.guard.Add(t.Context(), quiet))
	attack := attacks()
	frames := map[string][]byte{
		"wrong_mac":       attack["another's MAC"],
		"wrong_arp":       attack["ARP reply for another's address"],
		"wrong_address":   attack["IPv4 from another's address"],
		"dhcp":            attack["a DHCP client's request"], // from 0.0.0.0, and yet
		"control":         attack["ICMP redirect"],
		"wrong_ethertype": attack["a BPDU"],
	}
	if passed := l.passing(t, frames, fine()); len(passed) > 0 {
		t.Errorf("passed: %v", passed)
	}
	got, err := l.guard.DropsByPort(t.Context())
	must(t, err)
	want := map[string]uint64{
		"wrong_mac": 1, "wrong_arp": 1, "wrong_address": 1, "dhcp": 1, "control": 1, "wrong_ethertype": 1,
		"dhcp_to_pod": 0, "arp_rate": 0, "multicast_rate": 0,
	}
	if diff := cmp.Diff(want, got[l.port.Name]); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	total, err := l.guard.Drops(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, total); diff != "" {
		t.Errorf("drops of all (-want +got):\n%s", diff)
	}
	for kind, n := range got[quiet.Name] {
		if n != 0 {
			t.Errorf("the port that sent nothing has %s %d", kind, n)
		}
	}
	must(t, l.guard.Remove(t.Context(), l.port))
	got, err = l.guard.DropsByPort(t.Context())
	must(t, err)
	if _, stays := got[l.port.Name]; stays || len(got) != 1 {
		t.Errorf("after Remove: %v", got)
	}
}

func TestDropsOfAPortGoOnAcrossALeaseChange(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.add(t)
	l.passing(t, map[string][]byte{"": attacks()["a BPDU"]}, fine())
	next := l.port
	next.Addrs = next.Addrs[:1]
	must(t, l.guard.Set(t.Context(), l.port, next))
	drops, err := l.guard.DropsByPort(t.Context())
	must(t, err)
	if got := drops[l.port.Name]["wrong_ethertype"]; got != 1 {
		t.Errorf("wrong_ethertype is %d after the lease changed, was 1", got)
	}
}
