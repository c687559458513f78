package dhcp4_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

func FuzzDecode(f *testing.F) {
	f.Add(append(raw(7), pack(option(53, 2), option(54, 1, 2, 3, 4), option(52, 3))...))
	f.Add(append(raw(7), pack(option(53, 5), option(51, 0, 0, 0, 9), option(121, 33))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		r, err := dhcp4.Decode(b)
		if err != nil && !errors.Is(err, dhcp4.ErrNotReply) {
			t.Errorf("not ErrNotReply: %v", err)
		}
		if err == nil && r.Type == 0 {
			t.Error("a reply without a type")
		}
		if string(b) != before {
			t.Error("the packet was altered")
		}
	})
}

// FuzzClient does to a client whatever its owner and its servers may do, at
// whatever times, and checks what must always hold.
func FuzzClient(f *testing.F) {
	ordinary := pack(option(54, 192, 0, 2, 1), option(51, 0, 0, 0, 60))
	f.Add([]byte{2, 5, 0, 5, 1, 6, 0}, ordinary, uint64(1))
	f.Add([]byte{2, 5, 0, 0, 0, 0, 0, 0, 6, 2, 5}, pack(option(54, 192, 0, 2, 1), option(51, 255, 255, 255, 255)), uint64(2))
	f.Fuzz(func(t *testing.T, script, opts []byte, seed uint64) {
		script, opts = script[:min(len(script), 100)], opts[:min(len(opts), 2000)]
		l := newLife(t, seed)
		l.begin(nil)
		for _, step := range script {
			l.step(step, opts)
		}
		if out := l.client.Release(); len(out.Send) > 1 {
			t.Errorf("%d messages release one lease", len(out.Send))
		}
	})
}

// life is a client, its clock, and what its owner must believe of it.
type life struct {
	t      *testing.T
	params dhcp4.Params
	client *dhcp4.Client
	now    time.Duration
	held   *dhcp4.Lease
	tied   netip.Addr // invalid: any address will do
}

// newLife makes a client whose parameters are drawn by the seed.
func newLife(t *testing.T, seed uint64) *life {
	t.Helper()
	p := params()
	p.AnyAddress, p.RapidCommit = seed&1 != 0, seed&2 != 0
	if seed&4 != 0 {
		p.Servers = []netip.Addr{serverIP()}
	}
	if seed&8 != 0 {
		p.Acceptable = func(a netip.Addr) error {
			if a.As4()[3]%2 != 0 {
				return errors.New("odd")
			}
			return nil
		}
	}
	return &life{t: t, params: p, now: boot, client: dhcp4.New(p, rand.New(rand.NewPCG(seed, 0)))}
}

func (l *life) begin(former *dhcp4.Lease) {
	if former == nil {
		l.tied = netip.Addr{}
		l.check(l.client.Start(l.now))
		return
	}
	l.tie(*former)
	l.check(l.client.Reboot(l.now, *former))
}

func (l *life) tie(lease dhcp4.Lease) {
	if !l.params.AnyAddress {
		l.tied = lease.Address.Addr()
	}
}

// step is one event: time passes, the owner wants something, or a reply comes.
func (l *life) step(b byte, opts []byte) {
	what, how := b%16, b/16
	switch what {
	case 0:
		l.pass(time.Duration(how) * time.Second)
	case 1: // until something is due, however long
		l.now = max(l.now, min(l.client.Deadline(), l.now+1000*time.Hour))
		l.pass(0)
	case 9:
		l.client.Verify(l.now)
		l.pass(0)
	case 10:
		l.check(l.client.Decline(l.now, conflict))
	case 11:
		former := l.held
		l.client.Release()
		l.held = nil
		l.begin(former)
	case 12:
		if l.client.TakeAny(); l.held == nil {
			l.tied = netip.Addr{}
		}
	case 13: // suspended for long
		l.now += time.Duration(how) * 20 * time.Minute
		l.pass(0)
	default:
		b := append(append(raw(l.client.XID()), 53, 1, what), opts...)
		b[19] += how // yiaddr
		if r, err := dhcp4.Decode(b); err == nil {
			l.check(l.client.Handle(l.now, r))
		}
	}
}

// pass lets time go by, and fails if the client spins.
func (l *life) pass(d time.Duration) {
	l.t.Helper()
	end := l.now + d
	most := 5 + 3*int(d/time.Second)
	for n := 0; l.client.Deadline() <= end; n++ {
		if n > most {
			l.t.Fatalf("in %s it was due %d times in %s", l.client.State(), n, d)
		}
		l.now = max(l.now, l.client.Deadline())
		l.check(l.client.Tick(l.now))
		if l.client.Deadline() <= l.now {
			l.t.Fatalf("in %s it is due again at once", l.client.State())
		}
	}
	l.now = end
}

// check holds an output against what is known.
func (l *life) check(out dhcp4.Output) {
	l.t.Helper()
	lease, holds := l.client.Lease()
	switch out.Change {
	case dhcp4.Granted:
		if l.held != nil || l.tied.IsValid() && lease.Address.Addr() != l.tied {
			l.t.Errorf("granted %s; tied to %s, held %v", lease.Address, l.tied, l.held)
		}
		l.tied = netip.Addr{}
	case dhcp4.Extended:
		if l.held == nil || lease.Address.Addr() != l.held.Address.Addr() {
			l.t.Errorf("extended %s; held %v", lease.Address, l.held)
		}
	case dhcp4.Lost:
		if l.held == nil || holds || out.Reason == "" {
			l.t.Errorf("lost: held before %v, after %v, reason %q", l.held, holds, out.Reason)
		} else {
			l.tie(*l.held)
		}
	case dhcp4.Unchanged:
		if holds != (l.held != nil) {
			l.t.Errorf("unchanged: held before %v, after %v", l.held, holds)
		}
	}
	if l.held = nil; holds {
		l.held = &lease
		l.checkLease(out.Change)
	}
	l.checkSent(out)
}

func (l *life) checkLease(change dhcp4.Change) {
	l.t.Helper()
	lease := *l.held
	if l.client.Deadline() > lease.Expiry {
		l.t.Errorf("in %s nothing is due before the lease ends", l.client.State())
	}
	ordered := lease.T1 < lease.T2 && lease.T2 < lease.Expiry || lease.T1 == dhcp4.Never && lease.Infinite()
	if !ordered || !lease.Address.IsValid() || !lease.Server.IsValid() || len(lease.Routes) > 256 || len(lease.NTP) > 32 {
		l.t.Errorf("the lease is in disorder: %+v", lease)
	}
	if change != dhcp4.Unchanged && (l.now >= lease.Expiry || len(l.params.Servers) > 0 && lease.Server != l.params.Servers[0]) {
		l.t.Errorf("over already at %s, or of a server that is not allowed: %+v", l.now, lease)
	}
}

func (l *life) checkSent(out dhcp4.Output) {
	l.t.Helper()
	if len(out.Send) > 1 {
		l.t.Errorf("%d messages at once", len(out.Send))
	}
	for _, d := range out.Send {
		m := sent(l.t, d)
		if m.TransactionID == (dhcpv4.TransactionID{}) {
			l.t.Error("a message without a number")
		}
		if d.Src != netip.IPv4Unspecified() && (l.held == nil || d.Src != l.held.Address.Addr()) {
			l.t.Errorf("%s comes from %s, which is not held", d.Type, d.Src)
		}
		if l.client.Deadline() <= l.now {
			l.t.Errorf("in %s, having sent, it is due again at once", l.client.State())
		}
	}
}
