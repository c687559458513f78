// Package wire puts DHCP frames on a segment and takes the replies off it: a
// packet socket (packet(7)) with a kernel filter, and the frames themselves,
// DHCP over UDP over IPv4 over untagged Ethernet. It touches the sockets that it
// opens, the promiscuity of an uplink for as long as its socket is open, and
// links named podlan-r*, which it makes and removes.
package wire
