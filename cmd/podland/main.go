// Command podland is Podlan's node daemon: it holds the leases of the node's
// Pods.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/podlan/podlan/pkg/daemon"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/version"
)

func main() {
	var cfg daemon.Config
	flag.StringVar(&cfg.Socket, "socket", leaseapi.DefaultSocket, "the `path` of the socket that plugins call")
	flag.StringVar(&cfg.StateDir, "state-dir", netconf.DefaultStateDir, "the `folder` of leases and attachment records")
	flag.StringVar(&cfg.MetricsListen, "metrics-listen", "", "a TCP `address` for Prometheus, such as 127.0.0.1:9469 (default: no metrics)")
	flag.DurationVar(&cfg.SettleAfter, "settle-after", 30*time.Second, "settle what no DEL came for after this `time`")
	flag.DurationVar(&cfg.ReclaimIdle, "reclaim-idle", 0, "settle Pods without any process after this `time` too; takes CAP_SYS_PTRACE (default: never)")
	debug := flag.Bool("debug", false, "log every DHCP message")
	printVersion := flag.Bool("version", false, "print the version and end")
	flag.Parse()
	if *printVersion {
		fmt.Println("podland", version.String())
		return
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "podland: %q is no flag; see podland -help\n", flag.Arg(0))
		os.Exit(2)
	}
	level := slog.LevelInfo
	if *debug {
		level = slog.LevelDebug
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := daemon.Run(ctx, cfg)
	stop()
	if err != nil {
		cfg.Log.Error("podland ends", "error", err)
		os.Exit(1)
	}
}
