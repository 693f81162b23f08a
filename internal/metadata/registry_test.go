package metadata

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/metadata/metadatatest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestLoadFile(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		r := New(w.config(db))
		if st, err := r.State(t.Context()); err != nil || st.Condition != None {
			t.Fatalf("%+v, %v", st, err)
		}
		path := write(t, w.list(5))
		st, err := r.LoadFile(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if st.Number != 5 || st.Models != 1 || st.From != path || st.Condition != Current || !st.Fetched.Equal(start) {
			t.Errorf("state %+v", st)
		}
		if m, ok := r.Model(modelA); !ok || m.Name != "Model A" {
			t.Errorf("model %+v", m)
		}
		// The same number is no change, whatever is in it.
		w.advance(time.Hour)
		st, err = r.LoadFile(t.Context(), write(t, w.list(5, w.entry(modelA, "Renamed"))), nil)
		if err != nil || !st.Fetched.Equal(start) || r.Name(modelA) != "Model A" {
			t.Errorf("equal number: %+v, %v, %s", st, err, r.Name(modelA))
		}
		// A lower one is refused and changes nothing.
		_, err = r.LoadFile(t.Context(), write(t, w.list(4, w.entry(modelA, "Older"))), nil)
		wantReason(t, err, idp.Conflict, "metadata_rollback")
		if r.Name(modelA) != "Model A" || r.Number() != 5 {
			t.Errorf("after a rollback: %s, %d", r.Name(modelA), r.Number())
		}
		// A higher one is taken.
		if st, err = r.LoadFile(t.Context(), write(t, w.list(6, w.entry(modelA, "Newer"))), nil); err != nil || st.Number != 6 || r.Name(modelA) != "Newer" {
			t.Errorf("newer: %+v, %v", st, err)
		}
		_, err = r.LoadFile(t.Context(), path+".missing", nil)
		wantReason(t, err, idp.Invalid, "metadata_file")
		_, err = r.LoadFile(t.Context(), write(t, newWorld().list(9)), nil)
		wantReason(t, err, idp.Unproven, "metadata_chain")
		if e := idp.AsError(err); e.Public == "" {
			t.Error("nothing to tell the administrator")
		}
	})
}

// TestRestart: the last good list survives, is verified as of its day, and is
// still the bar for rollbacks.
func TestRestart(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		if _, err := New(w.config(db)).LoadFile(t.Context(), write(t, w.list(5)), nil); err != nil {
			t.Fatal(err)
		}
		w.advance(300 * 24 * time.Hour) // the signing certificate has expired since
		r := New(w.config(db))
		if err := r.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		st, err := r.State(t.Context())
		if err != nil || st.Number != 5 || st.Models != 1 || !st.Fetched.Equal(start) || st.Condition != Overdue {
			t.Errorf("state %+v, %v", st, err)
		}
		_, err = r.LoadFile(t.Context(), write(t, w.list(4)), nil)
		wantReason(t, err, idp.Unproven, "metadata_chain")
		w.service.Resign(metadatatest.Signer, w.clock().AddDate(0, -1, 0), w.clock().AddDate(0, 1, 0))
		_, err = r.LoadFile(t.Context(), write(t, w.list(4)), nil)
		wantReason(t, err, idp.Conflict, "metadata_rollback")
		// Again, into the same memory: nothing to do.
		if err := r.Load(t.Context()); err != nil || r.Number() != 5 {
			t.Error(err)
		}
	})
}

