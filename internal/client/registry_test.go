package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var (
	sources = []fs.FS{client.Migrations}
	now     = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

func each(t *testing.T, fn func(t *testing.T, r *client.Registry, db *sqldb.DB)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		fn(t, client.New(client.Config{DB: db, Now: func() time.Time { return now }}), db)
	})
}

func web(tenant idp.TenantID, name string) client.Client {
	return client.Client{Tenant: tenant, Name: name, Kind: client.Web, RedirectURIs: []string{"https://good.example/cb"}, Enabled: true}
}

func create(t *testing.T, r *client.Registry, db *sqldb.DB, c client.Client) (made client.Client, shown string, err error) {
	t.Helper()
	err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		made, shown, err = r.Create(ctx, tx, c)
		return err
	})
	return made, shown, err
}

func mustCreate(t *testing.T, r *client.Registry, db *sqldb.DB, c client.Client) (client.Client, string) {
	t.Helper()
	made, shown, err := create(t, r, db, c)
	if err != nil {
		t.Fatal(err)
	}
	return made, shown
}

func TestCreate(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		made, shown := mustCreate(t, r, db, web("t1", " Wi\u202eki "))
		if len(shown) != 43 || len(made.ID) != 36 {
			t.Errorf("secret of %d characters, id %q", len(shown), made.ID)
		}
		want := client.Client{
			ID: made.ID, Tenant: "t1", Name: "Wiki", Kind: "web", RedirectURIs: []string{"https://good.example/cb"}, Auth: "secret",
			ResponseModes: []string{"query", "form_post"},
			Grants:        []string{"authorization_code", "refresh_token"}, Alg: "ES256", Subject: "public", Sector: "https://good.example", Enabled: true, Created: now,
			SecretDigests: [][]byte{secret.Digest(shown)},
		}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("made (-want +got):\n%s", diff)
		}
		got, err := r.Get(t.Context(), "t1", made.ID)
		want.PostLogoutURIs, want.Scopes = []string{}, []string{}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("read (-want +got): %v\n%s", err, diff)
		}
		if tenant, err := r.Locate(t.Context(), made.ID); tenant != "t1" || err != nil {
			t.Errorf("located in %q, %v", tenant, err)
		}
		if _, _, err := create(t, r, db, web("t1", "WIKI")); !errors.Is(err, idp.Conflict) {
			t.Errorf("name in another case: %v", err)
		}
		taken := web("t2", "Other")
		taken.ID = made.ID
		if _, _, err := create(t, r, db, taken); !errors.Is(err, idp.Conflict) {
			t.Errorf("id of another tenant's application: %v", err)
		}
		if _, _, err := create(t, r, db, web("t2", "Wiki")); err != nil {
			t.Errorf("same name in another tenant: %v", err)
		}
	})
}

