package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
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
