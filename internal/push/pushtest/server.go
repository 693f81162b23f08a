package pushtest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Answer is what a service says to a message. The zero value is its ordinary
// answer.
type Answer struct {
	Status     int
	RetryAfter string
	Location   string
	Body       string
	Hang       bool   // says nothing until the sender goes away, or the service is closed
	Stall      bool   // the same, but after the status
	Do         func() // called first, while the sender waits
}

// server is what the services have in common.
type server struct {
	script
	http *httptest.Server
	done chan struct{}
	over sync.Once

	books  sync.Mutex
	faults []string
}

// script is what is to be answered.
type script struct {
	mu      sync.Mutex
	answers []Answer
}

func (s *server) start(h http.Handler) {
	s.done = make(chan struct{})
	s.http = httptest.NewUnstartedServer(h)
	s.http.EnableHTTP2 = true
	s.http.StartTLS()
}

// close ends the service; what hangs is let go.
func (s *server) close() {
	s.over.Do(func() {
		close(s.done)
		s.http.CloseClientConnections()
		s.http.Close()
	})
}

func (s *server) check(t testing.TB) {
	t.Helper()
	for _, f := range s.Faults() {
		t.Errorf("%s: fault of the sender: %s", s.http.URL, f)
	}
}

// URL is the address of the service: https, a number and a port.
func (s *server) URL() string { return s.http.URL }

// Host is what push-host is set to for this service.
func (s *server) Host() string { return strings.TrimPrefix(s.http.URL, "https://") + "/private" }

// Roots are whom its certificate is to be believed by.
func (s *server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.http.Certificate())
	return pool
}

// PEM is the same for a file (push-ca).
func (s *server) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Faults are what senders did wrong since it was last asked.
func (s *server) Faults() []string {
	s.books.Lock()
	defer s.books.Unlock()
	all := s.faults
	s.faults = nil
	return all
}

func (s *server) fault(format string, args ...any) {
	s.books.Lock()
	defer s.books.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// Answer has the next messages answered so, in this order.
func (s *script) Answer(all ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, all...)
}

func (s *script) next() Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) == 0 {
		return Answer{}
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	return a
}

// say gives an answer; ordinary is the status of the zero value.
func (s *server) say(w http.ResponseWriter, r *http.Request, a Answer, ordinary int, body string) {
	if a.Do != nil {
		a.Do()
	}
	if a.Hang {
		s.hang(r)
		return
	}
	if a.RetryAfter != "" {
		w.Header().Set("Retry-After", a.RetryAfter)
	}
	if a.Location != "" {
		w.Header().Set("Location", a.Location)
	}
	if a.Status != 0 {
		ordinary, body = a.Status, a.Body
	}
	w.WriteHeader(ordinary)
	io.WriteString(w, body)
	if a.Stall {
		http.NewResponseController(w).Flush()
		s.hang(r)
	}
}

func (s *server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
}

// wait takes one of what arrives.
func wait[T any](ctx context.Context, c <-chan T) (v T, err error) {
	select {
	case v = <-c:
		return v, nil
	case <-ctx.Done():
		return v, fmt.Errorf("no message arrived: %w", ctx.Err())
	}
}

// must is wait for tests, which wait long: machines are slow.
func must[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	v, err := wait(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
