package upstream

import (
	"regexp"
	"strings"
	"testing"
)

// A module of another release than the rest would build, and be nobody's
// Kubernetes.
func TestEveryModuleOfKubernetesIsOfOneRelease(t *testing.T) {
	minor := strings.TrimPrefix(Version(), "1.")
	replaced := regexp.MustCompile(`(?m)^\t(\S+) => (\S+) v(\S+)$`).FindAllStringSubmatch(goMod, -1)
	if len(replaced) < 25 {
		t.Fatalf("%d modules are replaced: more than 25 are Kubernetes' own", len(replaced))
	}
	for _, m := range replaced {
		if m[1] != m[2] || m[3] != "0."+minor {
			t.Errorf("%s is replaced by %s v%s, want itself, v0.%s", m[1], m[2], m[3], minor)
		}
	}
	if strings.Contains(goMod, "k8s.io/kubernetes => ") || Version() == "unknown" {
		t.Errorf("k8s.io/kubernetes is not required by version: %s", Version())
	}
}
