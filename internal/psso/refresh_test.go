package psso_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

func TestRefresh(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		first := w.signIn(m, w.ada, k)
		w.advance(5 * time.Hour)
		q := w.refresh(m, first)
		o := q.open(t, w.send(q))
		if o.Type != pssowire.TypeLoginReply || o.media != pssowire.MediaLogin {
			t.Errorf("typ %q, media %q", o.Type, o.media)
		}
		second, _ := o.out["refresh_token"].(string)
		if second == "" || second == first {
			t.Errorf("refresh token %q after %q", second, first)
		}
		id := w.idToken(t, o.out["id_token"])
		if id["nonce"] != macNonce || id["oid"] != string(w.ada.ID) || w.clock.now().Unix()-int64(id["auth_time"].(float64)) < 4*3600 {
			t.Errorf("id token %v", id)
		}
		if n, _ := o.out["refresh_token_expires_in"].(float64); n < 13.9*24*3600 {
			t.Errorf("lives %v s", n)
		}
		// The old one goes on: an answer may have been lost, and other messages
		// bring it too (§8.1). Nothing moves on by it.
		for range 3 {
			q = w.refresh(m, first)
			q.open(t, w.send(q))
		}
		w.advance(7 * 24 * time.Hour)
		q = w.refresh(m, first)
		q.open(t, w.send(q))
		q = w.refresh(m, second)
		third := q.open(t, w.send(q)).out["refresh_token"].(string)
		// One login more has moved it on as well, and did not end it.
		w.signIn(m, w.ada, k)
		q = w.refresh(m, third)
		q.open(t, w.send(q))
		if got := w.events("prt.renew"); len(got) < 7 || slices.ContainsFunc(got, func(s string) bool { return s != "prt.renew success" }) {
			t.Errorf("events %v", got)
		}
	})
}

// Refreshes in the way of macOS 13 are answered in kind.
func TestRefreshDialects(t *testing.T) {
	w := lite(t)
	m := w.mac()
	token := w.signIn(m, w.ada, w.enrol(m, w.ada))
	q := w.refresh(m, token)
	q.header["typ"] = "JWT"
	q.form.Set("request", q.compact())
	if o := q.open(t, w.send(q)); o.Type != "JWT" {
		t.Errorf("typ %q", o.Type)
	}
}

// TestRefreshChecks: what a refresh must say is what a login must (§8.1), and its
// token must be of this Mac.
func TestRefreshChecks(t *testing.T) {
	w := lite(t)
	m, second, theirs := w.mac(), w.mac(), w.macOf(w.other, ecKey(), ecKey())
	k := w.enrol(m, w.ada)
	w.signIn(m, w.ada, k)
	elsewhere := w.signIn(second, w.ada, w.enrol(second, w.ada))
	eve := w.person(w.other, "eve")
	ofOther := w.signIn(theirs, eve, w.enrol(theirs, eve))
	claim := func(more object) func(q *message) { return func(q *message) { q.with(more) } }
	w.check(t, func() *message { return w.refresh(m, w.signIn(m, w.ada, k)) },
		malformed("typ of a login", "typ_differs", func(q *message) { q.header["typ"] = pssowire.TypeLogin }),
		malformed("typ of a key request", "typ_differs", func(q *message) { q.header["typ"] = pssowire.TypeKey }),
		malformed("at the key service", "wrong_address", func(q *message) { q.path = "/psso/key" }),
		ofDevice("no client_id", "client_unknown", claim(object{"client_id": nil})),
		ofDevice("no aud", "audience_differs", claim(object{"aud": nil})),
		malformed("no exp", "times_missing", claim(object{"exp": nil})),
		malformed("no scope", "scope_missing", claim(object{"scope": nil})),
		malformed("no jwe_crypto", "jwe_crypto", claim(object{"jwe_crypto": object{}})),
		malformed("too many groups", "too_many_groups", claim(object{"claims": object{"id_token": object{"groups": object{"values": make([]string, 101)}}}})),
		badNonce("no nonce", "nonce_missing", claim(object{"request_nonce": nil})),
		credential("no token", "prt_unreadable", claim(object{"refresh_token": nil})),
		credential("a token that is none", "prt_unreadable", claim(object{"refresh_token": "rt.abc"})),
		credential("bent", "prt_unreadable", func(q *message) {
			token := q.claims["refresh_token"].(string)
			q.with(object{"refresh_token": token[:len(token)-4] + "AAAA"})
		}),
		credential("of another Mac", "prt_of_other_device", claim(object{"refresh_token": elsewhere})),
		credential("of another tenant", "prt_unreadable", claim(object{"refresh_token": ofOther})),
	)
	// Nobody's sign-in has ended by what others have sent.
	q := w.refresh(second, elsewhere)
	q.open(t, w.send(q))
}