// TestTamperedRow: what somebody wrote into the database is not believed.
func TestTamperedRow(t *testing.T) {
	w, r, db := openWorld(t)
	if _, err := r.LoadFile(t.Context(), write(t, w.list(5)), nil); err != nil {
		t.Fatal(err)
	}
	forged, err := pack(newWorld().list(6, w.entry(modelA, "Forged")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `update metadata_blob set body = $1, number = 6`, forged); err != nil {
		t.Fatal(err)
	}
	wantReason(t, New(w.config(db)).Load(t.Context()), idp.Unproven, "metadata_chain")
	if err := r.Load(t.Context()); err == nil || r.Name(modelA) != "Model A" {
		t.Errorf("%v, %s", err, r.Name(modelA))
	}
	if _, err := db.Exec(t.Context(), `update metadata_blob set body = $1`, []byte("no gzip")); err != nil {
		t.Fatal(err)
	}
	fresh := New(w.config(db))
	if err := fresh.Load(t.Context()); err == nil {
		t.Error("garbage is loaded")
	}
	// The same list, whole, mends it; an older one still does not.
	_, err = fresh.LoadFile(t.Context(), write(t, w.list(5)), nil)
	wantReason(t, err, idp.Conflict, "metadata_rollback")
	if st, err := fresh.LoadFile(t.Context(), write(t, w.list(6)), nil); err != nil || st.Number != 6 {
		t.Errorf("%+v, %v", st, err)
	}
	if again := New(w.config(db)); again.Load(t.Context()) != nil || again.Number() != 6 {
		t.Error("not mended")
	}
}

// TestTwoNodes: what one node took in the other has without asking.
func TestTwoNodes(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		a, busA := node(w, db)
		b, busB := node(w, db)
		if db.Dialect() == sqldb.SQLite {
			b, busB = a, busA // one process is the whole cluster there
		}
		background(t, busB.Run)
		background(t, b.Run)
		for no := int64(1); no <= 3; no++ {
			if _, err := a.LoadFile(t.Context(), write(t, w.list(no, w.entry(modelA, fmt.Sprint("Model of list ", no)))), nil); err != nil {
				t.Fatal(err)
			}
			if a.Number() != no {
				t.Errorf("node a has %d when LoadFile returned", a.Number())
			}
			eventually(t, func() bool { return b.Number() == no })
			if b.Name(modelA) != fmt.Sprint("Model of list ", no) {
				t.Errorf("node b knows %q", b.Name(modelA))
			}
		}
		// Also for the one that had not heard of it.
		_, err := b.LoadFile(t.Context(), write(t, w.list(2)), nil)
		wantReason(t, err, idp.Conflict, "metadata_rollback")
	})
}

// eventually waits for what another goroutine does.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("waited in vain")
		}
	}
}

// TestRace: of many lists taken in at once the highest number stays.
func TestRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		var wg sync.WaitGroup
		var updated atomic.Int32
		for no := int64(1); no <= 12; no++ {
			r := New(w.config(db))
			blob := w.list(no)
			wg.Go(func() {
				result, err := r.take(context.Background(), blob, "race", start, nil)
				switch {
				case err == nil && result == Updated:
					updated.Add(1)
				case !errors.Is(err, idp.Conflict):
					t.Errorf("list %d: %s, %v", no, result, err)
				}
			})
		}
		wg.Wait()
		n, err := numberOf(t.Context(), db)
		if err != nil || n != 12 || updated.Load() == 0 {
			t.Errorf("number %d, %v, %d updates", n, err, updated.Load())
		}
	})
}

// server is a metadata service on this machine.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	blob    []byte
	etag    string
	asked   int
	handler http.HandlerFunc
}

func serve(t *testing.T) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if s.handler != nil {
			s.handler(w, r)
			return
		}
		w.Header().Set("ETag", s.etag)
		if s.etag != "" && r.Header.Get("If-None-Match") == s.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(s.blob)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) set(blob []byte, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blob, s.etag = blob, etag
}

