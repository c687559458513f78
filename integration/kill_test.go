package integration_test

import (
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/soak/kill"
)

// A short form of what `make soak` does 200 times.
func TestPodlandKilledAtRandomMomentsUnderLoadLosesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, kill.Options()))
	numbers, err := kill.Run(t.Context(), l, 10, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(numbers)
}