// TestSec_DEV08_MacReuse: two generations of a sign-in are good, an older one
// shows that somebody has a copy, and ends it (decisions 1.6).
func TestSec_DEV08_MacReuse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, thief := w.mac(), w.mac()
		k := w.enrol(m, w.ada)
		first := w.signIn(m, w.ada, k)
		q := w.refresh(m, first)
		second := q.open(t, w.send(q)).out["refresh_token"].(string)
		q = w.refresh(m, second)
		third := q.open(t, w.send(q)).out["refresh_token"].(string)
		// Who found it but is another Mac ends nothing.
		a := w.send(w.refresh(thief, first))
		a.refused(t, "of another Mac", http.StatusUnauthorized, "invalid_grant", "")
		q = w.refresh(m, third)
		fourth := q.open(t, w.send(q)).out["refresh_token"].(string)
		a = w.send(w.refresh(m, first))
		a.refused(t, "an old generation", http.StatusUnauthorized, "invalid_grant", "")
		if a.reason() != "prt_reuse" {
			t.Errorf("an old generation: %s", a.cause)
		}
		a = w.send(w.refresh(m, fourth))
		a.refused(t, "after it", http.StatusUnauthorized, "invalid_grant", "")
		if a.reason() != "prt_revoked" {
			t.Errorf("after it: %s", a.cause)
		}
		if got := w.events("prt.reuse"); !slices.Equal(got, []string{"prt.reuse failure prt_reuse"}) {
			t.Errorf("events %v", got)
		}
		w.signIn(m, w.ada, k) // a login begins anew
	})
}

// TestSec_DEV07_MacEnds: a sign-in ends with its Mac, its person's sign-ins, its
// key and its time, at the next refresh.
func TestSec_DEV07_MacEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			end  func(ctx context.Context, tx *sqldb.Tx, m *machine) error
			want string
		}{
			"the person's sign-ins": {func(ctx context.Context, tx *sqldb.Tx, _ *machine) error {
				return w.prts.RevokeUser(ctx, tx, w.tenant.ID, w.ada.ID)
			}, "prt_revoked"},
			"the device's": {func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				return w.prts.RevokeDevice(ctx, tx, m.Tenant, m.ID)
			}, "prt_revoked"},
			"what stands on the key": {func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				all, err := w.platform.OnDevice(ctx, w.tenant.ID, m.ID)
				if err != nil || len(all) == 0 {
					return err
				}
				return w.prts.RevokeStanding(ctx, tx, w.tenant.ID, w.ada.ID, policy.Platform, all[0].ID)
			}, "prt_revoked"},
			"its Mac, switched off and on": {func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				if err := w.devices.SetEnabled(ctx, tx, m.Tenant, m.ID, false); err != nil {
					return err
				}
				return w.devices.SetEnabled(ctx, tx, m.Tenant, m.ID, true)
			}, "prt_revoked"},
		} {
			m := w.mac()
			token := w.signIn(m, w.ada, w.enrol(m, w.ada))
			w.write(func(ctx context.Context, tx *sqldb.Tx) error { return c.end(ctx, tx, m) })
			for what, q := range map[string]*message{"refresh": w.refresh(m, token), "key request": w.keyRequest(m, w.ada, token)} {
				a := w.send(q)
				a.refused(t, name+": "+what, http.StatusUnauthorized, "invalid_grant", "")
				if a.reason() != c.want {
					t.Errorf("%s: %s: %s", name, what, a.cause)
				}
			}
		}
		m := w.mac()
		token := w.signIn(m, w.ada, w.enrol(m, w.ada))
		w.advance(14*24*time.Hour + time.Minute)
		a := w.send(w.refresh(m, token))
		a.refused(t, "idle", http.StatusUnauthorized, "invalid_grant", "")
		if a.reason() != "prt_over" {
			t.Errorf("idle: %s", a.cause)
		}
	})
}

// A refresh token has an end, however often it is used, and a login moves it.
func TestSec_DEV08_MacAbsolute(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	token := w.signIn(m, w.ada, k)
	for range 6 {
		w.advance(13 * 24 * time.Hour)
		q := w.refresh(m, token)
		token = q.open(t, w.send(q)).out["refresh_token"].(string)
	}
	w.advance(13 * 24 * time.Hour)
	a := w.send(w.refresh(m, token))
	if a.refused(t, "after 91 days", http.StatusUnauthorized, "invalid_grant", ""); a.reason() != "prt_over" {
		t.Errorf("after 91 days: %s", a.cause)
	}
	w.signIn(m, w.ada, k)
}

