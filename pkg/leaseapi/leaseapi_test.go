package leaseapi_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestHexBytes(t *testing.T) {
	cases := map[string]struct {
		text string
		want leaseapi.HexBytes
		bad  bool
	}{
		"digits":           {`"ff0102"`, leaseapi.HexBytes{0xff, 1, 2}, false},
		"upper case":       {`"FF"`, leaseapi.HexBytes{0xff}, false},
		"none":             {`""`, leaseapi.HexBytes{}, false},
		"null is absent":   {`null`, nil, false},
		"half a byte":      {`"f"`, nil, true},
		"no digits":        {`"xy"`, nil, true},
		"colons":           {`"ff:01"`, nil, true},
		"a list":           {`[255]`, nil, true},
		"a number":         {`255`, nil, true},
		"base64, as Go's":  {`"/wEC"`, nil, true},
		"a leading prefix": {`"0xff"`, nil, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got leaseapi.HexBytes
			err := json.Unmarshal([]byte(c.text), &got)
			if (err != nil) != c.bad {
				t.Fatalf("%v; want an error: %t", err, c.bad)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The contract: what these print is what older plugins read.
func TestTheWordsOfTheContract(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cases := map[string]struct {
		value any
		want  string
	}{
		"a request": {
			leaseapi.Request{
				ClientID: leaseapi.HexBytes{255, 1}, MAC: "02:00:00:00:00:01", Transport: leaseapi.FromUplink, Uplink: "eth1",
				Confirm: leaseapi.ByRecord, BudgetMS: 7, ParameterRequest: leaseapi.HexBytes{1}, Send: map[uint8]leaseapi.HexBytes{12: {0x77}},
			},
			`{"clientID":"ff01","mac":"02:00:00:00:00:01","transport":"uplink","uplink":"eth1","confirm":"record","budgetMS":7,` +
				`"parameterRequest":"01","send":{"12":"77"}}`,
		},
		"a lease without an address": {
			leaseapi.Lease{Key: leaseapi.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}, State: leaseapi.StateAcquiring},
			`{"network":"lan","containerID":"c1","ifName":"eth0","state":"acquiring","mac":"","clientID":"","transport":""}`,
		},
		"a lease": {
			leaseapi.Lease{
				State: leaseapi.StateBound, Address: netip.MustParsePrefix("192.0.2.7/24"),
				Routes: []leaseapi.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("192.0.2.1")}, {Dst: netip.MustParsePrefix("198.51.100.0/24")}},
				DNS:    []netip.Addr{netip.MustParseAddr("192.0.2.53")}, ExpiresAt: at,
			},
			`{"network":"","containerID":"","ifName":"","state":"bound","mac":"","clientID":"","transport":"","address":"192.0.2.7/24",` +
				`"routes":[{"dst":"0.0.0.0/0","gw":"192.0.2.1"},{"dst":"198.51.100.0/24"}],"dns":["192.0.2.53"],"expiresAt":"2026-01-02T03:04:05Z"}`,
		},
		"an error": {leaseapi.Error{Code: 100, Msg: "none"}, `{"code":100,"msg":"none"}`},
		"a GC that keeps none": {
			leaseapi.GCRequest{Network: "lan", Valid: []leaseapi.Key{}}, `{"network":"lan","valid":[]}`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(c.value)
			if diff := cmp.Diff(c.want, string(got)); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestAKeysHashTellsKeysApart(t *testing.T) {
	seen := map[string]leaseapi.Key{}
	for _, key := range []leaseapi.Key{{}, {"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "ab", "c"}} {
		hash := key.Hash()
		if len(hash) != 64 {
			t.Errorf("%v: %d digits", key, len(hash))
		}
		if other, there := seen[hash]; there {
			t.Errorf("%v and %v have one hash", key, other)
		}
		seen[hash] = key
	}
	// Names of files on disk: never another for the same key.
	const want = "9d2fd159c6a84fdd6a4a21ddba0a50adc99339e584a0e00e944596f6f47bae2d"
	if got := (leaseapi.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}).Hash(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnErrorSaysItsDetails(t *testing.T) {
	for want, e := range map[string]leaseapi.Error{
		"no offer": {Code: 11, Msg: "no offer"}, "no offer; check": {Code: 11, Msg: "no offer", Details: "check"},
	} {
		if got := fmt.Sprint(&e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
