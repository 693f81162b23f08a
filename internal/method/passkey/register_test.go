package passkey

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// authDataFlag returns a lie about the flags of authenticator data.
func authDataFlags(set, clear byte) func([]byte) []byte {
	return func(d []byte) []byte { d[32] = d[32]&^clear | set; return d }
}

func flip(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b }

func response(p map[string]any) map[string]any { return p["response"].(map[string]any) }

// TestRegistrationSteps has at least one case for every step of WebAuthn Level
// 3, §7.1 at which a server can refuse. Each case changes one thing of a
// registration that is accepted without the change (the first row), and names
// the one reason it must fail for. Steps 1, 2, 12, 27 and 29 are what the
// server does itself; TestShowShapes and TestRegisterAndSignIn see them.
func TestRegistrationSteps(t *testing.T) {
	ca, err := passkeytest.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	otherCA, err := passkeytest.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	required := func(r *policy.PasskeyRules) { r.Attestation = policy.AttestationRequired }
	type lie func(*passkeytest.Authenticator)
	for _, row := range []struct {
		name   string
		lie    lie
		rules  func(*policy.PasskeyRules)
		kind   idp.Kind
		reason string
	}{
		{name: "the truth"},
		{name: "the truth, attested", lie: func(a *passkeytest.Authenticator) { a.CA = ca }, rules: required},
		{name: "the truth, self attested", lie: func(a *passkeytest.Authenticator) { a.Attestation = "packed-self" }},

		{name: "step 3: an assertion's response", kind: idp.Unproven, reason: "payload_malformed", lie: func(a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) {
				delete(response(p), "attestationObject")
				response(p)["signature"] = "AA"
			}
		}},
		{name: "step 3: not a public key", kind: idp.Unproven, reason: "payload_malformed", lie: func(a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) { p["type"] = "password" }
		}},
		{name: "step 4: extension results are no object", kind: idp.Unproven, reason: "payload_malformed", lie: func(a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) { p["clientExtensionResults"] = "none" }
		}},
		{name: "step 5: not UTF-8", kind: idp.Unproven, reason: "client_data_not_utf8", lie: func(a *passkeytest.Authenticator) {
			a.RawClient = func(b []byte) []byte {
				return append(b[:len(b)-1], []byte(",\"x\":\"\xff\"}")...)
			}
		}},
		{name: "step 6: not JSON", kind: idp.Unproven, reason: "client_data_malformed", lie: func(a *passkeytest.Authenticator) {
			a.RawClient = func(b []byte) []byte { return b[1:] }
		}},
		{name: "step 6: a member twice", kind: idp.Unproven, reason: "client_data_malformed", lie: func(a *passkeytest.Authenticator) {
			a.RawClient = func(b []byte) []byte {
				return append(b[:len(b)-1], []byte(`,"origin":"`+origin+`"}`)...)
			}
		}},
		{name: "step 7: a sign-in's type", kind: idp.Unproven, reason: "wrong_type", lie: func(a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { m["type"] = "webauthn.get" }
		}},
		{name: "step 6: a member by another case", kind: idp.Unproven, reason: "client_data_malformed", lie: func(a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { m["Type"] = m["type"]; delete(m, "type") }
		}},
		{name: "step 8: another challenge", kind: idp.Unproven, reason: "wrong_challenge", lie: func(a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { m["challenge"] = strings.Repeat("A", 43) }
		}},
		{name: "step 8: no challenge", kind: idp.Unproven, reason: "wrong_challenge", lie: func(a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { delete(m, "challenge") }
		}},
		{name: "step 9: another origin", kind: idp.Unproven, reason: "wrong_origin", lie: func(a *passkeytest.Authenticator) {
			a.Origin = "https://id.nordhafen.example.evil.example"
		}},
		{name: "step 10: in a foreign frame", kind: idp.Unproven, reason: "cross_origin", lie: func(a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { m["crossOrigin"] = true }
		}},
		{name: "step 11: under a top origin", kind: idp.Unproven, reason: "top_origin", lie: func(a *passkeytest.Authenticator) {
			a.ClientData = func(m map[string]any) { m["topOrigin"] = "https://evil.example" }
		}},
		{name: "step 13: attestation object is no CBOR", kind: idp.Unproven, reason: "attestation_object_malformed", lie: func(a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) { response(p)["attestationObject"] = "_w" }
		}},
		{name: "step 13: bytes after the attestation object", kind: idp.Unproven, reason: "attestation_object_malformed", lie: func(a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) {
				raw, _ := unbase64(response(p)["attestationObject"].(string))
				response(p)["attestationObject"] = string(encodeID(append(raw, 0)))
			}
		}},
		{name: "step 13: no attested credential data", kind: idp.Unproven, reason: "authenticator_data_malformed", lie: func(a *passkeytest.Authenticator) {
			a.AuthData = func(d []byte) []byte { d[32] &^= passkeytest.FlagAT; return d[:37] }
		}},
		{name: "step 13: bytes after authenticator data", kind: idp.Unproven, reason: "authenticator_data_malformed", lie: func(a *passkeytest.Authenticator) {
			a.AuthData = func(d []byte) []byte { return append(d, 0) }
		}},
		{name: "step 14: another RP ID", kind: idp.Unproven, reason: "wrong_rp_id", lie: func(a *passkeytest.Authenticator) {
			a.AuthData = func(d []byte) []byte { d[0] ^= 1; return d }
		}},
		{name: "step 15: nobody was there", kind: idp.Unproven, reason: "user_absent", lie: func(a *passkeytest.Authenticator) {
			a.AuthData = authDataFlags(0, passkeytest.FlagUP)
		}},
		{name: "step 16: not verified", kind: idp.Unproven, reason: "user_not_verified", lie: func(a *passkeytest.Authenticator) {
			a.AuthData = authDataFlags(0, passkeytest.FlagUV)
		}},
		{name: "step 17: backed up, not eligible", kind: idp.Unproven, reason: "backup_state_inconsistent", lie: func(a *passkeytest.Authenticator) {
			a.AuthData = authDataFlags(passkeytest.FlagBS, passkeytest.FlagBE)
		}},
		{name: "step 18: eligible, where the tenant wants none", kind: idp.Denied, reason: "synced_not_allowed", lie: func(a *passkeytest.Authenticator) {
			a.Flags |= passkeytest.FlagBE
		}, rules: func(r *policy.PasskeyRules) { r.Synced = policy.SyncedDeny }},
		{name: "step 19: backed up, where the tenant wants none", kind: idp.Denied, reason: "synced_not_allowed", lie: func(a *passkeytest.Authenticator) {
			a.Flags |= passkeytest.FlagBE | passkeytest.FlagBS
		}, rules: func(r *policy.PasskeyRules) { r.Synced = policy.SyncedDeny }},
		{name: "step 20: an algorithm not offered", kind: idp.Unproven, reason: "algorithm_not_offered", lie: func(a *passkeytest.Authenticator) {
			a.Key = replace([]byte{0x03, 0x26}, []byte{0x03, 0x28}) // alg -9
		}},
		{name: "step 20: an ES256 key that says EdDSA", kind: idp.Unproven, reason: "key_malformed", lie: func(a *passkeytest.Authenticator) {
			a.Key = replace([]byte{0x03, 0x26}, []byte{0x03, 0x27})
		}},
		{name: "step 21: a format nobody knows", kind: idp.Unproven, reason: "attestation_format_unknown", lie: func(a *passkeytest.Authenticator) {
			a.Attestation, a.Statement = "packed-self", func(string) string { return "sealed" }
		}},
		{name: "step 21: the format by another case", kind: idp.Unproven, reason: "attestation_format_unknown", lie: func(a *passkeytest.Authenticator) {
			a.Attestation, a.Statement = "packed-self", strings.ToUpper
		}},
		{name: "step 22: none, with a statement", kind: idp.Unproven, reason: "attestation_invalid", lie: func(a *passkeytest.Authenticator) {
			a.Attestation, a.Statement = "packed-self", func(string) string { return "none" }
		}},
		{name: "step 22: wrong signature by the key", kind: idp.Unproven, reason: "attestation_invalid", lie: func(a *passkeytest.Authenticator) {
			a.Attestation, a.Signature = "packed-self", flip
		}},
		{name: "step 22: wrong signature by the maker", kind: idp.Unproven, reason: "attestation_invalid", lie: func(a *passkeytest.Authenticator) {
			a.CA, a.Attestation, a.Signature = ca, "packed", flip
		}},
		{name: "step 22: certificate of another model", kind: idp.Unproven, reason: "attestation_invalid", lie: func(a *passkeytest.Authenticator) {
			a.CA, a.Attestation = ca, "packed"
			a.AuthData = func(d []byte) []byte { d[37] ^= 1; return d }
		}},
		{name: "step 23: a chain to no anchor", kind: idp.Denied, reason: "attestation_unanchored", lie: func(a *passkeytest.Authenticator) {
			a.CA = otherCA
		}, rules: required},
		{name: "step 24: none, where one is required", kind: idp.Denied, reason: "attestation_none", rules: required},
		{name: "step 24: self, where one is required", kind: idp.Denied, reason: "attestation_self", lie: func(a *passkeytest.Authenticator) {
			a.Attestation = "packed-self"
		}, rules: required},
		{name: "step 25: an id of 1024 bytes", kind: idp.Unproven, reason: "credential_id_too_long", lie: func(a *passkeytest.Authenticator) {
			a.IDLength = 1024
			// Outside, an id that would pass.
			a.Payload = func(p map[string]any) { p["id"], p["rawId"] = "AAAA", "AAAA" }
		}},
		{name: "step 27: another id outside", kind: idp.Unproven, reason: "credential_id_mismatch", lie: func(a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) { p["id"], p["rawId"] = "AAAA", "AAAA" }
		}},
		{name: "step 28: not discoverable", kind: idp.Unproven, reason: "not_discoverable", lie: func(a *passkeytest.Authenticator) {
			no := false
			a.RK = &no
		}},
		{name: "step 28: credProps that is none", kind: idp.Unproven, reason: "extension_malformed", lie: func(a *passkeytest.Authenticator) {
			a.Payload = func(p map[string]any) { p["clientExtensionResults"] = map[string]any{"credProps": "yes"} }
		}},
		{name: "step 28: extensions of the key that are no map", kind: idp.Unproven, reason: "authenticator_data_malformed", lie: func(a *passkeytest.Authenticator) {
			a.AuthData = func(d []byte) []byte { d[32] |= passkeytest.FlagED; return append(d, 0xff) }
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sqldbtest.Open(t, sources), ca.Pool())
			if row.rules != nil {
				row.rules(&w.rules)
			}
			d := device()
			if row.lie != nil {
				row.lie(d)
			}
			_, err := w.tryRegister(t, ada, d)
			if row.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantReason(t, err, row.kind, row.reason)
		})
	}
}

