package fuzz

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	// tellEvery is how often a person is told how far a target is.
	tellEvery = time.Minute
	// mostLines bounds what is kept of a target that says much.
	mostLines = 200
)

// output reads what go test prints about one target.
type output struct {
	logf     func(line string)
	told     time.Time
	rest     string // an unfinished line
	progress string
	lines    []string // all but progress
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	lines := strings.Split(o.rest+string(b), "\n")
	o.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		o.line(line)
	}
	return len(b), nil
}

func (o *output) line(line string) {
	if !strings.HasPrefix(line, "fuzz: ") {
		if len(o.lines) < mostLines {
			o.lines = append(o.lines, line)
		}
		return
	}
	if _, counts, ok := strings.Cut(line, "execs: "); ok {
		o.progress = "execs: " + counts
	}
	if time.Since(o.told) >= tellEvery {
		o.told = time.Now()
		o.logf(strings.TrimPrefix(line, "fuzz: "))
	}
}

// onlyDeadline tells that go test failed for nothing but the end of its time:
// until Go 1.27 its workers' ends race with the deadline (golang/go#75804).
func (o *output) onlyDeadline() bool {
	found := false
	for _, line := range o.lines {
		switch word := strings.TrimSpace(line); {
		case word == "context deadline exceeded":
			found = true
		case word == "", strings.HasPrefix(line, "FAIL"), strings.HasPrefix(line, "--- FAIL"), word == "exit status 1":
		default:
			return false
		}
	}
	return found
}

// input returns the input that failed: the machine that found it may be gone
// when somebody reads this.
func (o *output) input(dir string) string {
	name := regexp.MustCompile(`Failing input written to (\S+)`).FindStringSubmatch(strings.Join(o.lines, "\n"))
	if name == nil {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(dir, name[1]))
	if err != nil {
		return fmt.Sprintf("\n%v", err)
	}
	return fmt.Sprintf("\n%s:\n%s", name[1], text)
}
