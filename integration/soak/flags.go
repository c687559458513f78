package main

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// options are the program's flags.
type options struct {
	stages         []stage
	churns, kills  int
	fuzztime, fuzz string
	doc, golang    string
}

func parseFlags(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("soak", flag.ExitOnError)
	names := flags.String("stages", "churn kill fuzz year", "which `stages` to run, in this order")
	flags.IntVar(&o.churns, "churns", 10_000, "churn: how many ADDs, each with its DEL")
	flags.IntVar(&o.kills, "kills", 200, "kill: how often podland is killed")
	flags.StringVar(&o.fuzztime, "fuzztime", "10m", "fuzz: how long each target runs, as go test -fuzztime")
	flags.StringVar(&o.fuzz, "fuzz", "", "fuzz: only targets whose \"folder function\" this `expression` matches")
	flags.StringVar(&o.doc, "doc", "", "the Markdown `file` whose table gets the results (default: none)")
	flags.StringVar(&o.golang, "go", "go", "the go `command`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.churns < 1 || o.kills < 1 || flags.NArg() > 0 {
		return o, fmt.Errorf("-churns and -kills want 1 or more, and flags are all: %q", args)
	}
	if _, err := regexp.Compile(o.fuzz); err != nil {
		return o, fmt.Errorf("-fuzz: %w", err)
	}
	return o, o.choose(strings.Fields(*names))
}

func (o *options) choose(names []string) error {
	for _, name := range names {
		i := slices.IndexFunc(stages(), func(s stage) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("-stages: there is no %q; there are churn, kill, fuzz and year", name)
		}
		o.stages = append(o.stages, stages()[i])
	}
	return nil
}
