package token_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

const tenant, other = idp.TenantID("11111111-1111-4111-8111-111111111111"), idp.TenantID("22222222-2222-4222-8222-222222222222")

var sources = []fs.FS{keyring.Migrations, nonce.Migrations, audit.Migrations, token.Migrations}

// world is a Service whose clock, epoch and person the test moves.
type world struct {
	db    *sqldb.DB
	now   time.Time
	epoch int64
	user  idp.User
	audit *audit.Log
	keys  *keyring.Ring
	svc   *token.Service

	stands error // what devices and their PRTs say
}

func newWorld(db *sqldb.DB) *world {
	w := &world{db: db, now: time.UnixMilli(1_800_000_000_000)}
	now := func() time.Time { return w.now }
	w.user = idp.User{ID: "ada-id", Tenant: tenant, Name: "ada@nordhafen.example", DisplayName: "Ada", Enabled: true}
	w.audit = audit.New(now)
	w.keys = keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: now})
	w.svc = token.New(token.Config{
		DB: db, Keys: w.keys, Audit: w.audit, Now: now,
		Issuer: func(t idp.TenantID) string { return "https://id.example/" + string(t) + "/v2.0" },
		User: func(_ context.Context, _ sqldb.Querier, t idp.TenantID, id idp.UserID) (idp.User, error) {
			if t != w.user.Tenant || id != w.user.ID {
				return idp.User{}, idp.NotFoundf("user_unknown", "%s", id)
			}
			return w.user, nil
		},
		Epoch:  func() int64 { return w.epoch },
		Stands: func(context.Context, sqldb.Querier, idp.TenantID, idp.SessionID, idp.DeviceID) error { return w.stands },
	})
	return w
}

func app() client.Client {
	return client.Client{ID: "wiki", Tenant: tenant, Name: "Wiki", Alg: "ES256", Subject: "public",
		RedirectURIs: []string{"https://wiki.example/cb"}, Enabled: true}
}

func (w *world) subject() token.Subject {
	return token.Subject{Tenant: tenant, User: w.user, Session: "sid-1", Client: app(), Scopes: []string{"openid", "profile", "offline_access"},
		Audience: "https://api.example", AuthTime: w.now, ACR: "phr", AMR: []string{"fido", "mfa"}, Nonce: "n-1", Info: []string{"email"}}
}

// code makes the id of a code out of a few letters.
func code(s string) token.CodeID { return token.CodeID(fmt.Appendf(nil, "%-16s", s)) }

// open makes a family and returns its subject and first refresh token.
func (w *world) open(t *testing.T, codeID string) (token.Subject, string) {
	t.Helper()
	sub := w.subject()
	err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		sub.Family, err = w.svc.OpenFamily(ctx, tx, sub, code(codeID))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	refresh, err := w.svc.FirstRefresh(t.Context(), tenant, sub.Family)
	if err != nil {
		t.Fatal(err)
	}
	return sub, refresh
}

func (w *world) write(t *testing.T, fn func(context.Context, *sqldb.Tx) error) {
	t.Helper()
	if err := w.db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// revoke does what the revocation endpoint does.
func (w *world) revoke(t *testing.T, presented string, c client.Client) (ended bool) {
	t.Helper()
	p, err := w.svc.Present(t.Context(), presented, c)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { ended, err = p.End(ctx, tx); return err })
	return ended
}

