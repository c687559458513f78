// Package client calls podland. It is a package of its own so that what only
// needs the contract's words does not link an HTTP client. It touches podland's
// socket and nothing else.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// ErrUnreachable says that no podland listens on the socket.
var ErrUnreachable = errors.New("podland is not reachable")

// maxAnswer bounds what is read of an answer, in bytes: 1,000 leases are 1 MB.
const maxAnswer = 64 << 20

// Client talks to one podland. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// New returns a client for the socket; it connects with the first call.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Acquire gets a lease for the attachment, or returns the one that it has. It
// waits until ctx ends; podland then gives back what it may have got.
func (c *Client) Acquire(ctx context.Context, key leaseapi.Key, req leaseapi.Request) (leaseapi.Lease, error) {
	var lease leaseapi.Lease
	err := c.call(ctx, http.MethodPut, leasePath(key), req, &lease)
	return lease, err
}

// Get returns the attachment's lease; an Error of CodeNoLease if there is none.
func (c *Client) Get(ctx context.Context, key leaseapi.Key) (leaseapi.Lease, error) {
	var lease leaseapi.Lease
	err := c.call(ctx, http.MethodGet, leasePath(key), nil, &lease)
	return lease, err
}

// Release gives the attachment's lease back. What is not held is no error.
func (c *Client) Release(ctx context.Context, key leaseapi.Key) error {
	return c.call(ctx, http.MethodDelete, leasePath(key), nil, nil)
}

// List returns all leases, sorted by key.
func (c *Client) List(ctx context.Context) ([]leaseapi.Lease, error) {
	var leases []leaseapi.Lease
	err := c.call(ctx, http.MethodGet, leaseapi.PathLeases, nil, &leases)
	return leases, err
}

// GC gives back the network's leases that req does not list.
func (c *Client) GC(ctx context.Context, req leaseapi.GCRequest) error {
	return c.call(ctx, http.MethodPost, leaseapi.PathGC, req, nil)
}

// Status returns what podland says of itself.
func (c *Client) Status(ctx context.Context) (leaseapi.Status, error) {
	var status leaseapi.Status
	err := c.call(ctx, http.MethodGet, leaseapi.PathStatus, nil, &status)
	return status, err
}

// Guard returns what the guard lets out of each port, and what it dropped.
func (c *Client) Guard(ctx context.Context) (leaseapi.Guard, error) {
	var guard leaseapi.Guard
	err := c.call(ctx, http.MethodGet, leaseapi.PathGuard, nil, &guard)
	return guard, err
}

func leasePath(key leaseapi.Key) string {
	return leaseapi.PathLeases + "/" + url.PathEscape(key.Network) + "/" + url.PathEscape(key.ContainerID) + "/" + url.PathEscape(key.IfName)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request to podland: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://podland"+path, body)
	if err != nil {
		return fmt.Errorf("request to podland: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.transportError(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer of podland: %w", err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return answeredError(resp, data)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("answer of podland: %w", err)
	}
	return nil
}

// transportError tells "nobody listens" from a call that was cut off.
func (c *Client) transportError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, op.Err)
	}
	return fmt.Errorf("call podland on %s: %w", c.socket, err)
}

func answeredError(resp *http.Response, data []byte) error {
	var e leaseapi.Error
	if json.Unmarshal(data, &e) != nil || e.Msg == "" || e.Code == 0 {
		return fmt.Errorf("podland answered %s: %.200q", resp.Status, data)
	}
	return &e
}
