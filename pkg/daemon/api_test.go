package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
)

const onePath = leaseapi.PathLeases + "/lan/c1/eth0"

func oneKey() leaseapi.Key {
	return leaseapi.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}
}

func goodRequest() leaseapi.Request {
	return leaseapi.Request{
		ClientID: leaseapi.HexBytes{0xff, 1, 2}, MAC: "02:00:00:00:00:01", Transport: leaseapi.FromUplink, Uplink: "eth1",
		Bridge: "br0", Netns: "/run/netns/p1", Confirm: leaseapi.ByRecord, BudgetMS: 1000,
		ParameterRequest: leaseapi.HexBytes{1, 3, 6}, Send: map[uint8]leaseapi.HexBytes{12: []byte("web")}, Pod: "default/web",
	}
}

// call returns the status and the body of one call.
func (s *served) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://podland"+path, strings.NewReader(body))
	must(t, err)
	resp, err := s.http.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(data)
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return string(data)
}

func TestALeaseThroughItsLife(t *testing.T) {
	s := serve(t)
	steps := []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{http.MethodGet, leaseapi.PathHealth, "", 200, "ok"},
		{http.MethodGet, leaseapi.PathStatus, "", 200, `"version":"v1.2.3"`},
		{http.MethodGet, leaseapi.PathLeases, "", 200, "[]"},
		{http.MethodGet, onePath, "", 404, `"code":100`},
		{http.MethodPut, onePath, text(t, goodRequest()), 200, `"state":"pending"`},
		{http.MethodGet, onePath, "", 200, `"containerID":"c1"`},
		{http.MethodGet, leaseapi.PathLeases, "", 200, `[{"network":"lan","containerID":"c1","ifName":"eth0"`},
		{http.MethodDelete, onePath, "", 204, ""},
		{http.MethodDelete, onePath, "", 204, ""}, // what is not held is no error
		{http.MethodGet, onePath, "", 404, "podland holds no lease for lan/c1/eth0"},
		{http.MethodPut, onePath, text(t, goodRequest()), 200, `"mac":"02:00:00:00:00:01"`},
		{http.MethodPost, leaseapi.PathGC, `{"network":"lan","valid":[{"network":"lan","containerID":"c1","ifName":"eth0"}]}`, 204, ""},
		{http.MethodGet, onePath, "", 200, ""},
		{http.MethodPost, leaseapi.PathGC, `{"network":"lan","valid":[]}`, 204, ""},
		{http.MethodGet, onePath, "", 404, ""},
		{http.MethodPost, onePath, "", 405, ""},
		{http.MethodGet, "/v2/leases", "", 404, ""},
	}
	for _, step := range steps {
		status, answer := s.call(t, step.method, step.path, step.body)
		if status != step.status || !strings.Contains(answer, step.answer) {
			t.Errorf("%s %s: %d %s; want %d and %s", step.method, step.path, status, answer, step.status, step.answer)
		}
	}
	if diff := cmp.Diff([]leaseapi.Request{goodRequest(), goodRequest()}, s.asked); diff != "" {
		t.Errorf("asked of the keeper (-want +got):\n%s", diff)
	}
}