func (s *server) answer(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// online is a registry that asks s.
func (w *world) online(db *sqldb.DB, s *server) *Registry {
	c := w.config(db)
	c.File, c.URL, c.Private = "", s.URL, true
	return New(c)
}

// TestJob plays the life of a list: fetched once, asked for daily with the
// validator, hourly when late, with growing waits after failures.
func TestJob(t *testing.T) {
	w, _, db := openWorld(t)
	s := serve(t)
	s.set(w.list(1), `"one"`)
	r := w.online(db, s)
	j := r.Jobs()
	if len(j) != 1 || j[0].Name != JobName {
		t.Fatalf("jobs %v", j)
	}
	turn := func() error { return j[0].Run(t.Context(), w.clock()) }
	step := func(what string, wait time.Duration, asked int, result string) State {
		t.Helper()
		w.advance(wait)
		err := turn()
		st, serr := r.State(t.Context())
		if serr != nil {
			t.Fatal(serr)
		}
		if s.count() != asked || st.Result != result || (err != nil) != (st.Failures > 0 && st.LastTry.Equal(w.clock())) {
			t.Errorf("%s: asked %d times, want %d; %+v; %v", what, s.count(), asked, st, err)
		}
		return st
	}
	step("first", 0, 1, Updated)
	step("at once again", time.Hour, 1, Updated)
	step("next day", 25*time.Hour, 2, Unchanged)
	s.set(w.list(2, w.entry(modelA, "Newer")), `"two"`)
	step("new list", 25*time.Hour, 3, Updated)
	if r.Name(modelA) != "Newer" {
		t.Error("not taken in")
	}
	// An older list, with another validator.
	s.set(w.list(1), `"old"`)
	step("rollback", 25*time.Hour, 4, RolledBack)
	step("not at once after a failure", 20*time.Minute, 4, RolledBack)
	step("an hour and a half after", 80*time.Minute, 5, RolledBack)
	step("doubled", 100*time.Minute, 5, RolledBack)
	step("then", time.Hour, 6, RolledBack)
	if r.Number() != 2 {
		t.Errorf("list %d", r.Number())
	}
	s.set([]byte("<html>"), "")
	if st := step("rejected", 25*time.Hour, 7, Rejected); !strings.Contains(st.Detail, "three parts") || r.Number() != 2 {
		t.Errorf("%+v", st)
	}
	// Late: hourly.
	s.set(w.list(2), `"three"`)
	if st := step("unchanged", 35*24*time.Hour, 8, Unchanged); st.Condition != Late {
		t.Errorf("condition %s", st.Condition)
	}
	step("hourly", 95*time.Minute, 9, Unchanged)
	// A restart forgets nothing; a new address is asked at once.
	r = w.online(db, s)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	j = r.Jobs()
	step("restarted", time.Minute, 9, Unchanged)
	other := serve(t)
	other.set(w.list(3), "")
	r = w.online(db, other)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Jobs()[0].Run(t.Context(), w.clock()); err != nil || r.Number() != 3 {
		t.Errorf("%v, list %d", err, r.Number())
	}
}

// TestLastModified: services without ETag are asked by date.
func TestLastModified(t *testing.T) {
	w, _, db := openWorld(t)
	s := serve(t)
	const date = "Tue, 24 Nov 2026 10:00:00 GMT"
	blob := w.list(1)
	s.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Modified-Since") == date {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Last-Modified", date)
		w.Write(blob)
	})
	r := w.online(db, s)
	for _, want := range []string{Updated, Unchanged} {
		st, err := r.Refresh(t.Context(), nil)
		if err != nil || st.Result != want {
			t.Errorf("%+v, %v; want %s", st, err, want)
		}
	}
	// Without a list in memory "not modified" would be of no use.
	if _, err := db.Exec(t.Context(), `delete from metadata_blob`); err != nil {
		t.Fatal(err)
	}
	r = w.online(db, s)
	if st, err := r.Refresh(t.Context(), nil); err != nil || st.Result != Updated {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestNoSource(t *testing.T) {
	w, _, db := openWorld(t)
	c := w.config(db)
	c.File = ""
	r := New(c)
	if len(r.Jobs()) != 0 || r.Condition() != Off {
		t.Errorf("%d jobs, %s", len(r.Jobs()), r.Condition())
	}
	_, err := r.Refresh(t.Context(), nil)
	wantReason(t, err, idp.Invalid, "metadata_off")
	// A closed network: the administrator brings the list.
	if st, err := r.LoadFile(t.Context(), write(t, w.list(1)), nil); err != nil || st.Condition != Current || st.Source != "" {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestFileSource: the job reads a file that somebody puts there.
func TestFileSource(t *testing.T) {
	w, _, db := openWorld(t)
	c := w.config(db)
	c.File = write(t, w.list(1))
	r := New(c)
	turn := func() error { return r.Jobs()[0].Run(t.Context(), w.clock()) }
	if err := turn(); err != nil || r.Number() != 1 {
		t.Fatalf("%v, %d", err, r.Number())
	}
	if err := os.WriteFile(c.File, w.list(2), 0o600); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	if err := turn(); err != nil || r.Number() != 2 {
		t.Fatalf("%v, %d", err, r.Number())
	}
	if err := os.Remove(c.File); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	wantReason(t, turn(), idp.Invalid, "metadata_file")
	if st, _ := r.State(t.Context()); st.Result != Failed || st.Number != 2 || st.Condition != Current {
		t.Errorf("%+v", st)
	}
}

// TestFetchRefuses: a service that misbehaves costs a try, never a list.
func TestFetchRefuses(t *testing.T) {
	w, _, db := openWorld(t)
	good := w.list(7)
	elsewhere := serve(t)
	elsewhere.set(good, "")
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for _, c := range []struct {
		name, reason string
		handler      func(s *server) http.HandlerFunc
	}{
		{"error", "metadata_status", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		}},
		{"another status", "metadata_status", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent); w.Write(good) }
		}},
		{"slow", "metadata_unreachable", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Write(good[:100])
				http.NewResponseController(w).Flush()
				select {
				case <-hang:
				case <-r.Context().Done():
				}
			}
		}},
		{"endless", "metadata_too_large", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for chunk := make([]byte, 1<<20); ; {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			}
		}},
		{"cut off", "metadata_unreachable", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(good)))
				w.Write(good[:len(good)/2])
			}
		}},
		{"to another host", "metadata_redirect", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }
		}},
		{"to another scheme", "metadata_redirect", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://"+r.Host, http.StatusFound) }
		}},
		{"in circles", "metadata_redirect", func(*server) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			s.answer(c.handler(s))
			r := w.online(db, s)
			if c.name == "slow" {
				r.cfg.Timeout = 200 * time.Millisecond
			}
			_, err := r.Refresh(t.Context(), nil)
			wantReason(t, err, idp.Unavailable, c.reason)
			if r.Number() != 0 {
				t.Error("a list was taken")
			}
			st, err := r.State(t.Context())
			if err != nil || st.Result != Failed || st.Failures == 0 || st.Detail == "" {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
	if elsewhere.count() != 0 {
		t.Error("the other host was asked")
	}
	// Within one host a redirect is followed.
	s := serve(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/blob.jwt", http.StatusFound)
			return
		}
		w.Write(good)
	})
	if st, err := w.online(db, s).Refresh(t.Context(), nil); err != nil || st.Number != 7 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestPrivateAddresses: unless told otherwise the client reaches neither this
