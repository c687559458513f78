package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// maxBody bounds a request, in bytes. A GC lists every attachment of a node,
// about 120 bytes each.
const maxBody = 1 << 20

// api answers what leaseapi promises.
type api struct {
	leases leases
	status func() leaseapi.Status
	guard  func(context.Context) (leaseapi.Guard, error)
	pods   bool // Pod access
	// anew is told of an ADD before its lease is asked for: a DEL of the same
	// key that podland has yet to settle must not end it.
	anew func(ctx context.Context, key leaseapi.Key) error
	log  *slog.Logger
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	const one = leaseapi.PathLeases + "/{network}/{container}/{ifname}"
	mux.HandleFunc("PUT "+one, a.acquire)
	mux.HandleFunc("GET "+one, a.get)
	mux.HandleFunc("DELETE "+one, a.release)
	mux.HandleFunc("GET "+leaseapi.PathLeases, a.list)
	mux.HandleFunc("POST "+leaseapi.PathGC, a.gc)
	mux.HandleFunc("GET "+leaseapi.PathStatus, func(w http.ResponseWriter, _ *http.Request) { answer(w, a.status()) })
	mux.HandleFunc("GET "+leaseapi.PathGuard, a.guarded)
	mux.HandleFunc("GET "+leaseapi.PathHealth, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	return mux
}

func (a *api) acquire(w http.ResponseWriter, r *http.Request) {
	var req leaseapi.Request
	key, err := a.read(r, &req)
	if err == nil {
		err = valid(req, a.pods)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	fault.Point("api.acquire.read")
	if err := a.anew(r.Context(), key); err != nil {
		refuse(w, &leaseapi.Error{Code: leaseapi.CodeIO, Msg: "the tombstone of " + key.String() + " could not be removed", Details: err.Error()})
		return
	}
	fault.Point("api.acquire.before")
	// r.Context ends when the plugin hangs up, however it died.
	lease, err := a.leases.Acquire(r.Context(), key, req)
	if err != nil {
		a.log.Warn("no lease", "key", key.String(), "error", err)
		refuse(w, err)
		return
	}
	fault.Point("api.acquire.answer")
	answer(w, lease)
}

func (a *api) get(w http.ResponseWriter, r *http.Request) {
	key, err := keyOf(r)
	if err != nil {
		refuse(w, err)
		return
	}
	lease, ok := a.leases.Get(key)
	if !ok {
		refuse(w, &leaseapi.Error{Code: leaseapi.CodeNoLease, Msg: "podland holds no lease for " + key.String()})
		return
	}
	answer(w, lease)
}

func (a *api) release(w http.ResponseWriter, r *http.Request) {
	key, err := keyOf(r)
	if err == nil {
		fault.Point("api.release.before")
		err = a.leases.Release(r.Context(), key)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	fault.Point("api.release.done")
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) list(w http.ResponseWriter, _ *http.Request) {
	all := a.leases.List()
	if all == nil {
		all = []leaseapi.Lease{}
	}
	answer(w, all)
}

func (a *api) gc(w http.ResponseWriter, r *http.Request) {
	var req leaseapi.GCRequest
	err := decode(r, &req)
	if err == nil && req.Network == "" {
		err = &leaseapi.Error{Code: leaseapi.CodeConfig, Msg: `field "network" is empty`, Details: "allowed: the name of a CNI network"}
	}
	if err == nil && req.Valid == nil { // none is an empty list
		err = &leaseapi.Error{Code: leaseapi.CodeConfig, Msg: `field "valid" is absent`, Details: "allowed: a list of keys; an empty one too"}
	}
	if err == nil {
		fault.Point("api.gc.before")
		err = a.leases.GC(r.Context(), req.Network, req.Valid)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) read(r *http.Request, req *leaseapi.Request) (leaseapi.Key, error) {
	key, err := keyOf(r)
	if err != nil {
		return key, err
	}
	return key, decode(r, req)
}

func decode(r *http.Request, v any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return &leaseapi.Error{Code: leaseapi.CodeIO, Msg: "the request could not be read", Details: err.Error()}
	}
	if len(data) > maxBody {
		return &leaseapi.Error{Code: leaseapi.CodeDecode, Msg: "the request is too long", Details: fmt.Sprintf("allowed: %d bytes", maxBody)}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return &leaseapi.Error{Code: leaseapi.CodeDecode, Msg: "the request is not the JSON that is wanted", Details: err.Error()}
	}
	return nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with the contract's error; the status is for curl's users.
func refuse(w http.ResponseWriter, err error) {
	var e *leaseapi.Error
	if !errors.As(err, &e) {
		e = &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: err.Error()}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			e.Msg = "the request was given up: " + err.Error()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus(e.Code))
	_ = json.NewEncoder(w).Encode(e)
}

func httpStatus(code leaseapi.Code) int {
	statuses := map[leaseapi.Code]int{
		leaseapi.CodeNoLease:    http.StatusNotFound,
		leaseapi.CodeConfig:     http.StatusBadRequest,
		leaseapi.CodeDecode:     http.StatusBadRequest,
		leaseapi.CodeInvalidEnv: http.StatusBadRequest,
		leaseapi.CodeIO:         http.StatusInternalServerError,
	}
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusServiceUnavailable
}
