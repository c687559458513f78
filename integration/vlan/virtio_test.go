package vlan_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// noCable is why the test skips where it is not in the virtual machine.
const noCable = "this machine is not the virtual one, whose two NICs are on one cable"

// virtioCable are the NICs eth0 and eth1 of the virtual machine (integration/vm
// -nic 2). Those of any other machine are nobody's to take.
func virtioCable(t *testing.T) [2]string {
	t.Helper()
	rtnltest.NeedVLAN(t)
	if name, err := os.Hostname(); err != nil || name != "podlan-vm" {
		t.Skip(noCable)
	}
	cable := [2]string{"eth0", "eth1"}
	for _, nic := range cable {
		lab.Eventually(t, "the machine's NIC "+nic, func() error {
			driver, err := os.Readlink(filepath.Join("/sys/class/net", nic, "device/driver"))
			if err == nil && filepath.Base(driver) != "virtio_net" {
				t.Fatalf("the driver of %s is %s", nic, driver)
			}
			return err
		})
	}
	return cable
}

// A veth is promiscuous and takes every MAC and tag; a NIC takes what it is told
// to. With the guard as it ships.
func TestVirtioAsUplinkIsAsGoodAsAVeth(t *testing.T) {
	t.Parallel()
	cable := virtioCable(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			opts := m.node()
			opts.Cable = cable
			s := newSite(t, m, opts)
			s.node.StartPodland()
			before := s.node.Snapshot()
			onTrunk := s.trunk()
			all := s.moveIn(t, onTrunk)
			attacker := all[len(all)-3] // of VLAN 10
			names := attacker.forge(t, s.hosts[10].Addr.Addr(), onTrunk)
			if came := passed(onTrunk, names); len(came) > 0 {
				t.Errorf("the trunk has %q", came)
			}
			s.moveOut(t, all)
			asBefore(t, s.node, before)
		})
	}
}
