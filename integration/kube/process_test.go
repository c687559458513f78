package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// TestMain lets the test binary stand in for a test that is killed: a child of
// its own, told so by the environment.
func TestMain(m *testing.M) {
	if os.Getenv("PODLAN_KUBE_TEST") == "killed" {
		os.Exit(killedInTheMiddle())
	}
	os.Exit(m.Run())
}

// killedInTheMiddle starts a process in a lab, prints its ID and waits for its
// own end.
func killedInTheMiddle() int {
	err := lab.Run(context.Background(), func(string, ...any) {}, lab.Options{Server: lab.None}, func(l *lab.Lab) error {
		p, err := start(l.Host("host").Netns, l.Dir(), "sleep", exec.Command("sleep", "infinity"))
		if err != nil {
			return err
		}
		fmt.Println(p.cmd.Process.Pid)
		select {}
	})
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestAProcessDiesWithATestThatIsKilled(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "PODLAN_KUBE_TEST=killed", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(err, cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	lab.Eventually(t, "the process ends", func() error {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/stat")
		if err == nil && strings.Contains(string(stat), "(sleep)") && !strings.Contains(string(stat), ") Z ") { // a zombie waits for init only
			return fmt.Errorf("it lives: %s", stat)
		}
		return nil
	})
}

func TestWaitingForAProcessThatEndsTellsItsLastWords(t *testing.T) {
	t.Parallel()
	l := lab.New(t, lab.Options{Server: lab.None})
	p, err := start(l.Host("host").Netns, l.Dir(), "sh", exec.Command("sh", "-c", "echo no such flag; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	err = p.await(t.Context(), func() error { return errors.New("not ready") })
	if err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("%v, want what the process said", err)
	}
}
