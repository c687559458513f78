package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// The two questions of a resolver, sent at once from one port. The answer to the
// second takes three frames.
const (
	shortAnswer = "A"
	longAnswer  = "AAAA"
	answerSize  = 4000 // bytes
)

// AnswersDatagrams is Answers for UDP, for PutDatagrams. On ":8080" the kernel
// chooses the address that it answers from, by its routes.
func (n *Netns) AnswersDatagrams(addr string) {
	n.lab.tb.Helper()
	var conn net.PacketConn
	err := n.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", addr)
		return err
	})
	if err != nil {
		n.lab.tb.Fatalf("lab: %s: %v", n.name, err)
	}
	go n.answerDatagrams(conn)
	n.lab.onClose(func() { _ = conn.Close() })
}

func (n *Netns) answerDatagrams(conn net.PacketConn) {
	buf := make([]byte, len(longAnswer))
	for {
		size, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		asker, ok := from.(*net.UDPAddr)
		if err != nil || !ok {
			continue // that an earlier answer found nobody
		}
		answer := string(buf[:size]) + " " + n.Answer(asker.AddrPort().Addr().Unmap()) + " "
		if strings.HasPrefix(answer, longAnswer) {
			answer += strings.Repeat(".", answerSize)
		}
		_, _ = conn.WriteTo([]byte(answer), from)
	}
}

// PutDatagrams is Put by UDP, of two questions at once, as a resolver's for an A
// and an AAAA record: from one port, and one answer too long for a frame.
func PutDatagrams(ctx context.Context, all []Question) error {
	const atATime, tooMany = 8, 16
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var failed []error
	var wg sync.WaitGroup
	places := make(chan struct{}, atATime)
	for _, q := range all {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if ctx.Err() != nil {
				return
			}
			if err := q.putDatagrams(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if failed = append(failed, err); len(failed) == tooMany {
					stop()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

func (q Question) putDatagrams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Stretch(15*time.Second))
	defer cancel()
	var got []string
	err := Until(ctx, func() (err error) {
		got, err = q.From.askDatagrams(ctx, q.At)
		return err
	})
	for _, kind := range []string{shortAnswer, longAnswer} {
		if want := kind + " " + q.By.Answer(q.Seen); err != nil || !slices.ContainsFunc(got, func(a string) bool { return strings.HasPrefix(a, want+" ") }) {
			return fmt.Errorf("%s asks %s by UDP: %.80q, want %q: %w", q.From.name, q.At, got, want, errors.Join(err, ErrAnswer))
		}
	}
	return nil
}

// askDatagrams returns both answers. The kernel takes none from elsewhere than was
// asked.
func (n *Netns) askDatagrams(ctx context.Context, at netip.AddrPort) ([]string, error) {
	conn, err := n.Dial(ctx, "udp4", at.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(Stretch(answerTime)))
	for _, kind := range []string{shortAnswer, longAnswer} {
		if _, err := conn.Write([]byte(kind)); err != nil {
			return nil, err
		}
	}
	var got []string
	buf := make([]byte, 2*answerSize)
	for range 2 {
		size, err := conn.Read(buf)
		if err != nil {
			return got, err
		}
		got = append(got, string(buf[:size]))
	}
	return got, nil
}
