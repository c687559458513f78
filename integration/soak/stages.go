package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/soak/fuzz"
)

// stage is a part that can be run alone. Its numbers are for people.
type stage struct {
	name string
	what func(options) string
	run  func(ctx context.Context, o options, logf func(string, ...any)) (numbers string, err error)
}

func stages() []stage {
	return []stage{
		{"churn", func(o options) string { return fmt.Sprintf("%d churns (an ADD and its DEL)", o.churns) }, runChurn},
		{"kill", func(o options) string { return fmt.Sprintf("podland killed %d times under load", o.kills) }, runKill},
		{"fuzz", func(o options) string { return o.fuzztime + " of each fuzz target" }, runFuzz},
		{"year", func(options) string { return "a simulated year of renewals for 1,000 clients" }, runYear},
	}
}

// runFuzz runs the fuzz targets, one for each processor at a time.
func runFuzz(ctx context.Context, o options, logf func(string, ...any)) (string, error) {
	root, err := lab.ModuleRoot()
	if err != nil {
		return "", err
	}
	targets, err := fuzz.Targets(root, o.fuzz)
	if err != nil {
		return "", err
	}
	var failed []error
	var numbers []string
	for _, out := range fuzz.Run(ctx, fuzz.Options{Root: root, Go: o.golang, Time: o.fuzztime, AtOnce: runtime.NumCPU(), Logf: logf}, targets) {
		failed = append(failed, out.Err)
		numbers = append(numbers, out.Func+" "+out.Progress)
	}
	return strings.Join(numbers, "; "), errors.Join(failed...)
}
