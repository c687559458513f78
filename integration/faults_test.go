package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
)

// faultyLAN is a LAN whose server does wrong, to each Pod in another way.
type faultyLAN struct {
	*lab.Lab
	client *lab.Host
	node   *lab.Node
	server *dhcpd.Server
	pods   *atomic.Int32
}

// newFaultyLAN gives one-hour leases.
func newFaultyLAN(t *testing.T) faultyLAN {
	t.Helper()
	return faultyLANOn(lab.New(t, options(t, lab.Options{Server: lab.Embedded})), lab.NodeOptions{Bridge: "lan0"})
}

func faultyLANOn(l *lab.Lab, opts lab.NodeOptions) faultyLAN {
	lan := faultyLAN{Lab: l, client: l.Host("client"), node: l.Node("n1", opts), server: l.Server().Embedded(), pods: new(atomic.Int32)}
	lan.node.StartPodland()
	return lan
}

// picker picks messages of one client.
type picker func(when ...dhcpd.Condition) dhcpd.Case

// fault is what a server does to one client.
type fault func(on picker)

// victim is a Pod that suffers one.
type victim struct {
	lan    faultyLAN
	mac    net.HardwareAddr
	conf   []byte
	pod    *lab.Pod
	on     picker
	result *types100.Result
	addr   netip.Addr
	err    error // of its ADD
}

// rerange gives the server another pool, from its first address with the subnet's
// length on: leases outside of it are no longer the server's to extend.
func rerange(t *testing.T, server *dhcpd.Server, first, last string) {
	t.Helper()
	from := netip.MustParsePrefix(first)
	if err := server.Reconfigure(func(c *dhcpd.Config) {
		c.Address = netip.PrefixFrom(c.Address.Addr(), from.Bits())
		c.First, c.Last = from.Addr(), netip.MustParseAddr(last)
	}); err != nil {
		t.Fatal(err)
	}
}

// victim makes a Pod with a MAC of its own, by which the server knows it.
func (lan faultyLAN) victim(name string, keys ...object) *victim {
	v := &victim{lan: lan, mac: net.HardwareAddr{0x02, 0xfa, 0, 0, 0, byte(lan.pods.Add(1))}}
	v.on = func(when ...dhcpd.Condition) dhcpd.Case {
		return lan.server.On(append([]dhcpd.Condition{dhcpd.From(v.mac)}, when...)...)
	}
	v.conf = network(lan.node, leased(), append(keys, object{"runtimeConfig": object{"mac": v.mac.String()}})...)
	v.pod = lan.node.Pod(strings.Map(nameable, name))
	return v
}

