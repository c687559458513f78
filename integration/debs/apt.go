package debs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/statefile"
)

// apt runs apt-get with its lists and caches below a folder of ours.
type apt struct {
	dir  string
	conf string
}

// newAPT prepares the folder. The configuration is given as a file, which
// apt-get reads after the machine's own (so its proxies and sources hold) and
// which alone can take the machine's update hooks out.
func newAPT(dir string) (apt, error) {
	a := apt{dir: filepath.Join(dir, "apt")}
	a.conf = filepath.Join(a.dir, "apt.conf")
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "log"} {
		if err := os.MkdirAll(filepath.Join(a.dir, sub), 0o755); err != nil {
			return apt{}, fmt.Errorf("folder for apt: %w", err)
		}
	}
	// The sandbox user _apt need not be able to read a folder below /root.
	text := fmt.Sprintf(`#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State::lists "%[1]s/lists";
Dir::Cache "%[1]s/cache";
Dir::Log "%[1]s/log";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
`, a.dir)
	if err := os.WriteFile(a.conf, []byte(text), 0o600); err != nil {
		return apt{}, fmt.Errorf("configuration for apt: %w", err)
	}
	return a, nil
}

// get runs apt-get in the working folder and returns what it printed.
func (a apt) get(ctx context.Context, workDir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-c", a.conf}, args...)...)
	cmd.Dir = workDir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, lastLines(errs.String(), 4))
	}
	return out.Bytes(), nil
}

// update fetches the package lists. Some of a machine's sources may be out of
// reach; what that means shows when the packages are asked for.
func (a apt) update(ctx context.Context) error {
	_, err := a.get(ctx, a.dir, "update")
	return err
}

// closure returns "name=version" of the package and of what it needs and the
// machine lacks. Without libraries that are installed: they fit the machine's
// loader, newer ones need not. Data (only) is wanted though it be installed: the
// machine's own is not ours to read, and may be of another version.
func (a apt) closure(ctx context.Context, r recipe) ([]string, error) {
	args := []string{"install", "-s", "--reinstall", "--no-install-recommends", r.pkg}
	if r.only != "" {
		args = append([]string{"-o", "Dir::State::status=/dev/null"}, args...)
	}
	out, err := a.get(ctx, a.dir, args...)
	if err != nil {
		return nil, err
	}
	want := slices.DeleteFunc(parseInst(out), func(name string) bool { return !strings.HasPrefix(name, r.only) })
	if len(want) == 0 {
		return nil, fmt.Errorf("apt-get names no package to fetch for %s", r.pkg)
	}
	return want, nil
}

// parseInst reads the lines "Inst name [old] (version origin [arch])".
func parseInst(out []byte) []string {
	var want []string
	for scan := bufio.NewScanner(bytes.NewReader(out)); scan.Scan(); {
		name, rest, ok := strings.Cut(strings.TrimPrefix(scan.Text(), "Inst "), " ")
		if !ok || !strings.HasPrefix(scan.Text(), "Inst ") {
			continue
		}
		_, version, _ := strings.Cut(rest, "(")
		if version, _, ok = strings.Cut(version, " "); ok {
			want = append(want, name+"="+version)
		}
	}
	return want
}

// download fetches the package and its closure into a folder: with the lists at
// hand, else with fresh ones.
func (a apt) download(ctx context.Context, r recipe, into string) error {
	lock, err := statefile.Acquire(ctx, a.dir, "lock")
	if err != nil {
		return fmt.Errorf("wait for another apt-get of ours: %w", err)
	}
	defer lock.Release()
	if a.tryDownload(ctx, r, into) == nil {
		return nil
	}
	updateErr := a.update(ctx)
	if err := a.tryDownload(ctx, r, into); err != nil {
		if updateErr != nil {
			return fmt.Errorf("%w (before that: %w)", err, updateErr)
		}
		return err
	}
	return nil
}

func (a apt) tryDownload(ctx context.Context, r recipe, into string) error {
	want, err := a.closure(ctx, r)
	if err != nil {
		return err
	}
	_, err = a.get(ctx, into, append([]string{"download"}, want...)...)
	return err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
