package guard_test

import (
	"testing"

	"github.com/podlan/podlan/pkg/guard"
)

func TestPort250TakesAsManyMessagesAsPort1(t *testing.T) {
	g, n := newGuard(t)
	must(t, g.Add(t.Context(), port(1000))) // with it comes the table
	dir := t.TempDir()
	count := func(i int) uint64 {
		one := guard.New(n.Handle, dir) // as a process of its own
		defer one.Close()
		must(t, one.Add(t.Context(), port(i)))
		return guard.Messages(one)
	}
	first := count(1)
	for i := 2; i < 250; i++ {
		must(t, g.Add(t.Context(), port(i)))
	}
	if last := count(250); last != first || first == 0 {
		t.Errorf("%d messages for port 1, %d for port 250", first, last)
	}
}
