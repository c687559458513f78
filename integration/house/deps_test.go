package house

import (
	"slices"
	"strings"
	"testing"
)

// levels is the order of the packages: each imports only what stands lower.
// What stands side by side does not know of each other, so each can be read,
// tested and replaced alone.
//
//nolint:gochecknoglobals // a table, written by nobody
var levels = map[string]int{
	"pkg/fault":     0,
	"pkg/boottime":  1,
	"pkg/statefile": 1,

	"pkg/version":  1,
	"pkg/leaseapi": 1, // the contract: whoever speaks it must not inherit anything

	"pkg/netconf":         2,
	"pkg/tombstone":       2,
	"pkg/identity":        1, // netconf makes a lease's request of conf and identity
	"pkg/rtnl":            2,
	"pkg/nft":             2,
	"pkg/leaseapi/client": 2,

	"pkg/segment": 3,
	"pkg/pod":     3,
	"pkg/guard":   3,
	"pkg/leg":     3,
	"pkg/dhcp4":   3,
	"pkg/acd":     3,
	"pkg/wire":    3,

	"pkg/rtnl/rtnltest": 3, // for tests only: see never

	"pkg/attachment": 4,
	"pkg/lease":      4, // tells what changed and touches no Pod: not above attachment

	"pkg/attach": 5,
	"pkg/ipam":   5,
	"pkg/daemon": 5,
	"pkg/cli":    5,

	"plugins/main/podlan-bridge": 6,
	"plugins/ipam/podlan-dhcp":   6,
	"cmd/podland":                6,
	"cmd/podlan":                 6,
}

func TestImportsRunDownwards(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.rel(), "integration") {
			continue // looks at everything, and nothing imports it: below
		}
		level, ok := levels[p.rel()]
		if !ok {
			t.Errorf("%s has no level: give it one in this test and a line in the design", p.rel())
			continue
		}
		for _, imported := range p.Imports {
			below, ours := strings.CutPrefix(imported, module)
			switch {
			case !ours:
			case strings.HasPrefix(below, "integration"):
				t.Errorf("%s imports %s: what ships does not depend on the lab", p.rel(), below)
			case levels[below] >= level:
				t.Errorf("%s (level %d) imports %s (level %d): imports run downwards", p.rel(), level, below, levels[below])
			}
		}
	}
}

// never are packages that others must not link, however indirectly.
//
//nolint:gochecknoglobals // a table, written by nobody
var never = []struct {
	who, what []string
	why       string
}{
	{
		who:  []string{"pkg/netconf", "pkg/identity", "pkg/dhcp4", "pkg/acd", "pkg/leaseapi", "pkg/leaseapi/client"},
		what: []string{"github.com/vishvananda", "github.com/mdlayher", "github.com/google/nftables", "github.com/containernetworking/plugins/pkg/ns", module + "pkg/rtnl"},
		why:  "they are pure: tested through years and millions of inputs without a kernel",
	},
	{
		who:  []string{"pkg/netconf", "pkg/identity", "pkg/dhcp4", "pkg/acd", "pkg/leaseapi", "pkg/lease", "pkg/wire", "pkg/segment", "pkg/pod", "pkg/guard"},
		what: []string{"os/exec"},
		why:  "no shelling out: the kernel is spoken to by netlink",
	},
	{
		who:  []string{"plugins/main/podlan-bridge", "plugins/ipam/podlan-dhcp"},
		what: []string{module + "pkg/dhcp4", module + "pkg/acd", module + "pkg/wire", module + "pkg/lease", module + "pkg/daemon"},
		why:  "a plugin lives for milliseconds, as root: leases are podland's",
	},
	{
		who:  []string{"plugins/main/podlan-bridge", "plugins/ipam/podlan-dhcp"},
		what: []string{"github.com/prometheus", "github.com/spf13"},
		why:  "every Pod pays for a plugin's size and start",
	},
	{
		who:  []string{"plugins/main/podlan-bridge", "plugins/ipam/podlan-dhcp", "cmd/podland", "cmd/podlan"},
		what: []string{"go.opentelemetry.io"},
		why:  "cni v1.3.1 brings 1.6 MB of tracing to each plugin: stay at v1.3.0",
	},
	{
		who:  []string{"plugins/main/podlan-bridge", "plugins/ipam/podlan-dhcp", "cmd/podland", "cmd/podlan"},
		what: []string{"k8s.io"},
		why:  "a Kubernetes client triples podland; names come from CNI_ARGS, liveness from the kernel",
	},
	{
		who:  []string{"pkg/lease"},
		what: []string{module + "pkg/pod", module + "pkg/guard", module + "pkg/attachment", "github.com/prometheus"},
		why:  "the lease keeper tells what changed; daemon acts on it and counts it",
	},
	{
		who:  []string{"plugins/main/podlan-bridge", "plugins/ipam/podlan-dhcp", "cmd/podland", "cmd/podlan"},
		what: []string{"testing"},
		why:  "test helpers do not ship",
	},
}

func TestNeverLinked(t *testing.T) {
	deps := map[string][]string{}
	for _, p := range packages(t) {
		deps[p.rel()] = p.Deps
	}
	for _, rule := range never {
		for _, who := range rule.who {
			linked, ok := deps[who]
			if !ok {
				t.Errorf("a rule is about %s, which does not exist", who)
			}
			for _, what := range rule.what {
				i := slices.IndexFunc(linked, func(dep string) bool { return dep == what || strings.HasPrefix(dep, what+"/") })
				if i >= 0 {
					t.Errorf("%s links %s: %s", who, linked[i], rule.why)
				}
			}
		}
	}
}
