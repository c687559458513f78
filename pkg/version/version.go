// Package version names this build. It touches nothing.
package version

import "runtime/debug"

// String returns the module's version as the Go toolchain stamped it, or
// "devel" for a build from a working tree.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