func jwks(t *testing.T, keys ...any) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for i, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: fmt.Sprint(i)})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCreateRefuses(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	r := client.New(client.Config{DB: db, Now: func() time.Time { return now }})
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, 2048)
	good := jwks(t, &p256.PublicKey, &rsa2048.PublicKey)
	byKey := func(c *client.Client) { c.Auth, c.JWKS = client.AuthPrivateKey, good }
	native := func(c *client.Client) { c.Kind, c.RedirectURIs = client.Native, []string{"http://127.0.0.1/cb"} }
	for name, change := range map[string]func(*client.Client){
		"private_key_jwt": byKey, "native": native,
		"native by key":      func(c *client.Client) { native(c); byKey(c) },
		"client credentials": func(c *client.Client) { c.Grants, c.RedirectURIs = []string{client.GrantCredentials}, nil },
		"pairwise":           func(c *client.Client) { c.Subject = client.SubjectPairwise },
		"fragment":           func(c *client.Client) { c.ResponseModes = []string{client.ModeFragment} },
		"device code":        func(c *client.Client) { c.Grants, c.RedirectURIs = []string{"device_code", client.GrantRefresh}, nil },
		"RS256":              func(c *client.Client) { c.Alg = "RS256" },
		"API scopes":         func(c *client.Client) { c.Scopes = []string{"https://api.example/read", "write"} },
	} {
		c := web("t1", name)
		change(&c)
		made, shown, err := create(t, r, db, c)
		if err != nil || (shown != "") != made.Secretive() {
			t.Errorf("%s: secret %v, %v", name, shown != "", err)
		}
	}
	for name, change := range map[string]func(*client.Client){
		"no tenant": func(c *client.Client) { c.Tenant = "" },
		"no name":   func(c *client.Client) { c.Name = " \u200b" }, "long name": func(c *client.Client) { c.Name = strings.Repeat("x", 121) },
		"kind": func(c *client.Client) { c.Kind = "spa" }, "no kind": func(c *client.Client) { c.Kind = "" },
		"auth": func(c *client.Client) { c.Auth = "tls" }, "alg none": func(c *client.Client) { c.Alg = "none" }, "alg HS256": func(c *client.Client) { c.Alg = "HS256" },
		"subject": func(c *client.Client) { c.Subject = "random" }, "implicit": func(c *client.Client) { c.Grants = []string{"implicit"} },
		"password": func(c *client.Client) { c.Grants = []string{"password"} }, "grant twice": func(c *client.Client) { c.Grants = []string{client.GrantCode, client.GrantCode} },
		"response mode": func(c *client.Client) { c.ResponseModes = []string{"web_message"} },
		"response mode twice": func(c *client.Client) {
			c.ResponseModes = []string{client.ModeQuery, client.ModeQuery}
		},
		"no redirect": func(c *client.Client) { c.RedirectURIs = nil }, "bad redirect": func(c *client.Client) { c.RedirectURIs = append(c.RedirectURIs, "http://good.example/cb") },
		"redirect twice":  func(c *client.Client) { c.RedirectURIs = append(c.RedirectURIs, c.RedirectURIs[0]) },
		"many redirects":  func(c *client.Client) { c.RedirectURIs = make([]string, 51) },
		"bad post-logout": func(c *client.Client) { c.PostLogoutURIs = []string{"//evil.example"} },
		"private scheme for a web app": func(c *client.Client) {
			c.RedirectURIs = []string{"com.example.app:/cb"}
		},
		"native with a secret":             func(c *client.Client) { native(c); c.Auth = client.AuthSecret },
		"client credentials without proof": func(c *client.Client) { c.Auth, c.Grants = client.AuthNone, []string{client.GrantCredentials} },
		"refresh without code":             func(c *client.Client) { c.Grants = []string{client.GrantRefresh} },
		"pairwise over two hosts": func(c *client.Client) {
			c.Subject = "pairwise"
			c.RedirectURIs = append(c.RedirectURIs, "https://b.example/cb")
		},
		"private_key_jwt without keys": func(c *client.Client) { c.Auth = client.AuthPrivateKey },
		"keys without private_key_jwt": func(c *client.Client) { c.JWKS = good },
		"keys that are none":           func(c *client.Client) { byKey(c); c.JWKS = []byte(`{"keys":[{"kty":"EC"}]}`) },
		"keys that are no JSON":        func(c *client.Client) { byKey(c); c.JWKS = []byte(`x`) },
		"no keys in the set":           func(c *client.Client) { byKey(c); c.JWKS = []byte(`{"keys":[]}`) },
		"private key":                  func(c *client.Client) { byKey(c); c.JWKS = jwks(t, p256) },
		"symmetric key":                func(c *client.Client) { byKey(c); c.JWKS = jwks(t, []byte("0123456789abcdef0123456789abcdef")) },
		"curve of another algorithm":   func(c *client.Client) { byKey(c); c.JWKS = jwks(t, &p384.PublicKey) },
		"two keys of one kid": func(c *client.Client) {
			byKey(c)
			c.JWKS = []byte(strings.ReplaceAll(string(good), `"kid":"1"`, `"kid":"0"`))
		},
		"key set too large":           func(c *client.Client) { byKey(c); c.JWKS = append(good, make([]byte, 20<<10)...) },
		"scope with a space":          func(c *client.Client) { c.Scopes = []string{"a b"} },
		"scope with a quotation mark": func(c *client.Client) { c.Scopes = []string{`a"b`} },
		"empty scope":                 func(c *client.Client) { c.Scopes = []string{""} },
		"scope twice":                 func(c *client.Client) { c.Scopes = []string{"a", "a"} },
		"acr of two words":            func(c *client.Client) { c.ACR = "phr phrh" },
		"id with a slash":             func(c *client.Client) { c.ID = "a/b" },
		"id that is long":             func(c *client.Client) { c.ID = idp.ClientID(strings.Repeat("a", 65)) },
	} {
		c := web("t1", "X")
		change(&c)
		if _, _, err := create(t, r, db, c); !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRSAKeySize(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	db := sqldbtest.Open(t, sources)
	r := client.New(client.Config{DB: db, Now: func() time.Time { return now }})
	c := web("t1", "X")
	c.Auth, c.JWKS = client.AuthPrivateKey, jwks(t, &weak.PublicKey)
	if _, _, err := create(t, r, db, c); !errors.Is(err, idp.Invalid) {
		t.Errorf("RSA key of 1024 bits: %v", err)
	}
}

// What strangers send as a client id costs no query.
func TestGetHostile(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, _ *sqldb.DB) {
		for _, id := range []idp.ClientID{"", "nobody", "a b", "x\x00", "\xff", "' or 1=1 --", idp.ClientID(strings.Repeat("a", 65))} {
			if _, err := r.Get(t.Context(), "t1", id); !errors.Is(err, idp.NotFound) {
				t.Errorf("get %q: %v", id, err)
			}
			if _, err := r.Locate(t.Context(), id); !errors.Is(err, idp.NotFound) {
				t.Errorf("locate %q: %v", id, err)
			}
		}
	})
}

