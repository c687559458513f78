package integration_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
)

// restartWithoutLeases kills podland and takes its lease files away.
func restartWithoutLeases(t *testing.T, node *lab.Node) {
	t.Helper()
	node.KillPodland()
	if err := os.RemoveAll(filepath.Join(node.StateDir(), "leases")); err != nil {
		t.Fatal(err)
	}
	node.StartPodland()
}

func TestAPodlandThatLostItsLeasesAsksForEachByINITREBOOT(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	victims := lan.suffer(t, map[string]fault{
		"regular":             func(picker) {},
		"slow":                func(on picker) { on(dhcpd.Rebooting).Answer(dhcpd.Slow(time.Second)) },
		"everything fourfold": func(on picker) { on(dhcpd.Rebooting).Answer(dhcpd.Duplicate(3)) },
		"of another transaction": func(on picker) {
			on(dhcpd.Rebooting).Answer(dhcpd.Alter(dhcpd.OfAnotherTransaction, trap()), dhcpd.Regularly)
		},
		"silent":        func(on picker) { on(dhcpd.Rebooting).Answer(dhcpd.Silent()) },
		"NAK":           func(on picker) { on(dhcpd.Rebooting).Answer(dhcpd.NAK) },
		"another's NAK": func(on picker) { on(dhcpd.Rebooting).Answer(dhcpd.NAKBy(rogue())) },
	})
	deaf := lan.suffer(t, map[string]fault{
		"NAK, then silent": func(on picker) { on(dhcpd.Rebooting).Answer(thenDeaf(on, dhcpd.NAK)) },
	})
	restartWithoutLeases(t, lan.node)
	for name, v := range victims {
		t.Run(name, func(t *testing.T) {
			v.isBack(t)
			if len(v.renewals(dhcpd.Rebooting)) == 0 {
				t.Error("the server was not asked by INIT-REBOOT")
			}
		})
	}
	for name, v := range deaf {
		t.Run(name, func(t *testing.T) { v.isCutOff(t, "its lease file is gone") })
	}
	maps.Copy(victims, deaf)
	lan.givesBack(t, victims)
}
