package platform_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// TestProof: a proof says of a key what was shown of it, and no more.
func TestProof(t *testing.T) {
	base := []idp.Property{idp.PhishingResistant, idp.Possession, idp.MultiFactor}
	for name, c := range map[string]struct {
		biometric int
		attested  bool
		more      []idp.Property
		amr       string
	}{
		"as it comes":          {0, false, nil, "pop mfa"},
		"finger, those of now": {pssowire.TouchIDOrWatchCurrentSet, false, []idp.Property{idp.UserVerified}, "pop mfa"},
		"finger, any":          {pssowire.TouchIDOrWatchAny, false, []idp.Property{idp.UserVerified}, "pop mfa"},
		"reuse and fallback":   {pssowire.ReuseDuringUnlock | pssowire.PasswordFallback, false, nil, "pop mfa"},
		"attested":             {0, true, []idp.Property{idp.HardwareBound}, "hwk mfa"},
		"all of it":            {15, true, []idp.Property{idp.UserVerified, idp.HardwareBound}, "hwk mfa"},
	} {
		t.Run(name, func(t *testing.T) {
			w := oneWorld(t)
			w.judge = func(platform.Attestation) (bool, error) { return c.attested, nil }
			k, d := platformtest.New(), w.join("MacBook")
			cred, err := w.Corridor.RegisterOnce(t.Context(), w.asked(t, w.Ada, d, func(e *platform.Expected) platform.Offer {
				o := k.Offer(*e, w.Now())
				o.Biometric = c.biometric
				return o
			}))
			if err != nil {
				t.Fatal(err)
			}
			p, err := w.signIn(t, w.Ada, d, k)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Concat(base, c.more)
			if !slices.Equal(p.Properties, want) || strings.Join(p.AMR, " ") != c.amr {
				t.Errorf("proof has %v, amr %v; want %v, %s", p.Properties, p.AMR, want, c.amr)
			}
			if p.Facts.Attested != c.attested || p.Facts.Device != d || p.Facts.PlatformKey || !p.Time.Equal(w.Now()) || p.Credential != cred.ID {
				t.Errorf("proof %+v", p)
			}
			list := w.list(t, w.Ada)
			if !slices.Equal(cred.Properties, want) || len(list) != 1 || !slices.Equal(list[0].Properties, want) || list[0].Facts.Attested != c.attested {
				t.Errorf("registered %+v, listed %+v, want %v", cred, list, want)
			}
			if !list[0].LastUsed.Equal(w.Now().Truncate(time.Millisecond)) {
				t.Errorf("last used %s", list[0].LastUsed)
			}
		})
	}
}

