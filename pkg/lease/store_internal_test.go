package lease

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func sample() stored {
	return stored{
		Version: 1, Key: leaseapi.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"},
		Request: leaseapi.Request{
			ClientID: leaseapi.HexBytes{0xff, 1}, MAC: "02:00:00:00:00:01", Transport: leaseapi.FromUplink, Uplink: "eth1",
			Confirm: leaseapi.ByRecord, BudgetMS: 1000, Send: map[uint8]leaseapi.HexBytes{12: []byte("pod")},
		},
		Lease: dhcp4.Lease{
			Address: netip.MustParsePrefix("10.0.0.10/16"), Server: netip.MustParseAddr("10.0.0.1"), ServerMAC: dhcp4.MAC{2, 3},
			Acquired: time.Hour, T1: 2 * time.Hour, T2: 3 * time.Hour, Expiry: 4 * time.Hour,
		},
		BootID: "b", AcquiredAt: time.Unix(1_700_000_000, 0).UTC(), OwnedAt: time.Unix(1_700_000_001, 0).UTC(),
	}
}

func encode(tb testing.TB, s stored) []byte {
	tb.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestDecodeStored(t *testing.T) {
	s, err := decodeStored(encode(t, sample()))
	if err != nil || !reflect.DeepEqual(s, sample()) {
		t.Errorf("%+v, %v", s, err)
	}
	for what, change := range map[string]func(*stored){
		"version":         func(s *stored) { s.Version = 0 },
		"newer":           func(s *stored) { s.Version = 2 },
		"mac":             func(s *stored) { s.Request.MAC = "" },
		"not whole":       func(s *stored) { s.Key.IfName = "" },
		"address":         func(s *stored) { s.Lease.Address = netip.MustParsePrefix("fd00::1/64") },
		"of server":       func(s *stored) { s.Lease.Server = netip.Addr{} },
		"server fd00":     func(s *stored) { s.Lost, s.Lease.Server = "NAK", netip.MustParseAddr("fd00::1") },
		"transport":       func(s *stored) { s.Request.Transport = "" },
		"budget":          func(s *stored) { s.Request.BudgetMS = -1 },
		"out of order":    func(s *stored) { s.Lease.T1 = s.Lease.Expiry },
		"infinite":        func(s *stored) { s.Lease.Expiry, s.Lease.T2 = dhcp4.Never, dhcp4.Never },
		"time 2562047h47": func(s *stored) { s.Lease.Expiry = dhcp4.Never - 1 },
	} {
		s := sample()
		change(&s)
		if _, err := decodeStored(encode(t, s)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whatever a file says, a lease of another boot has its times in order and does
// not outlive what was granted.
func TestSinceBoot(t *testing.T) {
	l := sample().Lease
	now := 10 * time.Minute
	for _, age := range []time.Duration{-time.Hour, 0, time.Hour, 2 * century} {
		got := sinceBoot(l, now, age)
		if got.T1 > got.T2 || got.T2 > got.Expiry || got.Expiry > now+3*time.Hour {
			t.Errorf("age %s: %+v", age, got)
		}
	}
	if got := sinceBoot(l, now, -time.Hour); got.T1 != now {
		t.Errorf("%+v is not renewed at once", got)
	}
}

func TestWindow(t *testing.T) {
	s := &segment{window: firstWindow}
	for range 100 {
		s.answered()
	}
	if s.window != mostWindow {
		t.Errorf("grown to %d", s.window)
	}
	s.unanswered()
	if s.window != mostWindow/2 {
		t.Errorf("shrunk to %d", s.window)
	}
	for range 100 {
		s.unanswered()
	}
	if s.window != leastWindow {
		t.Errorf("shrunk to %d", s.window)
	}
}

// FuzzDecodeStored: what decodeStored takes, the keeper can work with.
func FuzzDecodeStored(f *testing.F) {
	f.Add(encode(f, sample()))
	lost := sample()
	lost.Lost, lost.Lease.T1, lost.Lease.T2, lost.Lease.Expiry = "NAK", dhcp4.Never, dhcp4.Never, dhcp4.Never
	f.Add(encode(f, lost))
	recovered := lost
	recovered.Lease = dhcp4.Lease{Address: lost.Lease.Address}
	f.Add(encode(f, recovered))
	owed := sample()
	owed.Owed = true
	f.Add(encode(f, owed))
	void := sample()
	void.Void = true
	f.Add(encode(f, void))
	vlan := sample()
	vlan.Request.VLAN, vlan.Request.Untagged = maxVLAN, true
	f.Add(encode(f, vlan))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeStored(data)
		if err != nil {
			return
		}
		again, err := decodeStored(encode(t, s))
		if err != nil {
			t.Fatalf("its own form is refused: %v", err)
		}
		if again.Key != s.Key || again.Lease.Expiry != s.Lease.Expiry || again.Request.VLAN != s.Request.VLAN {
			t.Errorf("%+v became %+v", s, again)
		}
		l := sinceBoot(s.Lease, 24*time.Hour, time.Since(s.AcquiredAt))
		if l.T2 > l.Expiry || l.T1 > max(l.T2, 24*time.Hour) {
			t.Errorf("of another boot: %+v", l)
		}
		live(t, s, s.BootID)
		live(t, s, s.BootID+"+")
	})
}

// noWire is one of a machine that is yet to come up.
type noWire struct{ Wire }

func (noWire) NIC(string) (string, uint16, bool) { return "", 0, false }

// live takes the lease up and lets its life go by.
func live(t *testing.T, s stored, bootID string) {
	t.Helper()
	now := 24 * time.Hour
	cfg := Config{BootID: bootID, Wire: noWire{}, Now: func() time.Duration { return now }}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(cfg)
	k.adopt(s, now)
	if len(k.leases) != 1 {
		t.Fatalf("%d leases", len(k.leases))
	}
	for _, e := range k.leases {
		v := k.view(e)
		if v.Address != s.Lease.Address {
			t.Errorf("%+v", v)
		}
		e.owes(now)
		e.dues = e.lastLease
		e.release(k, now)
		for range 10 {
			e.client.Tick(now)
			now = min(e.client.Deadline(), now+century)
		}
	}
}
