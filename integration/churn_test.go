package integration_test

import (
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/soak/churn"
)

func Test500ADDsAndDELsLeaveEverythingAsItWas(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, churn.Options()))
	report, err := churn.Soak(t.Context(), l, 500, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
}