func claimsOf(t *testing.T, jwt string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

func TestAccessSaysWhatItIs(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub, _ := w.open(t, "c")
	jwt, lives, err := w.svc.Access(t.Context(), sub)
	if err != nil || lives != time.Hour {
		t.Fatal(lives, err)
	}
	c, err := w.svc.VerifyAccess(t.Context(), tenant, jwt)
	if err != nil {
		t.Fatal(err)
	}
	if c.User != w.user.ID || c.Client != "wiki" || c.Audience != "https://api.example" || c.Session != "sid-1" || c.ACR != "phr" ||
		len(c.AMR) != 2 || len(c.Scopes) != 3 || len(c.Info) != 1 || !c.AuthTime.Equal(w.now) {
		t.Errorf("claims %+v", c)
	}
	for name, want := range map[string]any{"iss": "https://id.example/" + string(tenant) + "/v2.0", "tid": string(tenant), "oid": "ada-id", "ver": "2.0"} {
		if got := claimsOf(t, jwt)[name]; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestIDTokenClaims(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub := w.subject()
	jwt, err := w.svc.ID(t.Context(), sub, "the-access-token")
	if err != nil {
		t.Fatal(err)
	}
	c := claimsOf(t, jwt)
	sum := sha256.Sum256([]byte("the-access-token"))
	for name, want := range map[string]any{"aud": "wiki", "nonce": "n-1", "acr": "phr", "sid": "sid-1", "name": "Ada",
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]), "auth_time": float64(w.now.Unix())} {
		if c[name] != want {
			t.Errorf("%s: got %v, want %v", name, c[name], want)
		}
	}
	if _, there := c["email"]; there {
		t.Error("email without its scope")
	}
	if _, there := c["groups"]; there {
		t.Error("groups that nobody asked for")
	}
}

// A reader may ask for groups, and may have a clock that is behind.
func TestIDTokenForMacs(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub := w.subject()
	for want, groups := range map[string][]string{"[]": {}, "[Staff Admins]": {"Staff", "Admins"}} {
		sub.Groups, sub.Backdate = groups, 5*time.Second
		jwt, err := w.svc.ID(t.Context(), sub, "")
		if err != nil {
			t.Fatal(err)
		}
		c := claimsOf(t, jwt)
		if got := fmt.Sprint(c["groups"]); got != want {
			t.Errorf("groups %s, want %s", got, want)
		}
		for name, want := range map[string]int64{"iat": -5, "nbf": -5, "exp": int64(token.IDLives / time.Second)} {
			if got := int64(c[name].(float64)) - w.now.Unix(); got != want {
				t.Errorf("%s is %+d s from now, want %+d", name, got, want)
			}
		}
	}
}

func TestPairwiseSubjectTellsNothing(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub := w.subject()
	sub.Client.Subject, sub.Client.Sector = "pairwise", "https://wiki.example"
	id, err := w.svc.ID(t.Context(), sub, "")
	if err != nil {
		t.Fatal(err)
	}
	access, _, err := w.svc.Access(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	for _, jwt := range []string{id, access} {
		raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
		if strings.Contains(string(raw), string(w.user.ID)) || strings.Contains(string(raw), string(sub.Session)) {
			t.Errorf("the object id, or that of the session, is in %s", raw)
		}
	}
	twin := sub.Client
	twin.ID = "shop"
	far := sub.Client
	far.Sector = "https://shop.example"
	a, _ := w.svc.PublicSubject(t.Context(), sub.Client, "ada-id")
	b, _ := w.svc.PublicSubject(t.Context(), twin, "ada-id")
	c, _ := w.svc.PublicSubject(t.Context(), far, "ada-id")
	if a != b || a == c || a == "" {
		t.Errorf("one sector %q and %q, another %q", a, b, c)
	}
	p, _ := w.svc.PublicSession(t.Context(), sub.Client, "sid-1")
	q, _ := w.svc.PublicSession(t.Context(), twin, "sid-1")
	r, _ := w.svc.PublicSession(t.Context(), far, "sid-1")
	s, _ := w.svc.PublicSession(t.Context(), sub.Client, "sid-2")
	u, _ := w.svc.PublicSubject(t.Context(), sub.Client, "sid-1")
	if p != q || p == r || p == s || p == u || p == "" {
		t.Errorf("session in one sector %q and %q, in another %q, another session %q, a person of that id %q", p, q, r, s, u)
	}
}

func TestSec_TOK05_AccessRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(t *testing.T, w *world, sub token.Subject, jwt string) (idp.TenantID, string)
		want string
	}{
		{"late", func(_ *testing.T, w *world, _ token.Subject, jwt string) (idp.TenantID, string) {
			w.now = w.now.Add(time.Hour + token.Skew)
			return tenant, jwt
		}, "token_expired"},
		{"early", func(_ *testing.T, w *world, _ token.Subject, jwt string) (idp.TenantID, string) {
			w.now = w.now.Add(-token.Skew - time.Second)
			return tenant, jwt
		}, "token_early"},
		{"other tenant", func(_ *testing.T, _ *world, _ token.Subject, jwt string) (idp.TenantID, string) { return other, jwt }, "key_unknown"},
		{"an ID token", func(t *testing.T, w *world, sub token.Subject, _ string) (idp.TenantID, string) {
			jwt, err := w.svc.ID(t.Context(), sub, "")
			if err != nil {
				t.Fatal(err)
			}
			return tenant, jwt
		}, "token_class"},
		{"a refresh token", func(t *testing.T, w *world, _ token.Subject, _ string) (idp.TenantID, string) {
			_, r := w.open(t, "x")
			return tenant, r
		}, "token_malformed"},
		{"signature of another token", func(t *testing.T, w *world, sub token.Subject, jwt string) (idp.TenantID, string) {
			second, _, err := w.svc.Access(t.Context(), sub)
			if err != nil {
				t.Fatal(err)
			}
			return tenant, jwt[:strings.LastIndex(jwt, ".")] + second[strings.LastIndex(second, "."):]
		}, "wrong_signature"},
		{"revoked alone", func(t *testing.T, w *world, sub token.Subject, jwt string) (idp.TenantID, string) {
			if !w.revoke(t, jwt, sub.Client) {
				t.Fatal("nothing ended")
			}
			return tenant, jwt
		}, "token_revoked"},
		{"family revoked", func(t *testing.T, w *world, _ token.Subject, jwt string) (idp.TenantID, string) {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeUser(ctx, tx, tenant, "ada-id") })
			return tenant, jwt
		}, "token_revoked"},
		{"signing key gone", func(t *testing.T, w *world, _ token.Subject, jwt string) (idp.TenantID, string) {
			if err := w.keys.RotateNow(t.Context(), tenant, "ES256"); err != nil {
				t.Fatal(err)
			}
			return tenant, jwt
		}, "key_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(sqldbtest.Open(t, sources))
			sub, _ := w.open(t, "c")
			jwt, _, err := w.svc.Access(t.Context(), sub)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.svc.VerifyAccess(t.Context(), tenant, jwt); err != nil {
				t.Fatalf("good token: %v", err)
			}
			who, jwt := c.bend(t, w, sub, jwt)
			if _, err := w.svc.VerifyAccess(t.Context(), who, jwt); reason(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestHintIsAnIDTokenOfOursHoweverOld(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub, _ := w.open(t, "c")
	jwt, err := w.svc.ID(t.Context(), sub, "")
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(30 * time.Minute)
	if c, err := w.svc.VerifyHint(t.Context(), tenant, jwt); err != nil || c.Client != "wiki" || c.Subject != "ada-id" {
		t.Errorf("got %+v, %v", c, err)
	}
	access, _, _ := w.svc.Access(t.Context(), sub)
	if _, err := w.svc.VerifyHint(t.Context(), tenant, access); reason(err) != "token_class" {
		t.Errorf("an access token as hint: %v", err)
	}
}

func TestSec_OAU08_Rotation(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		_, first := w.open(t, "c")
		second, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"})
		if err != nil || second.Refresh == first {
			t.Fatal(second.Refresh, err)
		}
		if s := second.Subject; s.User.ID != w.user.ID || s.Session != "sid-1" || s.ACR != "phr" || len(s.AMR) != 2 || s.Family == "" ||
			strings.Join(s.Scopes, " ") != "openid profile offline_access" || !s.AuthTime.Equal(w.now) {
			t.Errorf("subject %+v", s)
		}
		w.now = w.now.Add(token.Overlap)
		again, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"})
		if err != nil || again.Refresh != second.Refresh {
			t.Fatalf("same predecessor within the overlap: %q, %v; want the same successor", again.Refresh, err)
		}
		third, err := w.svc.Refresh(t.Context(), second.Refresh, app(), token.Presenter{IP: "192.0.2.9"})
		if err != nil {
			t.Fatal(err)
		}
		// first is now two generations old, and still within ten seconds of nothing.
		if _, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_reuse" {
			t.Fatalf("older generation: %v", err)
		}
		if _, err := w.svc.Refresh(t.Context(), third.Refresh, app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_revoked" {
			t.Errorf("the family lives on: %v", err)
		}
		events, err := w.audit.List(t.Context(), db, tenant, audit.Filter{Limit: 10})
		if err != nil || len(events) != 1 || events[0].Reason != "refresh_reuse" || events[0].IP != "192.0.2.9" || events[0].Actor == "" {
			t.Errorf("events %+v, %v", events, err)
		}
	})
}

