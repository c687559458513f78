package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/soak/churn"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// check looks at the leases that stay, of a podland that has just been started:
// it must know them at once, whoever it was killed by.
func check(ctx context.Context, a *churn.Arena) error {
	list, err := a.Podland().List(ctx)
	if err != nil {
		return err
	}
	users := map[netip.Addr]leaseapi.Key{}
	for _, l := range list {
		if !l.Address.IsValid() {
			continue
		}
		if other, ok := users[l.Address.Addr()]; ok {
			return fmt.Errorf("podland holds %s twice, for %s and %s", l.Address, other, l.Key)
		}
		users[l.Address.Addr()] = l.Key
	}
	for _, h := range a.Held {
		i := slices.IndexFunc(list, func(l leaseapi.Lease) bool { return l.Key == h.Key() })
		switch {
		case i < 0:
			return fmt.Errorf("podland has lost the lease of %s, %s", h.Pod.Name(), h.Addr)
		case list[i].Address.Addr() != h.Addr, list[i].State != leaseapi.StateBound && list[i].State != leaseapi.StateRenewing:
			return fmt.Errorf("%s had %s and has %s, %s %s", h.Pod.Name(), h.Addr, list[i].Address, list[i].State, list[i].Reason)
		}
	}
	// dnsmasq writes its file anew on every change; who reads it meanwhile sees
	// too few.
	if err := lab.Until(ctx, func() error { return a.Granted(a.Server.ActiveLeases()) }); err != nil {
		return err
	}
	return a.Client.Ping(ctx, a.Held[rand.N(len(a.Held))].Addr)
}

// after waits until nobody has a lease but those that stay; they answer.
func (r *run) after(ctx context.Context) error {
	if err := churn.Eventually(ctx, func() error { return r.Only(ctx) }); err != nil {
		return fmt.Errorf("after the last DEL of those that came and went: %w\n%s", err, r.told())
	}
	for _, h := range r.Held {
		if err := r.Client.Ping(ctx, h.Addr); err != nil {
			return err
		}
	}
	return nil
}

// told is what server and podland have printed about the leases that the server
// still holds for nobody: the logs' ends, which a failing lab prints, are long
// past them.
func (r *run) told() string {
	var b strings.Builder
	for _, l := range r.Server.ActiveLeases() {
		if slices.ContainsFunc(r.Held, func(h churn.Held) bool { return h.MAC == l.MAC }) {
			continue
		}
		for line := range strings.Lines(r.Server.Log() + r.Node.PodlandLog()) {
			if strings.Contains(line, l.MAC) || strings.Contains(line, l.Addr.String()+"\n") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// nothingLeft waits until the node and the server are as before the first ADD.
func nothingLeft(ctx context.Context, a *churn.Arena, before lab.Snapshot) error {
	return churn.Eventually(ctx, func() error {
		if err := a.Only(ctx); err != nil {
			return err
		}
		now, err := a.Node.TakeSnapshot()
		if err != nil {
			return err
		}
		if diff := before.Diff(now); diff != "" {
			return errors.New(diff)
		}
		files, err := a.Node.StateFiles()
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasPrefix(f, "locks/") || f == "leases/asked.log" }) // they stay, the latter empty
		if err == nil && len(files) > 0 {
			err = fmt.Errorf("left in the state folder: %v", files)
		}
		return err
	})
}