func TestSecrets(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		made, first := mustCreate(t, r, db, web("t1", "Wiki"))
		add := func() (shown string, err error) {
			err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
				shown, err = r.AddSecret(ctx, tx, "t1", made.ID)
				return err
			})
			return shown, err
		}
		second, err := add()
		if err != nil || second == first {
			t.Fatal(err)
		}
		c, err := r.Get(t.Context(), "t1", made.ID)
		if err != nil || len(c.SecretDigests) != 2 {
			t.Fatalf("%d digests, %v", len(c.SecretDigests), err)
		}
		for range 3 {
			if _, err := add(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := add(); !errors.Is(err, idp.Denied) {
			t.Errorf("a sixth secret: %v", err)
		}
		// A client that gives up its secrets does not get them back.
		c.Auth = client.AuthNone
		err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if c, err = r.Update(ctx, tx, c); err != nil {
				return err
			}
			c.Auth = client.AuthSecret
			c, err = r.Update(ctx, tx, c)
			return err
		})
		if err != nil || len(c.SecretDigests) != 0 {
			t.Errorf("%d secrets came back, %v", len(c.SecretDigests), err)
		}
		native := web("t1", "Native")
		native.Kind, native.RedirectURIs = client.Native, []string{"http://127.0.0.1/cb"}
		made, _ = mustCreate(t, r, db, native)
		if _, err := add(); !errors.Is(err, idp.Invalid) {
			t.Errorf("a secret for a native application: %v", err)
		}
	})
}

// Nothing of a secret is in the database.
func TestSecretsAreNotStored(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		made, shown := mustCreate(t, r, db, web("t1", "Wiki"))
		var digest []byte
		if err := db.QueryRow(t.Context(), `select digest from client_secret where tenant_id = $1 and client_id = $2`, "t1", made.ID).Scan(&digest); err != nil {
			t.Fatal(err)
		}
		if len(digest) != 32 || !secret.Equal(digest, secret.Digest(shown)) || strings.Contains(string(digest), shown[:8]) {
			t.Errorf("stored %x", digest)
		}
	})
}

