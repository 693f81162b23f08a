package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests. Its labels are bounded: route patterns that are
// registered, methods and status classes, never an address as it was sent.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	busy     prometheus.Gauge
}

// NewMetrics registers the request metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_http_requests_total", Help: "Requests answered, by route, method and status class.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signet_http_request_seconds", Help: "Time to answer a request, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .5, 2},
		}, []string{"route"}),
		busy: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signet_http_requests_in_flight", Help: "Requests being answered now.",
		}),
	}
	reg.MustRegister(m.requests, m.seconds, m.busy)
	return m
}

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	return rec.ResponseWriter.Write(p)
}

// WriteString is Write without a copy of s.
func (rec *recorder) WriteString(s string) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	return io.WriteString(rec.ResponseWriter, s)
}

// Unwrap serves http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// Log writes one line for each failed or slow request (all of them at debug
// level), counts it, and turns a panic into a 500 that neither stops the
// process nor shows a stack to a stranger. Addresses are logged by route
// pattern: a query may hold a secret.
func Log(log *slog.Logger, m *Metrics) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			rec := &recorder{ResponseWriter: w}
			m.busy.Inc()
			defer func() {
				m.busy.Dec()
				if p := recover(); p != nil {
					if p == http.ErrAbortHandler {
						panic(p)
					}
					Note(r, fmt.Errorf("%w: %.1000v\n%s", errPanic, p, debug.Stack()), 0)
					if rec.status == 0 {
						http.Error(rec, "Signet could not finish this. Trace id: "+Trace(r.Context()), http.StatusInternalServerError)
					}
				}
				report(log, m, r, rec.status, time.Since(start))
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// statusGone is what the log and the metrics call a request whose peer hung up
// before the answer: nobody saw the error that came of it, and it is not ours.
const statusGone = 499

func report(log *slog.Logger, m *Metrics, r *http.Request, status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	if status >= 500 && errors.Is(r.Context().Err(), context.Canceled) && !errors.Is(infoOf(r.Context()).err, errPanic) {
		status = statusGone
	}
	route := r.Pattern
	if route == "" {
		route = "unmatched"
	}
	m.requests.WithLabelValues(route, knownMethod(r.Method), strconv.Itoa(status/100)+"xx").Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())

	level := slog.LevelDebug
	i := infoOf(r.Context())
	switch {
	case status >= 500:
		level = slog.LevelError
	case status >= 400 || i.err != nil:
		level = slog.LevelInfo
	case took > time.Second:
		level = slog.LevelWarn
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("trace", i.trace), slog.String("route", route), slog.Int("status", status),
		slog.Duration("took", took), slog.String("ip", i.ip),
	}
	if i.code != 0 {
		attrs = append(attrs, slog.Int("code", i.code))
	}
	if i.err != nil && !errors.Is(i.err, http.ErrAbortHandler) {
		attrs = append(attrs, slog.String("cause", cause(i.err)))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

var errPanic = errors.New("panic")

// How many bytes of a cause the log takes; more of a panic's, for its stack.
const (
	maxCause = 2 << 10
	maxPanic = 16 << 10
)

// cause is what err says, as a text that may hold what a stranger sent: of
// bounded length, and without marks that would show a line as another than it
// is (security.md LOG02). Controls are escaped by the encoding of the log.
func cause(err error) string {
	limit := maxCause
	if errors.Is(err, errPanic) {
		limit = maxPanic
	}
	var b strings.Builder
	for _, r := range cut(err.Error(), limit) {
		if unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			fmt.Fprintf(&b, `\u{%x}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// cut gives the first limit bytes of s, and says that there was more. A letter
// that is cut through is lost.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// knownMethod keeps the label bounded: a method is whatever a peer sends.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
