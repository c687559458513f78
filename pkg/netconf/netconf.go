// Package netconf turns what a runtime hands to a plugin, stdin and CNI_ARGS,
// into one validated value. It is pure: no I/O, no clock, and it touches
// nothing.
//
// Every error is a *types.Error of the CNI specification with the code 4
// (CNI_ARGS), 6 (no JSON) or 7 (content), and names the key, its value and
// what is allowed.
package netconf

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

// DefaultStateDir is where plugins and podland keep state unless told
// otherwise.
const DefaultStateDir = "/var/lib/podlan"

// DefaultBudget is how long an ADD may take, far below the patience of any
// runtime (kubelet's is 4 minutes, containerd's cleanup has 1).
const DefaultBudget = 30 * time.Second

const (
	minBudget = time.Second
	maxBudget = 10 * time.Minute
)

// TypeDHCP is the IPAM plugin whose keys are ours.
const TypeDHCP = "podlan-dhcp"

// TypeBridge is the main plugin.
const TypeBridge = "podlan-bridge"

// Common are the parts of a configuration that both plugins read.
type Common struct {
	CNIVersion string
	// Name is the network's.
	Name string
	// Type is the main plugin's.
	Type string
	// StateDir is where attachment records and tombstones lie.
	StateDir string
	// Budget bounds an ADD, from process start to result.
	Budget time.Duration
	// MAC is the address asked for by capability, args.cni or CNI_ARGS, in
	// this order of precedence; nil if none was.
	MAC net.HardwareAddr
	// Pod is what the runtime told of the Pod; empty fields if it did not.
	Pod Pod
	// Warnings are for the log: keys that nothing of ours reads.
	Warnings []string
}

// Pod is what CNI_ARGS tell of a Kubernetes Pod.
type Pod struct {
	Namespace, Name, UID string
}

// String returns namespace/name, or "" where the runtime told neither.
func (p Pod) String() string {
	if p.Namespace == "" && p.Name == "" {
		return ""
	}
	return p.Namespace + "/" + p.Name
}

func parseCommon(conf *object, args Args) Common {
	c := Common{
		CNIVersion: conf.text("cniVersion", "0.1.0"),
		Name:       conf.text("name", ""),
		Type:       conf.text("type", ""),
		StateDir:   conf.absolutePath("stateDir", DefaultStateDir),
		Budget:     conf.duration("budget", DefaultBudget, minBudget, maxBudget),
		Pod:        args.pod(),
	}
	c.MAC = explicitMAC(conf, args)
	return c
}

// explicitMAC reads the three places where a runtime may ask for an address.
func explicitMAC(conf *object, args Args) net.HardwareAddr {
	runtime := conf.loose("runtimeConfig").mac("mac")
	cniArgs := conf.loose("args").loose("cni").mac("mac")
	env := args.mac(conf)
	for _, mac := range []net.HardwareAddr{runtime, cniArgs, env} {
		if mac != nil {
			return mac
		}
	}
	return nil
}

// parseMAC accepts 48-bit unicast addresses.
func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	switch {
	case err != nil || len(mac) != 6:
		return nil, errors.New("allowed: six hexadecimal octets, such as 02:00:5e:10:00:01")
	case mac[0]&1 == 1:
		return nil, errors.New("allowed: a unicast address (lowest bit of the first octet clear)")
	case mac.String() == "00:00:00:00:00:00":
		return nil, errors.New("allowed: any unicast address but all zeros")
	}
	return mac, nil
}

// validIfName tells what is wrong with a link's name, after the kernel's
// dev_valid_name: 1 to 15 bytes, no slash, colon or space, not "." or "..".
func validIfName(name string) error {
	switch {
	case name == "" || len(name) > 15:
		return fmt.Errorf("allowed: 1 to 15 characters, these are %d", len(name))
	case name == "." || name == "..":
		return errors.New(`allowed: any name but "." and ".."`)
	case strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || r <= ' ' || r == 0x7f
	}):
		return errors.New(`allowed: no slash, colon, percent sign, space or control character`)
	}
	return nil
}

// LeaseShareMS is what podland may use of what is left of an ADD's budget, in
// milliseconds and at least 1: the main plugin needs the rest for its port, or
// to undo it.
func LeaseShareMS(left time.Duration) int64 {
	const margin = 2 * time.Second
	return max(1, (left - min(margin, left/5)).Milliseconds())
}

// NoUplink refuses `dhcpFrom: uplink` on a bridge without a port to the LAN.
func NoUplink(bridge string) error {
	return confError(`key "ipam.dhcpFrom": value "uplink" is refused`,
		fmt.Sprintf("allowed without an uplink: pod, or auto; bridge %q has no port to the LAN", bridge))
}

func confError(msg, details string) *types.Error {
	return types.NewError(types.ErrInvalidNetworkConfig, msg, details)
}
