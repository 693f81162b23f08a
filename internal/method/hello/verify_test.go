package hello_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// oneWorld runs on SQLite alone: for what no database decides.
func oneWorld(t testing.TB) *world {
	return newWorld(t, sqldbtest.Open(t, signintest.Sources(sources...)))
}

// TestProof: what a proof says of itself.
func TestProof(t *testing.T) {
	w := oneWorld(t)
	for _, c := range []struct {
		key *hellotest.Key
		amr string
	}{
		{rsaKey(0), "rsa mfa"},
		{hellotest.EC(), "pop mfa"},
	} {
		d := w.join("Laptop")
		cred := w.register(t, w.Ada, d, c.key)
		p, err := w.signIn(t, w.Ada, d, c.key)
		if err != nil {
			t.Fatal(err)
		}
		if p.Mode != idp.ModeHello || p.Method != hello.ID || p.Credential != cred.ID || p.Device != d || p.Facts.Device != d || !p.Time.Equal(w.Now()) {
			t.Errorf("proof %+v", p)
		}
		if got := strings.Join(p.AMR, " "); got != c.amr {
			t.Errorf("amr %q, want %q", got, c.amr)
		}
		for _, want := range []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor} {
			if !p.Has(want) {
				t.Errorf("proof does not claim %s", want)
			}
		}
	}
	for _, k := range w.list(t, w.Ada) {
		if !k.LastUsed.Equal(w.Now().Truncate(time.Millisecond)) {
			t.Errorf("last used %s", k.LastUsed)
		}
	}
}

