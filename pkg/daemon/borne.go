package daemon

import (
	"net"
	"net/netip"
	"time"

	"github.com/podlan/podlan/pkg/boottime"
)

// borneFor is how long a look at the node's addresses serves: a crowd of OFFERs
// shares one.
const borneFor = time.Second

// borne knows the addresses of podland's own namespace. The zero value is to be
// used, by one goroutine.
type borne struct {
	addrs map[netip.Addr]bool
	until time.Duration // since boot
}

// has tells whether a link there has the address; false also where the kernel
// does not say.
func (b *borne) has(addr netip.Addr) bool {
	if now := boottime.Now(); now >= b.until {
		b.addrs, b.until = addresses(), now+borneFor
	}
	return b.addrs[addr]
}

func addresses() map[netip.Addr]bool {
	all := map[netip.Addr]bool{}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				all[addr.Unmap()] = true
			}
		}
	}
	return all
}
