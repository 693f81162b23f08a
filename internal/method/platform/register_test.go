package platform_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// TestRegister: one key a person and Mac; a new one takes the place of the old,
// and what stood on that one ends.
func TestRegister(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.join("MacBook")
		first, second := platformtest.New(), platformtest.New()
		old := w.register(t, w.Ada, d, first)
		now := w.register(t, w.Ada, d, second)
		if len(w.replaced) != 1 || w.replaced[0] != old.ID {
			t.Errorf("what stood on the old key was ended for %v", w.replaced)
		}
		if all := w.list(t, w.Ada); len(all) != 1 || all[0].ID != now.ID || all[0].Name != "MacBook" {
			t.Errorf("held %+v, want the new key alone", all)
		}
		if _, err := w.signIn(t, w.Ada, d, first); reason(err) != "key_unknown" {
			t.Errorf("the old key: %v", err)
		}
		if _, err := w.signIn(t, w.Ada, d, second); err != nil {
			t.Errorf("the new key: %v", err)
		}
		w.register(t, w.Bob, d, platformtest.New()) // one a person and Mac
		if c := w.register(t, w.Ada, w.join("macbook"), platformtest.New()); c.Name != "macbook 2" {
			t.Errorf("called %q", c.Name)
		}
		refuse := func(what, want string, change func(r *signin.RegisterOnceRequest)) {
			t.Helper()
			r := w.registration(t, w.Ada, d, platformtest.New())
			change(&r)
			if _, err := w.Corridor.RegisterOnce(t.Context(), r); reason(err) != want {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
		refuse("old proof", "fresh_proof_needed", func(r *signin.RegisterOnceRequest) { r.ProofTime = w.Now().Add(-10*time.Minute - time.Second) })
		refuse("nobody", "fresh_proof_needed", func(r *signin.RegisterOnceRequest) { r.User = idp.User{} })
		refuse("no device", "registration_for_nobody", func(r *signin.RegisterOnceRequest) { r.Device = "" })
		refuse("Mac of nobody", "device_missing", func(r *signin.RegisterOnceRequest) { r.Device = "gone" })
		refuse("Mac that is off", "device_disabled", func(r *signin.RegisterOnceRequest) { r.Device = w.set("off", platform.Machine{}) })
		refuse("state of a login", "ceremony_malformed", func(r *signin.RegisterOnceRequest) {
			r.Nonce = platformtest.Login(w.Ada.Name, "x", "y", w.Now()).Keep()
		})
		refuse("no state", "ceremony_malformed", func(r *signin.RegisterOnceRequest) { r.Nonce = nil })
		refuse("state of nothing", "ceremony_malformed", func(r *signin.RegisterOnceRequest) { r.Nonce = platform.Expected{}.Keep() })
		w.Switch(t, w.Tenant.ID, platform.ID, false)
		refuse("method off", "method_off", func(*signin.RegisterOnceRequest) {})
		w.Switch(t, w.Tenant.ID, platform.ID, true)
		w.Enable(t, w.Ada, false)
		refuse("disabled", "user_disabled", func(*signin.RegisterOnceRequest) {})
		if all := w.list(t, w.Ada); len(all) != 2 {
			t.Errorf("%d keys after refusals, want 2", len(all))
		}
	})
}

// TestPendingMac: a Mac that waits for its first person may register a key.
func TestPendingMac(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.set("pending", platform.Machine{Name: "MacBook", Pending: true}), platformtest.New()
		r := w.registration(t, w.Ada, d, k)
		r.Settle = func(context.Context, *sqldb.Tx, idp.Proof) error {
			w.set(d, platform.Machine{Name: "MacBook", Enabled: true})
			return nil
		}
		c, err := w.Corridor.RegisterOnce(t.Context(), r)
		if err != nil || !c.Usable() {
			t.Fatalf("registered %+v, %v", c, err)
		}
		if _, err := w.signIn(t, w.Ada, d, k); err != nil {
			t.Errorf("sign in: %v", err)
		}
	})
}

