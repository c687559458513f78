// Package vlan tests Pods on VLANs, in a lab whose switch speaks 802.1Q. Where
// the machine's own kernel does not, `make test` and `make test-vlan` run it in
// a virtual machine (integration/vm).
package vlan