// nameable keeps what a container ID may have.
func nameable(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// suffer attaches a Pod for each fault, all at once.
func (lan faultyLAN) suffer(t *testing.T, faults map[string]fault, keys ...object) map[string]*victim {
	t.Helper()
	victims := map[string]*victim{}
	for name, suffers := range faults {
		v := lan.victim(name, keys...)
		suffers(v.on)
		victims[name] = v
	}
	var wg sync.WaitGroup
	for _, v := range victims {
		wg.Go(func() { v.attach(t.Context()) })
	}
	wg.Wait()
	return victims
}

func (v *victim) attach(ctx context.Context) {
	result, err := v.lan.node.Add(ctx, v.conf, v.pod)
	if err == nil {
		v.result, err = types100.NewResultFromResult(result)
	}
	if v.err = err; err != nil {
		return
	}
	for _, ip := range v.result.IPs {
		v.addr, _ = netip.AddrFromSlice(ip.Address.IP.To4())
	}
}

// lease is what podland holds for the victim.
func (v *victim) lease(t *testing.T) (leaseapi.Lease, error) {
	t.Helper()
	return client.New(v.lan.node.Socket()).Get(t.Context(), leaseapi.Key{Network: "lan", ContainerID: v.pod.ContainerID, IfName: "eth0"})
}

// awaitLease waits until podland's lease is as the condition wants it.
func (v *victim) awaitLease(t *testing.T, what string, as func(leaseapi.Lease) bool) leaseapi.Lease {
	t.Helper()
	var l leaseapi.Lease
	lab.Eventually(t, what, func() (err error) {
		if l, err = v.lease(t); err == nil && !as(l) {
			err = fmt.Errorf("%s of %s is %s (%s), renewed at %s", l.Address, l.Key, l.State, l.Reason, l.RenewAt)
		}
		return err
	})
	return l
}

// isExtended: the first lease's times are over, those of an hour have come.
func isExtended(l leaseapi.Lease) bool {
	return l.State == leaseapi.StateBound && time.Until(l.RenewAt) > 10*time.Minute
}

func isLost(l leaseapi.Lease) bool { return l.State == leaseapi.StateLost }

// servesItsLease checks the end that is wanted where nothing is lost: Pod,
// server and podland agree about one address, and it answers.
func (v *victim) servesItsLease(t *testing.T) {
	t.Helper()
	if v.err != nil {
		t.Fatalf("ADD: %v", v.err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := v.lan.client.Ping(ctx, v.addr); err != nil {
		t.Errorf("%v; the port: %+v", err, v.hostEnd(t))
	}
	if got := v.atServer(); len(got) != 1 || got[0] != v.addr {
		t.Errorf("the server's leases of %s are %v, the Pod has %s", v.mac, got, v.addr)
	}
	l, err := v.lease(t)
	if err != nil || l.Address.Addr() != v.addr || l.State == leaseapi.StateLost {
		t.Errorf("podland's lease is of %s, %s (%s) (%v), the Pod has %s", l.Address, l.State, l.Reason, err, v.addr)
	}
	if err := v.lan.node.Check(t.Context(), v.conf, v.pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
}

// isCutOff checks the end that is wanted where a lease is lost: the port is
// closed, and everybody who asks is told why.
func (v *victim) isCutOff(t *testing.T, why string) {
	t.Helper()
	l := v.awaitLease(t, "the lease is lost", isLost)
	if !strings.Contains(l.Reason, why) {
		t.Errorf("lost because %q, want %q", l.Reason, why)
	}
	lab.Eventually(t, "the port is closed", func() error {
		if v.hostEnd(t).Up {
			return errors.New("the host end is up")
		}
		return nil
	})
	v.isUnreachable(t, v.addr)
	lab.Eventually(t, "CHECK tells why", func() error {
		err := v.lan.node.Check(t.Context(), v.conf, v.pod)
		if cniCode(err) != uint(leaseapi.CodeLeaseLost) || !strings.Contains(err.Error(), why) {
			return fmt.Errorf("it says %w, want %q", err, why)
		}
		return nil
	})
}

// isUnreachable: nobody answers for the address any more.
func (v *victim) isUnreachable(t *testing.T, addr netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := v.lan.client.Ping(ctx, addr); err == nil {
		t.Errorf("%s answers", addr)
	}
}

// isBack waits until the Pod has its address again.
func (v *victim) isBack(t *testing.T) {
	t.Helper()
	v.awaitLease(t, "the lease is back", func(l leaseapi.Lease) bool { return l.State == leaseapi.StateBound })
	awaitCheck(t, v.lan.node, v.conf, v.pod, 0) // the port follows
	v.servesItsLease(t)
}

// hostEnd is the node's end of the Pod's port.
func (v *victim) hostEnd(t *testing.T) lab.Link {
	t.Helper()
	return v.lan.node.Snapshot().Links[v.result.Interfaces[1].Name]
}

// atServer are the addresses that the server has granted the victim.
func (v *victim) atServer() []netip.Addr {
	var addrs []netip.Addr
	for _, l := range v.lan.server.ActiveLeases() {
		if l.MAC.String() == v.mac.String() {
			addrs = append(addrs, l.Addr)
		}
	}
	return addrs
}

// isUnharmed: podland is the process that it was.
func (lan faultyLAN) isUnharmed(t *testing.T) {
	t.Helper()
	if !lan.node.Podland().Running() {
		t.Error("podland has ended")
	}
}

// givesBack detaches everybody: the server gets every lease back.
func (lan faultyLAN) givesBack(t *testing.T, victims map[string]*victim) {
	t.Helper()
	lan.isUnharmed(t)
	for _, v := range victims {
		detach(t, lan.node, v.conf, v.pod)
	}
	lan.Server().AwaitLeases(0)
}

// leavesNothing waits as well until the node is as before.
func (lan faultyLAN) leavesNothing(t *testing.T, victims map[string]*victim, before lab.Snapshot) {
	t.Helper()
	lan.givesBack(t, victims)
	nothingLeft(t, lan.Lab, lan.node, before)
}
