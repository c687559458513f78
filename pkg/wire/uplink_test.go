package wire

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func TestAReplyToAForeignMACIsHeardOnABridgePort(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	l.send(t, replyFrame(t, "offer"))
	m := hears(t, c, "offer")
	if m.From != serverMAC() || m.To != podMAC() || m.Src != netip.MustParseAddr("192.0.2.9") {
		t.Errorf("heard %+v", m)
	}
	if c.Frames() != 1 {
		t.Errorf("%d frames heard", c.Frames())
	}
}

func TestAllElseIsPassedOver(t *testing.T) {
	l := newLAN(t)
	for name, bad := range unwanted(t) {
		t.Run(name, func(t *testing.T) {
			c := l.uplink(t)
			l.send(t, bad.frame, replyFrame(t, "marker"))
			hears(t, c, "marker")
			if c.Frames() != 1 {
				t.Errorf("%d frames heard", c.Frames())
			}
		})
	}
}

func TestTheKernelsFilterSparesPodlandTheRest(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	for _, bad := range unwanted(t) {
		if bad.filtered {
			l.send(t, bad.frame)
		}
	}
	marker := replyFrame(t, "marker")
	l.send(t, marker)
	frame, _, err := c.next()
	must(t, err)
	if !bytes.Equal(frame, marker) {
		t.Errorf("the first frame that reached the program is %x", frame)
	}
}

func TestAPriorityTagIsNoVLAN(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	l.send(t, tagged(replyFrame(t, "priority"), 0))
	hears(t, c, "priority")
}

func TestAFrameTooLongForTheBufferIsPassedOver(t *testing.T) {
	l := newLAN(t)
	must(t, l.node.SetMTU(l.eth1, 65535))
	must(t, l.site.SetMTU(l.lan0, 65535))
	c := l.uplink(t)
	l.send(t, replyFrame(t, string(make([]byte, maxFrame))), replyFrame(t, "marker"))
	hears(t, c, "marker")
}

// A server on a veth sends as every program does: its kernel leaves the checksum
// to a NIC that is not there.
func TestAReplyFromThisMachineIsHeardThoughItsChecksumIsPartial(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	l.site.Address(t, "lan0", "192.0.2.9/24")
	fd := udpSocket(t, l.site, "lan0", serverPort)
	to := &unix.SockaddrInet4{Port: clientPort, Addr: [4]byte{255, 255, 255, 255}}
	must(t, unix.Sendto(fd, reply("partial"), 0, to))
	frame, aux, err := c.next()
	must(t, err)
	if !aux.partial {
		t.Error("the checksum is complete: this kernel does not show the case")
	}
	if m, ok := parse(frame, !aux.partial); !ok || !bytes.Equal(m.Payload, reply("partial")) {
		t.Errorf("read %t: %+v", ok, m)
	}
}

func TestAnUplinkThatGoesDownAndUpIsStillHeard(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	heard := make(chan error, 1)
	go func() { // waits through all of it
		_, err := c.Receive()
		heard <- err
	}()
	must(t, l.node.SetDown(l.eth1))
	if err := c.Send(release()); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("send on a link that is down: %v", err)
	}
	must(t, l.node.SetUp(l.eth1))
	l.awaitCable(t)
	l.send(t, replyFrame(t, "again"))
	must(t, <-heard)
}

// The kernel keeps the report for the next call, whichever that is.
func TestASendAfterTheLinkCameBackDoesNotFailForThePast(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	must(t, l.node.SetDown(l.eth1))
	must(t, l.node.SetUp(l.eth1))
	l.awaitCable(t)
	must(t, c.Send(release()))
}

func TestAnUplinkThatIsDownCanBeOpened(t *testing.T) {
	l := newLAN(t)
	must(t, l.node.SetDown(l.eth1))
	c := l.uplink(t)
	must(t, l.node.SetUp(l.eth1))
	l.awaitCable(t)
	l.send(t, replyFrame(t, "later"))
	hears(t, c, "later")
}

func TestALinkThatIsMissingOrRemovedIsErrNoLink(t *testing.T) {
	l := newLAN(t)
	if _, err := tryOpen(l.node, func() (*Conn, error) { return OpenUplink("eth7", 0) }); !errors.Is(err, ErrNoLink) {
		t.Errorf("open: %v", err)
	}
	c := l.uplink(t)
	must(t, l.node.Delete("eth1"))
	if err := c.Send(release()); !errors.Is(err, ErrNoLink) {
		t.Errorf("send: %v", err)
	}
}

func TestCloseEndsReceiveAndIsFinal(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	done := make(chan error, 1)
	go func() {
		_, err := c.Receive()
		done <- err
	}()
	must(t, c.Close())
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the Receive that waited: %v", err)
	}
	if _, err := c.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive: %v", err)
	}
	if err := c.Send(release()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("close: %v", err)
	}
}

func TestTheUplinkIsPromiscuousAsLongAsItIsOpen(t *testing.T) {
	n := rtnltest.New(t)
	n.Cable(t, "eth1", rtnltest.New(t), "lan0")
	promiscuous := func() int { return n.Must(t, "eth1").Attrs().Promisc }
	c := open(t, n, func() (*Conn, error) { return OpenUplink("eth1", 0) })
	if promiscuous() != 1 {
		t.Error("not promiscuous while open")
	}
	must(t, c.Close())
	if promiscuous() != 0 {
		t.Error("promiscuous after Close")
	}
}

func TestWhatIsSentReachesTheServersKernel(t *testing.T) {
	l := newLAN(t)
	c := l.uplink(t)
	l.site.Address(t, "lan0", "192.0.2.9/24")
	server := udpSocket(t, l.site, "lan0", serverPort)
	d := release()
	d.DstMAC = MAC(l.site.Must(t, "lan0").Attrs().HardwareAddr)
	must(t, c.Send(d))
	buf := make([]byte, 1500)
	n, from, err := unix.Recvfrom(server, buf, 0) // the kernel has verified both checksums
	must(t, err)
	want := &unix.SockaddrInet4{Port: clientPort, Addr: d.Src.As4()}
	if got, ok := from.(*unix.SockaddrInet4); !ok || *got != *want || !bytes.Equal(buf[:n], d.Payload) {
		t.Errorf("the server got %q from %+v", buf[:n], from)
	}
}

// release is a message from the Pod's address to the server's.
func release() Datagram {
	return Datagram{
		SrcMAC: podMAC(), DstMAC: serverMAC(),
		Src: netip.MustParseAddr("192.0.2.77"), Dst: netip.MustParseAddr("192.0.2.9"),
		Payload: []byte("\x01release"),
	}
}

// udpSocket is a program's, bound to a port in the namespace.
func udpSocket(t *testing.T, n *rtnltest.Netns, dev string, port int) int {
	t.Helper()
	var fd int
	must(t, n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
	must(t, unix.BindToDevice(fd, dev))
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Port: port}))
	return fd
}