// TestClients: the ways in which published clients write a good assertion
// (device-protocol.md §0, facts 10 to 12).
func TestClients(t *testing.T) {
	w := oneWorld(t)
	d, k := w.join("Laptop"), rsaKey(0)
	w.register(t, w.Ada, d, k)
	raw, err := base64.StdEncoding.DecodeString(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(header, claims map[string]any){
		"as it is":          func(_, _ map[string]any) {},
		"kid base64url":     func(h, _ map[string]any) { h["kid"] = base64.RawURLEncoding.EncodeToString(raw) },
		"no typ":            func(h, _ map[string]any) { delete(h, "typ") },
		"names in capitals": func(h, _ map[string]any) { h["Use"] = h["use"]; delete(h, "use") },
		"tenant":            func(_, c map[string]any) { c["aud"] = strings.ToUpper(string(w.Tenant.ID)) },
		"issuer":            func(_, c map[string]any) { c["aud"] = issuer(w.Tenant.ID) },
		"aud as a list":     func(_, c map[string]any) { c["aud"] = []string{"common"} },
		"no times":          func(_, c map[string]any) { delete(c, "iat"); delete(c, "exp") },
		"no iat":            func(_, c map[string]any) { delete(c, "iat") },
		"an hour each way": func(_, c map[string]any) {
			c["iat"] = strconv.FormatInt(w.Now().Add(-time.Hour).Unix(), 10)
			c["exp"] = strconv.FormatInt(w.Now().Add(time.Hour).Unix(), 10)
		},
		"ended just now":   func(_, c map[string]any) { c["exp"] = w.Now().Add(-59 * time.Second).Unix() },
		"name in capitals": func(_, c map[string]any) { c["iss"] = strings.ToUpper(w.Ada.Name) },
	} {
		r := w.ask(t, w.Ada, d, func(n string) []byte {
			h, c := k.Header(), hellotest.Claims(w.Ada.Name, n, w.Now())
			change(h, c)
			return k.Sign(h, c)
		})
		if _, _, err := w.Corridor.Once(t.Context(), r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, enc := range map[string]*base64.Encoding{"standard alphabet": base64.RawStdEncoding, "padded": base64.URLEncoding} {
		r := w.ask(t, w.Ada, d, func(n string) []byte { return k.SignAs(enc, k.Header(), hellotest.Claims(w.Ada.Name, n, w.Now())) })
		if _, _, err := w.Corridor.Once(t.Context(), r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefused: each check of device-protocol.md §7.2 refuses for its own reason
// alone, and all with one number (decisions 2.7).
func TestRefused(t *testing.T) {
	w := oneWorld(t)
	d, other := w.join("Laptop"), w.join("Desktop")
	k, curve, foreign, spare := rsaKey(0), hellotest.EC(), rsaKey(1), rsaKey(2)
	w.register(t, w.Ada, d, k)
	w.register(t, w.Ada, other, curve)
	w.register(t, w.Bob, d, foreign)
	type edit = func(header, claims map[string]any)
	cases := []struct {
		name, reason string
		by           *hellotest.Key
		edit         edit
	}{
		{"use missing", "key_use", k, func(h, _ map[string]any) { delete(h, "use") }},
		{"use of another kind", "key_use", k, func(h, _ map[string]any) { h["use"] = "sig" }},
		{"typ of another kind", "header_refused", k, func(h, _ map[string]any) { h["typ"] = "at+jwt" }},
		{"typ empty", "header_refused", k, func(h, _ map[string]any) { h["typ"] = "" }},
		{"x5c", "header_refused", k, func(h, _ map[string]any) { h["x5c"] = []string{"AAAA"} }},
		{"ctx", "header_refused", k, func(h, _ map[string]any) { h["ctx"] = "AAAAAAAAAAAAAAAAAAAAAAAA" }},
		{"kdf_ver", "header_refused", k, func(h, _ map[string]any) { h["kdf_ver"] = 2 }},
		{"a member nobody knows", "header_refused", k, func(h, _ map[string]any) { h["x"] = 1 }},
		{"jwk", "embedded_key", k, func(h, _ map[string]any) { h["jwk"] = map[string]any{} }},
		{"crit", "header_refused", k, func(h, _ map[string]any) { h["crit"] = []string{"exp"} }},
		{"alg none", "algorithm_refused", k, func(h, _ map[string]any) { h["alg"] = "none" }},
		{"alg HS256", "algorithm_refused", k, func(h, _ map[string]any) { h["alg"] = "HS256" }},
		{"alg of another kind of key", "algorithm_differs", k, func(h, _ map[string]any) { h["alg"] = "ES256" }},
		{"kid missing", "kid_malformed", k, func(h, _ map[string]any) { delete(h, "kid") }},
		{"kid too short", "kid_malformed", k, func(h, _ map[string]any) { h["kid"] = "AAAA" }},
		{"kid of a key that nobody has", "key_unknown", spare, func(_, _ map[string]any) {}},
		{"kid of another key of hers", "algorithm_differs", k, func(h, _ map[string]any) { h["kid"] = curve.ID() }},
		{"signed by another key", "wrong_signature", foreign, func(h, _ map[string]any) { h["kid"] = k.ID() }},
		{"nobody", "key_unknown", k, func(_, c map[string]any) { c["iss"] = "nobody@nordhafen.example" }},
		{"iss missing", "issuer_missing", k, func(_, c map[string]any) { delete(c, "iss") }},
		{"nonce missing", "nonce_missing", k, func(_, c map[string]any) { delete(c, "request_nonce") }},
		{"another nonce", "nonce_differs", k, func(_, c map[string]any) { c["request_nonce"] = "AAAA" }},
		{"aud missing", "audience_differs", k, func(_, c map[string]any) { delete(c, "aud") }},
		{"aud empty", "audience_differs", k, func(_, c map[string]any) { c["aud"] = "" }},
		{"aud of another tenant", "audience_differs", k, func(_, c map[string]any) { c["aud"] = string(w.Other.ID) }},
		{"aud of two", "audience_differs", k, func(_, c map[string]any) { c["aud"] = []string{"common", "other"} }},
		{"late", "assertion_late", k, func(_, c map[string]any) { c["exp"] = w.Now().Add(-time.Minute).Unix() }},
		{"long", "assertion_long", k, func(_, c map[string]any) {
			c["iat"], c["exp"] = w.Now().Add(-time.Hour).Unix(), w.Now().Add(time.Hour+time.Second).Unix()
		}},
		{"long, without a beginning", "assertion_long", k, func(_, c map[string]any) {
			delete(c, "iat")
			c["exp"] = w.Now().Add(2*time.Hour + time.Second).Unix()
		}},
		{"backwards", "assertion_long", k, func(_, c map[string]any) { c["iat"] = w.Now().Add(time.Hour).Unix() }},
		{"key of another device", "other_device", curve, func(_, _ map[string]any) {}},
	}
	for _, c := range cases {
		r := w.ask(t, w.Ada, d, func(n string) []byte {
			header, claims := c.by.Header(), hellotest.Claims(w.Ada.Name, n, w.Now())
			c.edit(header, claims)
			return c.by.Sign(header, claims)
		})
		_, _, err := w.Corridor.Once(t.Context(), r)
		if e := idp.AsError(err); err == nil || e.Kind != idp.Unproven || e.Code != 130005 || e.Reason != c.reason {
			t.Errorf("%s: %v (%d), want unproven %s (130005)", c.name, err, e.Code, c.reason)
		}
		// The device was verified, so every outcome burns both nonces.
		r.Payload = k.Assertion(w.Ada.Name, string(r.Nonce), w.Now())
		if _, _, err := w.Corridor.Once(t.Context(), r); !errors.Is(err, idp.Expired) {
			t.Errorf("%s, and then a good one on the same nonces: %v, want expired", c.name, err)
		}
	}
	if _, err := w.signIn(t, w.Ada, d, k); err != nil {
		t.Errorf("the good one: %v", err)
	}
	r := w.ask(t, w.Ada, "", func(n string) []byte { return k.Assertion(w.Ada.Name, n, w.Now()) })
	if _, _, err := w.Corridor.Once(t.Context(), r); reason(err) != "device_missing" {
		t.Errorf("without a device: %v", err)
	}
}

// TestDeviceOfKey: whoever has the key is told that its device is off or gone
// (130007, 130008); nobody else is.
func TestDeviceOfKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("Laptop"), hellotest.EC()
		w.register(t, w.Ada, d, k)
		codes := func(want int) {
			t.Helper()
			if _, err := w.signIn(t, w.Ada, d, k); idp.AsError(err) == nil || idp.AsError(err).Code != want {
				t.Errorf("good key: %v, want %d", err, want)
			}
			stranger := hellotest.EC()
			r := w.ask(t, w.Ada, d, func(n string) []byte {
				h := stranger.Header()
				h["kid"] = k.ID()
				return stranger.Sign(h, hellotest.Claims(w.Ada.Name, n, w.Now()))
			})
			if _, _, err := w.Corridor.Once(t.Context(), r); reason(err) != "wrong_signature" || idp.AsError(err).Code != 130005 {
				t.Errorf("wrong key: %v, want 130005", err)
			}
		}
		w.set(d, hello.Machine{Name: "Laptop"})
		codes(130007)
		if all := w.list(t, w.Ada); all[0].Usable() || !all[0].Disabled || all[0].Orphaned {
			t.Errorf("key of a device that is off: %+v", all[0])
		}
		// Asked, not stored: it comes back with its device.
		w.set(d, hello.Machine{Name: "Laptop", Enabled: true})
		if _, err := w.signIn(t, w.Ada, d, k); err != nil {
			t.Errorf("switched on again: %v", err)
		}
		w.leave(t, d)
		codes(130008)
		if all := w.list(t, w.Ada); all[0].Usable() || !all[0].Orphaned {
			t.Errorf("key of a device that is gone: %+v", all[0])
		}
		// Orphaned for good, even if a device of that id came back.
		w.set(d, hello.Machine{Name: "Laptop", Enabled: true})
		codes(130008)
	})
}

// TestMeanwhile: what was true when the answer was verified must still be when
// it settles.
func TestMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("Laptop"), hellotest.EC()
		c := w.register(t, w.Ada, d, k)
		for name, happens := range map[string]func(context.Context, *sqldb.Tx) error{
			"removed": func(ctx context.Context, tx *sqldb.Tx) error {
				return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, c.ID)
			},
			"orphaned": func(ctx context.Context, tx *sqldb.Tx) error { return w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, d) },
		} {
			r := w.ask(t, w.Ada, d, func(n string) []byte { return k.Assertion(w.Ada.Name, n, w.Now()) })
			v, err := w.room.Verify(t.Context(), r2a(w, r))
			if err != nil {
				t.Fatal(err)
			}
			err = w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if err := happens(ctx, tx); err != nil {
					return err
				}
				err := v.Settle(ctx, tx)
				if reason(err) != "credential_gone" {
					t.Errorf("%s meanwhile: %v", name, err)
				}
				return errors.New("undo")
			})
			if err == nil || err.Error() != "undo" {
				t.Fatal(err)
			}
		}
	})
}

