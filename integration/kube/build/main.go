// Command build makes the Kubernetes programs that integration/kube's tests run,
// where the cache lacks them, and tells how far it is: what a test prints is seen
// when it has ended.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/kube/upstream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	_, err := upstream.Find(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}
