package rtnl_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsMissingIsErrNotFound(t *testing.T) {
	n := rtnltest.New(t)
	const index = 4711
	calls := map[string]func() error{
		"Link":         func() error { _, err := n.Link("none0"); return err },
		"LinkByIndex":  func() error { _, err := n.LinkByIndex(index); return err },
		"SetUp":        func() error { return n.SetUp(index) },
		"SetMAC":       func() error { return n.SetMAC(index, net.HardwareAddr{2, 0, 0, 0, 0, 1}) },
		"SetMaster":    func() error { return n.SetMaster(index, 1) },
		"Port":         func() error { _, err := n.Port(index); return err },
		"PortState":    func() error { _, err := n.PortState(index); return err },
		"Bridge":       func() error { _, err := n.Handle.Bridge(index); return err },
		"SetPortFlags": func() error { return n.SetPortFlags(index, rtnl.PortFlags{}) },
		"AddAddr": func() error {
			addr, _ := netlink.ParseAddr("198.18.0.1/16")
			return n.AddAddr(index, addr)
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			if err := call(); !errors.Is(err, rtnl.ErrNotFound) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatIsTakenAwayTwiceIsNoError(t *testing.T) {
	n := rtnltest.New(t)
	index := n.Bridge(t, "lan0")
	addr, err := netlink.ParseAddr("198.18.0.1/16")
	must(t, err)
	route := &netlink.Route{LinkIndex: index, Dst: &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}}
	must(t, n.AddAddr(index, addr))
	must(t, n.AddAddr(index, addr))
	must(t, n.AddRoute(route))
	must(t, n.AddRoute(route))
	for range 2 {
		must(t, n.DelRoute(route))
		must(t, n.DelAddr(index, addr))
	}
	for range 2 {
		must(t, n.Delete("lan0"))
	}
	must(t, n.SetDown(index))
}

func TestOneMessageChangesALinkInEveryRespect(t *testing.T) {
	n := rtnltest.New(t)
	bridge, port := n.Bridge(t, "lan0"), n.Cable(t, "port0", rtnltest.New(t), "eth0")
	must(t, n.SetDown(port))
	mac := net.HardwareAddr{0xfe, 0, 0, 0, 0, 1}
	must(t, n.Change(port, rtnl.Change{Name: "port1", Alias: "an alias", MAC: mac, MTU: 1400, Master: bridge, NoLinkLocal: true}))
	must(t, n.SetUp(port))
	got := n.Must(t, "port1").Attrs()
	if got.Alias != "an alias" || got.HardwareAddr.String() != mac.String() || got.MTU != 1400 || got.MasterIndex != bridge || got.Flags&net.FlagUp == 0 {
		t.Errorf("the link is %+v", got)
	}
	if mode := n.Sysctl(t, "net/ipv6/conf/port1/addr_gen_mode"); mode != "1" {
		t.Errorf("addr_gen_mode is %s", mode)
	}
	must(t, n.SetNoMaster(port))
	if _, err := n.Port(port); !errors.Is(err, rtnl.ErrNoPort) {
		t.Errorf("Port: %v", err)
	}
}

func TestPortFlagsAreReadAsTheyWereSet(t *testing.T) {
	n := rtnltest.New(t)
	bridge, port := n.Bridge(t, "lan0"), n.Cable(t, "port0", rtnltest.New(t), "eth0")
	must(t, n.SetMaster(port, bridge))
	for _, want := range []rtnl.PortFlags{
		{Learning: true, Flood: true, MulticastRouter: 1},
		{Hairpin: true, Isolated: true, Locked: true, MulticastRouter: 2},
		{},
	} {
		must(t, n.SetPortFlags(port, want))
		got, err := n.Port(port)
		must(t, err)
		if diff := cmp.Diff(want, got.Flags); diff != "" {
			t.Errorf("flags (-want +got):\n%s", diff)
		}
	}
	sticky, err := n.AddFDB(port, net.HardwareAddr{2, 0, 0, 0, 0, 1})
	if err != nil || !sticky {
		t.Errorf("sticky is %t, %v", sticky, err)
	}
}

func TestABridgesDelayIsReadInSeconds(t *testing.T) {
	n := rtnltest.New(t)
	index := n.Bridge(t, "lan0")
	n.STP(t, "lan0")
	got, err := n.Handle.Bridge(index)
	must(t, err)
	if !got.STP || got.ForwardDelay != 15*time.Second {
		t.Errorf("bridge %+v", got)
	}
}

func TestPortsAreTheBridgesOwnAndThoseAskedFor(t *testing.T) {
	n, there := rtnltest.New(t), rtnltest.New(t)
	lan, other := n.Bridge(t, "lan0"), n.Bridge(t, "lan1")
	for i := range 20 {
		name := fmt.Sprintf("vethpl%03d", i)
		must(t, n.SetMaster(n.Cable(t, name, there, fmt.Sprintf("eth%d", i)), lan))
	}
	must(t, n.SetMaster(n.Cable(t, "nic0", there, "nic0"), lan))
	must(t, n.SetMaster(n.Cable(t, "nic1", there, "nic1"), other))
	all, err := n.Ports(lan)
	must(t, err)
	some, err := n.PortsExcept(lan, "vethpl")
	must(t, err)
	if len(all) != 21 || len(some) != 1 || some[0].Attrs().Name != "nic0" {
		t.Errorf("%d ports, and without the Pods' %v", len(all), some)
	}
}

func TestAHandleStaysInItsNamespaceOnWhicheverThread(t *testing.T) {
	n := rtnltest.New(t)
	var want, got, before, after unix.Stat_t
	must(t, unix.Stat(n.Path, &want))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	must(t, unix.Stat("/proc/thread-self/ns/net", &before))
	must(t, n.Do(func() error { return unix.Stat("/proc/thread-self/ns/net", &got) }))
	must(t, unix.Stat("/proc/thread-self/ns/net", &after))
	if got.Ino != want.Ino || before.Ino != after.Ino || before.Ino == want.Ino {
		t.Errorf("within %d, want %d; the thread was in %d and is in %d", got.Ino, want.Ino, before.Ino, after.Ino)
	}
}

func TestHereIsTheThreadsNamespaceAndTakesNoCapability(t *testing.T) {
	n := rtnltest.New(t)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread is spoilt
		done <- bareHere(n)
	}()
	must(t, <-done)
}

// bareHere enters the namespace for good, gives up every capability, and uses
// what podland may use.
func bareHere(n *rtnltest.Netns) error {
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	h, err := rtnl.Here()
	if err != nil {
		return err
	}
	defer h.Close()
	links, err := h.Links()
	if err != nil || len(links) == 0 || links[0].Attrs().Name != "lo" {
		return fmt.Errorf("links %v, %w", links, err)
	}
	return h.Do(func() error { return nil })
}

func TestSysctlsAreTheNamespacesAndAMissingOneIsSkipped(t *testing.T) {
	n, other := rtnltest.New(t), rtnltest.New(t)
	must(t, n.SetSysctls(
		rtnl.Sysctl{Path: "net/ipv4/conf/lo/arp_ignore", Value: "2"},
		rtnl.Sysctl{Path: "net/ipv4/conf/none0/arp_ignore", Value: "2"},
	))
	got := []string{n.Sysctl(t, "net/ipv4/conf/lo/arp_ignore"), other.Sysctl(t, "net/ipv4/conf/lo/arp_ignore")}
	if !slices.Equal(got, []string{"2", "0"}) {
		t.Errorf("here and elsewhere: %v", got)
	}
	if err := n.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/conf/lo/arp_ignore", Value: "no number"}); err == nil {
		t.Error("no error for a value that the kernel refuses")
	}
}

func TestAtRefusesWhatIsNoNamespace(t *testing.T) {
	file := t.TempDir() + "/file"
	must(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{file, file + ".gone"} {
		if h, err := rtnl.At(path); err == nil {
			h.Close()
			t.Errorf("At(%s) gave a handle", path)
		}
	}
}

func TestWatchTellsOfAChangeOrOfTheContextsEnd(t *testing.T) {
	n := rtnltest.New(t)
	index := n.Bridge(t, "lan0")
	events, err := n.Watch(index)
	must(t, err)
	defer events.Close()
	must(t, n.SetAlias(index, "watched"))
	must(t, events.Wait(t.Context()))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the test's own")
	cancel(cause)
	if err := events.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("after the context's end: %v", err)
	}
}

func TestWithoutWiFiNoLinkIsWireless(t *testing.T) {
	n := rtnltest.New(t)
	wireless, err := n.Wireless(n.Bridge(t, "lan0"))
	if err != nil || wireless {
		t.Errorf("%t, %v", wireless, err)
	}
}
