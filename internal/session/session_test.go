package session_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const (
	tenant = idp.TenantID("10000000-0000-4000-8000-000000000001")
	other  = idp.TenantID("10000000-0000-4000-8000-000000000002")
	ada    = idp.UserID("20000000-0000-4000-8000-000000000001")
	bob    = idp.UserID("20000000-0000-4000-8000-000000000002")
)

// house is a store with a clock and settings that a test moves.
type house struct {
	*session.Store
	db             *sqldb.DB
	now            time.Time
	idle, absolute time.Duration
	epoch          int64
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	sqldbtest.Each(t, []fs.FS{session.Migrations}, func(t *testing.T, db *sqldb.DB) {
		h := &house{db: db, now: time.Date(2026, 3, 5, 9, 0, 0, 0, time.UTC), idle: time.Hour, absolute: 24 * time.Hour}
		h.Store = session.New(session.Config{
			DB:  db,
			Now: func() time.Time { return h.now },
			Limits: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
				return h.idle, h.absolute, nil
			},
			Secure: true,
			Epoch:  func() int64 { return h.epoch },
		})
		fn(t, h)
	})
}

func (h *house) proof(cred string, ps ...idp.Property) idp.Proof {
	return idp.Proof{
		Tenant: tenant, User: ada, Method: "passkey", Mode: idp.ModeFIDO2,
		Credential: idp.CredentialID(cred), Properties: ps, AMR: []string{"fido"}, Time: h.now,
	}
}

func (h *house) open(t *testing.T, user idp.UserID, proofs ...idp.Proof) (session.Session, string) {
	t.Helper()
	var s session.Session
	var bearer string
	err := h.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		s, bearer, err = h.Open(ctx, tx, session.Session{Tenant: tenant, User: user, Proofs: proofs, Agent: "Firefox", IP: "192.0.2.1"})
		return err
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s, bearer
}

func (h *house) write(t *testing.T, fn func(context.Context, *sqldb.Tx) error) error {
	t.Helper()
	return h.db.Write(t.Context(), fn)
}

func (h *house) must(t *testing.T, fn func(context.Context, *sqldb.Tx) error) {
	t.Helper()
	if err := h.write(t, fn); err != nil {
		t.Fatal(err)
	}
}

func (h *house) mustFind(t *testing.T, bearer string) session.Session {
	t.Helper()
	s, err := h.Find(t.Context(), tenant, bearer)
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	return s
}

func (h *house) mustNotFind(t *testing.T, what, bearer string) {
	t.Helper()
	if s, err := h.Find(t.Context(), tenant, bearer); !errors.Is(err, idp.NotFound) {
		t.Errorf("%s: found %v, %v; want not found", what, s, err)
	}
}

func TestOpenAndFind(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		p := h.proof("k1", idp.MultiFactor, idp.PhishingResistant)
		s, bearer := h.open(t, ada, p)
		got := h.mustFind(t, bearer)
		if got.ID != s.ID || got.User != ada || got.Agent != "Firefox" || got.IP != "192.0.2.1" || got.Restricted {
			t.Errorf("found %+v, want what was opened", got)
		}
		if diff := cmp.Diff([]idp.Proof{p}, got.Proofs); diff != "" {
			t.Errorf("proofs (-want +got):\n%s", diff)
		}
		for name, at := range map[string]time.Time{"proof": got.ProofTime, "mfa": got.MFATime, "opened": got.Opened, "seen": got.LastSeen} {
			if !at.Equal(h.now) {
				t.Errorf("%s time %s, want %s", name, at, h.now)
			}
		}
		if got.Bearer() != bearer || strings.Contains(fmt.Sprintf("%v %+v %#v", got, got, got), bearer) {
			t.Error("bearer is not kept, or is printed")
		}
		if _, err := h.Find(t.Context(), other, bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("in another tenant: %v, want not found", err)
		}
	})
}

