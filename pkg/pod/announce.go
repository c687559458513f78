package pod

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// AnnounceFromPod has the Pod's kernel announce the Pod end's addresses as
// Announce does, by setting the MAC that it has: Configure has set arp_notify
// and ndisc_notify. The frames take the way of the Pod's own, guard included. It
// takes 0.1 ms where the packet socket of Announce takes a dozen, to be closed:
// for a plugin that ends with it.
func AnnounceFromPod(_ context.Context, netns, ifname string, mac net.HardwareAddr) error {
	err := inPod(netns, ifname, func(h *rtnl.Handle, index int) error { return h.SetMAC(index, mac) })
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// Announce tells the segment where the addresses are, so that neighbours and
// switches drop what they knew: a gratuitous ARP request per IPv4 address (RFC
// 5227 §3), an unsolicited neighbour advertisement per IPv6 address (RFC 4861
// §7.2.6). They leave by the bridge device, with mac as their source: from
// there they reach the uplink and this node's own containers. vlan is the Pods' on
// a bridge that filters and has it itself, else 0.
func Announce(_ context.Context, h *rtnl.Handle, bridge string, vlan uint16, mac net.HardwareAddr, addrs []netip.Addr) error {
	link, err := h.Link(bridge)
	if err != nil {
		return fmt.Errorf("announce: bridge: %w", err)
	}
	var fd int
	err = h.Do(func() (err error) {
		// Protocol 0: the socket sends and hears nothing.
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("announce: packet socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	to := &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}
	if vlan != 0 {
		// A kernel that does not look into the frame takes it for untagged.
		to.Protocol = networkOrder(unix.ETH_P_8021Q)
	}
	var errs []error
	for _, addr := range addrs {
		if err := unix.Sendto(fd, withTag(announcement(mac, addr.Unmap()), vlan), 0, to); err != nil {
			errs = append(errs, fmt.Errorf("announce %s on %s: %w", addr, bridge, err))
		}
	}
	return errors.Join(errs...)
}

func announcement(mac net.HardwareAddr, addr netip.Addr) []byte {
	if addr.Is4() {
		return gratuitousARP(mac, addr)
	}
	return unsolicitedNA(mac, addr)
}

// withTag puts an 802.1Q tag of priority 0 behind the source, none for vlan 0.
func withTag(frame []byte, vlan uint16) []byte {
	if vlan == 0 {
		return frame
	}
	const addresses = 12
	tag := binary.BigEndian.AppendUint16([]byte{unix.ETH_P_8021Q >> 8, unix.ETH_P_8021Q & 0xff}, vlan)
	return slices.Insert(frame, addresses, tag...)
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// gratuitousARP builds an ARP announcement: a broadcast request whose sender
// and target address are the same (RFC 5227 §2.3).
func gratuitousARP(mac net.HardwareAddr, addr netip.Addr) []byte {
	ip := addr.As4()
	frame := ethernet(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	frame = append(frame,
		0, 1, 8, 0, // hardware Ethernet, protocol IPv4
		6, 4, 0, 1, // address lengths; a request
	)
	frame = append(frame, mac...)
	frame = append(frame, ip[:]...)
	frame = append(frame, 0, 0, 0, 0, 0, 0) // the target's MAC is not known in a request
	return append(frame, ip[:]...)
}

// unsolicitedNA builds a neighbour advertisement to all nodes with the override
// flag and the target's link-layer address (RFC 4861 §4.4, §7.2.6).
func unsolicitedNA(mac net.HardwareAddr, addr netip.Addr) []byte {
	const override = 0x20
	src, dst := addr.As16(), netip.IPv6LinkLocalAllNodes().As16()
	icmp := []byte{136, 0, 0, 0, override, 0, 0, 0}
	icmp = append(icmp, src[:]...)
	icmp = append(icmp, 2, 1) // option: target link-layer address, 8 bytes
	icmp = append(icmp, mac...)
	binary.BigEndian.PutUint16(icmp[2:], checksum(src, dst, icmp))

	frame := ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(icmp)))
	frame = append(frame, unix.IPPROTO_ICMPV6, 255) // RFC 4861 §7.1.2: any other hop limit is discarded
	frame = append(frame, src[:]...)
	frame = append(frame, dst[:]...)
	return append(frame, icmp...)
}

func ethernet(dst, src net.HardwareAddr, etherType uint16) []byte {
	frame := append(append([]byte{}, dst...), src...)
	return binary.BigEndian.AppendUint16(frame, etherType)
}

// checksum is ICMPv6's over the pseudo-header and the message, whose length is
// even (RFC 8200 §8.1).
func checksum(src, dst [16]byte, icmp []byte) uint16 {
	sum := uint32(len(icmp)) + unix.IPPROTO_ICMPV6
	for _, part := range [][]byte{src[:], dst[:], icmp} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
