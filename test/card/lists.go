package card

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Lists is where authorities publish their revocation lists: a plain web server
// on this machine.
type Lists struct {
	mu     sync.Mutex
	by     map[string]http.HandlerFunc
	asked  map[string]int
	server *httptest.Server
}

// NewLists publishes nothing yet.
func NewLists(t testing.TB) *Lists {
	t.Helper()
	l := &Lists{by: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		l.mu.Lock()
		serve := l.by[name]
		l.asked[name]++
		l.mu.Unlock()
		if serve == nil {
			http.NotFound(w, r)
			return
		}
		serve(w, r)
	}))
	t.Cleanup(l.server.Close)
	return l
}

// Address is that of a list, published or not.
func (l *Lists) Address(name string) string { return l.server.URL + "/" + name }

// Publish puts a list at its address, in the place of what was there.
func (l *Lists) Publish(name string, der []byte) string {
	return l.Serve(name, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pkix-crl")
		w.Write(der)
	})
}

// Serve puts something else at an address: a responder, or a list that never
// ends.
func (l *Lists) Serve(name string, serve http.HandlerFunc) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[name] = serve
	return l.Address(name)
}

// Asked is how often somebody asked for a list.
func (l *Lists) Asked(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[name]
}

// Nowhere is an address where nobody listens.
func Nowhere(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String() + "/list.crl"
}