// The bearer of one session with the secret of another, and the like.
func TestFindRefuses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, a := h.open(t, ada, h.proof("k1"))
		_, b := h.open(t, bob, h.proof("k2"))
		flip := func(i int) string {
			c := byte('A')
			if a[i] == c {
				c = 'B'
			}
			return a[:i] + string(c) + a[i+1:]
		}
		for what, bearer := range map[string]string{
			"nothing":                           "",
			"the id of one, the other's secret": a[:24] + b[24:],
			"flipped id":                        flip(2),
			"flipped secret":                    flip(50),
			"cut":                               a[:63],
			"longer":                            a + "A",
			"another spelling":                  a[:63] + "=",
			"line break":                        a[:32] + "\n" + a[33:],
		} {
			h.mustNotFind(t, what, bearer)
		}
		h.mustFind(t, a)
	})
}

// What the table holds opens nothing (T60).
func TestBearerIsNotStored(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, bearer := h.open(t, ada, h.proof("k1"))
		var digest []byte
		if err := h.db.QueryRow(t.Context(), `select digest from session where tenant_id = $1`, tenant).Scan(&digest); err != nil {
			t.Fatal(err)
		}
		if len(digest) != 32 || strings.Contains(bearer, string(digest)) {
			t.Errorf("stored %x", digest)
		}
		if !secret.Equal(digest, secret.Digest(bearer)) {
			t.Error("stored value is not the digest of the bearer")
		}
	})
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		move func(h *house, s session.Session)
		live bool
	}{
		{"just inside the idle limit", func(h *house, _ session.Session) { h.now = h.now.Add(time.Hour - time.Millisecond) }, true},
		{"idle", func(h *house, _ session.Session) { h.now = h.now.Add(time.Hour) }, false},
		{"used all the time, just inside the absolute limit", func(h *house, _ session.Session) {
			h.idle, h.now = 100*time.Hour, h.now.Add(24*time.Hour-time.Millisecond)
		}, true},
		{"absolute", func(h *house, _ session.Session) { h.idle, h.now = 100*time.Hour, h.now.Add(24*time.Hour) }, false},
		{"policy tightened the idle limit", func(h *house, _ session.Session) { h.idle, h.now = time.Minute, h.now.Add(time.Minute) }, false},
		{"policy tightened the absolute limit", func(h *house, _ session.Session) { h.absolute, h.now = time.Minute, h.now.Add(time.Minute) }, false},
		{"policy loosened: what was promised still ends it", func(h *house, _ session.Session) {
			h.idle, h.absolute, h.now = 100*time.Hour, 100*time.Hour, h.now.Add(24*time.Hour)
		}, false},
		{"database restored", func(h *house, _ session.Session) { h.epoch++ }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, h *house) {
				s, bearer := h.open(t, ada, h.proof("k1"))
				c.move(h, s)
				_, err := h.Find(t.Context(), tenant, bearer)
				if got := err == nil; got != c.live {
					t.Errorf("found: %v (%v), want %v", got, err, c.live)
				}
				alive, err := h.Alive(t.Context(), h.db, tenant, s.ID)
				if err != nil || alive != c.live {
					t.Errorf("alive: %v, %v, want %v", alive, err, c.live)
				}
				list, err := h.List(t.Context(), tenant, ada)
				if err != nil || len(list) == 1 != c.live {
					t.Errorf("listed %d, %v, want it there: %v", len(list), err, c.live)
				}
			})
		})
	}
}

func TestOpenUntil(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		until := h.now.Add(10 * time.Minute)
		var bearer string
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			_, bearer, err = h.Open(ctx, tx, session.Session{
				Tenant: tenant, User: ada, Restricted: true, Expires: until, Proofs: []idp.Proof{h.proof("pass")},
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if s := h.mustFind(t, bearer); !s.Restricted || !s.Expires.Equal(until) {
			t.Errorf("restricted %v until %s, want true until %s", s.Restricted, s.Expires, until)
		}
		h.now = until
		h.mustNotFind(t, "after its end", bearer)
	})
}

