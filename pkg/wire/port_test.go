package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func momentaryPort(t *testing.T, n *rtnltest.Netns) *Conn {
	t.Helper()
	return open(t, n, func() (*Conn, error) { return OpenPort("br0", 0, podMAC()) })
}

func TestAMomentaryPortReachesTheBridgesOtherPorts(t *testing.T) {
	l := newLAN(t)
	ears := l.site.PacketSocket(t, "lan0", unix.ETH_P_IP)
	c := momentaryPort(t, l.node)
	want, err := release().frame()
	must(t, err)
	must(t, c.Send(release()))
	if got := nextFrom(t, ears, l.node); !bytes.Equal(got, want) {
		t.Errorf("lan0 heard %x, wanted %x", got, want)
	}
	l.send(t, replyFrame(t, "reply"))
	hears(t, c, "reply")
}

// nextFrom returns the next frame that the bridge itself did not send: it joins
// multicast groups.
func nextFrom(t *testing.T, ears int, node *rtnltest.Netns) []byte {
	t.Helper()
	own := MAC(node.Must(t, "br0").Attrs().HardwareAddr)
	buf := make([]byte, 1500)
	for {
		n, err := unix.Read(ears, buf)
		must(t, err)
		if MAC(buf[6:12]) != own {
			return buf[:n]
		}
	}
}

func TestAMomentaryPortIsRemovedByClose(t *testing.T) {
	l := newLAN(t)
	c := momentaryPort(t, l.node)
	if names := momentary(t, l.node); len(names) != 2 {
		t.Errorf("open: %v", names)
	}
	must(t, c.Close())
	if names := momentary(t, l.node); len(names) != 0 {
		t.Errorf("closed: %v", names)
	}
}

func TestAMomentaryPortLeavesTheBridgesMACAndMTU(t *testing.T) {
	l := newLAN(t)
	must(t, l.node.SetMTU(l.eth1, 9000))
	must(t, l.node.SetMAC(l.eth1, net.HardwareAddr{0xfe, 0xfe, 0, 0, 0, 1})) // as other Pods' ports
	look := func() [2]any {
		attrs := l.node.Must(t, "br0").Attrs()
		return [2]any{attrs.HardwareAddr.String(), attrs.MTU}
	}
	before := look()
	momentaryPort(t, l.node)
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Errorf("the bridge changed: %s", diff)
	}
}

func TestTheNodeDoesNotSpeakOnAMomentaryPort(t *testing.T) {
	l := newLAN(t)
	momentaryPort(t, l.node)
	for _, name := range momentary(t, l.node) {
		attrs := l.node.Must(t, name).Attrs()
		if attrs.MasterIndex != 0 {
			continue // the bridge takes all that comes in there
		}
		if attrs.RawFlags&unix.IFF_NOARP == 0 {
			t.Errorf("%s answers to ARP", name)
		}
		if l.node.Sysctl(t, "net/ipv6/conf/"+name+"/disable_ipv6") == "0" {
			t.Errorf("%s has IPv6", name)
		}
		if MAC(attrs.HardwareAddr) == podMAC() {
			t.Errorf("%s has the Pod's MAC", name)
		}
	}
}

func TestABridgeThatDoesNotForwardIsAnErrorAndNothingIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*lan) error
		want error
	}{
		"missing": {func(l *lan) error { return l.node.Delete("br0") }, ErrNoLink},
		"down":    {func(l *lan) error { return l.node.SetDown(l.br0) }, unix.ENETDOWN},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t)
			must(t, c.make(l))
			refuses(t.Context(), t, l, c.want)
		})
	}
	t.Run("STP", func(t *testing.T) {
		l := newLAN(t)
		l.node.STP(t, "br0")
		refuses(cancelled(t), t, l, context.Canceled)
	})
}

// refuses fails unless there is an error, and nothing left.
func refuses(ctx context.Context, t *testing.T, l *lan, want error) {
	t.Helper()
	if _, err := openPort(ctx, l.node.Handle, "br0", 0, podMAC()); !errors.Is(err, want) {
		t.Errorf("%v, wanted %v", err, want)
	}
	if names := momentary(t, l.node); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

func TestStalePortsAreRemovedAndOtherLinksAreNot(t *testing.T) {
	l := newLAN(t)
	c := momentaryPort(t, l.node)
	must(t, l.node.Do(RemoveStalePorts))
	if names := momentary(t, l.node); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	l.node.Must(t, "eth1")
	must(t, c.Close()) // what is gone is no error
}

func TestLinkState(t *testing.T) {
	l := newLAN(t)
	state := func(name string) (both [2]bool) {
		must(t, l.node.Do(func() error {
			both[0], both[1] = LinkState(name)
			return nil
		}))
		return both
	}
	if got := state("eth7"); got != [2]bool{false, false} {
		t.Errorf("missing: %v", got)
	}
	if got := state("eth1"); got != [2]bool{true, true} {
		t.Errorf("up: %v", got)
	}
	must(t, l.node.SetDown(l.eth1))
	if got := state("eth1"); got != [2]bool{true, false} {
		t.Errorf("down: %v", got)
	}
}
