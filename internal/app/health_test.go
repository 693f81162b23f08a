package app

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestSec_NET05_MetricsOfThisMachine: on the listener that people use, metrics
// are for this machine itself, and for nobody who comes through a proxy on it.
func TestSec_NET05_MetricsOfThisMachine(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.9/32")}
	for _, c := range []struct {
		name, peer, header, value string
		status                    int
	}{
		{"this machine", "127.0.0.1:4711", "", "", 200},
		{"this machine, IPv6", "[::1]:4711", "", "", 200},
		{"this machine, IPv4 in IPv6", "[::ffff:127.0.0.1]:4711", "", "", 200},
		{"a stranger", "192.0.2.1:4711", "", "", 404},
		{"a neighbour", "10.1.2.3:4711", "", "", 404},
		{"a stranger who says otherwise", "192.0.2.1:4711", "X-Forwarded-For", "127.0.0.1", 404},
		{"through a proxy that is trusted", "127.0.0.9:4711", "", "", 404},
		{"through a proxy elsewhere, as if from here", "10.1.2.3:4711", "X-Forwarded-For", "127.0.0.1", 404},
		{"through a proxy here", "127.0.0.1:4711", "X-Forwarded-For", "192.0.2.1", 404},
		{"through a proxy here, for itself", "127.0.0.1:4711", "X-Forwarded-For", "", 404},
		{"through a proxy here, RFC 7239", "127.0.0.1:4711", "Forwarded", "for=192.0.2.1", 404},
		{"through a proxy here, RFC 9110", "127.0.0.1:4711", "Via", "1.1 proxy", 404},
		{"through a proxy here, in its own words", "127.0.0.1:4711", "X-Real-Ip", "192.0.2.1", 404},
		{"no address", "@", "", "", 404},
	} {
		h := newHealth(func(context.Context) error { return nil })
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = c.peer
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		rec := httptest.NewRecorder()
		h.localMetrics(proxies).ServeHTTP(rec, r)
		if rec.Code != c.status {
			t.Errorf("%s: %d, want %d", c.name, rec.Code, c.status)
		}
	}
}
