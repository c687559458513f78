package wire

import (
	"bytes"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/net/bpf"
)

// unrelated is ARP that Watch does not want; filtered tells whether the kernel
// sees that already.
func unrelated(t *testing.T) map[string]struct {
	frame    []byte
	filtered bool
} {
	t.Helper()
	foreign := netip.MustParseAddr("192.0.2.78")
	claim := arpFrame(t, announcementOf(podIP(), serverMAC()))
	with := func(at int, b ...byte) []byte {
		out := bytes.Clone(claim)
		copy(out[at:], b)
		return out
	}
	return map[string]struct {
		frame    []byte
		filtered bool
	}{
		"a claim to another address": {arpFrame(t, announcementOf(foreign, serverMAC())), true},
		"a probe for another":        {arpFrame(t, probeFor(foreign, serverMAC())), true},
		"a question for it":          {arpFrame(t, ARP{SenderMAC: serverMAC(), SenderIP: foreign, TargetIP: podIP()}), true},
		"the Pod's own claim":        {arpFrame(t, announcementOf(podIP(), podMAC())), true},
		"the Pod's own probe":        {arpFrame(t, probeFor(podIP(), podMAC())), true},
		"a reply from nobody":        {arpFrame(t, ARP{Reply: true, TargetMAC: broadcast(), SenderMAC: serverMAC(), SenderIP: netip.IPv4Unspecified(), TargetIP: podIP()}), true},
		"VLAN 20":                    {tagged(claim, 20), true},
		"not over Ethernet":          {with(14, 0, 6), true},
		"not for IPv4":               {with(16, 0x86, 0xdd), true},
		"longer addresses":           {with(18, 8), true},
		"a reverse request":          {with(20, 0, 3), true},
		"operation 0":                {with(20, 0, 0), false},
		"cut":                        {claim[:30], true},
	}
}

func broadcast() MAC { return MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

func TestAllOtherARPIsPassedOver(t *testing.T) {
	l := newLAN(t)
	marker := announcementOf(podIP(), serverMAC())
	for name, bad := range unrelated(t) {
		t.Run(name, func(t *testing.T) {
			c := l.bridge(t)
			l.send(t, bad.frame, arpFrame(t, marker))
			hearsARP(t, c, marker)
		})
	}
}

func TestTheKernelsFilterSparesPodlandOtherARP(t *testing.T) {
	l := newLAN(t)
	c := l.bridge(t)
	for _, bad := range unrelated(t) {
		if bad.filtered {
			l.send(t, bad.frame)
		}
	}
	marker := arpFrame(t, announcementOf(podIP(), serverMAC()))
	l.send(t, marker)
	firstToProgram(t, c, marker)
}

func firstToProgram(t *testing.T, c *ARPConn, want []byte) {
	t.Helper()
	frame, _, err := c.conn.next()
	must(t, err)
	if !bytes.Equal(frame, want) {
		t.Errorf("the first frame that reached the program is %x", frame)
	}
}

func TestClaimsAndProbesOfOthersAreHeard(t *testing.T) {
	l := newLAN(t)
	for name, p := range map[string]ARP{
		"an announcement": announcementOf(podIP(), serverMAC()),
		"a question from": {SenderMAC: serverMAC(), SenderIP: podIP(), TargetIP: netip.MustParseAddr("192.0.2.1")},
		"a reply to all":  {Reply: true, SenderMAC: serverMAC(), SenderIP: podIP(), TargetMAC: broadcast(), TargetIP: podIP()},
		"a probe":         probeFor(podIP(), serverMAC()),
	} {
		t.Run(name, func(t *testing.T) {
			c := l.bridge(t)
			l.send(t, arpFrame(t, p))
			hearsARP(t, c, p)
		})
	}
}

func TestAPriorityTagOnARPIsNoVLAN(t *testing.T) {
	l := newLAN(t)
	c := l.bridge(t)
	claim := announcementOf(podIP(), serverMAC())
	l.send(t, tagged(arpFrame(t, claim), 0))
	hearsARP(t, c, claim)
}

func TestOurOwnProbeThatTheNetworkSendsBackIsNotHeard(t *testing.T) {
	l := newLAN(t)
	c := l.bridge(t)
	must(t, c.Send(probeFor(podIP(), podMAC())))
	claim := announcementOf(podIP(), serverMAC())
	l.send(t, arpFrame(t, probeFor(podIP(), macOf(t, l.node, "br0"))), arpFrame(t, claim))
	hearsARP(t, c, claim)
}

func TestNothingIsHeardBeforeWatchAndOnlyWhatTheLastSays(t *testing.T) {
	l := newLAN(t)
	c, err := tryOpenARP(l.node, "br0", 0)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	first, second := netip.MustParseAddr("192.0.2.81"), netip.MustParseAddr("192.0.2.82")
	claims := [][]byte{arpFrame(t, announcementOf(first, serverMAC())), arpFrame(t, announcementOf(second, serverMAC()))}
	l.send(t, claims...)
	must(t, c.Watch([]Claim{{first, podMAC()}}))
	l.send(t, claims[1], claims[0])
	firstToProgram(t, c, claims[0])
	l.send(t, claims[0]) // waits in the socket for who asks no more
	must(t, c.Watch([]Claim{{second, podMAC()}}))
	l.send(t, claims[0], claims[1])
	hearsARP(t, c, announcementOf(second, serverMAC()))
}

func manyClaims(n int) []Claim {
	claims := make([]Claim, n)
	for i := range claims {
		claims[i] = Claim{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), MAC{2, 0, 0, 1, byte(i >> 8), byte(i)}}
	}
	return claims
}

