package main

import (
	"strings"
	"testing"
	"time"
)

func TestAResultReplacesTheStagesLastAndLeavesTheOthers(t *testing.T) {
	text := "# Soak\n\n| Stage | What |\n|:--|:--|\n| churn | old |\n\nthe end\n"
	for _, r := range []result{
		{stage: "kill", what: "2 kills", pass: true, took: time.Minute},
		{stage: "churn", what: "5 churns", numbers: "a|b"},
	} {
		var err error
		if text, err = r.into(text); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(text, "\n")
	for i, want := range []string{"# Soak", "", "| Stage |", "|:--|", `| churn | 5 churns | FAIL | a\|b |`, "| kill | 2 kills | PASS |  | 1m0s |", "", "the end", ""} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d wants %q:\n%s", i, want, text)
		}
	}
	if _, err := (result{}).into("no table"); err == nil {
		t.Error("a file without the table is no error")
	}
}
