// Package integration tests Podlan's binaries as users run them: through libcni,
// against real DHCP servers, on LANs of network namespaces (package lab). It
// touches nothing outside of those.
package integration
