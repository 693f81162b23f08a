package psso_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// What Macs ask for, answered by the whole door. Logins are signed before the
// clock runs; a refresh has the token of the one before, so each Mac's come one
// after the other, and their clock counts the Mac's work as well.

func BenchmarkLogin(b *testing.B) {
	w := lite(b)
	m := w.mac()
	k := w.enrol(m, w.ada)
	requests := make([]*http.Request, b.N)
	for n := range requests {
		q := w.login(m, w.ada, k)
		requests[n] = posted("/"+string(m.Tenant)+q.path, q)
	}
	b.ReportAllocs()
	b.ResetTimer()
	// Many at a time: Macs do not wait for each other, and their commits are one on
	// the disk.
	b.SetParallelism(16)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a := w.do(requests[next.Add(1)-1]); a.status != http.StatusOK {
				b.Errorf("%d %s", a.status, a.body)
				return
			}
		}
	})
}

func BenchmarkRefresh(b *testing.B) {
	w := lite(b)
	b.ReportAllocs()
	b.SetParallelism(8)
	type owner struct {
		m     *machine
		token string
	}
	owners := make(chan *owner, 16) // a person may have keys on twenty Macs
	for range cap(owners) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		owners <- &owner{m, w.signIn(m, w.ada, k)}
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		o := <-owners
		defer func() { owners <- o }()
		for pb.Next() {
			q := w.refresh(o.m, o.token)
			o.token, _ = q.open(b, w.do(posted("/"+string(o.m.Tenant)+q.path, q))).out["refresh_token"].(string)
		}
	})
}

// posted is a message as it is sent.
func posted(path string, q *message) *http.Request {
	r := httptest.NewRequest(http.MethodPost, base+path, strings.NewReader(q.body().Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
