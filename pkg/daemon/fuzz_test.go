package daemon

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// FuzzRequest: whatever is sent, podland does not panic, and what it takes is
// within the limits of what is made of it: frames, paths, log lines.
func FuzzRequest(f *testing.F) {
	good, err := json.Marshal(goodRequest())
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{string(good), `{}`, `null`, `[]`, `{"send":{"12":"77"}}`, `{"budgetMS":1e3}`, `{"mac":"02-00-00-00-00-01"}`, `{"vlan":4095}`, `{"vlan":-1}`, `{"vlan":65536}`} {
		f.Add(body, "eth0")
	}
	f.Add(string(good), "et/h0")
	f.Fuzz(func(t *testing.T, body, ifName string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/", strings.NewReader(body))
		r.SetPathValue("network", "lan")
		r.SetPathValue("container", "c1")
		r.SetPathValue("ifname", ifName)
		var req leaseapi.Request
		key, err := new(api).read(r, &req)
		if err != nil || valid(req, true) != nil {
			return
		}
		within(t, key, req)
	})
}

func within(t *testing.T, key leaseapi.Key, req leaseapi.Request) {
	t.Helper()
	if key.IfName == "" || len(key.IfName) > 15 || strings.ContainsAny(key.IfName, "/: \n\x00") {
		t.Errorf("interface name %q", key.IfName)
	}
	if mac, err := net.ParseMAC(req.MAC); err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		t.Errorf("MAC %q", req.MAC)
	}
	if len(req.ClientID) < 2 || len(req.ClientID) > 255 || len(req.ParameterRequest) > 255 {
		t.Errorf("client-id of %d bytes, option 55 of %d", len(req.ClientID), len(req.ParameterRequest))
	}
	sent := 0
	for code, value := range req.Send {
		sent += 2 + len(value)
		if len(value) > 255 || protocolsOwn(code) {
			t.Errorf("option %d of %d bytes", code, len(value))
		}
	}
	if sent > 1024 || req.BudgetMS < 1 || req.BudgetMS > 600_000 {
		t.Errorf("options of %d bytes, budget %d ms", sent, req.BudgetMS)
	}
	if req.Transport == leaseapi.FromUplink && req.Uplink == "" || req.Transport == leaseapi.FromPod && req.Netns == "" {
		t.Errorf("no place to speak from: %+v", req)
	}
	if req.VLAN > 4094 || req.Untagged && req.VLAN == 0 {
		t.Errorf("VLAN %d, untagged %t", req.VLAN, req.Untagged)
	}
	for _, s := range []string{req.Uplink, req.Bridge} {
		if len(s) > 127 || strings.ContainsAny(s, "/ \n\x00") {
			t.Errorf("link %q", s)
		}
	}
	if len(req.Netns) > 4095 || strings.ContainsRune(req.Netns, 0) || len(req.Pod) > 512 || strings.ContainsAny(req.Pod, "\n\x1b") {
		t.Errorf("namespace %q, Pod %q", req.Netns, req.Pod)
	}
	if _, err := json.Marshal(req); err != nil {
		t.Errorf("it cannot be stored: %v", err)
	}
}
