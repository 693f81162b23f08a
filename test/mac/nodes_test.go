package mac

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/macagent"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// send sends a request as it stands to one of the servers, and gives its status
// and what it said.
func (s *site) send(t *testing.T, server int, q *macagent.Request) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(q.URL, s.base, "http://"+s.addrs[server], 1), bytes.NewReader([]byte(q.Body())))
	if err != nil {
		t.Fatal(err)
	}
	r.Header, r.Host = q.Header(), strings.TrimPrefix(s.base, "http://")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(text)
}

// A nonce of one server, the login at the other, once: so many of the same message
// at both at the same time, and one gets in.
func TestTwoServers(t *testing.T) {
	db := sqldbtest.NewPostgres(t)
	if db == "" {
		return
	}
	t.Parallel()
	s := newSite(t, 2, db)
	o := s.somebody()
	m, _ := o.enrolled(t, macagent.Form{})
	login(t, m)

	for name, c := range map[string]struct {
		prepare func(macagent.Nonce) (*macagent.Request, error)
		each    int // of twenty senders; the key service takes sixty a minute
	}{
		"login":   {func(n macagent.Nonce) (*macagent.Request, error) { return m.PrepareLogin(n, macagent.LoginOptions{}) }, 10},
		"refresh": {m.PrepareRefresh, 10},
		"key":     {m.PrepareKeyRequest, 2},
	} {
		s.at.Store(0)
		n, err := m.Nonce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		q, err := c.prepare(n)
		if err != nil {
			t.Fatal(err)
		}
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for range c.each {
					switch status, text := s.send(t, (i+1)%2, q); {
					case status == http.StatusOK:
						won.Add(1)
					case status == http.StatusBadRequest && strings.Contains(text, `"invalid_grant"`) && strings.Contains(text, `"nonce"`):
						lost.Add(1)
					default:
						t.Errorf("%s: %d %s", name, status, text)
					}
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != int64(20*c.each-1) {
			t.Errorf("%s: %d won, %d lost", name, won.Load(), lost.Load())
		}
	}
	elsewhere(t, s, m)
}

// elsewhere goes on at the second server with what the first gave.
func elsewhere(t *testing.T, s *site, m *macagent.Mac) {
	t.Helper()
	s.at.Store(0)
	login(t, m)
	if _, err := m.RequestKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, err := m.Nonce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.at.Store(1)
	q, err := m.PrepareRefresh(n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Send(t.Context(), q); err != nil {
		t.Errorf("a nonce and a token of the first server at the second: %v", err)
	}
	if x, err := m.ExchangeKeys(t.Context(), 3); err != nil || !x.Equal {
		t.Errorf("an unlock key of the first server at the second: %+v, %v", x, err)
	}
}