// TestAgain: the same key once more, by the same person on the same Mac, is the
// credential that is there; what it was made with stays, and that it is attested
// may come later.
func TestAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("MacBook"), platformtest.New()
		first := w.register(t, w.Ada, d, k)
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Rename(ctx, tx, w.Tenant.ID, w.Ada.ID, first.ID, "Work")
		})
		w.judge = func(platform.Attestation) (bool, error) { return true, nil }
		again, err := w.Corridor.RegisterOnce(t.Context(), w.asked(t, w.Ada, d, func(e *platform.Expected) platform.Offer {
			o := k.Offer(*e, w.Now())
			o.Biometric = pssowire.TouchIDOrWatchAny
			return o
		}))
		if err != nil || again.ID != first.ID || again.Name != "Work" || len(w.replaced) != 0 {
			t.Fatalf("again %+v, %v; replaced %v", again, err, w.replaced)
		}
		if !again.Facts.Attested || slices.Contains(again.Properties, idp.UserVerified) {
			t.Errorf("again %+v", again)
		}
		p, err := w.signIn(t, w.Ada, d, k)
		if err != nil || !p.Has(idp.HardwareBound) || p.Has(idp.UserVerified) {
			t.Errorf("proof %+v, %v", p, err)
		}
		w.judge = nil
		w.register(t, w.Ada, d, k)
		if p, err := w.signIn(t, w.Ada, d, k); err != nil || !p.Has(idp.HardwareBound) {
			t.Errorf("the attestation was lost: %+v, %v", p, err)
		}
		if all := w.list(t, w.Ada); len(all) != 1 {
			t.Errorf("held %+v", all)
		}
		w.limit = 1
		if w.register(t, w.Ada, d, k).ID != first.ID {
			t.Error("at the limit it is another")
		}
		// The Mac was registered anew, with other keys of its own, and has kept this
		// one.
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, d) })
		if _, err := w.signIn(t, w.Ada, d, k); reason(err) != "device_missing" {
			t.Errorf("an orphan: %v", err)
		}
		if w.register(t, w.Ada, d, k).ID != first.ID {
			t.Error("on the Mac that came back it is another")
		}
		if _, err := w.signIn(t, w.Ada, d, k); err != nil {
			t.Errorf("no orphan any more: %v", err)
		}
	})
}

// TestProofs: each check of a proof of possession refuses for its own reason
// alone (apple-platform-sso.md §9.3).
func TestProofs(t *testing.T) {
	w := oneWorld(t)
	d, other := w.join("MacBook"), w.join("Mac mini")
	stranger := platformtest.New()
	type edit = func(header, claims map[string]any)
	cases := []struct {
		name, reason string
		edit         edit
	}{
		{"typ missing", "proof_type", func(h, _ map[string]any) { delete(h, "typ") }},
		{"typ of an assertion", "proof_type", func(h, _ map[string]any) { h["typ"] = pssowire.TypeAssertion }},
		{"alg none", "proof_malformed", func(h, _ map[string]any) { h["alg"] = "none" }},
		{"jwk", "proof_malformed", func(h, _ map[string]any) { h["jwk"] = map[string]any{} }},
		{"of another client", "proof_issuer", func(_, c map[string]any) { c["iss"] = "other" }},
		{"for another address", "proof_audience", func(_, c map[string]any) { c["aud"] = audience(w.Tenant.ID) + "/device" }},
		{"for nobody", "proof_audience", func(_, c map[string]any) { delete(c, "aud") }},
		{"for two", "proof_audience", func(_, c map[string]any) { c["aud"] = []string{audience(w.Tenant.ID) + "/user", "x"} }},
		{"on another nonce", "proof_nonce", func(_, c map[string]any) { c["request_nonce"] = "x" }},
		{"without a nonce", "proof_nonce", func(_, c map[string]any) { delete(c, "request_nonce") }},
		{"for another Mac", "proof_device", func(_, c map[string]any) { c["device"] = signing(other).String() }},
		{"for no Mac", "proof_device", func(_, c map[string]any) { delete(c, "device") }},
		{"about another key", "proof_key", func(_, c map[string]any) { c["key"] = stranger.ID().String() }},
		{"about no key", "proof_key", func(_, c map[string]any) { delete(c, "key") }},
		{"without times", "proof_times", func(_, c map[string]any) { delete(c, "exp") }},
		{"late", "proof_times", func(_, c map[string]any) {
			c["iat"], c["exp"] = w.Now().Add(-6*time.Minute).Unix(), w.Now().Add(-time.Minute).Unix()
		}},
	}
	refused := func(name, want string, r signin.RegisterOnceRequest) {
		t.Helper()
		_, err := w.Corridor.RegisterOnce(t.Context(), r)
		if !errors.Is(err, idp.Invalid) || reason(err) != want || idp.AsError(err).Public == "" {
			t.Errorf("%s: %v, want invalid %s", name, err, want)
		}
	}
	for _, c := range cases {
		k := platformtest.New()
		refused(c.name, c.reason, w.asked(t, w.Ada, d, func(e *platform.Expected) platform.Offer {
			o := k.Offer(*e, w.Now())
			h, claims := k.ProofHeader(), platformtest.ProofClaims(*e, k.ID(), w.Now())
			c.edit(h, claims)
			o.Proof = string(k.Sign(h, claims))
			return o
		}))
	}
	offer := func(name, want string, change func(*platform.Offer, platform.Expected, *platformtest.Key)) {
		t.Helper()
		k := platformtest.New()
		refused(name, want, w.asked(t, w.Ada, d, func(e *platform.Expected) platform.Offer {
			o := k.Offer(*e, w.Now())
			change(&o, *e, k)
			return o
		}))
	}
	offer("signed by another key", "key_not_held", func(o *platform.Offer, e platform.Expected, k *platformtest.Key) {
		o.Proof = stranger.Proof(e, k.ID(), w.Now())
	})
	offer("no proof", "proof_malformed", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) { o.Proof = "" })
	offer("no key", "key_malformed", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) { o.Key = nil })
	offer("point not on the curve", "key_malformed", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) {
		o.Key = append(bytes.Clone(o.Key[:64]), o.Key[64]^1)
	})
	offer("point at infinity", "key_malformed", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) { o.Key = []byte{0} })
	offer("compressed point", "key_malformed", func(o *platform.Offer, _ platform.Expected, k *platformtest.Key) {
		point, err := k.Public().Bytes() // 4, then both coordinates
		if err != nil {
			t.Fatal(err)
		}
		o.Key = append([]byte{2 + point[64]&1}, point[1:33]...) // SEC 1, section 2.3.3
	})
	offer("P-384", "key_malformed", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) {
		large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if o.Key, err = large.PublicKey.Bytes(); err != nil {
			t.Fatal(err)
		}
	})
	offer("unknown biometric policy", "biometric_policy", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) { o.Biometric = 16 })
	offer("negative biometric policy", "biometric_policy", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) { o.Biometric = -1 })
	offer("attested by its own word", "biometric_policy", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) { o.Biometric = 256 })
	offer("chain too long", "attestation_malformed", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) {
		o.Attestation = [][]byte{{1}, {1}, {1}, {1}, {1}, {1}}
	})
	offer("certificate of nothing", "attestation_malformed", func(o *platform.Offer, _ platform.Expected, _ *platformtest.Key) { o.Attestation = [][]byte{{}} })
	r := w.registration(t, w.Ada, d, platformtest.New())
	r.Payload = []byte("{")
	refused("no offer", "offer_malformed", r)
	if all := w.list(t, w.Ada); len(all) != 0 {
		t.Errorf("held %+v after refusals", all)
	}
}