func TestDropOldSecrets(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	at := now
	r := client.New(client.Config{DB: db, Now: func() time.Time { at = at.Add(time.Second); return at }})
	made, _ := mustCreate(t, r, db, web("t1", "Wiki"))
	var newest string
	var dropped int64
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if newest, err = r.AddSecret(ctx, tx, "t1", made.ID); err != nil {
			return err
		}
		dropped, err = r.DropOldSecrets(ctx, tx, "t1", made.ID)
		return err
	})
	c, _ := r.Get(t.Context(), "t1", made.ID)
	if err != nil || dropped != 1 || len(c.SecretDigests) != 1 || !secret.Equal(c.SecretDigests[0], secret.Digest(newest)) {
		t.Errorf("dropped %d, left %d, %v", dropped, len(c.SecretDigests), err)
	}
}

func TestUpdateAndDelete(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		made, _ := mustCreate(t, r, db, web("t1", "Wiki"))
		mustCreate(t, r, db, web("t1", "Reports"))
		update := func(c client.Client) error {
			return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { _, err := r.Update(ctx, tx, c); return err })
		}
		changed := made
		changed.Name, changed.Enabled, changed.Scopes, changed.FirstParty = "Wiki 2", false, []string{"read"}, true
		if err := update(changed); err != nil {
			t.Fatal(err)
		}
		got, err := r.Get(t.Context(), "t1", made.ID)
		if err != nil || got.Name != "Wiki 2" || got.Enabled || !got.FirstParty || len(got.SecretDigests) != 1 {
			t.Errorf("after the change: %+v, %v", got, err)
		}
		changed.Name = "reports"
		if err := update(changed); !errors.Is(err, idp.Conflict) {
			t.Errorf("another one's name: %v", err)
		}
		changed.Name, changed.RedirectURIs = "Wiki", []string{"http://evil.example"}
		if err := update(changed); !errors.Is(err, idp.Invalid) {
			t.Errorf("bad redirect: %v", err)
		}
		err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := r.GrantConsent(ctx, tx, "t1", "ada", made.ID, []string{"read"}); err != nil {
				return err
			}
			return r.Delete(ctx, tx, "t1", made.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Get(t.Context(), "t1", made.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("deleted and found: %v", err)
		}
		if scopes, err := r.Consent(t.Context(), db, "t1", "ada", made.ID); err != nil || len(scopes) != 0 {
			t.Errorf("consent outlived its application: %v, %v", scopes, err)
		}
		var left int64
		if err := db.QueryRow(t.Context(), `select count(*) from client_secret where tenant_id = $1 and client_id = $2`, "t1", made.ID).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d secrets outlived their application, %v", left, err)
		}
	})
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		want := make(map[idp.ClientID]bool)
		for i := range 12 {
			c, _ := mustCreate(t, r, db, web("t1", fmt.Sprint("App ", i)))
			want[c.ID] = true
		}
		mustCreate(t, r, db, web("t2", "Theirs"))
		got := make(map[idp.ClientID]bool)
		for after := ""; ; {
			apps, next, err := r.List(t.Context(), "t1", after, 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range apps {
				got[a.ID] = true
			}
			if after = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("walked (-want +got):\n%s", diff)
		}
		if _, _, err := r.List(t.Context(), "t1", "x", 5); !errors.Is(err, idp.Invalid) {
			t.Errorf("bad cursor: %v", err)
		}
	})
}

