package main

import (
	"context"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/soak/churn"
	"github.com/podlan/podlan/integration/soak/kill"
)

func runChurn(ctx context.Context, o options, logf func(string, ...any)) (string, error) {
	var r churn.Report
	err := lab.Run(ctx, logf, churn.Options(), func(l *lab.Lab) (err error) {
		r, err = churn.Soak(ctx, l, o.churns, logf)
		return err
	})
	return r.String(), err
}

func runKill(ctx context.Context, o options, logf func(string, ...any)) (string, error) {
	var numbers string
	err := lab.Run(ctx, logf, kill.Options(), func(l *lab.Lab) (err error) {
		numbers, err = kill.Run(ctx, l, o.kills, logf)
		return err
	})
	return numbers, err
}
