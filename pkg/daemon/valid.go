package daemon

import (
	"fmt"
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
	for _, check := range []func(leaseapi.Request) error{validClient, validPlace, validOptions} {
		if err := check(req); err != nil {
			return err
		}
	}
	if req.Transport == leaseapi.FromPod && !podAccess {
		return &leaseapi.Error{
			Code: leaseapi.CodeConfig, Msg: "podland may not enter Pods' network namespaces, which dhcpFrom: pod needs",
			Details: "install the systemd drop-in podland.service.d/pod-access.conf, or give the network an uplink",
		}
	}
	return nil
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

// protocolsOwn are the options that the state machine writes (RFC 2131 §4.4.1),
// and those that are none (RFC 2132 §3).
func protocolsOwn(code uint8) bool {
	switch code {
	case 0, 50, 51, 52, 53, 54, 55, 57, 61, 255:
		return true
	}
	return false
}