func TestConsent(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		c, _ := mustCreate(t, r, db, web("t1", "Wiki"))
		grant := func(scopes ...string) {
			t.Helper()
			if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return r.GrantConsent(ctx, tx, "t1", "ada", c.ID, scopes)
			}); err != nil {
				t.Fatal(err)
			}
		}
		check := func(want ...string) {
			t.Helper()
			if got, err := r.Consent(t.Context(), db, "t1", "ada", c.ID); err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("consent is %v, %v, want %v", got, err, want)
			}
		}
		check()
		grant("openid", "profile")
		grant("profile", "read")
		check("openid", "profile", "read")
		if other, err := r.Consent(t.Context(), db, "t1", "bob", c.ID); err != nil || len(other) != 0 {
			t.Errorf("bob consented to %v, %v", other, err)
		}
		other, _ := mustCreate(t, r, db, web("t1", "drawings"))
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return r.GrantConsent(ctx, tx, "t1", "ada", other.ID, []string{"openid"})
		}); err != nil {
			t.Fatal(err)
		}
		all, err := r.Consents(t.Context(), db, "t1", "ada")
		if err != nil || len(all) != 2 || all[0].Client != other.ID || all[1].Client != c.ID || all[1].Name != "Wiki" ||
			strings.Join(all[1].Scopes, " ") != "openid profile read" || all[1].Since.IsZero() {
			t.Errorf("listed %+v, %v", all, err)
		}
		if all, err := r.Consents(t.Context(), db, "t1", "bob"); err != nil || len(all) != 0 {
			t.Errorf("bob consented to %v, %v", all, err)
		}
		revoke := func() error {
			return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return r.RevokeConsent(ctx, tx, "t1", "ada", c.ID) })
		}
		if err := revoke(); err != nil {
			t.Fatal(err)
		}
		check()
		if err := revoke(); !errors.Is(err, idp.NotFound) {
			t.Errorf("revoked twice: %v", err)
		}
		grant("openid")
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return r.RemoveUser(ctx, tx, "t1", "ada") }); err != nil {
			t.Fatal(err)
		}
		check()
	})
}

// Grants at the same time lose nothing of one another.
func TestConsentRace(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		c, _ := mustCreate(t, r, db, web("t1", "Wiki"))
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					return r.GrantConsent(ctx, tx, "t1", "ada", c.ID, []string{fmt.Sprint("s", i)})
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got, err := r.Consent(t.Context(), db, "t1", "ada", c.ID); err != nil || len(got) != 10 {
			t.Errorf("10 grants left %v, %v", got, err)
		}
	})
}

// The limit of secrets holds for parallel requests.
func TestAddSecretRace(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		c, _ := mustCreate(t, r, db, web("t1", "Wiki"))
		var done atomic.Int64
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { _, err := r.AddSecret(ctx, tx, "t1", c.ID); return err })
				if err == nil {
					done.Add(1)
				} else if !errors.Is(err, idp.Denied) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if done.Load() != 4 {
			t.Errorf("%d secrets were added to one, the limit is 5", done.Load())
		}
	})
}

// fakeBus delivers after the commit, in this process.
type fakeBus struct{ fn func(string) }

func (b *fakeBus) Publish(_ context.Context, tx *sqldb.Tx, _, key string) error {
	tx.OnCommit(func() { b.fn(key) })
	return nil
}
func (b *fakeBus) Subscribe(_ string, fn func(string)) { b.fn = fn }

func TestCache(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	r := client.New(client.Config{DB: db, Now: func() time.Time { return now }, Bus: &fakeBus{}})
	made, _ := mustCreate(t, r, db, web("t1", "Wiki"))
	if c, err := r.Get(t.Context(), "t1", made.ID); err != nil || !c.Enabled {
		t.Fatal(c, err)
	}
	made.Enabled = false
	if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { _, err := r.Update(ctx, tx, made); return err }); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Get(t.Context(), "t1", made.ID); err != nil || c.Enabled {
		t.Errorf("switched off, and the cache says %v, %v", c.Enabled, err)
	}
	if _, err := r.Get(t.Context(), "t2", made.ID); !errors.Is(err, idp.NotFound) {
		t.Errorf("the cache gave it to another tenant: %v", err)
	}
}