func replace(old, new []byte) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, old, new, 1) }
}

// TestRegistrationStep26 is the id that exists: for another user and for the
// same, seen only by the database.
func TestRegistrationStep26(t *testing.T) {
	for _, u := range []idp.User{bo, ada} {
		w, d := sqliteWorld(t), device()
		c := w.register(t, ada, d)
		// The same key again, as if excludeCredentials did not exist.
		a := w.beginRegister(t, u)
		forged := device()
		forged.IDLength = 32
		id, _ := unbase64(string(c.ID))
		forged.AuthData = func(b []byte) []byte { copy(b[55:], id); return b }
		forged.Payload = func(p map[string]any) { p["id"], p["rawId"] = string(c.ID), string(c.ID) }
		payload, err := forged.Create(a.Show)
		if err != nil {
			t.Fatal(err)
		}
		reg, err := w.finish(a, payload)
		if err != nil {
			t.Fatal(err)
		}
		wantReason(t, w.settle(reg.Settle), idp.Conflict, "credential_exists")
		if list, _ := w.List(t.Context(), tenant, u.ID); u == bo && len(list) != 0 {
			t.Errorf("bo has %d passkeys", len(list))
		}
		// And nothing of the attempt is left: the first key still signs in.
		if p, err := w.signIn(t, d); err != nil || p.User != ada.ID {
			t.Errorf("the first key: %v, %v", p.User, err)
		}
	}
}