func TestRenew(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		old, bearer := h.open(t, ada, h.proof("k1"))
		h.now = h.now.Add(30 * time.Minute)
		s := h.mustFind(t, bearer)
		var fresh string
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			s, fresh, err = h.Renew(ctx, tx, s, []idp.Proof{h.proof("k2", idp.MultiFactor)})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		h.mustNotFind(t, "old bearer", bearer)
		got := h.mustFind(t, fresh)
		if got.ID != old.ID || len(got.Proofs) != 2 || !got.ProofTime.Equal(h.now) || !got.MFATime.Equal(h.now) ||
			!got.Opened.Equal(old.Opened) || !got.Expires.Equal(h.now.Add(h.absolute)) {
			t.Errorf("renewed %+v", struct{ A, B, C, D any }{got.Proofs, got.ProofTime, got.MFATime, got.Expires})
		}
		// The same credential again: the later gesture takes the place.
		h.now = h.now.Add(time.Minute)
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			_, fresh, err = h.Renew(ctx, tx, got, []idp.Proof{h.proof("k1")})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got := h.mustFind(t, fresh); len(got.Proofs) != 2 || got.Proofs[1].Credential != "k1" || !got.ProofTime.Equal(h.now) {
			t.Errorf("proofs %+v", got.Proofs)
		}
	})
}

func TestRenewRefuses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, bearer := h.open(t, ada, h.proof("k1"))
		s := h.mustFind(t, bearer)
		renew := func() error {
			return h.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				_, _, err := h.Renew(ctx, tx, s, []idp.Proof{h.proof("k2")})
				return err
			})
		}
		if err := renew(); err != nil {
			t.Fatal(err)
		}
		if err := renew(); !errors.Is(err, idp.Expired) {
			t.Errorf("second renewal from one bearer: %v, want expired", err)
		}
		_, bearer = h.open(t, ada, h.proof("k1"))
		s = h.mustFind(t, bearer)
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return h.End(ctx, tx, tenant, s.ID) }); err != nil {
			t.Fatal(err)
		}
		if err := renew(); !errors.Is(err, idp.Expired) {
			t.Errorf("renewal of an ended session: %v, want expired", err)
		}
	})
}

func TestRenewRace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, bearer := h.open(t, ada, h.proof("k1"))
		s := h.mustFind(t, bearer)
		var wg sync.WaitGroup
		won := make(chan string, 100)
		for range 100 {
			wg.Go(func() {
				var fresh string
				err := h.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
					_, fresh, err = h.Renew(ctx, tx, s, []idp.Proof{h.proof("k2")})
					return err
				})
				switch {
				case err == nil:
					won <- fresh
				case !errors.Is(err, idp.Expired):
					t.Errorf("renew: %v, want expired", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d renewals won, want 1", len(won))
		}
		h.mustFind(t, <-won)
	})
}

func TestEnd(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, ab := h.open(t, ada, h.proof("k1"))
		_, bb := h.open(t, bob, h.proof("k2"))
		end := func(tn idp.TenantID, id idp.SessionID) error {
			return h.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return h.End(ctx, tx, tn, id) })
		}
		if err := end(other, a.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("from another tenant: %v, want not found", err)
		}
		h.mustFind(t, ab)
		for range 2 { // again is no error
			if err := end(tenant, a.ID); err != nil {
				t.Errorf("end: %v", err)
			}
		}
		h.mustNotFind(t, "ended", ab)
		h.mustFind(t, bb)
	})
}

func TestEndAll(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var mine []session.Session
		var bearers []string
		for i := range 3 {
			s, b := h.open(t, ada, h.proof(fmt.Sprint("k", i)))
			mine, bearers = append(mine, s), append(bearers, b)
		}
		_, bobs := h.open(t, bob, h.proof("kb"))
		var n int
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = h.EndAll(ctx, tx, tenant, ada, mine[1].ID)
			return err
		}); err != nil || n != 2 {
			t.Fatalf("ended %d, %v, want 2", n, err)
		}
		h.mustNotFind(t, "first", bearers[0])
		h.mustFind(t, bearers[1])
		h.mustNotFind(t, "third", bearers[2])
		h.mustFind(t, bobs)
		list, err := h.List(t.Context(), tenant, ada)
		if err != nil || len(list) != 1 || list[0].ID != mine[1].ID {
			t.Errorf("list %v, %v", list, err)
		}
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = h.EndAll(ctx, tx, other, ada, "")
			return err
		}); err != nil || n != 0 {
			t.Errorf("from another tenant ended %d, %v, want 0", n, err)
		}
	})
}

func TestEndStanding(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, on := h.open(t, ada, h.proof("k1"), h.proof("k2"))
		_, off := h.open(t, ada, h.proof("k2"))
		own, ownBearer := h.open(t, ada, h.proof("k1"))
		var n int
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = h.Store.EndStanding(ctx, tx, tenant, ada, "passkey", "k1", own.ID)
			return err
		}); err != nil || n != 1 {
			t.Fatalf("ended %d, %v, want 1", n, err)
		}
		h.mustNotFind(t, "on the credential", on)
		h.mustFind(t, off)
		h.mustFind(t, ownBearer)
	})
}

