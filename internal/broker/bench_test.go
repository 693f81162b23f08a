package broker_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/client"
)

// What a device asks for, answered by the whole of both doors. Requests are
// signed before the clock runs.

func BenchmarkPRTByHello(b *testing.B) {
	w := lite(b)
	m := w.join(0)
	k := helloKey(0)
	w.enrol(m, w.ada, k)
	run(b, func() *http.Request {
		n := w.nonceAt(b, "common")
		return request(w.at("/oauth2/token"), form(m.sign(byHello(n, k.Assertion(w.ada.Name, n, w.clock.now())))))
	}, w, http.StatusOK)
}

func BenchmarkPRTToToken(b *testing.B) {
	w := lite(b)
	_, _, h := w.enrolled(0, w.ada)
	run(b, func() *http.Request {
		return request(w.at("/oauth2/token"), form(h.sign(using(h.value, w.nonceAt(b, "common"), object{"client_id": string(client.Broker)}))))
	}, w, http.StatusOK)
}

func BenchmarkHeaderToCode(b *testing.B) {
	w := lite(b)
	app := w.app(nil)
	_, _, h := w.enrolled(0, w.ada)
	address := base + w.at("/oauth2/v2.0/authorize") + "?" + ask(app).Encode()
	run(b, func() *http.Request {
		r := httptest.NewRequest("GET", address, nil)
		r.Header.Set(prtHeader, h.cookie(w.nonceAt(b, "common")))
		return r
	}, w, http.StatusFound)
}

func run(b *testing.B, make func() *http.Request, w *world, want int) {
	b.Helper()
	b.ReportAllocs()
	requests := []*http.Request{}
	for range b.N {
		requests = append(requests, make())
	}
	b.ResetTimer()
	// Many at a time: devices do not wait for each other, and their commits are
	// one on the disk.
	b.SetParallelism(16)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a := w.do(requests[next.Add(1)-1]); a.status != want {
				b.Errorf("%d %s", a.status, a.body)
				return
			}
		}
	})
}