// TestLeniency: what Macs and extensions spell in their own ways
// (apple-platform-sso.md §6, §17).
func TestLeniency(t *testing.T) {
	w := oneWorld(t)
	d, k := w.join("MacBook"), platformtest.New()
	w.register(t, w.Ada, d, k)
	id := k.ID()
	for name, change := range map[string]func(header, claims map[string]any){
		"as it is":             func(_, _ map[string]any) {},
		"typ of macOS 13":      func(h, _ map[string]any) { h["typ"] = "JWT" },
		"typ in capitals":      func(h, _ map[string]any) { h["typ"] = strings.ToUpper(pssowire.TypeAssertion) },
		"kid base64url":        func(h, _ map[string]any) { h["kid"] = base64.RawURLEncoding.EncodeToString(id[:]) },
		"kid without padding":  func(h, _ map[string]any) { h["kid"] = base64.RawStdEncoding.EncodeToString(id[:]) },
		"kid base64url padded": func(h, _ map[string]any) { h["kid"] = base64.URLEncoding.EncodeToString(id[:]) },
		"times in strings": func(_, c map[string]any) {
			c["iat"], c["exp"] = strconv.FormatInt(w.Now().Unix(), 10), strconv.FormatInt(w.Now().Add(5*time.Minute).Unix(), 10)
		},
		"a minute ahead": func(_, c map[string]any) {
			c["iat"], c["exp"] = w.Now().Add(time.Minute).Unix(), w.Now().Add(6*time.Minute).Unix()
		},
		"a minute behind": func(_, c map[string]any) {
			c["iat"], c["exp"] = w.Now().Add(-time.Minute).Unix(), w.Now().Add(4*time.Minute).Unix()
		},
		"aud as a list":      func(_, c map[string]any) { c["aud"] = []string{audience(w.Tenant.ID)} },
		"a claim of its own": func(_, c map[string]any) { c["x"] = "y" },
	} {
		r := w.ask(t, w.Ada, d, func(s platformtest.Said) []byte {
			h, c := k.Header(), s.Claims()
			change(h, c)
			return k.Sign(h, c)
		})
		if _, _, err := w.Corridor.Once(t.Context(), r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The name is the directory's to compare: the outer message has the same.
	u := w.Ada
	u.Name = strings.ToUpper(u.Name)
	if _, _, err := w.Corridor.Once(t.Context(), w.ask(t, u, d, k.Assertion)); err != nil {
		t.Errorf("name in capitals: %v", err)
	}
}

// TestRefused: each check of apple-platform-sso.md §6.4, 11 to 13, refuses for its
// own reason alone, and all with one number (decisions 2.7).
func TestRefused(t *testing.T) {
	w := oneWorld(t)
	d, other := w.join("MacBook"), w.join("Mac mini")
	k, elsewhere, bobs, spare := platformtest.New(), platformtest.New(), platformtest.New(), platformtest.New()
	w.register(t, w.Ada, d, k)
	w.register(t, w.Ada, other, elsewhere)
	w.register(t, w.Bob, d, bobs)
	type edit = func(header, claims map[string]any)
	cases := []struct {
		name, reason string
		by           *platformtest.Key
		edit         edit
	}{
		{"typ missing", "assertion_type", k, func(h, _ map[string]any) { delete(h, "typ") }},
		{"typ of a login request", "assertion_type", k, func(h, _ map[string]any) { h["typ"] = pssowire.TypeLogin }},
		{"typ of a proof of possession", "assertion_type", k, func(h, _ map[string]any) { h["typ"] = pssowire.TypeUserKey }},
		{"x5c", "header_refused", k, func(h, _ map[string]any) { h["x5c"] = "AAAA" }},
		{"use of the broker's", "header_refused", k, func(h, _ map[string]any) { h["use"] = "ngc" }},
		{"jwk", "embedded_key", k, func(h, _ map[string]any) { h["jwk"] = map[string]any{} }},
		{"crit", "header_refused", k, func(h, _ map[string]any) { h["crit"] = []string{"exp"} }},
		{"alg none", "algorithm_refused", k, func(h, _ map[string]any) { h["alg"] = "none" }},
		{"alg HS256", "algorithm_refused", k, func(h, _ map[string]any) { h["alg"] = "HS256" }},
		{"alg ES384", "algorithm_refused", k, func(h, _ map[string]any) { h["alg"] = "ES384" }},
		{"alg RS256", "algorithm_refused", k, func(h, _ map[string]any) { h["alg"] = "RS256" }},
		{"kid missing", "kid_malformed", k, func(h, _ map[string]any) { delete(h, "kid") }},
		{"kid too short", "kid_malformed", k, func(h, _ map[string]any) { h["kid"] = "AAAA" }},
		{"kid of a key that nobody has", "key_unknown", spare, func(_, _ map[string]any) {}},
		{"kid of Bob's key on this Mac", "key_unknown", k, func(h, _ map[string]any) { h["kid"] = bobs.ID().String() }},
		{"signed by another key", "wrong_signature", spare, func(h, _ map[string]any) { h["kid"] = k.ID().String() }},
		{"signed by Bob's", "key_unknown", bobs, func(_, _ map[string]any) {}},
		{"iss missing", "issuer_missing", k, func(_, c map[string]any) { delete(c, "iss") }},
		{"iss of another", "issuer_differs", k, func(_, c map[string]any) { c["iss"], c["sub"] = w.Bob.Name, w.Bob.Name }},
		{"sub of another", "subject_differs", k, func(_, c map[string]any) { c["sub"] = w.Bob.Name }},
		{"sub missing", "subject_differs", k, func(_, c map[string]any) { delete(c, "sub") }},
		{"request_nonce missing", "nonce_missing", k, func(_, c map[string]any) { delete(c, "request_nonce") }},
		{"another request_nonce", "nonce_differs", k, func(_, c map[string]any) { c["request_nonce"] = "AAAA" }},
		{"nonce missing", "login_nonce_differs", k, func(_, c map[string]any) { delete(c, "nonce") }},
		{"another nonce", "login_nonce_differs", k, func(_, c map[string]any) { c["nonce"] = "AAAA" }},
		{"another scope", "scope_differs", k, func(_, c map[string]any) { c["scope"] = "openid" }},
		{"aud missing", "audience_differs", k, func(_, c map[string]any) { delete(c, "aud") }},
		{"aud of another tenant", "audience_differs", k, func(_, c map[string]any) { c["aud"] = audience(w.Other.ID) }},
		{"aud of the broker's", "audience_differs", k, func(_, c map[string]any) { c["aud"] = "common" }},
		{"aud of two", "audience_differs", k, func(_, c map[string]any) { c["aud"] = []string{audience(w.Tenant.ID), "other"} }},
		{"iat missing", "times_missing", k, func(_, c map[string]any) { delete(c, "iat") }},
		{"exp missing", "times_missing", k, func(_, c map[string]any) { delete(c, "exp") }},
		{"from the future", "issued_ahead", k, func(_, c map[string]any) {
			c["iat"], c["exp"] = w.Now().Add(3*time.Minute).Unix(), w.Now().Add(8*time.Minute).Unix()
		}},
		{"late", "assertion_late", k, func(_, c map[string]any) {
			c["iat"], c["exp"] = w.Now().Add(-6*time.Minute).Unix(), w.Now().Add(-time.Minute).Unix()
		}},
		{"long", "assertion_long", k, func(_, c map[string]any) { c["exp"] = w.Now().Add(10*time.Minute + time.Second).Unix() }},
		{"backwards", "assertion_long", k, func(_, c map[string]any) {
			c["iat"], c["exp"] = w.Now().Add(time.Minute).Unix(), w.Now().Unix()
		}},
		{"key of another Mac", "other_device", elsewhere, func(_, _ map[string]any) {}},
	}
	for _, c := range cases {
		r := w.ask(t, w.Ada, d, func(s platformtest.Said) []byte {
			header, claims := c.by.Header(), s.Claims()
			c.edit(header, claims)
			return c.by.Sign(header, claims)
		})
		w.wantUnproven(t, c.name, c.reason, r)
		// The Mac was verified, so every outcome burns the nonce.
		r.Payload = k.Assertion(w.login(r))
		if _, _, err := w.Corridor.Once(t.Context(), r); !errors.Is(err, idp.Expired) {
			t.Errorf("%s, and then a good one on the same nonce: %v, want expired", c.name, err)
		}
	}
	raw := func(name, want string, make func(good []byte) []byte) {
		t.Helper()
		w.wantUnproven(t, name, want, w.ask(t, w.Ada, d, func(s platformtest.Said) []byte { return make(k.Assertion(s)) }))
	}
	signature := func(good, raw []byte) []byte {
		return append(bytes.Clone(good[:bytes.LastIndexByte(good, '.')+1]), base64.RawURLEncoding.EncodeToString(raw)...)
	}
	raw("r and s of zero", "wrong_signature", func(good []byte) []byte { return signature(good, make([]byte, 64)) })
	raw("r and s in DER", "wrong_signature", func(good []byte) []byte {
		return signature(good, append([]byte{0x30, 0x44, 2, 32}, make([]byte, 66)...))
	})
	raw("no signature", "token_malformed", func(good []byte) []byte { return good[:bytes.LastIndexByte(good, '.')+1] })
	raw("five parts", "token_malformed", func(good []byte) []byte { return append(good, "..AAAA"...) })
	if _, err := w.signIn(t, w.Ada, d, k); err != nil {
		t.Errorf("the good one: %v", err)
	}
	w.wantUnproven(t, "without a device", "device_missing", w.ask(t, w.Ada, "", k.Assertion))
	// What the door expects is of a Mac's message, or nothing is.
	r := w.ask(t, w.Ada, d, k.Assertion)
	r.Nonce = []byte(w.login(r).RequestNonce)
	w.wantUnproven(t, "on a bare nonce", "assertion_form", r)
	r = w.ask(t, w.Ada, d, k.Assertion)
	r.Nonce = w.expected(w.Tenant.ID, d, "x").Keep()
	w.wantUnproven(t, "on the state of a registration", "assertion_form", r)
}

// login is what the request around an assertion said.
func (w *world) login(r signin.OnceRequest) platformtest.Said {
	var nonce string
	if i := bytes.Index(r.Nonce, []byte(`"r":"`)); i >= 0 {
		nonce, _, _ = strings.Cut(string(r.Nonce[i+5:]), `"`)
	}
	return platformtest.Login(w.Ada.Name, audience(w.Tenant.ID), nonce, w.Now())
}

func (w *world) wantUnproven(t testing.TB, name, want string, r signin.OnceRequest) {
	t.Helper()
	_, _, err := w.Corridor.Once(t.Context(), r)
	if e := idp.AsError(err); err == nil || e.Kind != idp.Unproven || e.Code != 130005 || e.Reason != want {
		t.Errorf("%s: %v, want unproven %s (130005)", name, err, want)
	}
}

// TestMacOfKey: whoever has the key is told that its Mac is off or gone (130007,
// 130008); nobody else is.
func TestMacOfKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k, stranger := w.join("MacBook"), platformtest.New(), platformtest.New()
		w.register(t, w.Ada, d, k)
		codes := func(what string, want int) {
			t.Helper()
			if _, err := w.signIn(t, w.Ada, d, k); !errors.Is(err, idp.Denied) || idp.AsError(err).Code != want {
				t.Errorf("%s, good key: %v, want %d", what, err, want)
			}
			r := w.ask(t, w.Ada, d, func(s platformtest.Said) []byte {
				h := stranger.Header()
				h["kid"] = k.ID().String()
				return stranger.Sign(h, s.Claims())
			})
			w.wantUnproven(t, what+", wrong key", "wrong_signature", r)
		}
		w.set(d, platform.Machine{Name: "MacBook"})
		codes("off", 130007)
		if all := w.list(t, w.Ada); all[0].Usable() || !all[0].Disabled || all[0].Orphaned {
			t.Errorf("key of a Mac that is off: %+v", all[0])
		}
		w.set(d, platform.Machine{Name: "MacBook", Pending: true})
		codes("pending", 130007)
		w.set(d, platform.Machine{Name: "MacBook", Enabled: true})
		if _, err := w.signIn(t, w.Ada, d, k); err != nil {
			t.Errorf("switched on again: %v", err)
		}
		w.leave(t, d)
		codes("gone", 130008)
		if all := w.list(t, w.Ada); all[0].Usable() || !all[0].Orphaned {
			t.Errorf("key of a Mac that is gone: %+v", all[0])
		}
		// Orphaned for good, even if a Mac of that id came back.
		w.set(d, platform.Machine{Name: "MacBook", Enabled: true})
		codes("back", 130008)
	})
}