// TestSec_WAN04_IDOfAnotherTenant: the tenants share the RP ID, so an id that a
// key of one has is taken in all; and nothing of that key is found from another.
func TestSec_WAN04_IDOfAnotherTenant(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w, d := newWorld(t, db, nil), device()
		c := w.register(t, ada, d)
		const other = idp.TenantID("22222222-2222-4222-8222-222222222222")
		eve := idp.User{ID: "e0000000-0000-4000-8000-000000000005", Tenant: other, Name: "eve@westwerk.example", Enabled: true}
		w.cfg.User = func(_ context.Context, tenant idp.TenantID, id idp.UserID) (idp.User, error) {
			for _, u := range []idp.User{ada, eve} {
				if u.Tenant == tenant && u.ID == id {
					return u, nil
				}
			}
			return idp.User{}, idp.NotFoundf("user_missing", "%s", id)
		}
		register := func(d *passkeytest.Authenticator) error {
			t.Helper()
			begun, err := w.BeginRegister(t.Context(), method.Request{Tenant: other, User: eve, Now: w.now})
			if err != nil {
				t.Fatal(err)
			}
			payload, err := d.Create(begun.Show)
			if err != nil {
				t.Fatal(err)
			}
			reg, err := w.FinishRegister(t.Context(), method.Answer{Tenant: other, User: eve, Keep: begun.Keep, Payload: payload, Now: w.now})
			if err != nil {
				t.Fatal(err)
			}
			return w.settle(reg.Settle)
		}
		raw, err := unbase64(string(c.ID))
		if err != nil {
			t.Fatal(err)
		}
		wantReason(t, register(withID(device(), raw)), idp.Conflict, "credential_exists")
		if list, err := w.List(t.Context(), other, eve.ID); err != nil || len(list) != 0 {
			t.Errorf("eve has %d passkeys, %v", len(list), err)
		}
		// Nor is a place of hers used up by it.
		var held int
		if err := db.QueryRow(t.Context(), `select cast(coalesce(sum(held), 0) as bigint) from passkey_handle where tenant_id = $1`, other).Scan(&held); err != nil || held != 0 {
			t.Errorf("eve holds %d, %v", held, err)
		}
		// The key is nobody's over there, however good its signature is.
		begun, err := w.Challenge(t.Context(), method.Request{Tenant: other, Now: w.now})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := d.Get(begun.Show)
		if err != nil {
			t.Fatal(err)
		}
		v, err := w.Verify(t.Context(), method.Answer{Tenant: other, Keep: begun.Keep, Payload: payload, Now: w.now})
		wantReason(t, err, idp.Unproven, "credential_unknown")
		if v.Proof.User != "" || v.Proof.Credential != "" {
			t.Errorf("the refusal names %+v of another tenant", v.Proof)
		}
		wantReason(t, w.store.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Remove(ctx, tx, other, ada.ID, c.ID)
		}), idp.NotFound, "passkey_missing")
		if p, err := w.signIn(t, d); err != nil || p.User != ada.ID {
			t.Errorf("the first key: %v, %v", p.User, err)
		}
		if err := register(device()); err != nil {
			t.Errorf("another id: %v", err)
		}
	})
}