// machine nor its network, by whatever name (T57).
func TestPrivateAddresses(t *testing.T) {
	w, _, db := openWorld(t)
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "169.254.169.254"} {
		c := w.config(db)
		c.File, c.URL = "", "https://"+host+":"+port
		_, err := New(c).Refresh(t.Context(), nil)
		wantReason(t, err, idp.Unavailable, "metadata_address_refused")
	}
	c := w.config(db)
	c.File, c.URL = "", "http://example.com/"
	_, err := New(c).Refresh(t.Context(), nil)
	wantReason(t, err, idp.Unavailable, "metadata_url_refused")
}

// TestByTheRunner: the job works as jobs do, with its lease.
func TestByTheRunner(t *testing.T) {
	db := sqldbtest.Open(t, append(sources, job.Migrations))
	w := newWorld()
	s := serve(t)
	s.set(w.list(1), "")
	r := w.online(db, s)
	runner := job.New(db, "node", w.clock, discard)
	runner.Add(r.Jobs()...)
	background(t, runner.Run)
	eventually(t, func() bool { return r.Number() == 1 })
}

func TestConditions(t *testing.T) {
	w := newWorld()
	r := w.with(t, w.entry(modelA, "A"))
	for days, want := range map[int]Condition{0: Current, 30: Current, 31: Late, 60: Late, 62: Overdue} {
		w.now = start.AddDate(0, 0, days)
		if got := r.Condition(); got != want {
			t.Errorf("after %d days: %s, want %s", days, got, want)
		}
	}
}
