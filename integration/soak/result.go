package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/podlan/podlan/integration/bench/machine"
)

// result is what came of a stage.
type result struct {
	stage, what, numbers string
	pass                 bool
	took                 time.Duration
	where                machine.Environment
}

func (r result) verdict() string {
	if r.pass {
		return "PASS"
	}
	return "FAIL"
}

// row is the result as a line of the table.
func (r result) row() string {
	cells := []string{
		r.stage, r.what, r.verdict(), r.numbers, r.took.Round(time.Second).String(),
		r.where.Date.Format("2006-01-02 15:04 MST"), r.where.Tree(), r.where.Hardware(),
	}
	for i, c := range cells {
		cells[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(c)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// record puts the result into the file's table, in place of the stage's last.
func (r result) record(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write the result down: %w", err)
	}
	changed, err := r.into(string(text))
	if err == nil {
		err = os.WriteFile(path, []byte(changed), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the result down in %s: %w", path, err)
	}
	return nil
}

// into replaces the stage's row of the text's table, or adds it at its end.
func (r result) into(text string) (string, error) {
	lines := strings.Split(text, "\n")
	head := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "| Stage |") })
	if head < 0 || head+1 >= len(lines) {
		return "", fmt.Errorf("there is no table that begins with %q", "| Stage |")
	}
	end := head + 2 // behind the line below the heading
	for ; end < len(lines) && strings.HasPrefix(lines[end], "|"); end++ {
		if strings.HasPrefix(lines[end], "| "+r.stage+" |") {
			lines[end] = r.row()
			return strings.Join(lines, "\n"), nil
		}
	}
	return strings.Join(slices.Insert(lines, end, r.row()), "\n"), nil
}
