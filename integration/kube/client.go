package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/podlan/podlan/integration/lab"
)

// object is one of the API's, written down as JSON.
type object = map[string]any

// client speaks to an API server from a namespace.
type client struct {
	base, token string
	http        *http.Client
}

// newClient returns a client that believes the certificates given.
func newClient(ns *lab.Netns, server netip.AddrPort, token string, roots []byte) (*client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, errors.New("the API server's file of certificates holds none")
	}
	transport := &http.Transport{
		DialContext:       ns.Dial,
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, // a connection would outlive the namespace's owner
	}
	return &client{base: "https://" + server.String(), token: token, http: &http.Client{Transport: transport}}, nil
}

// create makes an object of a collection and reads what the server made of it.
func (c *client) create(ctx context.Context, collection string, o object, made any) error {
	return c.do(ctx, http.MethodPost, collection, "application/json", o, made)
}

// patch merges a change into an object.
func (c *client) patch(ctx context.Context, path string, change object) error {
	return c.do(ctx, http.MethodPatch, path, "application/merge-patch+json", change, nil)
}

// get reads an object, or only whether there is one if it is nil.
func (c *client) get(ctx context.Context, path string, o any) error {
	return c.do(ctx, http.MethodGet, path, "", nil, o)
}

func (c *client) do(ctx context.Context, method, path, contentType string, in object, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", contentType)
	resp, err := c.http.Do(req)
	if err != nil {
		return err // it names the method and the URL
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
