package upstream

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// build leaves the program in the folder, as a whole or not at all.
func build(ctx context.Context, name, into string) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	work, err := os.MkdirTemp(into, "build-*.tmp")
	if err != nil {
		return fmt.Errorf("folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	for file, text := range map[string]string{"go.mod": goMod, "go.sum": goSum} {
		if err := os.WriteFile(filepath.Join(work, file), []byte(text), 0o644); err != nil {
			return fmt.Errorf("module to build in: %w", err)
		}
	}
	fresh := filepath.Join(work, name)
	cmd := goTool(ctx, work, append(append([]string{"build"}, flags()...), "-o", fresh, "k8s.io/kubernetes/cmd/"+name)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, lastLines(said.String(), 5))
	}
	if err := os.Rename(fresh, filepath.Join(into, name)); err != nil {
		return fmt.Errorf("put it into place: %w", err)
	}
	return nil
}

// flags are those of the release's own static build, and its version, which a
// module does not carry and clients ask for.
func flags() []string {
	const version = "k8s.io/component-base/version."
	parts := strings.SplitN(Version(), ".", 3)
	ldflags := []string{"-s", "-w", "-X", version + "gitVersion=v" + Version()}
	if len(parts) == 3 {
		ldflags = append(ldflags, "-X", version+"gitMajor="+parts[0], "-X", version+"gitMinor="+parts[1])
	}
	return []string{"-trimpath", "-tags", "grpcnotrace", "-ldflags", strings.Join(ldflags, " ")}
}

// goTool prepares a call of go that leaves the machine to others, and to what
// runs beside it on a build machine.
func goTool(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "19", "go"}, args...)...)
	cmd.Dir = dir
	// What the user set for Podlan's own build is not meant for this one.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-p=2 -mod=readonly -buildvcs=false")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
