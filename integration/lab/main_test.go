package lab_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// TestMain lets the test binary stand in for podland and for a test that is
// killed: children of its own, told so by the environment.
func TestMain(m *testing.M) {
	switch os.Getenv("PODLAN_LAB_TEST") {
	case "podland":
		os.Exit(fakePodland())
	case "killed":
		os.Exit(killedInTheMiddle())
	}
	os.Exit(m.Run())
}

func fakePodland() int {
	flags := flag.NewFlagSet("podland", flag.ExitOnError)
	socket := flags.String("socket", "", "")
	_ = flags.String("state-dir", "", "")
	_ = flags.Parse(os.Args[1:])
	_ = os.Remove(*socket)
	l, err := net.Listen("unix", *socket)
	if err != nil {
		return 1
	}
	os.Stderr.WriteString("listening\n")
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	return 0
}

// killedInTheMiddle builds a lab with one long-running process per server kind
// and a podland, prints their process IDs and waits for its end.
func killedInTheMiddle() int {
	err := lab.Run(context.Background(), func(string, ...any) {}, lab.Options{Server: lab.None}, func(l *lab.Lab) error {
		for _, kind := range []lab.ServerKind{lab.Dnsmasq, lab.Kea, lab.ISC} {
			n := l.Node(string(kind), lab.NodeOptions{NoUplink: true, Bridge: "lan0"})
			fmt.Println(n.RunServer(kind, "lan0").PID())
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		n := l.Node("podland", lab.NodeOptions{})
		if _, err := n.Pod("bound").BoundPath(); err != nil {
			return err
		}
		n.AddEnv("PODLAN_LAB_TEST=podland")
		fmt.Println(n.StartPodland(lab.PodlandOptions{Binary: self}).PID())
		fmt.Println("up")
		select {}
	})
	slog.Error("the lab ended", "err", err)
	return 1
}