func TestRegistrationNotForOthers(t *testing.T) {
	w, d := sqliteWorld(t), device()
	a := w.beginRegister(t, ada)
	payload, err := d.Create(a.Show)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.finish(asked{a.Challenge, bo}, payload)
	wantReason(t, err, idp.Unproven, "other_user")
	_, err = w.finish(asked{a.Challenge, idp.User{}}, payload)
	wantReason(t, err, idp.Unproven, "other_user")
	// The challenge of one registration does not serve in another.
	_, err = w.finish(w.beginRegister(t, ada), payload)
	wantReason(t, err, idp.Unproven, "wrong_challenge")
	if _, err = w.finish(a, payload); err != nil {
		t.Errorf("the right person: %v", err)
	}
}

// TestPolicyModels is the "hardware keys only" profile and its neighbours: each
// refusal with its own reason (A3, WAN07).
func TestPolicyModels(t *testing.T) {
	ca, err := passkeytest.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := [16]byte{0xa2, 0x53, 0x42, 0xc0, 0x3c, 0xdc, 0x44, 0x14, 0x8e, 0x46, 0xf4, 0x80, 0x7f, 0xca, 0x51, 0x1c}
	bad := [16]byte{1}
	allow := policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{"A25342C0-3CDC-4414-8E46-F4807FCA511C"}}
	deny := policy.AAGUIDRules{Mode: policy.ListDeny, List: allow.List}
	for _, row := range []struct {
		name    string
		aaguid  [16]byte
		attest  string
		ca      bool
		rules   policy.AAGUIDRules
		reason  string
		atLogin bool // the rule comes after the registration
	}{
		{name: "allowed and attested", aaguid: good, attest: "packed", rules: allow},
		{name: "another model", aaguid: bad, attest: "packed", rules: allow, reason: "model_not_allowed"},
		{name: "claimed only", aaguid: good, attest: "none", rules: allow, reason: "attestation_none"},
		{name: "vouches for itself", aaguid: good, attest: "packed-self", rules: allow, reason: "attestation_self"},
		{name: "zero", attest: "packed", rules: allow, reason: "aaguid_zero"},
		{name: "denied", aaguid: good, attest: "packed", rules: deny, reason: "model_not_allowed"},
		{name: "denied by its own claim", aaguid: good, attest: "none", rules: deny, reason: "model_not_allowed"},
		{name: "not denied", aaguid: bad, attest: "none", rules: deny},
		{name: "allowed at sign-in", aaguid: good, attest: "packed", rules: allow, atLogin: true},
		{name: "another model at sign-in", aaguid: bad, attest: "packed", rules: allow, atLogin: true, reason: "model_not_allowed"},
		{name: "claimed only, at sign-in", aaguid: good, attest: "none", rules: allow, atLogin: true, reason: "model_not_allowed"},
		{name: "zero at sign-in", attest: "packed", rules: allow, atLogin: true, reason: "aaguid_zero"},
		{name: "denied at sign-in", aaguid: good, attest: "packed", rules: deny, atLogin: true, reason: "model_not_allowed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, d := newWorld(t, sqldbtest.Open(t, sources), ca.Pool()), device()
			d.AAGUID, d.Attestation, d.CA = row.aaguid, row.attest, ca
			if !row.atLogin {
				w.rules.AAGUIDs = row.rules
			}
			_, err := w.tryRegister(t, ada, d)
			if row.atLogin {
				if err != nil {
					t.Fatal(err)
				}
				w.rules.AAGUIDs = row.rules
				_, err = w.signIn(t, d)
			}
			if row.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantReason(t, err, idp.Denied, row.reason)
		})
	}
}

