package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func podMAC() MAC    { return MAC{0x02, 0xaa, 0, 0, 0, 1} }
func serverMAC() MAC { return MAC{0x02, 0xbb, 0, 0, 0, 9} }

// reply is a BOOTREPLY with a text to know it by.
func reply(text string) []byte { return append([]byte{bootReply, 1, 6, 0}, text...) }

// replyFrame is what a server puts on the wire for the Pod: our own frame with
// its ports exchanged, which changes no checksum.
func replyFrame(tb testing.TB, text string) []byte {
	tb.Helper()
	frame, err := Datagram{
		SrcMAC: serverMAC(), DstMAC: podMAC(),
		Src: netip.MustParseAddr("192.0.2.9"), Dst: netip.MustParseAddr("192.0.2.77"),
		Payload: reply(text),
	}.frame()
	must(tb, err)
	binary.BigEndian.PutUint16(frame[34:], serverPort)
	binary.BigEndian.PutUint16(frame[36:], clientPort)
	return frame
}

// edit returns a copy of the frame with bytes replaced from an offset on, and the
// IPv4 checksum made right again.
func edit(frame []byte, at int, b ...byte) []byte {
	out := bytes.Clone(frame)
	copy(out[at:], b)
	binary.BigEndian.PutUint16(out[24:], 0)
	binary.BigEndian.PutUint16(out[24:], checksum(0, out[14:min(14+int(out[14]&0xf)*4, len(out))]))
	return out
}

// tagged puts an 802.1Q tag into the frame.
func tagged(frame []byte, tci uint16) []byte { return taggedAs(frame, etherVLAN, tci) }

func taggedAs(frame []byte, tpid, tci uint16) []byte {
	out := binary.BigEndian.AppendUint16(bytes.Clone(frame[:12]), tpid)
	return append(binary.BigEndian.AppendUint16(out, tci), frame[12:]...)
}

// lan is a node whose bridge br0 has the port eth1, plugged into lan0.
type lan struct {
	node, site      *rtnltest.Netns
	br0, eth1, lan0 int
	// out sends frames from lan0.
	out int
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{node: rtnltest.New(t), site: rtnltest.New(t)}
	l.br0 = l.node.Bridge(t, "br0")
	l.eth1 = l.node.Cable(t, "eth1", l.site, "lan0")
	must(t, l.node.SetMaster(l.eth1, l.br0))
	l.lan0 = l.site.Must(t, "lan0").Attrs().Index
	l.out = l.site.PacketSocket(t, "lan0", 0)
	l.awaitCable(t)
	return l
}

// awaitCable waits until the kernel's link watch has seen both ends' carrier: it
// drops what is sent before.
func (l *lan) awaitCable(t *testing.T) {
	t.Helper()
	up := func(link netlink.Link) bool { return link.Attrs().OperState == netlink.OperUp }
	await(t, l.site, l.lan0, up)
	await(t, l.node, l.eth1, up)
}

func (l *lan) send(t *testing.T, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		_, err := unix.Write(l.out, f)
		must(t, err)
	}
}

// await waits until the link is as wanted.
func await(t *testing.T, n *rtnltest.Netns, index int, want func(netlink.Link) bool) {
	t.Helper()
	events, err := n.Watch(index)
	must(t, err)
	defer events.Close()
	for {
		link, err := n.LinkByIndex(index)
		must(t, err)
		if want(link) {
			return
		}
		must(t, events.Wait(t.Context()))
	}
}

// awaitGone waits until there is no such link.
func awaitGone(t *testing.T, n *rtnltest.Netns, index int) {
	t.Helper()
	events, err := n.Watch(index)
	must(t, err)
	defer events.Close()
	for {
		if _, err := n.LinkByIndex(index); errors.Is(err, rtnl.ErrNotFound) {
			return
		}
		must(t, events.Wait(t.Context()))
	}
}

// open calls one of the Open functions in the namespace and closes what it opened
// with the test.
func open(t *testing.T, n *rtnltest.Netns, fn func() (*Conn, error)) *Conn {
	t.Helper()
	c, err := tryOpen(n, fn)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func tryOpen(n *rtnltest.Netns, fn func() (*Conn, error)) (c *Conn, err error) {
	err = n.Do(func() (err error) {
		c, err = fn()
		return err
	})
	return c, err
}

func (l *lan) uplink(t *testing.T) *Conn {
	t.Helper()
	return l.vlan(t, 0)
}

func (l *lan) vlan(t *testing.T, vid uint16) *Conn {
	t.Helper()
	return open(t, l.node, func() (*Conn, error) { return OpenUplink("eth1", vid) })
}

// hears fails unless the next reply is the one of that text.
func hears(t *testing.T, c *Conn, text string) Message {
	t.Helper()
	m, err := c.Receive()
	must(t, err)
	if !bytes.Equal(m.Payload, reply(text)) {
		t.Fatalf("heard %q, wanted %q", m.Payload, text)
	}
	return m
}

// momentary returns the names of the momentary ports' ends.
func momentary(t *testing.T, n *rtnltest.Netns) (names []string) {
	t.Helper()
	links, err := n.Links()
	must(t, err)
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, portPrefix) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