// TestAttestation: the chain's judge is told what it must be made for, and
// decides.
func TestAttestation(t *testing.T) {
	w := oneWorld(t)
	d, k := w.join("MacBook"), platformtest.New()
	var seen platform.Attestation
	w.judge = func(a platform.Attestation) (bool, error) { seen = a; return true, nil }
	var nonce string
	chain := [][]byte{{1, 2}, {3}}
	_, err := w.Corridor.RegisterOnce(t.Context(), w.asked(t, w.Ada, d, func(e *platform.Expected) platform.Offer {
		nonce = e.Nonce
		o := k.Offer(*e, w.Now())
		o.Attestation = chain
		return o
	}))
	if err != nil {
		t.Fatal(err)
	}
	id := k.ID()
	want := sha256.Sum256(append(append([]byte(nonce), 0), id[:]...))
	if seen.Device != d || !seen.Key.Equal(k.Public()) || !bytes.Equal(seen.Hash, want[:]) || len(seen.Chain) != 2 || !bytes.Equal(seen.Chain[1], chain[1]) {
		t.Errorf("the judge saw %+v", seen)
	}
	w.judge = func(a platform.Attestation) (bool, error) {
		return false, idp.Deniedf("attestation_required", "%d certificates", len(a.Chain))
	}
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.registration(t, w.Bob, d, platformtest.New())); reason(err) != "attestation_required" {
		t.Errorf("where one is required: %v", err)
	}
	w.judge = func(platform.Attestation) (bool, error) { return false, errors.New("no roots") }
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.registration(t, w.Bob, d, platformtest.New())); err == nil || idp.AsError(err).Kind != idp.Internal {
		t.Errorf("a judge that fails: %v", err)
	}
	if len(w.list(t, w.Bob)) != 0 {
		t.Error("a key was registered all the same")
	}
}

// TestEvents: registrations, refused ones too, are on record.
func TestEvents(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.join("MacBook")
		w.register(t, w.Ada, d, platformtest.New())
		r := w.registration(t, w.Ada, d, platformtest.New())
		r.Payload = nil
		if _, err := w.Corridor.RegisterOnce(t.Context(), r); !errors.Is(err, idp.Invalid) {
			t.Fatal(err)
		}
		w.wants(t, "platform.register success", 1)
		w.wants(t, "platform.register failure offer_malformed", 1)
		for _, e := range w.Events(t, w.Tenant.ID) {
			if strings.Contains(e, "internal") {
				t.Errorf("event %q", e)
			}
		}
	})
}
