package passkey

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// only is the id of the one key that an authenticator holds.
func only(a *passkeytest.Authenticator) idp.CredentialID { return idp.CredentialID(a.Held()[0].ID) }

// asserted has a key answer over a challenge of another room's.
func (w *world) asserted(t testing.TB, a *passkeytest.Authenticator, challenge []byte) []byte {
	t.Helper()
	options, err := json.Marshal(map[string]any{"challenge": string(encodeID(challenge)), "rpId": rpID})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestSec_WAN_AssertionElsewhere changes one thing of an assertion that is
// accepted without the change.
func TestSec_WAN_AssertionElsewhere(t *testing.T) {
	for _, c := range []struct {
		name   string
		lie    func(w *world, a *passkeytest.Authenticator)
		as     idp.UserID             // asked for; "": Ada
		only   idp.CredentialID       // "-": the key's own; "": any
		bend   func(challenge []byte) // what is judged, not what was signed
		short  bool                   // the challenge
		reason string
	}{
		{name: "the truth"},
		{name: "the truth, this key alone", only: "-"},
		{name: "another key is wanted", only: encodeID(make([]byte, 32)), reason: "credential_not_allowed"},
		{name: "a key is wanted that is no id", only: "!", reason: "credential_unknown"},
		{name: "somebody else is wanted", as: bo.ID, reason: "other_user"},
		{name: "another challenge", bend: func(c []byte) { c[31] ^= 1 }, reason: "wrong_challenge"},
		{name: "a short challenge", short: true, reason: "wrong_challenge"},
		{name: "a registration's type", reason: "wrong_type", lie: func(_ *world, a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { m["type"] = "webauthn.create" }
		}},
		{name: "another origin", reason: "wrong_origin", lie: func(_ *world, a *passkeytest.Authenticator) { a.Origin = "https://nordhafen.example" }},
		{name: "in a frame", reason: "cross_origin", lie: func(_ *world, a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { m["crossOrigin"] = true }
		}},
		{name: "another RP ID", reason: "wrong_rp_id", lie: func(_ *world, a *passkeytest.Authenticator) {
			a.AuthData = func(d []byte) []byte { d[31] ^= 1; return d }
		}},
		{name: "nobody there", reason: "user_absent", lie: func(_ *world, a *passkeytest.Authenticator) { a.Flags &^= passkeytest.FlagUP }},
		{name: "the user not verified", reason: "user_not_verified", lie: func(_ *world, a *passkeytest.Authenticator) { a.Flags &^= passkeytest.FlagUV }},
		{name: "another signature", reason: "bad_signature", lie: func(_ *world, a *passkeytest.Authenticator) { a.Signature = flip }},
		{name: "a key that nobody has", reason: "credential_unknown", lie: func(_ *world, a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) { p["id"], p["rawId"] = "AAAA", "AAAA" }
		}},
		{name: "no assertion", reason: "payload_malformed", lie: func(_ *world, a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) { delete(p, "response") }
		}},
		{name: "a counter that went back", reason: "counter_rollback", lie: func(_ *world, a *passkeytest.Authenticator) {
			a.AuthData = func(d []byte) []byte { copy(d[33:], []byte{0, 0, 0, 1}); return d }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
				w := newWorld(t, db, nil)
				w.rules.Counter = policy.CounterBlock
				a := device()
				a.Count = 9
				if c.reason != "counter_rollback" {
					a.Step = 1
				}
				w.register(t, ada, a)
				if c.lie != nil {
					c.lie(w, a)
				}
				challenge := secret.Bytes(32)
				if c.short {
					challenge = challenge[:8]
				}
				payload := w.asserted(t, a, challenge)
				if c.bend != nil {
					c.bend(challenge)
				}
				who, one := ada.ID, c.only
				if c.as != "" {
					who = c.as
				}
				if one == "-" {
					one = only(a)
				}
				got, err := w.VerifyAssertion(t.Context(), tenant, who, one, challenge, payload, w.now)
				if c.reason == "" {
					if err != nil || got.Credential != only(a) || len(got.AuthenticatorData) != 37 || len(got.Signature) == 0 || got.Synced {
						t.Fatalf("%+v, %v", got, err)
					}
					if err := db.Write(t.Context(), got.Settle); err != nil {
						t.Fatal(err)
					}
					if err := db.Write(t.Context(), got.Settle); err == nil || idp.AsError(err).Reason != "counter_rollback" {
						t.Errorf("settled twice: %v", err)
					}
					return
				}
				if e := idp.AsError(err); err == nil || e.Kind != idp.Unproven || e.Reason != c.reason {
					t.Errorf("%v, want %s", err, c.reason)
				}
				if (got.Settle != nil) != (c.reason == "counter_rollback") {
					t.Errorf("settle beside the error: %t", got.Settle != nil)
				}
			})
		})
	}
}

