package lab

import (
	"fmt"
	"net"
	"sync"

	"github.com/podlan/podlan/integration/lab/ether"
)

// lanSwitch is a namespace with a bridge that joins everything on the LAN.
type lanSwitch struct {
	ns *Netns

	mu    sync.Mutex
	ports int
}

const switchBridge = "sw0"

// jumbo is the switch's own MTU: no node's is limited by it.
const jumbo = 9000

func (l *Lab) newSwitch() (*lanSwitch, error) {
	ns, err := l.newNetns("switch")
	if err != nil {
		return nil, err
	}
	// A switch has no address and says nothing by itself.
	if err := ns.SetSysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil {
		return nil, fmt.Errorf("silence the switch: %w", err)
	}
	spec := bridgeSpec{name: switchBridge, mtu: jumbo, filtering: l.opts.Trunking || l.opts.Provider}
	if l.opts.Provider {
		spec.protocol = ether.Dot1AD
	}
	if err := ns.addBridge(spec); err != nil {
		return nil, err
	}
	return &lanSwitch{ns: ns}, nil
}

// plug connects a namespace to the switch by a NIC of the given name and
// returns the switch's end.
func (s *lanSwitch) plug(ns *Netns, nic string, mac net.HardwareAddr, mtu int) (string, error) {
	port := s.nextPort()
	if err := s.ns.addVeth(vethSpec{name: port, mtu: mtu, peer: nic, peerNS: ns, peerMAC: mac}); err != nil {
		return "", err
	}
	return port, s.ns.enslave(port, switchBridge)
}

func (s *lanSwitch) nextPort() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports++
	return fmt.Sprintf("port%d", s.ports)
}

// Switch returns the switch's namespace, to capture on and to unplug from.
func (l *Lab) Switch() *Netns { return l.sw.ns }
