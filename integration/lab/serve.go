package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Answers has the namespace serve HTTP on an address, such as ":8080", to whom
// it answers with its name and the asker's address, for Ask.
func (n *Netns) Answers(addr string) {
	n.lab.tb.Helper()
	l, err := n.Listen(n.lab.tb.Context(), "tcp4", addr)
	if err != nil {
		n.lab.tb.Fatalf("lab: %s: %v", n.name, err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, n.Answer(netip.MustParseAddr(from)))
	})}
	go func() { _ = server.Serve(l) }()
	n.lab.onClose(func() { _ = server.Close() })
}

// Answer is what the namespace says to who asks from the address.
func (n *Netns) Answer(to netip.Addr) string { return n.name + " asked by " + to.String() }

// Question is put from a namespace to an address, and answered by another that
// sees a source.
type Question struct {
	From *Netns
	At   netip.AddrPort
	By   *Netns
	Seen netip.Addr
}

// Put puts the questions, some at a time, and joins the errors of those that are
// not answered as they say. When many have failed it leaves out the rest.
func Put(ctx context.Context, all []Question) error {
	const atATime, tooMany = 8, 16
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	places := make(chan struct{}, atATime)
	for _, q := range all {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			mu.Lock()
			enough := len(failed) >= tooMany
			mu.Unlock()
			if enough {
				return
			}
			if err := q.put(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

func (q Question) put(ctx context.Context) error {
	// TCP asks again after 1, 3 and 7 s.
	ctx, cancel := context.WithTimeout(ctx, Stretch(15*time.Second))
	defer cancel()
	got, err := q.From.Ask(ctx, q.At)
	if want := q.By.Answer(q.Seen); err != nil || got != want {
		return fmt.Errorf("%s asks %s: %q, want %q: %w", q.From.name, q.At, got, want, errors.Join(err, ErrAnswer))
	}
	return nil
}

// ErrAnswer is the error of a question without the wanted answer.
var ErrAnswer = errors.New("not answered as wanted")

// answerTime is what one question has: what is dropped is asked again.
const answerTime = 3 * time.Second

// Ask asks over HTTP until somebody answers, or ctx ends.
func (n *Netns) Ask(ctx context.Context, at netip.AddrPort) (string, error) {
	client := n.HTTPClient()
	client.Timeout = Stretch(answerTime)
	var answer []byte
	err := Until(ctx, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.String(), nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err = io.ReadAll(resp.Body)
		return err
	})
	return string(answer), err
}
