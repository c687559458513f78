package netconf

import "github.com/containernetworking/cni/pkg/version"

// Versions returns the versions of the CNI specification that both plugins
// speak.
func Versions() version.PluginInfo {
	return version.PluginSupports("0.3.1", "0.4.0", "1.0.0", "1.1.0")
}