// TestTenantWalk asks everything of tenant t1 with the ids of t2, and gets
// NotFound (security.md ADM01, T46). A new method without a row here fails.
func TestTenantWalk(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		mustCreate(t, r, db, web("t1", "Wiki"))
		theirs, _ := mustCreate(t, r, db, web("t2", "Wiki"))
		only, _ := mustCreate(t, r, db, web("t2", "Only theirs"))
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return r.GrantConsent(ctx, tx, "t2", "ada", theirs.ID, []string{"read"})
		}); err != nil {
			t.Fatal(err)
		}
		type row struct {
			read  func(ctx context.Context) error
			write func(ctx context.Context, tx *sqldb.Tx) error
			skip  string
		}
		moved := theirs
		moved.Tenant = "t1"
		rows := map[string]row{
			"Create": {skip: "has no id to give; an id of another tenant is tested in TestCreate"}, "Locate": {skip: "is the locator"}, "OnRemove": {skip: "asks nothing"},
			"Get":    {read: func(ctx context.Context) error { _, err := r.Get(ctx, "t1", theirs.ID); return err }},
			"Load":   {read: func(ctx context.Context) error { _, err := r.Load(ctx, db, "t1", theirs.ID); return err }},
			"ByName": {read: func(ctx context.Context) error { _, err := r.ByName(ctx, db, "t1", only.Name); return err }},
			"Find": {read: func(ctx context.Context) error {
				where, err := filter.Parse("appId eq '"+string(theirs.ID)+"' or appId ne 'x'", client.Fields)
				if err != nil {
					return err
				}
				apps, _, err := r.Find(ctx, "t1", where, "", 100)
				if slices.ContainsFunc(apps, func(a client.Client) bool { return a.Tenant != "t1" }) {
					return errors.New("found an application of another tenant")
				}
				if err == nil {
					err = idp.NotFound
				}
				return err
			}},
			"List": {read: func(ctx context.Context) error {
				apps, _, err := r.List(ctx, "t1", client.Cursor(client.Client{ID: theirs.ID}), 100)
				for _, a := range apps {
					if a.Tenant != "t1" {
						return fmt.Errorf("listed %s of %s", a.ID, a.Tenant)
					}
				}
				if err == nil {
					err = idp.NotFound
				}
				return err
			}},
			"Consent": {read: func(ctx context.Context) error {
				scopes, err := r.Consent(ctx, db, "t1", "ada", theirs.ID)
				if err == nil && len(scopes) == 0 {
					err = idp.NotFound // no consent is no error
				}
				return err
			}},
			"BuiltIn": {read: func(ctx context.Context) error {
				// What is built in belongs to the tenant that asks.
				all, err := withDevices(db, map[idp.TenantID]client.Devices{"t2": {On: true}}).BuiltIn(ctx, "t1")
				if err == nil && len(all) == 0 {
					err = idp.NotFound
				}
				return err
			}},
			"Consents": {read: func(ctx context.Context) error {
				all, err := r.Consents(ctx, db, "t1", "ada")
				if err == nil && len(all) == 0 {
					err = idp.NotFound
				}
				return err
			}},
			"Update": {write: func(ctx context.Context, tx *sqldb.Tx) error { _, err := r.Update(ctx, tx, moved); return err }},
			"Delete": {write: func(ctx context.Context, tx *sqldb.Tx) error { return r.Delete(ctx, tx, "t1", theirs.ID) }},
			"AddSecret": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := r.AddSecret(ctx, tx, "t1", theirs.ID)
				return err
			}},
			"DropOldSecrets": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := r.DropOldSecrets(ctx, tx, "t1", theirs.ID)
				return err
			}},
			"GrantConsent": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				return r.GrantConsent(ctx, tx, "t1", "ada", theirs.ID, []string{"x"})
			}},
			"RevokeConsent": {write: func(ctx context.Context, tx *sqldb.Tx) error { return r.RevokeConsent(ctx, tx, "t1", "ada", theirs.ID) }},
			"RemoveUser": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				if err := r.RemoveUser(ctx, tx, "t1", "ada"); err != nil {
					return err
				}
				return idp.NotFound // nothing to remove is no error; what is theirs is looked at below
			}},
		}
		methods := reflect.TypeOf(r)
		for i := range methods.NumMethod() {
			name := methods.Method(i).Name
			one, ok := rows[name]
			var err error
			switch {
			case !ok:
				t.Errorf("%s has no row: say what it answers to an id of another tenant", name)
				continue
			case one.skip != "":
				continue
			case one.read != nil:
				err = one.read(t.Context())
			default:
				err = db.Write(t.Context(), one.write)
			}
			if !errors.Is(err, idp.NotFound) {
				t.Errorf("%s: got %v, want NotFound", name, err)
			}
		}
		after, err := r.Get(t.Context(), "t2", theirs.ID)
		if err != nil || len(after.SecretDigests) != 1 || after.Name != "Wiki" {
			t.Errorf("theirs after the walk: %+v, %v", after, err)
		}
		if scopes, err := r.Consent(t.Context(), db, "t2", "ada", theirs.ID); err != nil || len(scopes) != 1 {
			t.Errorf("their consent after the walk: %v, %v", scopes, err)
		}
	})
}