// TestMeanwhile: what was true when the answer was verified must still be when
// it settles.
func TestMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("MacBook"), platformtest.New()
		c := w.register(t, w.Ada, d, k)
		for name, happens := range map[string]func(context.Context, *sqldb.Tx) error{
			"removed": func(ctx context.Context, tx *sqldb.Tx) error {
				return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, c.ID)
			},
			"orphaned": func(ctx context.Context, tx *sqldb.Tx) error { return w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, d) },
		} {
			r := w.ask(t, w.Ada, d, k.Assertion)
			v, err := w.room.Verify(t.Context(), method.Answer{Tenant: r.Tenant, Device: d, Keep: w.room.KeepFrom(r.Nonce), Payload: r.Payload, Now: w.Now()})
			if err != nil {
				t.Fatal(err)
			}
			err = w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if err := happens(ctx, tx); err != nil {
					return err
				}
				if err := v.Settle(ctx, tx); reason(err) != "credential_gone" {
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

// TestNotOnPages: nothing of this method is on a page.
func TestNotOnPages(t *testing.T) {
	w := oneWorld(t)
	if _, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID}); reason(err) != "platform_not_on_page" {
		t.Errorf("challenge: %v", err)
	}
}

// TestEqualWork: an unknown person, an unknown key and a wrong signature of a
// key that another Mac has cost the database the same (decisions 2.7).
func TestEqualWork(t *testing.T) {
	db, statements := signintest.Counted(t, sources...)
	if db == nil {
		return
	}
	w := newWorld(t, db)
	d, k, spare := w.join("MacBook"), platformtest.New(), platformtest.New()
	w.register(t, w.Ada, d, k)
	d = w.join("Mac mini")
	cost := func(user string, kid pssowire.KeyID) int64 {
		t.Helper()
		u := w.Ada
		u.Name = user
		r := w.ask(t, u, d, func(s platformtest.Said) []byte {
			h := spare.Header()
			h["kid"] = kid.String()
			return spare.Sign(h, s.Claims())
		})
		before := statements()
		if _, _, err := w.Corridor.Once(t.Context(), r); !errors.Is(err, idp.Unproven) {
			t.Fatalf("%s: %v", user, err)
		}
		return statements() - before
	}
	cost(w.Ada.Name, k.ID()) // fills caches
	got := []int64{
		cost(w.Ada.Name, k.ID()), cost(w.Ada.Name, spare.ID()), cost("nobody@nordhafen.example", spare.ID()), cost("no name at all", spare.ID()),
	}
	if slices.Min(got) != slices.Max(got) || got[0] == 0 {
		t.Errorf("statements for a wrong signature, an unknown key, an unknown person, no person: %v", got)
	}
}
