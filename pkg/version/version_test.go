package version_test

import (
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/version"
)

func TestEveryBuildHasAName(t *testing.T) {
	got := version.String()
	if got != "devel" && !strings.HasPrefix(got, "v") {
		t.Errorf("got %q; want a module's version, or devel", got)
	}
}
