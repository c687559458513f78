package segment

import (
	"fmt"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	tests := map[string][2]string{
		"a bridge":                        {bridgeName("lan0", 0, 20), "lan0-20"},
		"a bridge of two tags":            {bridgeName("lan0", 100, 20), "lan0-100.20"},
		"a device":                        {deviceName("eth0", 4094), "eth0.4094"},
		"the longest that fits":           {deviceName("enp12s0f10", 4094), "enp12s0f10.4094"},
		"one byte too long":               {deviceName("enp12s0f10n", 4094), "enp1" + hashOf("enp12s0f10n", 6) + ".4094"},
		"a name made of a MAC":            {deviceName("enx001122334455", 20), "enx001" + hashOf("enx001122334455", 6) + ".20"},
		"two tags on a short name":        {innerName("eth0", 100, 20), "eth0.100.20"},
		"the longest tags":                {innerName("eth01", 4094, 4094), "eth01.4094.4094"},
		"the longest tags, one byte less": {innerName("enp1s0", 4094, 4094), "e" + hashOf("enp1s0", 4) + ".4094.4094"},
	}
	for name, test := range tests {
		if test[0] != test[1] || len(test[0]) > maxName {
			t.Errorf("%s: %q, want %q", name, test[0], test[1])
		}
	}
}

// hashOf is the part of fit's outcome that nobody can foretell.
func hashOf(base string, n int) string {
	made := fit(base, "."+strings.Repeat("9", maxName-2-n))
	return made[1 : 1+n]
}

func TestNamesOfOneLinkAreAllDifferent(t *testing.T) {
	for _, base := range []string{"eth0", "enx001122334455", "podlanbridge000"} {
		of := map[string]string{}
		note := func(name, what string) {
			if len(name) > maxName || of[name] != "" {
				t.Fatalf("%s is %q, and %q is", what, name, of[name])
			}
			of[name] = what
		}
		for vid := uint16(1); vid <= 4094; vid++ {
			note(deviceName(base, vid), fmt.Sprint("device ", vid))
			note(bridgeName(base, 0, vid), fmt.Sprint("bridge ", vid))
			note(innerName(base, 100, vid), fmt.Sprint("inner ", vid))
			note(bridgeName(base, 100, vid), fmt.Sprint("inner bridge ", vid))
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("enx001122334455", "enx001122334456", uint16(20), uint16(100))
	f.Add("eth0", "eth1", uint16(1), uint16(4094))
	f.Fuzz(func(t *testing.T, a, b string, vid, outer uint16) {
		if a == b || len(a) == 0 || len(a) > maxName || len(b) == 0 || len(b) > maxName {
			t.Skip()
		}
		vid, outer = vid%4094+1, outer%4094+1
		for _, name := range [][2]string{
			{deviceName(a, vid), deviceName(b, vid)},
			{bridgeName(a, 0, vid), bridgeName(b, 0, vid)},
			{innerName(a, outer, vid), innerName(b, outer, vid)},
			{bridgeName(a, outer, vid), bridgeName(b, outer, vid)},
		} {
			if name[0] == name[1] || len(name[0]) > maxName || reserved(name[0]) {
				t.Errorf("%q and %q become %q and %q", a, b, name[0], name[1])
			}
		}
	})
}

func TestReservedNames(t *testing.T) {
	for _, what := range []rune{tempBridge, tempSub, tempOuter, tempGateway} {
		name := temporary("lan0", what)
		if !reserved(name) || len(name) > maxName || temporaryLock(name) != temporary("lan0", tempBridge) {
			t.Errorf("%s: reserved %t, lock %s", name, reserved(name), temporaryLock(name))
		}
	}
	for _, name := range []string{"", "lan0", "podlan0", "podlan-t", "podlan-20", "podlan-t12345", "podlan-t12345g", "podlan-x123456", "podlan-t1234567"} {
		if reserved(name) {
			t.Errorf("%q is reserved", name)
		}
	}
}
