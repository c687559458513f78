package integration_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// A switch that inspects DHCP shuts a port at one packet too many.
func TestOnTheWireTheConfsPaceIsKept(t *testing.T) {
	t.Parallel()
	const pace, pods = 10, 30
	// podland's clock is read before the kernel's: a loaded machine may lie
	// between. Unpaced, all of them are out within a quarter of this.
	const second = 900 * time.Millisecond
	l := lab.New(t, options(t, lab.Options{}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	sent := stamps(t, node.Netns, "eth1")
	conf := network(node, object{"type": "podlan-dhcp", "pace": pace})
	manyPods(t, node, conf, pods)
	at := sent()
	if len(at) < 2*pods {
		t.Fatalf("%d DHCP packets sent for %d Pods", len(at), pods)
	}
	for i := range at[pace:] {
		if took := at[i+pace].Sub(at[i]); took < second {
			t.Errorf("%d packets within %s, from the %d-th on", pace+1, took, i+1)
		}
	}
}

// Refusals come of a server that offers one address to several: those that ask
// at once must become fewer. Their number on the wire is never above podland's.
func TestOnTheWireAServerThatRefusesIsAskedByFewerAtOnce(t *testing.T) {
	t.Parallel()
	// Who is refused asks again at once, twice.
	const pods, first, atOnce = 24, 16, 3
	l := lab.New(t, options(t, lab.Options{}))
	server := l.Server().Embedded()
	letGo := make(chan struct{})
	server.On(dhcpd.Discovering).Answer(together(letGo))
	server.On(dhcpd.Selecting).Answer(dhcpd.NAK)
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	cable := l.Switch().Capture(node.SwitchPort, isDHCP)
	conf := network(node, leased())
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var wg sync.WaitGroup
	for i := range pods {
		pod := node.Pod(fmt.Sprintf("p%d", i))
		wg.Go(func() {
			if _, err := node.Add(ctx, conf, pod); err == nil {
				t.Error("an ADD succeeds that is always refused")
			}
		})
	}
	var before, after int
	await := func(what string, pleased func(refusals int) bool) {
		t.Helper()
		err := cable.Await(t.Context(), func(frames []ether.Frame) bool {
			var refusals int
			before, after, refusals = clientsAtOnce(messages(frames), pods, atOnce)
			return pleased(refusals)
		})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	await("as many as the first window takes", func(int) bool { return before >= first })
	close(letGo)
	await("each refused once more", func(refusals int) bool { return refusals > atOnce })
	giveUp()
	wg.Wait()
	if after >= first || after == 0 {
		t.Errorf("%d clients at once until each is refused %d times, %d after; want %d, then fewer", before, atOnce, after, first)
	}
}

// together answers nobody before the channel is closed, and then slowly.
func together(letGo <-chan struct{}) dhcpd.Script {
	return func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		replies := req.Regular()
		for i := range replies {
			replies[i].When, replies[i].After = letGo, 100*time.Millisecond
		}
		return replies, true
	}
}

// clientsAtOnce returns how many clients were under way at most, before each of
// them had been refused so many times, and after; and how often each was at
// least. Who is refused is not under way.
func clientsAtOnce(said []message, clients, times int) (before, after, refusals int) {
	asking, refused := map[string]bool{}, map[string]int{}
	for _, m := range said {
		client := m.ClientHWAddr.String()
		switch {
		case m.name() == aDiscover:
			asking[client] = true
		case m.MessageType() == dhcpv4.MessageTypeNak:
			delete(asking, client)
			refused[client]++
		}
		if len(refused) == clients {
			refusals = slices.Min(slices.Collect(maps.Values(refused)))
		}
		if refusals < times {
			before = max(before, len(asking))
		} else {
			after = max(after, len(asking))
		}
	}
	return before, after, refusals
}

// stamps notes when the kernel gave DHCP packets to an interface for sending:
// whoever reads them may be late. The returned function ends it.
func stamps(t *testing.T, ns *lab.Netns, iface string) func() []time.Time {
	t.Helper()
	fd := -1
	err := ns.Do(func() error {
		nic, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		protocol := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in network byte order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: nic.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	// What came stays in the socket until it is asked for.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	return func() []time.Time { return readStamps(t, fd) }
}

// readStamps empties the socket.
func readStamps(t *testing.T, fd int) (at []time.Time) {
	t.Helper()
	buf, oob := make([]byte, 65536), make([]byte, 128)
	for {
		n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
		if errors.Is(err, unix.EAGAIN) {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
		frame, err := ether.Parse(buf[:n])
		if link, ok := from.(*unix.SockaddrLinklayer); err != nil || !ok || link.Pkttype != unix.PACKET_OUTGOING || !isDHCP(frame) {
			continue
		}
		at = append(at, stampOf(t, oob[:oobn]))
	}
}

func stampOf(t *testing.T, oob []byte) time.Time {
	t.Helper()
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if m.Header.Type == unix.SCM_TIMESTAMPNS {
			sec, nsec := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Unix(int64(sec), int64(nsec))
		}
	}
	t.Fatal("a packet without its time")
	return time.Time{}
}