// TestSec_WAN_AssertionIsForOneRoom: what answers another room's challenge
// signs nobody in, and an answer to this room's is none to another.
func TestSec_WAN_AssertionIsForOneRoom(t *testing.T) {
	w, a := sqliteWorld(t), device()
	w.register(t, ada, a)
	challenge := secret.Bytes(32)
	elsewhere := w.asserted(t, a, challenge)
	c := w.begin(t, method.Request{User: ada})
	if _, err := w.verify(c, elsewhere); err == nil || idp.AsError(err).Reason != "wrong_challenge" {
		t.Errorf("another room's answer at sign-in: %v", err)
	}
	// Nor with a kept state of that purpose, which nothing gives out.
	k := keep{Purpose: purposeElsewhere, Challenge: challenge, User: ada.ID}
	c.Keep = k.bytes()
	if _, err := w.verify(c, elsewhere); err == nil || idp.AsError(err).Reason != "wrong_ceremony" {
		t.Errorf("with its purpose: %v", err)
	}
	if _, err := w.finish(c, elsewhere); err == nil || idp.AsError(err).Reason != "wrong_ceremony" {
		t.Errorf("at a registration: %v", err)
	}
	c = w.begin(t, method.Request{User: ada})
	payload, err := a.Get(c.Show)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.VerifyAssertion(t.Context(), tenant, ada.ID, "", challenge, payload, w.now); err == nil || idp.AsError(err).Reason != "wrong_challenge" {
		t.Errorf("a sign-in's answer elsewhere: %v", err)
	}
}

// TestAssertionOptions list what a person holds, or the one that will do.
func TestAssertionOptions(t *testing.T) {
	w := sqliteWorld(t)
	first, second := device(), device()
	challenge := secret.Bytes(32)
	if _, err := w.Assertion(t.Context(), tenant, ada.ID, "", challenge); !errors.Is(err, idp.NotFound) {
		t.Errorf("nobody's: %v", err)
	}
	w.register(t, ada, first)
	w.now = w.now.Add(time.Second)
	w.register(t, ada, second)
	for want, one := range map[int]idp.CredentialID{2: "", 1: only(second)} {
		show, err := w.Assertion(t.Context(), tenant, ada.ID, one, challenge)
		if err != nil {
			t.Fatal(err)
		}
		var o struct {
			PublicKey struct {
				Challenge        string `json:"challenge"`
				RPID             string `json:"rpId"`
				UserVerification string `json:"userVerification"`
				AllowCredentials []struct {
					ID idp.CredentialID `json:"id"`
				} `json:"allowCredentials"`
			} `json:"publicKey"`
		}
		if err := json.Unmarshal(show, &o); err != nil {
			t.Fatal(err)
		}
		p := o.PublicKey
		if p.Challenge != string(encodeID(challenge)) || p.RPID != rpID || p.UserVerification != "required" || len(p.AllowCredentials) != want ||
			p.AllowCredentials[want-1].ID != only(second) {
			t.Errorf("options %s", show)
		}
	}
	for what, ask := range map[string]func() error{
		"somebody else's": func() error {
			_, err := w.Assertion(t.Context(), tenant, bo.ID, only(first), challenge)
			return err
		},
		"another tenant's": func() error {
			_, err := w.Assertion(t.Context(), "other", ada.ID, only(first), challenge)
			return err
		},
	} {
		if err := ask(); !errors.Is(err, idp.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestHeld says whose a passkey is, and that it is gone.
func TestHeld(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w, a := newWorld(t, db, nil), device()
		a.Flags |= passkeytest.FlagBE
		w.register(t, ada, a)
		held := func(u idp.UserID, tn idp.TenantID) (facts idp.Facts, ok bool) {
			t.Helper()
			facts, ok, err := w.Held(t.Context(), w.store, tn, u, only(a))
			if err != nil {
				t.Fatal(err)
			}
			return facts, ok
		}
		if facts, ok := held(ada.ID, tenant); !ok || !facts.Synced {
			t.Errorf("its owner's: %t, %+v", ok, facts)
		}
		if _, ok := held(bo.ID, tenant); ok {
			t.Error("somebody else's")
		}
		if _, ok := held(ada.ID, "other"); ok {
			t.Error("another tenant's")
		}
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Remove(ctx, tx, tenant, ada.ID, only(a))
		})
		if _, ok := held(ada.ID, tenant); ok || err != nil {
			t.Errorf("held after it was removed, %v", err)
		}
	})
}
