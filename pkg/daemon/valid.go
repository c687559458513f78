package daemon

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// keyOf checks what becomes part of log lines and names a link.
func keyOf(r *http.Request) (leaseapi.Key, error) {
	key := leaseapi.Key{Network: r.PathValue("network"), ContainerID: r.PathValue("container"), IfName: r.PathValue("ifname")}
	// As CNI's own validation has them.
	name := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`)
	if !name.MatchString(key.Network) || !name.MatchString(key.ContainerID) || !linkName(key.IfName, maxIfName) {
		return key, &leaseapi.Error{
			Code: leaseapi.CodeConfig, Msg: "path " + strconv.Quote(r.URL.Path) + " is refused",
			Details: "allowed: a network, a container ID and an interface name as CNI has them",
		}
	}
	return key, nil
}

// Lengths in bytes.
const (
	maxIfName   = 15   // IFNAMSIZ - 1
	maxAltName  = 127  // ALTIFNAMSIZ - 1: a link may be named by either
	maxPath     = 4095 // PATH_MAX - 1
	maxPod      = 512  // Kubernetes: 63 for a namespace, 253 for a name
	maxOption   = 255  // RFC 2132 §2: the length is one byte
	maxSent     = 1024 // of all options sent: they have to fit one frame
	maxBudgetMS = 600_000
	maxVID      = 4094 // IEEE 802.1Q

	maxPace      = 500 // packets per second
	maxServers   = 32
	maxProtected = 256
)

// linkName tells whether the kernel takes the name for a link.
func linkName(name string, longest int) bool {
	return name != "" && len(name) <= longest && name != "." && name != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == ':' || unicode.IsSpace(r) || unicode.IsControl(r) })
}

func bad(field, value, allowed string) error {
	const shown = 80
	if len(value) > shown {
		value = value[:shown] + "…"
	}
	return &leaseapi.Error{Code: leaseapi.CodeConfig, Msg: fmt.Sprintf("field %q: value %q is refused", field, value), Details: "allowed: " + allowed}
}

// valid checks what podland acts on; the plugin has checked what users write.
func valid(req leaseapi.Request, podAccess bool) error {
	for _, check := range []func(leaseapi.Request) error{validClient, validPlace, validOptions, validPolicy, validParts} {
		if err := check(req); err != nil {
			return err
		}
	}
	switch {
	case podAccess:
	case req.Transport == leaseapi.FromPod:
		return noPodAccess("dhcpFrom: pod", "give the network an uplink")
	case req.WhenLost == leaseapi.Replace:
		return noPodAccess("whenLost: replace", "leave whenLost at withdraw")
	}
	return nil
}

func noPodAccess(key, instead string) error {
	return &leaseapi.Error{
		Code: leaseapi.CodeConfig, Msg: "podland may not enter Pods' network namespaces, which " + key + " needs",
		Details: "install the systemd drop-in podland.service.d/pod-access.conf, or " + instead,
	}
}

func validClient(req leaseapi.Request) error {
	mac, err := net.ParseMAC(req.MAC)
	switch {
	case err != nil || len(mac) != 6 || mac[0]&1 == 1 || mac.String() == "00:00:00:00:00:00":
		return bad("mac", req.MAC, "a 48-bit unicast address other than zero")
	case len(req.ClientID) < 2 || len(req.ClientID) > maxOption:
		return bad("clientID", fmt.Sprintf("%x", []byte(req.ClientID)), "2 to 255 bytes")
	case req.BudgetMS < 1 || req.BudgetMS > maxBudgetMS:
		return bad("budgetMS", strconv.FormatInt(req.BudgetMS, 10), "1 to 600000")
	case len(req.Pod) > maxPod || strings.ContainsFunc(req.Pod, unicode.IsControl):
		return bad("pod", req.Pod, "up to 512 bytes without control characters")
	}
	return nil
}

func validPlace(req leaseapi.Request) error {
	const link = "a link's name"
	entered := req.Transport == leaseapi.FromPod || req.Confirm == leaseapi.ByAddress
	switch {
	case req.Transport != leaseapi.FromUplink && req.Transport != leaseapi.FromPod:
		return bad("transport", string(req.Transport), "uplink, pod")
	case req.Confirm != leaseapi.ByRecord && req.Confirm != leaseapi.ByAddress:
		return bad("confirm", string(req.Confirm), "record, address")
	case req.Transport == leaseapi.FromUplink && req.Uplink == "":
		return bad("uplink", "", link+", since transport is uplink")
	case req.Uplink != "" && !linkName(req.Uplink, maxAltName):
		return bad("uplink", req.Uplink, link)
	case req.Bridge != "" && !linkName(req.Bridge, maxAltName):
		return bad("bridge", req.Bridge, link)
	case req.VLAN > maxVID:
		return bad("vlan", strconv.Itoa(int(req.VLAN)), "0 to 4094")
	case req.Untagged && req.VLAN == 0:
		return bad("untagged", "true", "false, since there is no vlan")
	case entered && !filepath.IsAbs(req.Netns):
		return bad("netns", req.Netns, "an absolute path, since transport is pod or confirm is address")
	case len(req.Netns) > maxPath || strings.ContainsRune(req.Netns, 0):
		return bad("netns", req.Netns, "a path of up to 4095 bytes")
	}
	return nil
}

func validOptions(req leaseapi.Request) error {
	if len(req.ParameterRequest) > maxOption {
		return bad("parameterRequest", fmt.Sprintf("%x", []byte(req.ParameterRequest)), "up to 255 bytes")
	}
	sum := 0
	for code, value := range req.Send {
		if protocolsOwn(code) {
			return bad("send", strconv.Itoa(int(code)), "any option but 0, 255, 50 to 55, 57 and 61, which the protocol itself sets")
		}
		if len(value) > maxOption {
			return bad("send", fmt.Sprintf("%d: %x", code, []byte(value)), "up to 255 bytes for each option")
		}
		sum += 2 + len(value)
	}
	if sum > maxSent {
		return bad("send", fmt.Sprintf("%d bytes", sum), "up to 1024 bytes for all options")
	}
	return nil
}

func validPolicy(req leaseapi.Request) error {
	switch req.Conflict {
	case "", leaseapi.ConflictOptimistic, leaseapi.ConflictWait, leaseapi.ConflictOff:
	default:
		return bad("conflict", string(req.Conflict), "optimistic, wait, off")
	}
	switch req.WhenLost {
	case "", leaseapi.Withdraw:
	case leaseapi.Replace:
		if req.Confirm != leaseapi.ByRecord {
			return bad("whenLost", string(req.WhenLost), "withdraw, since podland changes the addresses of podlan-bridge's ports only")
		}
	default:
		return bad("whenLost", string(req.WhenLost), "withdraw, replace")
	}
	if req.RoutePriority < 0 || req.RoutePriority > math.MaxInt32 {
		return bad("routePriority", strconv.Itoa(req.RoutePriority), "0 to 2147483647")
	}
	if req.Pace < 0 || req.Pace > maxPace {
		return bad("pace", strconv.Itoa(req.Pace), "1 to 500; 0 for podland's own")
	}
	if len(req.Servers) > maxServers {
		return bad("servers", fmt.Sprintf("%d addresses", len(req.Servers)), "up to 32")
	}
	for _, server := range req.Servers {
		if !server.Is4() || !server.IsGlobalUnicast() {
			return bad("servers", server.String(), "IPv4 addresses of hosts")
		}
	}
	return nil
}

func validParts(req leaseapi.Request) error {
	for _, part := range req.Ignore {
		switch part {
		case leaseapi.PartDNS, leaseapi.PartDomain, leaseapi.PartSearch, leaseapi.PartMTU, leaseapi.PartRoutes:
		default:
			return bad("ignore", string(part), "dns, domain, search, mtu, routes")
		}
	}
	if len(req.Protected) > maxProtected {
		return bad("protected", fmt.Sprintf("%d networks", len(req.Protected)), "up to 256")
	}
	for _, p := range req.Protected {
		if !p.IsValid() {
			return bad("protected", p.String(), "networks")
		}
	}
	return nil
}

// protocolsOwn are the options that the state machine writes (RFC 2131 §4.4.1),
// and those that are none (RFC 2132 §3).
func protocolsOwn(code uint8) bool {
	switch code {
	case 0, 50, 51, 52, 53, 54, 55, 57, 61, 255:
		return true
	}
	return false
}
