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
			s := &site{Lab: newLab(t, lab.Options{}), mode: m, vlans: map[uint16]*lab.VLAN{}, hosts: map[uint16]*lab.Host{}}
			s.populate(map[uint16]lab.VLANOptions{10: {}, 20: {Options: lab.Options{Server: lab.Dnsmasq}}, 30: {ServerTagged: true}})
			opts := m.node()
			opts.Cable = cable
			s.plugIn(opts)
			s.node.StartPodland()
			before := s.node.Snapshot()
			onTrunk := s.trunk()
			var all []resident
			for _, vid := range m.vids() {
				all = append(all, s.arrives(t, vid))
			}
			s.talks(t, onTrunk, all)
			s.listens(t, all)
			s.nothingStray(t, onTrunk, all)
			attacker := all[len(all)-3] // of VLAN 10
			names := attacker.forge(t, s.hosts[10].Addr.Addr(), onTrunk)
			if came := passed(onTrunk, names); len(came) > 0 {
				t.Errorf("the trunk has %q", came)
			}
			for _, r := range all {
				detach(t, s.node, r.conf, r.Pod)
				awaitRelease(t, s.server(r.vid), r.mac)
			}
			asBefore(t, s.node, before)
		})
	}
}