// TestSameNonceTwice: a client that signs one nonce inside and outside is as
// welcome as one that fetched two (device-protocol.md §0, facts 4 and 5).
func TestSameNonceTwice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("Laptop"), hellotest.EC()
		w.register(t, w.Ada, d, k)
		r := w.ask(t, w.Ada, d, func(n string) []byte { return k.Assertion(w.Ada.Name, n, w.Now()) })
		r.Nonces = append(r.Nonces[1:], r.Nonces[1])
		if _, _, err := w.Corridor.Once(t.Context(), r); err != nil {
			t.Errorf("one nonce in two places: %v", err)
		}
		if _, _, err := w.Corridor.Once(t.Context(), r); !errors.Is(err, idp.Expired) {
			t.Errorf("again: %v, want expired", err)
		}
		if got := hello.Nonce(r.Payload); got != string(r.Nonce) {
			t.Errorf("read %q out of it, want %q", got, r.Nonce)
		}
		if got := hello.Nonce([]byte("x.y.z")); got != "" {
			t.Errorf("read %q out of nothing", got)
		}
	})
}

// TestEqualWork: an unknown person, an unknown key and a wrong signature of a
// key that another device has cost the database the same, and each looks at a
// signature (decisions 2.7). What a device keeps itself is no secret to it.
func TestEqualWork(t *testing.T) {
	db, statements := signintest.Counted(t, sources...)
	if db == nil {
		return
	}
	w := newWorld(t, db)
	d, k, spare := w.join("Laptop"), rsaKey(0), rsaKey(1)
	w.register(t, w.Ada, d, k)
	d = w.join("Desk")
	cost := func(user string, by *hellotest.Key, kid string) int64 {
		t.Helper()
		r := w.ask(t, w.Ada, d, func(n string) []byte {
			h := by.Header()
			h["kid"] = kid
			return by.Sign(h, hellotest.Claims(user, n, w.Now()))
		})
		before := statements()
		if _, _, err := w.Corridor.Once(t.Context(), r); !errors.Is(err, idp.Unproven) {
			t.Fatalf("%s: %v", user, err)
		}
		return statements() - before
	}
	cost(w.Ada.Name, spare, k.ID()) // fills caches
	got := []int64{
		cost(w.Ada.Name, spare, k.ID()), cost(w.Ada.Name, spare, spare.ID()), cost("nobody@nordhafen.example", spare, spare.ID()),
		cost("no name at all", spare, spare.ID()),
	}
	if slices.Min(got) != slices.Max(got) || got[0] == 0 {
		t.Errorf("statements for a wrong signature, an unknown key, an unknown person, no person: %v", got)
	}
	for _, alg := range []string{"RS256", "ES256"} {
		if algs, err := jose.Usable(w.room.Decoy(alg)); err != nil || !slices.Contains(algs, alg) {
			t.Errorf("decoy for %s: %v, %v", alg, algs, err)
		}
	}
}
