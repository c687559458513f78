// Package upstream makes kube-apiserver and kube-proxy for tests: of the Go
// modules that Kubernetes publishes, once, into the user's cache folder. Debian
// 12 has no packages of them, and build machines reach package registries alone.
package upstream

import (
	"context"
	"crypto/sha256"
	_ "embed" // the module
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/pkg/statefile"
)

// The module that the programs are built in. Its files are not named go.mod and
// go.sum: `make lint` tidies every module of the tree, and this one would fetch
// what all of Kubernetes' own tests need.
//
// For another release: copy them to a folder as go.mod and go.sum, replace both
// versions, run `go get -tool` for the two programs, copy them back.
var (
	//go:embed kubernetes.mod
	goMod string
	//go:embed kubernetes.sum
	goSum string
)

// Programs are where the programs lie.
type Programs struct {
	APIServer, Proxy string
}

// names are the commands' of k8s.io/kubernetes, the smaller first.
func names() []string { return []string{"kube-proxy", "kube-apiserver"} }

// Version returns the release, such as 1.36.3.
func Version() string {
	found := regexp.MustCompile(`(?m)k8s\.io/kubernetes v(\S+)`).FindStringSubmatch(goMod)
	if found == nil {
		return "unknown"
	}
	return found[1]
}

// Find returns the programs. What the cache lacks is built, once, however many
// processes ask at the same time, and progress is told.
func Find(ctx context.Context, progress io.Writer) (Programs, error) {
	cache, err := debs.CacheDir()
	if err != nil {
		return Programs{}, err
	}
	dir := filepath.Join(cache, "kubernetes")
	key, err := cacheKey(ctx)
	if err != nil {
		return Programs{}, err
	}
	lock, err := statefile.Acquire(ctx, dir, key+".lock")
	if err != nil {
		return Programs{}, fmt.Errorf("wait for another process that builds Kubernetes: %w", err)
	}
	defer lock.Release()
	into := filepath.Join(dir, key)
	for _, name := range names() {
		if _, err := os.Stat(filepath.Join(into, name)); err == nil {
			continue
		}
		if err := tell(ctx, progress, name, into); err != nil {
			return Programs{}, err
		}
	}
	return Programs{APIServer: filepath.Join(into, "kube-apiserver"), Proxy: filepath.Join(into, "kube-proxy")}, nil
}

// tell builds a program and says so before and after.
func tell(ctx context.Context, progress io.Writer, name, into string) error {
	fmt.Fprintf(progress, "building %s %s: the two programs take 5 minutes on two idle cores, once; they stay in %s\n",
		name, Version(), into)
	start := time.Now()
	if err := build(ctx, name, into); err != nil {
		return fmt.Errorf("build %s %s: %w", name, Version(), err)
	}
	fmt.Fprintf(progress, "built %s in %s\n", name, time.Since(start).Round(time.Second))
	return nil
}

// cacheKey names what the programs depend on: the release, the compiler and the
// platform, and the module's files.
func cacheKey(ctx context.Context) (string, error) {
	out, err := goTool(ctx, "", "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	sum := sha256.Sum256([]byte(goMod + goSum + strings.Join(flags(), " ")))
	parts := append([]string{Version()}, strings.Fields(string(out))...)
	return strings.Join(append(parts, hex.EncodeToString(sum[:4])), "-"), nil
}
