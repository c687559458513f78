package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// credentials are what one API server lives with: a token for everybody, and the
// key that it would sign ServiceAccounts' with.
type credentials struct {
	token       string
	tokens, key string // files
}

func newCredentials(dir string) (credentials, error) {
	c := credentials{token: rand.Text(), tokens: filepath.Join(dir, "tokens.csv"), key: filepath.Join(dir, "accounts.key")}
	if err := os.WriteFile(c.tokens, []byte(c.token+`,test,test,"system:masters"`+"\n"), 0o600); err != nil {
		return c, fmt.Errorf("token: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, fmt.Errorf("key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return c, fmt.Errorf("key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(c.key, text, 0o600); err != nil {
		return c, fmt.Errorf("key: %w", err)
	}
	return c, nil
}

// writeKubeconfig writes what Kubernetes' own clients read.
func writeKubeconfig(path string, server netip.AddrPort, certificate, token string) error {
	const name = "lab"
	return writeJSON(path, object{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []object{{"name": name, "cluster": object{
			"server": "https://" + server.String(), "certificate-authority": certificate,
		}}},
		"users":    []object{{"name": name, "user": object{"token": token}}},
		"contexts": []object{{"name": name, "context": object{"cluster": name, "user": name}}},
	})
}

// writeJSON writes a configuration; Kubernetes reads JSON as the YAML that it is.
func writeJSON(path string, o object) error {
	raw, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}
