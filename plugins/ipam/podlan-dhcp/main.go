// Command podlan-dhcp is the CNI IPAM plugin that leases a Pod's address from
// the site's DHCP server, through podland.
package main

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/podlan/podlan/pkg/ipam"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/version"
)

func main() {
	plugin := ipam.Plugin{Stdout: os.Stdout, Stderr: os.Stderr}
	skel.PluginMainFuncs(plugin.Funcs(), netconf.Versions(), "podlan-dhcp "+version.String())
}