// The sector is a host that somebody owns, or the application alone; it stays
// what it was at first (OpenID Connect Core 1.0, Section 8.1).
func TestSector(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		for name, c := range map[string]struct {
			redirects []string
			want      string // empty: the application's id
		}{
			"one host":       {[]string{"https://a.example/cb", "https://a.example/other"}, "https://a.example"},
			"with a port":    {[]string{"https://a.example:8443/cb"}, "https://a.example"},
			"two hosts":      {[]string{"https://a.example/cb", "https://b.example/cb"}, ""},
			"loopback":       {[]string{"http://127.0.0.1/cb"}, ""},
			"IPv6":           {[]string{"https://[::1]/cb"}, ""},
			"localhost":      {[]string{"https://localhost/cb"}, ""},
			"a localhost":    {[]string{"https://app.localhost/cb"}, ""},
			"private scheme": {[]string{"com.example.app://a.example/cb"}, ""},
			"host and app":   {[]string{"https://a.example/cb", "com.example.app:/cb"}, ""},
		} {
			ask := web("t1", name)
			ask.Kind, ask.Auth, ask.RedirectURIs, ask.Sector = client.Native, client.AuthNone, c.redirects, "https://said.example"
			made, _ := mustCreate(t, r, db, ask)
			want := c.want
			if want == "" {
				want = string(made.ID)
			}
			made.RedirectURIs, made.Sector = []string{"https://moved.example/cb"}, "https://moved.example"
			var moved client.Client
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
				moved, err = r.Update(ctx, tx, made)
				return err
			})
			if err != nil || moved.Sector != want {
				t.Errorf("%s: sector %q, want %q, %v", name, moved.Sector, want, err)
			}
		}
	})
}

// A key that no verifier of ours will take is refused when it is registered,
// not when the application first needs it.
func TestSec_TOK07_KeysOfNoUse(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	n := base64.RawURLEncoding.EncodeToString(k.N.Bytes())
	db := sqldbtest.Open(t, sources)
	r := client.New(client.Config{DB: db, Now: func() time.Time { return now }})
	for name, tt := range map[string]struct {
		key string
		ok  bool
	}{
		"good":               {`{"kty":"RSA","kid":"k","n":"` + n + `","e":"AQAB"}`, true},
		"exponent 3":         {`{"kty":"RSA","kid":"k","n":"` + n + `","e":"Aw"}`, false},
		"for encryption":     {`{"kty":"RSA","kid":"k","use":"enc","n":"` + n + `","e":"AQAB"}`, false},
		"for an unknown alg": {`{"kty":"RSA","kid":"k","alg":"RSA-OAEP","n":"` + n + `","e":"AQAB"}`, false},
		"member twice":       {`{"kty":"RSA","kid":"k","kid":"k2","n":"` + n + `","e":"AQAB"}`, false},
	} {
		_, _, err := create(t, r, db, client.Client{Tenant: "t", Name: name, Kind: client.Web, Auth: client.AuthPrivateKey,
			JWKS: json.RawMessage(`{"keys":[` + tt.key + `]}`), Grants: []string{client.GrantCredentials}, Enabled: true})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
