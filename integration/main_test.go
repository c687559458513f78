package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// TestMain makes sure that what the tests run has been built: they test
// binaries, not packages.
func TestMain(m *testing.M) {
	root, err := lab.ModuleRoot()
	if err == nil {
		for _, program := range []string{"podlan-bridge", "podlan-dhcp", "podland", "podlan", "reference/bridge"} {
			if _, err = os.Stat(filepath.Join(root, "bin", program)); err != nil {
				break
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err, "\nrun `make build reference` first, or `make test`")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