// TestAskedAttestation: browsers are asked for a statement only by rules that
// read one.
func TestAskedAttestation(t *testing.T) {
	for _, row := range []struct {
		rules func(*policy.PasskeyRules)
		want  string
	}{
		{func(*policy.PasskeyRules) {}, "none"},
		{func(r *policy.PasskeyRules) { r.Attestation = policy.AttestationPreferred }, "direct"},
		{func(r *policy.PasskeyRules) { r.Attestation = policy.AttestationRequired }, "direct"},
		{func(r *policy.PasskeyRules) { r.AAGUIDs.Mode = policy.ListAllow }, "direct"},
		{func(r *policy.PasskeyRules) { r.AAGUIDs.Mode = policy.ListDeny }, "direct"},
	} {
		w := sqliteWorld(t)
		row.rules(&w.rules)
		var show struct{ PublicKey struct{ Attestation string } }
		if err := json.Unmarshal(w.beginRegister(t, ada).Show, &show); err != nil {
			t.Fatal(err)
		}
		if show.PublicKey.Attestation != row.want {
			t.Errorf("rules %+v ask %q, want %q", w.rules, show.PublicKey.Attestation, row.want)
		}
	}
}

func TestHardwareBound(t *testing.T) {
	ca, err := passkeytest.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := passkeytest.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		ca     *passkeytest.CA
		attest string
		flags  byte
		want   bool
	}{
		{"anchored, cannot be copied", ca, "packed", 0, true},
		{"anchored, may be copied", ca, "packed", passkeytest.FlagBE, false},
		{"chain to nobody we know", stranger, "packed", 0, false},
		{"vouches for itself", nil, "packed-self", 0, false},
		{"says nothing", nil, "none", 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, d := newWorld(t, sqldbtest.Open(t, sources), ca.Pool()), device()
			d.CA, d.Attestation, d.AAGUID = row.ca, row.attest, [16]byte{7}
			d.Flags |= row.flags
			c := w.register(t, ada, d)
			p, err := w.signIn(t, d)
			if err != nil {
				t.Fatal(err)
			}
			hwk := strings.Contains(strings.Join(p.AMR, " "), "hwk")
			if p.Has(idp.HardwareBound) != row.want || hwk != row.want {
				t.Errorf("properties %v, amr %v", p.Properties, p.AMR)
			}
			attested := row.ca == ca
			if c.Facts.Attested != attested || p.Facts.Attested != attested || p.Facts.Synced != (row.flags != 0) {
				t.Errorf("facts %+v", p.Facts)
			}
			if !p.Has(idp.PhishingResistant) {
				t.Error("a passkey resists phishing whoever made it")
			}
		})
	}
}