func TestAThousandClaimsAreWatchedByTheKernel(t *testing.T) {
	l := newLAN(t)
	claims := manyClaims(1000)
	c := openARP(t, l.node, "br0", claims...)
	for _, own := range claims {
		l.send(t, arpFrame(t, announcementOf(own.Addr, own.MAC)))
	}
	for _, i := range []int{0, 1, 500, 999} {
		want := arpFrame(t, announcementOf(claims[i].Addr, serverMAC()))
		l.send(t, want)
		firstToProgram(t, c, want)
	}
}

func TestMoreClaimsThanAFilterHoldsAreWatchedAllTheSame(t *testing.T) {
	l := newLAN(t)
	claims := manyClaims(2000)
	c := openARP(t, l.node, "br0", claims...)
	watchesInTheProgram(t, l, c, claims)
}

// watchesInTheProgram fails if the kernel drops the Pod's own, or Receive does not.
func watchesInTheProgram(t *testing.T, l *lan, c *ARPConn, claims []Claim) {
	t.Helper()
	last := claims[len(claims)-1]
	own, theirs := arpFrame(t, announcementOf(last.Addr, last.MAC)), announcementOf(last.Addr, serverMAC())
	l.send(t, own, own, arpFrame(t, theirs))
	firstToProgram(t, c, own)
	hearsARP(t, c, theirs)
}

// Before Linux 6.7 it is 20 kB. A namespace has its own since 6.8.
func TestAFilterForWhichThereIsNoMemoryIsDoneWithout(t *testing.T) {
	l := newLAN(t)
	const path = "/proc/sys/net/core/optmem_max"
	err := l.node.Do(func() error {
		return os.WriteFile(path, []byte("8192"), 0)
	})
	if err != nil {
		t.Skipf("takes Linux 6.8: %v", err)
	}
	claims := manyClaims(1000)
	c := openARP(t, l.node, "br0", claims...)
	watchesInTheProgram(t, l, c, claims)
}

func TestTwoOfOursWithOneAddressAreBothHeard(t *testing.T) {
	l := newLAN(t)
	one, two := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}
	c := openARP(t, l.node, "br0", Claim{podIP(), one}, Claim{podIP(), two}, Claim{podIP(), two})
	for _, mac := range []MAC{one, two, serverMAC()} {
		p := announcementOf(podIP(), mac)
		l.send(t, arpFrame(t, p))
		hearsARP(t, c, p)
	}
}

// FuzzParseARP: whatever comes, nothing panics; what is read and wanted is in the
// frame, and the kernel's filter lets it pass; what that lets pass and is a
// packet, is wanted.
func FuzzParseARP(f *testing.F) {
	watched := sortClaims(append(manyClaims(20), Claim{podIP(), podMAC()}))
	for _, p := range []ARP{
		announcementOf(podIP(), serverMAC()), announcementOf(podIP(), podMAC()), probeFor(podIP(), serverMAC()),
		{Reply: true, SenderMAC: serverMAC(), SenderIP: podIP(), TargetMAC: podMAC(), TargetIP: netip.IPv4Unspecified()},
	} {
		f.Add(arpFrame(f, p))
	}
	vm, err := bpf.NewVM(watched.filter())
	must(f, err)
	f.Fuzz(func(t *testing.T, frame []byte) {
		kept, err := vm.Run(frame)
		must(t, err)
		p, ok := parseARP(frame)
		if !ok {
			return
		}
		again := arpFrame(t, p)
		if !bytes.Equal(again[12:], frame[12:etherLen+arpLen]) {
			t.Errorf("%x is read as %+v", frame, p)
		}
		if want := watched.want(p); want != (kept > 0) && !sameTail(watched, p) {
			t.Errorf("%+v: wanted %t, the filter keeps %d bytes", p, want, kept)
		}
	})
}

// sameTail tells whether the filter takes the sender for the claim's own MAC.
func sameTail(c claimants, p ARP) bool {
	about := p.SenderIP
	if p.isProbe() {
		about = p.TargetIP
	}
	own := c[about]
	return len(own) == 1 && bytes.Equal(own[0][2:], p.SenderMAC[2:])
}
