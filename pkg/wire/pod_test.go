package wire

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// newPod is a Pod with eth0, whose other end, host0, is in the namespace site.
func newPod(t *testing.T) (pod, site *rtnltest.Netns) {
	t.Helper()
	pod, site = rtnltest.New(t), rtnltest.New(t)
	eth0 := pod.Cable(t, "eth0", site, "host0")
	up := func(link netlink.Link) bool { return link.Attrs().OperState == netlink.OperUp }
	await(t, pod, eth0, up)
	await(t, site, site.Must(t, "host0").Attrs().Index, up)
	return pod, site
}

func inPod(t *testing.T, pod *rtnltest.Netns) *Conn {
	t.Helper()
	c, err := OpenPod(pod.Path, "eth0")
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAPodsInterfaceIsHeardAndSpokenFrom(t *testing.T) {
	pod, site := newPod(t)
	c := inPod(t, pod)
	fd := site.PacketSocket(t, "host0", unix.ETH_P_IP)
	_, err := unix.Write(fd, replyFrame(t, "offer"))
	must(t, err)
	hears(t, c, "offer")
	want, err := release().frame()
	must(t, err)
	must(t, c.Send(release()))
	buf := make([]byte, 1500)
	n, err := unix.Read(fd, buf)
	must(t, err)
	if string(buf[:n]) != string(want) {
		t.Errorf("sent %x, wanted %x", buf[:n], want)
	}
}

// The answer to a closed port proves that nothing was said about port 68 before.
func TestThePodsKernelDoesNotAnswerTheServer(t *testing.T) {
	pod, site := newPod(t)
	pod.Address(t, "eth0", "192.0.2.77/24")
	site.Address(t, "host0", "192.0.2.9/24")
	inPod(t, pod)
	var icmp int
	must(t, site.Do(func() (err error) {
		icmp, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		return err
	}))
	t.Cleanup(func() { _ = unix.Close(icmp) })
	server := udpSocket(t, site, "host0", serverPort)
	for _, port := range []int{clientPort, 9} {
		must(t, unix.Sendto(server, reply("ack"), 0, &unix.SockaddrInet4{Port: port, Addr: [4]byte{192, 0, 2, 77}}))
	}
	buf := make([]byte, 1500)
	n, err := unix.Read(icmp, buf)
	must(t, err)
	// IPv4, ICMP, and the datagram that it is about.
	if about := binary.BigEndian.Uint16(buf[20+8+20+2 : n]); about != 9 {
		t.Errorf("the Pod's kernel answered a datagram to port %d", about)
	}
}

func TestAPodWithAClientOfItsOwnIsOpenedAllTheSame(t *testing.T) {
	pod, site := newPod(t)
	udpSocket(t, pod, "eth0", clientPort)
	c := inPod(t, pod)
	_, err := unix.Write(site.PacketSocket(t, "host0", 0), replyFrame(t, "offer"))
	must(t, err)
	hears(t, c, "offer")
}

func TestAClosedConnLetsThePodsNamespaceGo(t *testing.T) {
	pod, site := newPod(t)
	c := inPod(t, pod)
	must(t, c.Close())
	pod.Close()
	awaitGone(t, site, site.Must(t, "host0").Attrs().Index)
}

func TestAFailedOpenLetsThePodsNamespaceGo(t *testing.T) {
	pod, site := newPod(t)
	if _, err := OpenPod(pod.Path, "eth7"); !errors.Is(err, ErrNoLink) {
		t.Errorf("an interface that is missing: %v", err)
	}
	pod.Close()
	awaitGone(t, site, site.Must(t, "host0").Attrs().Index)
}

func TestANamespaceThatIsGoneIsErrNotExist(t *testing.T) {
	left := filepath.Join(t.TempDir(), "left")
	must(t, os.WriteFile(left, nil, 0o600))
	for name, path := range map[string]string{
		"no such path":                  left + "-not",
		"a mount point without a mount": left,
	} {
		if _, err := OpenPod(path, "eth0"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
