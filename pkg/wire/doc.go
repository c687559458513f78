// Package wire puts DHCP frames on a segment and takes the replies off it, and
// ARP for conflict detection: packet sockets (packet(7)) with a kernel filter,
// and the frames themselves, DHCP over UDP over IPv4, and ARP, in untagged
// Ethernet. It touches the sockets that it opens, the promiscuity of an uplink
// for as long as its socket is open (never a bridge's: probes are sent so that
// their answers come to it), and links named podlan-r*, which it makes and
// removes.
package wire