// TestSec_SES03_CredentialOfManySessions: a credential that is taken away takes
// every session along that stands on it, however many were opened since; the
// list of a person's sessions is not filled up by those that are over.
func TestSec_SES03_CredentialOfManySessions(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, other := h.open(t, ada, h.proof("other"))
		spared, mine := h.open(t, ada, h.proof("stolen"))
		_, first := h.open(t, ada, h.proof("stolen"))
		h.must(t, func(ctx context.Context, tx *sqldb.Tx) error {
			for n := range 1000 {
				h.now = h.now.Add(time.Millisecond)
				s, _, err := h.Store.Open(ctx, tx, session.Session{Tenant: tenant, User: ada, Proofs: []idp.Proof{h.proof("stolen")}})
				if err == nil && n >= 500 {
					err = h.Store.End(ctx, tx, tenant, s.ID)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		list, err := h.Store.List(t.Context(), tenant, ada)
		if err != nil || len(list) != 500 {
			t.Errorf("%d sessions are listed, %v, want 500", len(list), err)
		}
		var ended int
		h.must(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			ended, err = h.Store.EndStanding(ctx, tx, tenant, ada, "passkey", "stolen", spared.ID)
			return err
		})
		if ended != 501 {
			t.Errorf("%d sessions ended, want 501", ended)
		}
		h.mustNotFind(t, "the oldest session on the credential that was removed", first)
		for what, bearer := range map[string]string{"another credential": other, "the session that is spared": mine} {
			if _, err := h.Store.Find(t.Context(), tenant, bearer); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if list, err := h.Store.List(t.Context(), tenant, ada); err != nil || len(list) != 2 {
			t.Errorf("%d sessions are listed afterwards, %v, want 2", len(list), err)
		}
	})
}

func TestTouch(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, bearer := h.open(t, ada, h.proof("k1"))
		start := h.now
		touch := func() { // what every request does
			s := h.mustFind(t, bearer)
			if err := h.Touch(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		h.now = start.Add(59 * time.Second)
		touch()
		if got := h.mustFind(t, bearer).LastSeen; !got.Equal(start) {
			t.Errorf("within a minute: seen %s, want unchanged %s", got, start)
		}
		for range 30 { // 20 hours of use, each pause shorter than the idle limit
			h.now = h.now.Add(40 * time.Minute)
			touch()
		}
		if got := h.mustFind(t, bearer); !got.LastSeen.Equal(h.now) || !got.ProofTime.Equal(start) {
			t.Errorf("seen %s, want %s; proof time %s, want unchanged %s", got.LastSeen, h.now, got.ProofTime, start)
		}
	})
}

func TestKnown(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		browser := []byte("this browser's digest")
		var s session.Session
		if err := h.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			for _, one := range []session.Session{
				{Tenant: tenant, User: ada, Browser: browser, Proofs: []idp.Proof{h.proof("k1")}},
				{Tenant: tenant, User: ada, Browser: []byte("pass"), Restricted: true, Proofs: []idp.Proof{h.proof("k1")}},
				{Tenant: tenant, User: bob, Browser: []byte("bob"), Proofs: []idp.Proof{h.proof("k1")}},
				{Tenant: tenant, User: ada, Browser: []byte("new"), Proofs: []idp.Proof{h.proof("k1")}},
			} {
				var err error
				if s, _, err = h.Open(ctx, tx, one); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			digest []byte
			want   bool
		}{
			"an earlier session": {browser, true},
			"this session alone": {[]byte("new"), false},
			"only a pass":        {[]byte("pass"), false},
			"somebody else's":    {[]byte("bob"), false},
			"nothing":            {nil, false},
		} {
			got, err := h.Known(t.Context(), h.db, s, c.digest)
			if err != nil || got != c.want {
				t.Errorf("%s: known %v, %v, want %v", what, got, err, c.want)
			}
		}
	})
}