func TestSec_OAU08_ReuseAfterTheOverlapRevokes(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	_, first := w.open(t, "c")
	second, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(token.Overlap + time.Millisecond)
	if _, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_reuse" {
		t.Fatalf("got %v", err)
	}
	if _, err := w.svc.Refresh(t.Context(), second.Refresh, app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_revoked" {
		t.Errorf("the successor lives on: %v", err)
	}
}

// TestSec_T43 uses one refresh token 10^4 times at once: every use gets the
// same successor, and the family stands at generation two.
func TestSec_T43_ParallelRefresh(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		_, first := w.open(t, "c")
		var mu sync.Mutex
		seen := map[string]int{}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for range 100 {
					got, err := w.svc.Refresh(context.Background(), first, app(), token.Presenter{IP: "192.0.2.9"})
					mu.Lock()
					if err != nil {
						t.Error(err)
					}
					seen[got.Refresh]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != 1 {
			t.Fatalf("%d different successors", len(seen))
		}
		for successor := range seen {
			if _, err := w.svc.Refresh(t.Context(), successor, app(), token.Presenter{IP: "192.0.2.9"}); err != nil {
				t.Errorf("the successor does not work: %v", err)
			}
		}
	})
}

func TestRefreshRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(t *testing.T, w *world, r string) (string, client.Client)
		want string
	}{
		{"other client", func(_ *testing.T, _ *world, r string) (string, client.Client) {
			c := app()
			c.ID = "shop"
			return r, c
		}, "refresh_other_client"},
		{"other tenant", func(_ *testing.T, _ *world, r string) (string, client.Client) {
			c := app()
			c.Tenant = other
			return r, c
		}, "refresh_unreadable"},
		{"absolute end", func(_ *testing.T, w *world, r string) (string, client.Client) {
			w.now = w.now.Add(token.FamilyLives)
			return r, app()
		}, "refresh_over"},
		{"client switched off", func(_ *testing.T, _ *world, r string) (string, client.Client) {
			c := app()
			c.Enabled = false
			return r, c
		}, "client_disabled"},
		{"line break", func(_ *testing.T, _ *world, r string) (string, client.Client) { return r + "\n", app() }, "refresh_unreadable"},
		{"line break instead of the last", func(_ *testing.T, _ *world, r string) (string, client.Client) {
			return r[:len(r)-1] + "\n", app()
		}, "refresh_unreadable"},
		{"person disabled", func(_ *testing.T, w *world, r string) (string, client.Client) {
			w.user.Enabled = false
			return r, app()
		}, "user_disabled"},
		{"person gone", func(_ *testing.T, w *world, r string) (string, client.Client) {
			w.user.ID = "someone-else"
			return r, app()
		}, "user_disabled"},
		{"session ended", func(t *testing.T, w *world, r string) (string, client.Client) {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				return w.svc.RevokeSession(ctx, tx, tenant, w.user.ID, "sid-1")
			})
			return r, app()
		}, "refresh_revoked"},
		{"code used twice", func(t *testing.T, w *world, r string) (string, client.Client) {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				for _, want := range []bool{true, false} { // the second time there is nothing left
					if ended, err := w.svc.RevokeByCode(ctx, tx, tenant, code("c")); err != nil || ended != want {
						t.Errorf("ended %v, %v; want %v", ended, err, want)
					}
				}
				return nil
			})
			return r, app()
		}, "refresh_revoked"},
		{"application removed", func(t *testing.T, w *world, r string) (string, client.Client) {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeClient(ctx, tx, tenant, "wiki") })
			return r, app()
		}, "refresh_revoked"},
		{"revoked by its client", func(t *testing.T, w *world, r string) (string, client.Client) {
			w.revoke(t, r, app())
			return r, app()
		}, "refresh_revoked"},
		{"epoch raised", func(_ *testing.T, w *world, r string) (string, client.Client) { w.epoch++; return r, app() }, "refresh_unreadable"},
		{"empty", func(*testing.T, *world, string) (string, client.Client) { return "", app() }, "refresh_unreadable"},
		{"padding", func(_ *testing.T, _ *world, r string) (string, client.Client) { return r + "==", app() }, "refresh_unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(sqldbtest.Open(t, sources))
			_, first := w.open(t, "c")
			presented, who := c.bend(t, w, first)
			if _, err := w.svc.Refresh(t.Context(), presented, who, token.Presenter{IP: "192.0.2.9"}); reason(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	t.Run("each flipped byte", func(t *testing.T) {
		w := newWorld(sqldbtest.Open(t, sources))
		_, first := w.open(t, "c")
		raw, _ := base64.RawURLEncoding.DecodeString(first)
		for n := range raw {
			bent := append([]byte(nil), raw...)
			bent[n] ^= 1
			if _, err := w.svc.Refresh(t.Context(), base64.RawURLEncoding.EncodeToString(bent), app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_unreadable" {
				t.Errorf("byte %d: %v", n, err)
			}
		}
	})
}

func TestRevokePassesOverWhatIsForeign(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub, first := w.open(t, "c")
	access, _, err := w.svc.Access(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	stranger := app()
	stranger.ID = "shop"
	for _, presented := range []string{first, access, "garbage", "a.b.c", ""} {
		if w.revoke(t, presented, stranger) {
			t.Errorf("%.20q of another client was ended", presented)
		}
	}
	if _, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"}); err != nil {
		t.Errorf("the family was hurt: %v", err)
	}
}

func TestAdministrationToken(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	jwt, until, err := w.svc.Administration(t.Context(), tenant, "cli:root", []string{"Directory.Read.All"}, 10*time.Minute)
	if err != nil || !until.Equal(w.now.Add(10*time.Minute)) {
		t.Fatal(until, err)
	}
	c, err := w.svc.VerifyAccess(t.Context(), tenant, jwt)
	if err != nil || c.Audience != token.AdministrationAudience || c.User != "" || len(c.Roles) != 1 || c.Subject != "cli:root" {
		t.Errorf("got %+v, %v", c, err)
	}
}

// TestSec_T60 looks for anything usable in what is stored.
func TestSec_T60_NoRefreshTokenInTheDatabase(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	_, first := w.open(t, "c")
	raw, _ := base64.RawURLEncoding.DecodeString(first)
	rows, err := w.db.Query(t.Context(), `select id || granted from refresh_family where tenant_id = $1`, tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var all string
		if err := rows.Scan(&all); err != nil {
			t.Fatal(err)
		}
		n++
		if strings.Contains(all, first) || strings.Contains(all, string(raw[20:])) {
			t.Error("the token is stored")
		}
	}
	if n != 1 {
		t.Errorf("%d rows", n)
	}
}

func FuzzRefresh(f *testing.F) {
	w := newWorld(sqldbtest.Open(f, sources))
	f.Add("")
	f.Add("AAAA")
	f.Add(strings.Repeat("A", 70))
	f.Fuzz(func(t *testing.T, presented string) {
		if _, err := w.svc.Refresh(context.Background(), presented, app(), token.Presenter{IP: "192.0.2.9"}); !errors.Is(err, idp.Expired) {
			t.Errorf("%q: %v", presented, err)
		}
	})
}

func BenchmarkAccess(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	sub := w.subject()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := w.svc.Access(b.Context(), sub); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkID(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	sub := w.subject()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.svc.ID(b.Context(), sub, "the-access-token"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyAccess(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	jwt, _, err := w.svc.Access(b.Context(), w.subject())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.svc.VerifyAccess(b.Context(), tenant, jwt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	sub := w.subject()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		var id idp.FamilyID
		err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
			id, err = w.svc.OpenFamily(ctx, tx, sub, token.CodeID(secret.Bytes(16)))
			return err
		})
		refresh, err2 := w.svc.FirstRefresh(context.Background(), tenant, id)
		if err := errors.Join(err, err2); err != nil {
			b.Error(err)
			return
		}
		for pb.Next() {
			got, err := w.svc.Refresh(context.Background(), refresh, sub.Client, token.Presenter{IP: "192.0.2.9"})
			if err != nil {
				b.Error(err)
				return
			}
			refresh = got.Refresh
		}
	})
}

// A restored database may have forgotten that a token was revoked: none of
// before the restore is taken.
func TestSec_T52_TokensOfBeforeARestore(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub, _ := w.open(t, "c")
	jwt, _, err := w.svc.Access(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	w.epoch = w.now.Unix()
	if _, err := w.svc.VerifyAccess(t.Context(), tenant, jwt); err != nil {
		t.Errorf("of the second of the restore: %v", err)
	}
	w.epoch++
	if _, err := w.svc.VerifyAccess(t.Context(), tenant, jwt); !errors.Is(err, idp.Expired) {
		t.Errorf("of before the restore: %v", err)
	}
}
