package main

import "testing"

func TestMarkdown(t *testing.T) {
	got := markdown([][]string{{"", "ours"}, {"ADD p50", "–"}})
	want := "|         | ours |\n|:--------|-----:|\n| ADD p50 |    – |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