// TestSec_NON01_OneOfMany: of a hundred logins on one nonce one is answered, at
// two servers and on both databases; the others change nothing.
func TestSec_NON01_OneOfMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		nodes := []*node{w.node, w.again()}
		q := w.login(m, w.ada, k)
		form := q.body()
		var answered, refused atomic.Int64
		race(100, func(n int) {
			a := nodes[n%2].post(w.at(q.path), form)
			switch {
			case a.status == http.StatusOK:
				answered.Add(1)
			case a.status == http.StatusBadRequest && strings.Contains(a.body, `"suberror":"nonce"`):
				refused.Add(1)
			default:
				t.Errorf("%d %s (%s)", a.status, a.body, a.cause)
			}
		})
		if answered.Load() != 1 || refused.Load() != 99 {
			t.Errorf("%d answered, %d refused", answered.Load(), refused.Load())
		}
		prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
		if err != nil || len(prts) != 1 || prts[0].Generation != 1 {
			t.Errorf("PRTs %+v, %v", prts, err)
		}
	})
}

// race runs fn n times at once.
func race(n int, fn func(n int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() { <-start; fn(i) })
	}
	close(start)
	all.Wait()
}

// Many logins of one person on one Mac at once, at two servers: each is answered,
// and there is one sign-in.
func TestLoginsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		nodes := []*node{w.node, w.again()}
		var all []*message
		for range 24 {
			all = append(all, w.login(m, w.ada, k))
		}
		race(len(all), func(n int) {
			if a := nodes[n%2].send(all[n]); a.status != http.StatusOK {
				t.Errorf("%d %s (%s)", a.status, a.body, a.cause)
			}
		})
		prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
		if err != nil || len(prts) != 1 || prts[0].Generation != int64(len(all)) {
			t.Errorf("PRTs %+v, %v", prts, err)
		}
	})
}

// TestSec_DEV08_MacRefreshAgainstRevoke refreshes and logs in at two servers while
// the Mac is removed: once that has committed nothing is answered, and no sign-in
// lives.
func TestSec_DEV08_MacRefreshAgainstRevoke(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		token := w.signIn(m, w.ada, k)
		nodes := []*node{w.node, w.again()}
		var all []*message
		for n := range 24 {
			if n%2 == 0 {
				all = append(all, w.login(m, w.ada, k))
			} else {
				all = append(all, w.refresh(m, token))
			}
		}
		var over atomic.Bool
		race(len(all)+1, func(n int) {
			if n == len(all) {
				if err := w.writeErr(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, m.Tenant, m.ID) }); err != nil {
					t.Error(err)
				}
				over.Store(true)
				return
			}
			was := over.Load()
			a := nodes[n/2%2].send(all[n])
			switch {
			case a.status == http.StatusOK && was && n%2 == 0:
				t.Error("signed in after the end")
			case a.status == http.StatusOK, a.status == http.StatusUnauthorized, a.status == http.StatusBadRequest && strings.Contains(a.body, "invalid_client"):
			default:
				t.Errorf("%d %s (%s)", a.status, a.body, a.cause)
			}
		})
		prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
		if err != nil || len(prts) != 0 {
			t.Errorf("PRTs of a Mac that is gone: %+v, %v", prts, err)
		}
		for _, n := range nodes {
			if a := n.send(w.login(m, w.ada, k)); a.status == http.StatusOK {
				t.Error("a login after the end")
			}
		}
	})
}

// A nonce from one server, the login at the other, once (§18).
func TestTwoServers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		second := w.again()
		q := w.login(m, w.ada, k) // its nonce is the first's
		form := q.body()
		token := q.open(t, second.post(w.at(q.path), form)).out["refresh_token"].(string)
		w.post(w.at(q.path), form).refused(t, "back at the first", http.StatusBadRequest, "invalid_grant", "nonce")
		second.post(w.at(q.path), form).refused(t, "at the second again", http.StatusBadRequest, "invalid_grant", "nonce")
		q = w.refresh(m, token)
		q.open(t, w.send(q))
		q = w.keyRequest(m, w.ada, token)
		first := q.open(t, w.send(q))
		q = w.keyRequest(m, w.ada, token)
		if again := q.open(t, second.send(q)); again.out["certificate"] != first.out["certificate"] {
			t.Error("two servers have two keys")
		}
	})
}

// A PRT of the other protocol is none of a Mac's, whichever device it is of.
func TestRefreshOfOtherProtocol(t *testing.T) {
	w := lite(t)
	m := w.mac()
	w.enrol(m, w.ada)
	i, err := w.prts.Prepare(t.Context(), prt.PRT{Tenant: w.tenant.ID, User: w.ada.ID, Device: m.ID, Protocol: prt.V4, Direct: true,
		Proofs: []idp.Proof{{Tenant: w.tenant.ID, User: w.ada.ID, Method: policy.Platform, Credential: "x", Time: w.clock.now(),
			Properties: []idp.Property{idp.PhishingResistant, idp.Possession, idp.MultiFactor}}}})
	if err != nil {
		t.Fatal(err)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.prts.Add(ctx, tx, i) })
	a := w.send(w.refresh(m, i.Value))
	a.refused(t, "a PRT of another protocol", http.StatusUnauthorized, "invalid_grant", "")
	if a.reason() != "prt_of_other_device" {
		t.Errorf("%s", a.cause)
	}
}
