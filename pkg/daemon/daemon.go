package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Config says where podland keeps things.
type Config struct {
	// Socket is where plugins call, StateDir where leases and records lie.
	Socket, StateDir string
	// MetricsListen is a TCP address for Prometheus; empty: none.
	MetricsListen string
	Log           *slog.Logger
}

// leases is what the API and the reconciler need of the lease keeper.
type leases interface {
	Acquire(ctx context.Context, key leaseapi.Key, req leaseapi.Request) (leaseapi.Lease, error)
	Get(key leaseapi.Key) (leaseapi.Lease, bool)
	List() []leaseapi.Lease
	Release(ctx context.Context, key leaseapi.Key) error
	GC(ctx context.Context, network string, valid []leaseapi.Key) error
}

// shutdownTime is what requests under way get when podland is told to end.
const shutdownTime = 3 * time.Second

// Run serves until ctx ends. Leases outlive it: nothing is given back.
func Run(ctx context.Context, cfg Config) error {
	links, err := rtnl.Here()
	if err != nil {
		return err
	}
	defer links.Close()
	store, err := attachment.OpenStore(cfg.StateDir)
	if err != nil {
		return err
	}
	bootID, err := boottime.BootID()
	if err != nil {
		return err
	}
	keeper, metrics, err := newKeeper(cfg, store, links)
	if err != nil {
		return err
	}
	listener, err := listen(cfg.Socket)
	if err != nil {
		return err
	}
	rec := &reconciler{
		stateDir: cfg.StateDir, bootID: bootID, store: store, leases: keeper, log: cfg.Log,
		teardown: attachment.Teardown{Links: links, Guard: guard.New(links, attachment.LockDir(cfg.StateDir)), Store: store},
	}
	started := time.Now()
	handler := &api{leases: keeper, pods: podAccess(), log: cfg.Log}
	handler.status = func() leaseapi.Status { return status(cfg, started, keeper, handler.pods) }

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	all.Go(func() {
		if err := keeper.Run(ctx); err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("lease keeper: %w", err))
		}
	})
	all.Go(func() { rec.run(ctx) })
	serve := func(what string, l net.Listener, h http.Handler) {
		all.Go(func() {
			if err := serveHTTP(ctx, l, h); err != nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	serve("API", listener, handler.handler())
	if cfg.MetricsListen != "" {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.MetricsListen)
		if err != nil {
			cancel(nil)
			all.Wait()
			return fmt.Errorf("metrics: %w", err)
		}
		serve("metrics", l, metrics)
	}
	cfg.Log.Info("podland serves", "socket", cfg.Socket, "state", cfg.StateDir, "podAccess", handler.pods, "leases", len(keeper.List()))
	<-ctx.Done()
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() {
		timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if server.Shutdown(timeout) != nil {
			_ = server.Close()
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
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