func TestWhatIsRefusedNamesFieldValueAndWhatIsAllowed(t *testing.T) {
	with := func(change func(*leaseapi.Request)) string {
		req := goodRequest()
		change(&req)
		return text(t, req)
	}
	long := strings.Repeat("x", 5000)
	cases := map[string]struct {
		body  string
		code  leaseapi.Code
		words []string
	}{
		"no JSON":             {`{"mac":`, 6, []string{"JSON"}},
		"another type":        {`{"mac":7}`, 6, []string{"JSON", "mac"}},
		"no hexadecimal":      {`{"clientID":"xy"}`, 6, []string{"hexadecimal"}},
		"an option's number":  {`{"send":{"256":""}}`, 6, []string{"JSON"}},
		"null":                {`null`, 7, []string{`"mac"`}},
		"too long":            {`{"pod":"` + strings.Repeat("x", maxBody) + `"}`, 6, []string{"too long", "1048576"}},
		"no MAC":              {with(func(r *leaseapi.Request) { r.MAC = "" }), 7, []string{`"mac"`, `""`, "48-bit"}},
		"a group's MAC":       {with(func(r *leaseapi.Request) { r.MAC = "01:00:5e:00:00:01" }), 7, []string{`"mac"`, "01:00:5e", "unicast"}},
		"MAC zero":            {with(func(r *leaseapi.Request) { r.MAC = "00:00:00:00:00:00" }), 7, []string{`"mac"`, "zero"}},
		"a longer MAC":        {with(func(r *leaseapi.Request) { r.MAC = "02:00:00:00:00:00:00:01" }), 7, []string{`"mac"`}},
		"a short client-id":   {with(func(r *leaseapi.Request) { r.ClientID = []byte{1} }), 7, []string{`"clientID"`, "01", "2 to 255"}},
		"a long client-id":    {with(func(r *leaseapi.Request) { r.ClientID = make([]byte, 256) }), 7, []string{`"clientID"`, "2 to 255"}},
		"no budget":           {with(func(r *leaseapi.Request) { r.BudgetMS = 0 }), 7, []string{`"budgetMS"`, `"0"`, "1 to 600000"}},
		"too much budget":     {with(func(r *leaseapi.Request) { r.BudgetMS = 600_001 }), 7, []string{`"budgetMS"`, "600001"}},
		"a long Pod":          {with(func(r *leaseapi.Request) { r.Pod = long }), 7, []string{`"pod"`, "512"}},
		"a Pod of escapes":    {with(func(r *leaseapi.Request) { r.Pod = "\x1b[2J" }), 7, []string{`"pod"`, "control"}},
		"no transport":        {with(func(r *leaseapi.Request) { r.Transport = "" }), 7, []string{`"transport"`, "uplink, pod"}},
		"another transport":   {with(func(r *leaseapi.Request) { r.Transport = "relay" }), 7, []string{`"transport"`, "relay"}},
		"no confirmation":     {with(func(r *leaseapi.Request) { r.Confirm = "" }), 7, []string{`"confirm"`, "record, address"}},
		"no uplink":           {with(func(r *leaseapi.Request) { r.Uplink = "" }), 7, []string{`"uplink"`, "since transport is uplink"}},
		"an uplink's path":    {with(func(r *leaseapi.Request) { r.Uplink = "../x" }), 7, []string{`"uplink"`, "../x"}},
		"a bridge's space":    {with(func(r *leaseapi.Request) { r.Bridge = "br 0" }), 7, []string{`"bridge"`, "br 0"}},
		"no namespace to see": {with(func(r *leaseapi.Request) { r.Confirm, r.Netns = leaseapi.ByAddress, "" }), 7, []string{`"netns"`, "absolute"}},
		"a relative path":     {with(func(r *leaseapi.Request) { r.Confirm, r.Netns = leaseapi.ByAddress, "p1" }), 7, []string{`"netns"`, "p1"}},
		"a long path":         {with(func(r *leaseapi.Request) { r.Netns = "/" + long }), 7, []string{`"netns"`, "4095", "…"}},
		"many questions":      {with(func(r *leaseapi.Request) { r.ParameterRequest = make([]byte, 256) }), 7, []string{`"parameterRequest"`, "255"}},
		"the protocol's own":  {with(func(r *leaseapi.Request) { r.Send[53] = []byte{1} }), 7, []string{`"send"`, `"53"`}},
		"a long option":       {with(func(r *leaseapi.Request) { r.Send[12] = make([]byte, 256) }), 7, []string{`"send"`, "12:", "255"}},
		"too many options": {with(func(r *leaseapi.Request) {
			for code := range uint8(5) {
				r.Send[100+code] = make([]byte, 255)
			}
		}), 7, []string{`"send"`, "1024"}},
		"from a Pod without Pod access": {
			with(func(r *leaseapi.Request) { r.Transport, r.Uplink = leaseapi.FromPod, "" }), 7,
			[]string{"dhcpFrom: pod", "pod-access.conf"},
		},
	}
	s := serve(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			status, answer := s.call(t, http.MethodPut, onePath, c.body)
			refused(t, status, answer, http.StatusBadRequest, c.code, c.words...)
		})
	}
	if len(s.asked) != 0 {
		t.Errorf("the keeper was asked %d times", len(s.asked))
	}
}

func TestWithPodAccessAPodIsEntered(t *testing.T) {
	s := serve(t)
	s.api.pods = true
	req := goodRequest()
	req.Transport, req.Uplink = leaseapi.FromPod, ""
	if status, answer := s.call(t, http.MethodPut, onePath, text(t, req)); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
}

func TestFieldsOfANewerPluginAreIgnored(t *testing.T) {
	s := serve(t)
	body := strings.Replace(text(t, goodRequest()), "{", `{"vlanID":20,"priority":{"a":[1]},`, 1)
	if status, answer := s.call(t, http.MethodPut, onePath, body); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	if diff := cmp.Diff([]leaseapi.Request{goodRequest()}, s.asked); diff != "" {
		t.Errorf("asked of the keeper (-want +got):\n%s", diff)
	}
}

func TestABadKeyIsRefused(t *testing.T) {
	s := serve(t)
	for _, path := range []string{
		"/-lan/c1/eth0", "/l%20an/c1/eth0", "/lan/c%2f1/eth0", "/lan/c1/a-long-interface", "/lan/c1/et%2fh0",
		"/lan/c1/et:h0", "/lan/c1/et%20h0", "/lan/c1/et%0ah0", "/lan/c1/%00", "/lan/.c1/eth0", "/lan/c1/%C2%85",
	} {
		for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
			status, answer := s.call(t, method, leaseapi.PathLeases+path, text(t, goodRequest()))
			refused(t, status, answer, http.StatusBadRequest, leaseapi.CodeConfig, "refused", "interface name")
		}
	}
	if len(s.asked)+len(s.released) != 0 {
		t.Error("the keeper was asked")
	}
}

