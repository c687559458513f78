package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/tombstone"
	"github.com/podlan/podlan/pkg/version"
	"github.com/podlan/podlan/pkg/wire"
)

// Config says where podland keeps things.
type Config struct {
	// Socket is where plugins call, StateDir where leases and records lie.
	Socket, StateDir string
	// MetricsListen is a TCP address for Prometheus; empty: none.
	MetricsListen string
	// SettleAfter is how long an attachment's Pod has to be gone before podland
	// settles it by itself.
	SettleAfter time.Duration
	// ReclaimIdle is how long no process may have been in a Pod's namespace
	// before it is settled too; 0: never. It takes CAP_SYS_PTRACE.
	ReclaimIdle time.Duration
	Log         *slog.Logger
}

// leases is what the API and the reconciler need of the lease keeper.
type leases interface {
	Acquire(ctx context.Context, key leaseapi.Key, req leaseapi.Request) (leaseapi.Lease, error)
	Get(key leaseapi.Key) (leaseapi.Lease, bool)
	List() []leaseapi.Lease
	Release(ctx context.Context, key leaseapi.Key) error
	GC(ctx context.Context, network string, valid []leaseapi.Key) error
	Held() []lease.Held
	Recover(key leaseapi.Key, req leaseapi.Request, address netip.Prefix) error
	Verify(uplink string) error
}

// shutdownTime is what requests under way get when podland is told to end.
const shutdownTime = 3 * time.Second

// Run serves until ctx ends. Leases outlive it: nothing is given back.
func Run(ctx context.Context, cfg Config) error {
	d, err := open(cfg)
	if err != nil {
		return err
	}
	defer d.links.Close()
	listener, err := listen(ctx, cfg.Socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	part := func(what string, run func() error) {
		all.Go(func() {
			if err := run(); err != nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	part("lease keeper", func() error { return d.keeper.Run(ctx) })
	part("follower", func() error { d.follower.run(ctx); return nil })
	part("restorer", func() error { d.restorer.run(ctx); return nil })
	part("reconciler", func() error { d.reconciler.run(ctx); return nil })
	part("API", func() error { return serveHTTP(ctx, listener, d.api.handler()) })
	if cfg.MetricsListen != "" {
		part("metrics", func() error { return serveMetrics(ctx, cfg.MetricsListen, d.metrics) })
	}
	cfg.Log.Info("podland serves", "version", version.String(), "socket", cfg.Socket, "state", cfg.StateDir, "podAccess", d.api.pods)
	<-ctx.Done()
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// parts are podland's, put together and not yet running.
type parts struct {
	links      *rtnl.Handle
	keeper     *lease.Keeper
	follower   *follower
	reconciler *reconciler
	restorer   *restorer
	api        *api
	metrics    http.Handler
}

func open(cfg Config) (*parts, error) {
	store, err := attachment.OpenStore(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	bootID, err := boottime.BootID()
	if err != nil {
		return nil, err
	}
	links, err := rtnl.Here()
	if err != nil {
		return nil, err
	}
	locks := attachment.LockDir(cfg.StateDir)
	teardown := attachment.Teardown{Links: links, Guard: guard.New(links, locks), Legs: leg.NewNode(links, locks), Store: store}
	observer, registry := newMetrics()
	registry.MustRegister(newDrops(teardown.Guard))
	pods := podAccess()
	follower := &follower{
		foreign: &foreign{pods: pods, log: cfg.Log, count: observer.port},
		store:   store, gate: attachment.Gate(teardown), log: cfg.Log, count: observer.port, wake: make(chan struct{}, 1),
	}
	keeper, err := newKeeper(cfg, store, bootID, observer, follower.changed)
	if err != nil {
		links.Close()
		return nil, err
	}
	follower.leases = keeper
	if err := wire.RemoveStalePorts(); err != nil {
		cfg.Log.Warn("momentary ports of a killed podland", "error", err)
	}
	d := &parts{links: links, keeper: keeper, metrics: metricsHandler(registry), follower: follower}
	d.api = &api{leases: keeper, pods: pods, log: cfg.Log}
	d.api.guard = guardView{store, teardown.Guard}.view
	d.api.anew = func(ctx context.Context, key leaseapi.Key) error { return tombstone.Clear(ctx, cfg.StateDir, key) }
	started := time.Now()
	d.api.status = func() leaseapi.Status { return status(cfg, started, keeper, d.api.pods, d.restorer.legs.services()) }
	registry.MustRegister(newCollector(d.api.status))
	d.reconciler = &reconciler{
		stateDir: cfg.StateDir, bootID: bootID, store: store, leases: keeper, reports: reports{log: cfg.Log}, teardown: teardown, follower: follower,
		carriers:    &carriers{links: links, store: store, leases: keeper, log: cfg.Log, count: observer.port},
		settleAfter: cfg.SettleAfter, idleAfter: cfg.ReclaimIdle, proc: "/proc",
	}
	d.restorer = newRestorer(teardown, pods, cfg.Log, observer.port)
	return d, nil
}

func serveMetrics(ctx context.Context, address string, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return serveHTTP(ctx, l, h)
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if server.Shutdown(timeout) != nil {
			_ = server.Close()
		}
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	<-ended // Serve returns when Shutdown begins
	return nil
}

// podAccess tells whether this process may enter Pods' namespaces: setns(2)
// asks for CAP_SYS_ADMIN.
func podAccess() bool {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && caps&(1<<unix.CAP_SYS_ADMIN) != 0
		}
	}
	return false
}
