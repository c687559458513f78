package leg

import (
	"context"

	"github.com/podlan/podlan/pkg/rtnl"
)

// routes are a host route and a permanent neighbour for each address of a Pod.
type routes struct{ h *rtnl.Handle }

func (r routes) add(context.Context, Leg, []Leg) error { return nil }

func (r routes) remove(context.Context, Leg, []Leg) error { return nil }

func (r routes) intact(context.Context, []Leg) (bool, error) { return true, nil }

func (r routes) restore(context.Context, []Leg) error { return nil }