func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.open(t, ada, h.proof("k1"))
		h.now = h.now.Add(20 * 24 * time.Hour)
		h.open(t, ada, h.proof("k1"))
		h.now = h.now.Add(15 * 24 * time.Hour)
		for _, j := range h.Jobs() {
			if err := j.Run(t.Context(), h.now); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		if err := h.db.QueryRow(t.Context(), `select count(*) from session where tenant_id = $1`, tenant).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows left, %v; want the younger one", n, err)
		}
	})
}

// browser is the cookie jar of one.
type browser struct{ cookies map[string]string }

func (b *browser) request() *http.Request {
	r := httptest.NewRequest("GET", "https://signet.test/", nil)
	for n, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: n, Value: v})
	}
	return r
}

func (b *browser) take(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range w.Result().Cookies() {
		if seen[c.Name] {
			t.Errorf("cookie %s set twice", c.Name)
		}
		seen[c.Name] = true
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("cookie %v lacks what its prefix promises", c)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
}

func TestCookie(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := &browser{map[string]string{}}
		ids := func() (out []idp.SessionID) {
			all, err := h.FromRequest(t.Context(), b.request(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				out = append(out, s.ID)
			}
			return out
		}
		set := func(bearer, replaces string) {
			w := httptest.NewRecorder()
			h.Set(w, b.request(), bearer, replaces)
			b.take(t, w)
		}
		s1, b1 := h.open(t, ada, h.proof("k1"))
		s2, b2 := h.open(t, bob, h.proof("k2"))
		set(b1, "")
		set(b2, "")
		if diff := cmp.Diff([]idp.SessionID{s2.ID, s1.ID}, ids()); diff != "" {
			t.Errorf("two sessions, newest first (-want +got):\n%s", diff)
		}
		s3, b3 := h.open(t, ada, h.proof("k1"))
		set(b3, b1)
		if diff := cmp.Diff([]idp.SessionID{s3.ID, s2.ID}, ids()); diff != "" {
			t.Errorf("replaced (-want +got):\n%s", diff)
		}
		if all, err := h.FromRequest(t.Context(), b.request(), other); err != nil || len(all) != 0 {
			t.Errorf("in another tenant: %v, %v, want none", all, err)
		}
		all, err := h.AllFromRequest(t.Context(), b.request())
		if err != nil || len(all) != 2 || all[0].ID != s3.ID || all[0].Bearer() != b3 {
			t.Errorf("over all tenants: %v, %v", all, err)
		}
		// Several changes in one response are one cookie.
		w := httptest.NewRecorder()
		r := b.request()
		h.Browser(w, r)
		h.Drop(w, r, b2)
		h.Drop(w, r, b3)
		b.take(t, w)
		if _, left := b.cookies["__Host-signet-session"]; left || len(ids()) != 0 {
			t.Errorf("after both were dropped: %v", b.cookies)
		}
		for range 12 {
			_, bearer := h.open(t, ada, h.proof("k1"))
			set(bearer, "")
		}
		if n := len(ids()); n != 8 {
			t.Errorf("%d sessions in one browser, want 8", n)
		}
	})
}

func TestBrowserCookie(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := &browser{map[string]string{}}
		w := httptest.NewRecorder()
		r := b.request()
		v := h.Browser(w, r)
		if again := h.Browser(w, r); again != v {
			t.Errorf("twice in one request: %q and %q", v, again)
		}
		b.take(t, w)
		w = httptest.NewRecorder()
		if again := h.Browser(w, b.request()); again != v || len(w.Result().Cookies()) != 0 {
			t.Errorf("next request: %q, want %q and nothing set", again, v)
		}
		for _, bad := range []string{"", "x", v + "x", strings.Repeat("!", len(v))} {
			b.cookies["__Host-signet-browser"] = bad
			if got := h.Browser(httptest.NewRecorder(), b.request()); got == bad || len(got) != 22 {
				t.Errorf("for %q: %q, want a new one", bad, got)
			}
		}
		// Two cookies of one name: neither is ours for sure.
		r = b.request()
		r.Header.Set("Cookie", "__Host-signet-browser="+v+"; __Host-signet-browser="+h.Browser(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)))
		if got := h.Browser(httptest.NewRecorder(), r); strings.Contains(r.Header.Get("Cookie"), got) {
			t.Error("one of two cookies was believed")
		}
	})
}
