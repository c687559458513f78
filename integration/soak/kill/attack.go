package kill

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/integration/soak/churn"
)

// attackEvery is how often the attacker tries: a shorter gap in the guard may
// pass unseen in one kill, not in all.
const attackEvery = 5 * time.Millisecond

// attack is a Pod that, all the time, sends with a foreign MAC and with another
// Pod's address, and honestly in between, so that its silence proves something.
type attack struct {
	frames [][]byte
	sock   *ether.Socket
	caught *lab.Capture
	sent   int
	honest atomic.Int64

	stop func()
	done chan struct{}
	once sync.Once
	err  error
}

// newAttack begins it, from the first of the Pods that stay as the second.
func newAttack(ctx context.Context, a *churn.Arena) (*attack, error) {
	attacker, victim := a.Held[0], a.Held[1]
	mac, err := net.ParseMAC(attacker.MAC)
	if err != nil {
		return nil, fmt.Errorf("attacker: %w", err)
	}
	foreign := net.HardwareAddr{0x02, 0xba, 0xd0, 0xba, 0xd0, 0x01}
	ask := func(src net.HardwareAddr, sender netip.Addr) []byte {
		return ether.ARPFrame(ether.Broadcast(), src, ether.ARP{
			Op: ether.ARPRequest, SenderMAC: src, SenderIP: sender, TargetIP: a.Client.Addr.Addr(),
		})
	}
	at := &attack{
		frames: [][]byte{ask(foreign, attacker.Addr), ask(mac, victim.Addr), ask(mac, attacker.Addr)},
		done:   make(chan struct{}),
	}
	at.caught = a.Client.Capture(a.Client.Iface, func(f ether.Frame) bool {
		arp, ok := f.ARP()
		if !ok || f.Outgoing {
			return false
		}
		own := f.Src.String() == mac.String()
		if own && arp.SenderIP == attacker.Addr {
			at.honest.Add(1)
		}
		return f.Src.String() == foreign.String() || own && arp.SenderIP == victim.Addr
	})
	err = attacker.Pod.Do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		at.sock, err = ether.Open(eth0.Index, 0, nil) // protocol 0: it only sends
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attacker: %w", err)
	}
	ctx, at.stop = context.WithCancel(ctx)
	go at.run(ctx)
	return at, nil
}

func (at *attack) run(ctx context.Context) {
	defer close(at.done)
	tick := time.NewTicker(attackEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, f := range at.frames {
			if at.sock.Send(f) == nil {
				at.sent++
			}
		}
	}
}

// end ends the attack and tells what the LAN saw of it.
func (at *attack) end() error {
	at.once.Do(func() {
		at.stop()
		<-at.done
		_ = at.sock.Close()
		if seen := at.caught.All(); len(seen) > 0 {
			at.err = fmt.Errorf("the guard let %d frames of %d through, the first %v", len(seen), at.sent, seen[0])
		} else if at.honest.Load() == 0 {
			at.err = fmt.Errorf("of %d frames not even the honest ones arrived", at.sent)
		}
	})
	return at.err
}

func (at *attack) String() string {
	return fmt.Sprintf("%d honest frames of a Pod arrived, %d forged ones", at.honest.Load(), len(at.caught.All()))
}
