// Command podlan-bridge is the CNI main plugin that makes a Pod a neighbour of
// the hosts on the LAN.
package main

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/podlan/podlan/pkg/attach"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/version"
)

func main() {
	plugin := attach.Plugin{Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}
	skel.PluginMainFuncs(plugin.Funcs(), netconf.Versions(), "podlan-bridge "+version.String())
}
