package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/podlan/podlan/integration/debs"
)

const (
	// etcd is for the API server beside it alone.
	etcdURL = "http://127.0.0.1:2379"
	apiPort = 6443
)

// startETCD returns when etcd serves.
func (c *Cluster) startETCD(ctx context.Context) error {
	tool, err := debs.Find(ctx, "etcd")
	if err != nil {
		return err
	}
	const peers = "http://127.0.0.1:2380"
	cmd := tool.Command(context.WithoutCancel(ctx), "--name", "control", "--data-dir", filepath.Join(c.dir, "etcd"),
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "control="+peers)
	p, err := start(c.Control.Netns, c.dir, "etcd", cmd)
	if err != nil {
		return err
	}
	c.keep(p)
	return p.await(ctx, func() error { return healthy(ctx, c.Control.HTTPClient(), etcdURL+"/health") })
}

// startAPIServer returns when kube-apiserver says that it is ready. It has no
// kubelet, scheduler or controller manager behind it: what it holds are the
// objects that tests make.
func (c *Cluster) startAPIServer(ctx context.Context) error {
	creds, err := newCredentials(c.dir)
	if err != nil {
		return err
	}
	addr := c.Control.Addr.Addr()
	cmd := exec.Command(c.programs.APIServer,
		"--etcd-servers", etcdURL, "--service-cluster-ip-range", servicePrefix,
		"--advertise-address", addr.String(), "--secure-port", fmt.Sprint(apiPort),
		// It signs a certificate of its own for its address.
		"--cert-dir", c.dir,
		// Who has the token may everything: roles would take seconds to be written.
		"--token-auth-file", creds.tokens, "--authorization-mode", "AlwaysAllow",
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", creds.key, "--service-account-signing-key-file", creds.key)
	p, err := start(c.Control.Netns, c.dir, "kube-apiserver", cmd)
	if err != nil {
		return err
	}
	c.keep(p)
	server, certificate := netip.AddrPortFrom(addr, apiPort), filepath.Join(c.dir, "apiserver.crt")
	if err := writeKubeconfig(c.kubeconfig(), server, certificate, creds.token); err != nil {
		return err
	}
	return p.await(ctx, func() error {
		// Anew each time: the file may be half written yet.
		roots, err := os.ReadFile(certificate)
		if err != nil {
			return err
		}
		if c.api, err = newClient(c.Control.Netns, server, creds.token, roots); err != nil {
			return err
		}
		return c.api.get(ctx, "/readyz", nil)
	})
}

// kubeconfig is the file that nodes reach the API server with.
func (c *Cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// healthy asks a URL whether it answers OK.
func healthy(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
