package app

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// health answers the three questions that machines ask: do you live, should
// people be sent to you, how are you.
type health struct {
	serving  atomic.Bool // between start and the beginning of the stop
	stopping atomic.Bool
	check    func(context.Context) error
	registry *prometheus.Registry
	requests *web.Metrics
}

// readyWithin bounds the check behind /readyz: a proxy that asks must not
// pile up questions on a database that hangs.
const readyWithin = 2 * time.Second

func newHealth(check func(context.Context) error) *health {
	h := &health{check: check, registry: prometheus.NewRegistry()}
	h.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h.requests = web.NewMetrics(h.registry)
	return h
}

// ready says whether this node should get requests.
func (h *health) ready(ctx context.Context) bool {
	if !h.serving.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	return h.check(ctx) == nil
}

// await returns true once this node is ready, false when ctx ends before.
func (h *health) await(ctx context.Context) bool {
	for !h.ready(ctx) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// mount adds /healthz and /readyz.
func (h *health) mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if h.ready(r.Context()) {
			plain(w, http.StatusOK, "ready")
			return
		}
		w.Header().Set("Retry-After", "1")
		plain(w, http.StatusServiceUnavailable, "not ready")
	})
}

// metrics is the handler of /metrics.
func (h *health) metrics() http.Handler {
	return promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// localMetrics is metrics on the listener that people use: for this machine
// itself, since the numbers tell how much is signed in and how (security.md
// NET05). What comes through a proxy is not from here, whatever it says.
func (h *health) localMetrics(proxies []netip.Prefix) http.Handler {
	metrics := h.metrics()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromHere(r, proxies) {
			metrics.ServeHTTP(w, r)
			return
		}
		web.Note(r, idp.NotFoundf("metrics_elsewhere", "metrics are for this machine, or on the address of listen-metrics"), 0)
		plain(w, http.StatusNotFound, "not found")
	})
}

// forwarding headers are set by proxies.
var forwarding = []string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip"}

// fromHere says whether a request was made on this machine, to us.
func fromHere(r *http.Request, proxies []netip.Prefix) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() || byProxy(r) {
		return false
	}
	for _, p := range proxies {
		if p.Contains(peer.Addr().Unmap()) {
			return false
		}
	}
	return !slices.ContainsFunc(forwarding, func(name string) bool { return len(r.Header.Values(name)) > 0 })
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n"))
}