func TestRegisterOnce(t *testing.T) {
	w, d := sqliteWorld(t), device()
	a := w.beginRegister(t, ada)
	payload, err := d.Create(a.Show)
	if err != nil {
		t.Fatal(err)
	}
	// Provisioning on behalf: the Keep of BeginRegister, no page.
	reg, err := w.RegisterOnce(t.Context(), answerOf(w, ada, a.Keep, payload))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.settle(reg.Settle); err != nil {
		t.Fatal(err)
	}
	// By a nonce that the server gave out.
	nonce := bytes.Repeat([]byte{9}, 24)
	show := func(m string) []byte {
		b, _ := json.Marshal(map[string]any{"publicKey": map[string]any{
			"challenge": string(encodeID(nonce)), "rpId": rpID, "rp": map[string]any{"id": rpID},
			"user":             map[string]any{"id": string(encodeID(d.Held()[0].Handle)), "name": "ada"},
			"pubKeyCredParams": []map[string]any{{"alg": -7}}, "note": m,
		}})
		return b
	}
	second := device()
	payload, err = second.Create(show("create"))
	if err != nil {
		t.Fatal(err)
	}
	if reg, err = w.RegisterOnce(t.Context(), answerOf(w, ada, w.KeepFrom(nonce), payload)); err != nil {
		t.Fatal(err)
	}
	if err := w.settle(reg.Settle); err != nil {
		t.Fatal(err)
	}
	_, err = w.RegisterOnce(t.Context(), answerOf(w, bo, w.KeepFrom(nonce), payload))
	wantReason(t, err, idp.Unproven, "user_handle_missing")
	_, err = w.FinishRegister(t.Context(), answerOf(w, ada, w.KeepFrom(nonce), payload))
	wantReason(t, err, idp.Unproven, "wrong_ceremony")
	// And a sign-in with it.
	payload, err = second.Get(show("get"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.Verify(t.Context(), answerOf(w, idp.User{}, w.KeepFrom(nonce), payload))
	if err != nil || v.Proof.User != ada.ID {
		t.Fatalf("one-shot sign-in: %v, %v", v.Proof.User, err)
	}
	_, err = w.Verify(t.Context(), answerOf(w, idp.User{}, w.KeepFrom(nonce[:8]), payload))
	wantReason(t, err, idp.Unproven, "wrong_challenge")
}
