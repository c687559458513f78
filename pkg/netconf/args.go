package netconf

import (
	"net"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Args are the pairs of CNI_ARGS, "KEY=value;KEY2=value2".
type Args map[string]string

// ParseArgs reads CNI_ARGS. Keys that nobody knows are kept: option values may
// come from them (`provide`), and runtimes add their own.
func ParseArgs(s string) (Args, *types.Error) {
	args := Args{}
	for pair := range strings.SplitSeq(s, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, types.NewError(types.ErrInvalidEnvironmentVariables,
				"CNI_ARGS: "+shown(pair)+" is refused", "allowed: KEY=value pairs, separated by semicolons")
		}
		args[key] = value
	}
	return args, nil
}

func (a Args) pod() Pod {
	return Pod{Namespace: a["K8S_POD_NAMESPACE"], Name: a["K8S_POD_NAME"], UID: a["K8S_POD_UID"]}
}

// Without returns the pairs as CNI_ARGS, in their given order and without key.
func Without(cniArgs, key string) string {
	var kept []string
	for pair := range strings.SplitSeq(cniArgs, ";") {
		if name, _, _ := strings.Cut(pair, "="); pair != "" && name != key {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, ";")
}

func (a Args) mac(conf *object) net.HardwareAddr {
	s, ok := a["MAC"]
	if !ok {
		return nil
	}
	mac, err := parseMAC(s)
	if err != nil {
		conf.failCode(types.ErrInvalidEnvironmentVariables, "CNI_ARGS MAC", s, err.Error())
		return nil
	}
	return mac
}