// Without its list a GC would give back every lease of the network.
func TestAGCIsRefusedUnlessItSaysWhatToKeep(t *testing.T) {
	s := serve(t)
	for body, words := range map[string][]string{
		`{"network":"lan"}`:              {`"valid"`, "absent", "an empty one too"},
		`{"network":"lan","valid":null}`: {`"valid"`},
		`{"valid":[]}`:                   {`"network"`, "empty"},
		``:                               {"JSON"},
	} {
		status, answer := s.call(t, http.MethodPost, leaseapi.PathGC, body)
		code := leaseapi.CodeConfig
		if body == "" {
			code = leaseapi.CodeDecode
		}
		refused(t, status, answer, http.StatusBadRequest, code, words...)
	}
	if len(s.gc) != 0 {
		t.Error("the keeper was asked")
	}
}

func TestAnErrorsStatusIsItsCodes(t *testing.T) {
	cases := map[string]struct {
		err    error
		status int
		code   leaseapi.Code
		words  []string
	}{
		"no answer":        {&leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "no DHCPOFFER", Details: "check"}, 503, 11, []string{"no DHCPOFFER", "check"}},
		"no disk":          {&leaseapi.Error{Code: leaseapi.CodeIO, Msg: "full"}, 500, 5, []string{"full"}},
		"a conf":           {&leaseapi.Error{Code: leaseapi.CodeConfig, Msg: "no such uplink"}, 400, 7, []string{"uplink"}},
		"a lost lease":     {&leaseapi.Error{Code: leaseapi.CodeLeaseLost, Msg: "taken"}, 503, 101, []string{"taken"}},
		"wrapped":          {errors.Join(errors.New("x"), &leaseapi.Error{Code: leaseapi.CodeIO, Msg: "full"}), 500, 5, []string{"full"}},
		"any other":        {errors.New("odd"), 503, 11, []string{"odd"}},
		"its own deadline": {context.DeadlineExceeded, 503, 11, []string{"given up"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			s.acquire = func(context.Context) (leaseapi.Lease, error) { return leaseapi.Lease{}, c.err }
			s.fail = c.err
			status, answer := s.call(t, http.MethodPut, onePath, text(t, goodRequest()))
			refused(t, status, answer, c.status, c.code, c.words...)
			status, answer = s.call(t, http.MethodDelete, onePath, "")
			refused(t, status, answer, c.status, c.code, c.words...)
			status, answer = s.call(t, http.MethodPost, leaseapi.PathGC, `{"network":"lan","valid":[]}`)
			refused(t, status, answer, c.status, c.code, c.words...)
		})
	}
}

func TestACallerThatHangsUpEndsItsAcquire(t *testing.T) {
	s := serve(t)
	begun, ended := make(chan struct{}), make(chan error, 1)
	s.acquire = func(ctx context.Context) (leaseapi.Lease, error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return leaseapi.Lease{}, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := client.New(s.socket).Acquire(ctx, oneKey(), goodRequest()); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the keeper's context: %v", err)
	}
}

// A DEL of the same key that podland never heard of must not end the lease that
// an ADD is about to get.
func TestAnAddIsToldBeforeItsLeaseIsAskedFor(t *testing.T) {
	s := serve(t)
	var told []leaseapi.Key
	s.api.anew = func(_ context.Context, key leaseapi.Key) error {
		if len(s.asked) != 0 {
			t.Error("asked before told")
		}
		told = append(told, key)
		return nil
	}
	s.call(t, http.MethodPut, onePath, text(t, goodRequest()))
	if diff := cmp.Diff([]leaseapi.Key{oneKey()}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	s.api.anew = func(context.Context, leaseapi.Key) error { return errors.New("read-only file system") }
	status, answer := s.call(t, http.MethodPut, onePath, text(t, goodRequest()))
	refused(t, status, answer, 500, leaseapi.CodeIO, "lan/c1/eth0", "read-only")
	if len(s.asked) != 1 {
		t.Errorf("asked %d times, want once: a lease that a tombstone would end is none", len(s.asked))
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	want := map[leaseapi.Code]int{
		leaseapi.CodeInvalidEnv: 400, leaseapi.CodeIO: 500, leaseapi.CodeDecode: 400, leaseapi.CodeConfig: 400,
		leaseapi.CodeTryAgainLater: 503, leaseapi.CodeNotAvailable: 503, leaseapi.CodeNoLease: 404, leaseapi.CodeLeaseLost: 503,
	}
	for _, code := range slices.Sorted(maps.Keys(want)) {
		if got := httpStatus(code); got != want[code] {
			t.Errorf("code %d: status %d, want %d", code, got, want[code])
		}
	}
}

// refused fails unless the answer is an error of the contract.
func refused(t *testing.T, status int, answer string, wantStatus int, code leaseapi.Code, words ...string) {
	t.Helper()
	var e leaseapi.Error
	if err := json.Unmarshal([]byte(answer), &e); err != nil || status != wantStatus || e.Code != code {
		t.Errorf("%d %s; want %d and code %d", status, answer, wantStatus, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) {
			t.Errorf("%q does not say %q", e.Error(), w)
		}
	}
}
