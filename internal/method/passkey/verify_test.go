package passkey

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestAssertionSteps has at least one case for every step of WebAuthn Level 3,
// §7.2 at which a server can refuse; each changes one thing of a sign-in that
// is accepted without the change (the first rows). Steps 1, 2, 7, 20 and 25 are
// what the server does itself; step 24 is TestRemovedMeanwhile.
func TestAssertionSteps(t *testing.T) {
	response := func(p map[string]any) map[string]any { return p["response"].(map[string]any) }
	for _, row := range []struct {
		name   string
		made   func(*passkeytest.Authenticator) // before the registration
		ask    func(*world) method.Request      // nil: nobody named
		lie    func(*world, *passkeytest.Authenticator)
		kind   idp.Kind
		reason string
	}{
		{name: "the truth"},
		{name: "the truth, a known person", ask: func(*world) method.Request { return method.Request{User: ada} }},
		{name: "the truth, a typed name", ask: func(*world) method.Request { return method.Request{UserName: ada.Name} }},
		{name: "the truth, a known person and no user handle", ask: func(*world) method.Request { return method.Request{User: ada} },
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) { delete(response(p), "userHandle") }
			}},
		{name: "the truth, a counter that counts", made: func(a *passkeytest.Authenticator) { a.Count, a.Step = 7, 3 }},

		{name: "step 3: a registration's response", kind: idp.Unproven, reason: "payload_malformed",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) {
					delete(response(p), "signature")
					response(p)["attestationObject"] = "AA"
				}
			}},
		{name: "step 4: extension results are no object", kind: idp.Unproven, reason: "payload_malformed",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) { p["clientExtensionResults"] = 1 }
			}},
		{name: "step 5: a key that was not asked for", kind: idp.Unproven, reason: "credential_not_allowed",
			ask: func(*world) method.Request { return method.Request{User: ada} },
			lie: func(w *world, a *passkeytest.Authenticator) {
				// Registered after the challenge, by the same person.
				second := device()
				w.register(t, ada, second)
				*a = *second.Clone()
				a.Choose = func(held []passkeytest.Held) string { return held[0].ID }
			}},
		{name: "step 6: a key of somebody else", kind: idp.Unproven, reason: "other_user",
			ask: func(*world) method.Request { return method.Request{User: bo} },
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Choose = func(held []passkeytest.Held) string { return held[0].ID }
			}},
		{name: "step 6: a key nobody has", kind: idp.Unproven, reason: "credential_unknown",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) { p["id"], p["rawId"] = "AAAA", "AAAA" }
			}},
		{name: "step 6: no user handle, nobody named", kind: idp.Unproven, reason: "user_handle_missing",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) { response(p)["userHandle"] = nil }
			}},
		{name: "step 6: the user handle of somebody else", kind: idp.Unproven, reason: "user_handle_mismatch",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) { response(p)["userHandle"] = strings.Repeat("A", 86) }
			}},
		{name: "step 6: a wrong user handle of a known person", kind: idp.Unproven, reason: "user_handle_mismatch",
			ask: func(*world) method.Request { return method.Request{User: ada} },
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) { response(p)["userHandle"] = strings.Repeat("A", 86) }
			}},
		{name: "step 8: not UTF-8", kind: idp.Unproven, reason: "client_data_not_utf8",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.RawClient = func(b []byte) []byte { return append(b[:len(b)-1], []byte(",\"x\":\"\xff\"}")...) }
			}},
		{name: "step 9: not JSON", kind: idp.Unproven, reason: "client_data_malformed",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.RawClient = func(b []byte) []byte { return append(b, '}') }
			}},
		{name: "step 10: a registration's type", kind: idp.Unproven, reason: "wrong_type",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.ClientData = func(m map[string]any) { m["type"] = "webauthn.create" }
			}},
		{name: "step 10: a payment's type", kind: idp.Unproven, reason: "wrong_type",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.ClientData = func(m map[string]any) { m["type"] = "payment.get" }
			}},
		{name: "step 11: another challenge", kind: idp.Unproven, reason: "wrong_challenge",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.ClientData = func(m map[string]any) { m["challenge"] = strings.Repeat("A", 43) }
			}},
		{name: "step 12: another origin", kind: idp.Unproven, reason: "wrong_origin",
			lie: func(_ *world, a *passkeytest.Authenticator) { a.Origin = "https://nordhafen.example" }},
		{name: "step 13: in a foreign frame", kind: idp.Unproven, reason: "cross_origin",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.ClientData = func(m map[string]any) { m["crossOrigin"] = true }
			}},
		{name: "step 14: under a top origin", kind: idp.Unproven, reason: "top_origin",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.ClientData = func(m map[string]any) { m["topOrigin"] = origin }
			}},
		{name: "step 15: another RP ID", kind: idp.Unproven, reason: "wrong_rp_id",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.AuthData = func(d []byte) []byte { d[31] ^= 1; return d }
			}},
		{name: "step 16: nobody was there", kind: idp.Unproven, reason: "user_absent",
			lie: func(_ *world, a *passkeytest.Authenticator) { a.Flags &^= passkeytest.FlagUP }},
		{name: "step 17: not verified", kind: idp.Unproven, reason: "user_not_verified",
			lie: func(_ *world, a *passkeytest.Authenticator) { a.Flags &^= passkeytest.FlagUV }},
		{name: "step 18: backed up, not eligible", kind: idp.Unproven, reason: "backup_state_inconsistent",
			lie: func(_ *world, a *passkeytest.Authenticator) { a.Flags |= passkeytest.FlagBS }},
		{name: "step 19: no longer eligible", kind: idp.Unproven, reason: "backup_eligibility_changed",
			made: func(a *passkeytest.Authenticator) { a.Flags |= passkeytest.FlagBE },
			lie:  func(_ *world, a *passkeytest.Authenticator) { a.Flags &^= passkeytest.FlagBE }},
		{name: "step 19: eligible now, where the tenant wants none", kind: idp.Denied, reason: "synced_not_allowed",
			lie: func(w *world, a *passkeytest.Authenticator) {
				w.rules.Synced = policy.SyncedDeny
				a.Flags |= passkeytest.FlagBE
			}},
		{name: "step 21: a bit of the signature", kind: idp.Unproven, reason: "bad_signature",
			lie: func(_ *world, a *passkeytest.Authenticator) { a.Signature = flip }},
		{name: "step 21: bytes after the signature", kind: idp.Unproven, reason: "bad_signature",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Signature = func(b []byte) []byte { return append(b, 0) }
			}},
		{name: "step 21: authenticator data changed after signing", kind: idp.Unproven, reason: "bad_signature",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.Payload = func(p map[string]any) {
					raw, _ := unbase64(response(p)["authenticatorData"].(string))
					raw[36]++ // the counter
					response(p)["authenticatorData"] = string(encodeID(raw))
				}
			}},
		{name: "step 22: a counter that went back", kind: idp.Unproven, reason: "counter_rollback",
			made: func(a *passkeytest.Authenticator) { a.Count = 9 },
			lie: func(w *world, a *passkeytest.Authenticator) {
				w.rules.Counter = policy.CounterBlock
				a.AuthData = func(d []byte) []byte { binary.BigEndian.PutUint32(d[33:], 8); return d }
			}},
		{name: "step 22: a counter that stayed", kind: idp.Unproven, reason: "counter_rollback",
			made: func(a *passkeytest.Authenticator) { a.Count = 9 },
			lie:  func(w *world, _ *passkeytest.Authenticator) { w.rules.Counter = policy.CounterBlock }},
		{name: "step 22: a counter that no longer counts", kind: idp.Unproven, reason: "counter_rollback",
			made: func(a *passkeytest.Authenticator) { a.Count = 9 },
			lie: func(w *world, a *passkeytest.Authenticator) {
				w.rules.Counter = policy.CounterBlock
				a.AuthData = func(d []byte) []byte { binary.BigEndian.PutUint32(d[33:], 0); return d }
			}},
		{name: "step 23: extensions that are announced and missing", kind: idp.Unproven, reason: "authenticator_data_malformed",
			lie: func(_ *world, a *passkeytest.Authenticator) { a.Flags |= passkeytest.FlagED }},
		{name: "step 23: extensions that are no map", kind: idp.Unproven, reason: "authenticator_data_malformed",
			lie: func(_ *world, a *passkeytest.Authenticator) {
				a.AuthData = func(d []byte) []byte { d[32] |= passkeytest.FlagED; return append(d, 0xff) }
			}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, d := sqliteWorld(t), device()
			if row.made != nil {
				row.made(d)
			}
			w.register(t, ada, d)
			var r method.Request
			if row.ask != nil {
				r = row.ask(w)
			}
			a := w.begin(t, r)
			// The door knows nobody but whom the request named as proven.
			if row.name == "step 6: a key of somebody else" {
				a.user = idp.User{}
			}
			if row.lie != nil {
				row.lie(w, d)
			}
			payload, err := d.Get(a.Show)
			if err != nil {
				t.Fatal(err)
			}
			v, err := w.verify(a, payload)
			if row.reason != "" {
				wantReason(t, err, row.kind, row.reason)
				if len(v.Proof.Properties) != 0 || v.Proof.Mode != "" || !v.Proof.Time.IsZero() {
					t.Errorf("a refusal comes with the proof %+v", v.Proof)
				}
				// Only a good signature makes a refused answer the key's own.
				if late := row.reason == "backup_eligibility_changed" || row.reason == "counter_rollback"; v.Genuine != late {
					t.Errorf("%s: genuine %t", row.reason, v.Genuine)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := w.settle(v.Settle); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRemovedMeanwhile is step 24: the record to update is gone.
func TestRemovedMeanwhile(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		for _, counter := range []policy.Counter{policy.CounterBlock, policy.CounterWarn} {
			w, d := newWorld(t, db, nil), device()
			w.rules.Counter = counter
			c := w.register(t, ada, d)
			a := w.begin(t, method.Request{})
			payload, err := d.Get(a.Show)
			if err != nil {
				t.Fatal(err)
			}
			v, err := w.verify(a, payload)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.settle(func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Remove(ctx, tx, tenant, ada.ID, c.ID)
			}); err != nil {
				t.Fatal(err)
			}
			wantReason(t, w.settle(v.Settle), idp.Unproven, "credential_gone")
			_, err = w.verify(a, payload)
			wantReason(t, err, idp.Unproven, "credential_unknown")
		}
	})
}

func TestOtherTenant(t *testing.T) {
	w, d := sqliteWorld(t), device()
	w.register(t, ada, d)
	a := w.begin(t, method.Request{})
	payload, err := d.Get(a.Show)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Verify(t.Context(), method.Answer{Tenant: "other", Keep: a.Keep, Payload: payload, Now: w.now})
	wantReason(t, err, idp.Unproven, "credential_unknown")
	if list, err := w.List(t.Context(), "other", ada.ID); err != nil || len(list) != 0 {
		t.Errorf("another tenant sees %v, %v", list, err)
	}
	if w.Unknown(t.Context(), idp.CredentialID(d.Held()[0].ID)) {
		t.Error("a key of another tenant counts as unknown: the browser would delete it")
	}
}

func TestUserOfTheFlow(t *testing.T) {
	w, d := sqliteWorld(t), device()
	w.register(t, ada, d)
	a := w.begin(t, method.Request{})
	payload, err := d.Get(a.Show)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.verify(asked{a.Challenge, bo}, payload)
	wantReason(t, err, idp.Unproven, "other_user")
}

// TestCrossCeremony: a challenge of one ceremony is worth nothing in the other (T31).
func TestCrossCeremony(t *testing.T) {
	w, d := sqliteWorld(t), device()
	w.register(t, ada, d)
	reg, in := w.beginRegister(t, ada), w.begin(t, method.Request{})
	payload, err := d.Get(in.Show)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.verify(reg, payload)
	wantReason(t, err, idp.Unproven, "wrong_ceremony")
	fresh := device()
	made, err := fresh.Create(reg.Show)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.finish(asked{in.Challenge, ada}, made)
	wantReason(t, err, idp.Unproven, "wrong_ceremony")
	_, err = w.verify(asked{method.Challenge{Keep: []byte("{")}, idp.User{}}, payload)
	wantReason(t, err, idp.Unproven, "ceremony_malformed")
}

// TestOrigins is T29: a table of origins that are not ours although they look so.
func TestOrigins(t *testing.T) {
	w, d := sqliteWorld(t), device()
	w.register(t, ada, d)
	for _, o := range []string{
		"http://id.nordhafen.example", "https://id.nordhafen.example:443", "https://id.nordhafen.example:8443",
		"https://id.nordhafen.example/", "https://ID.nordhafen.example", "https://id.nordhafen.example.",
		"https://a.id.nordhafen.example", "https://nordhafen.example", "https://xn--id-nordhafen.example",
		"https://user@id.nordhafen.example", "https://evilid.nordhafen.example", "null", "", "file://",
		"android:apk-key-hash:AAAA", " https://id.nordhafen.example",
	} {
		a := w.begin(t, method.Request{})
		d.Origin = o
		payload, err := d.Get(a.Show)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.verify(a, payload); idp.AsError(err) == nil || idp.AsError(err).Reason != "wrong_origin" {
			t.Errorf("origin %q: %v", o, err)
		}
	}
}

// TestCounter goes through the counter policy on both databases (WAN05, trap 5).
func TestCounter(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		stored := func(id idp.CredentialID) (count, clone int64) {
			t.Helper()
			err := db.QueryRow(t.Context(), `select sign_count, clone_seen from passkey where tenant_id = $1 and id = $2`, tenant, id).Scan(&count, &clone)
			if err != nil {
				t.Fatal(err)
			}
			return count, clone
		}
		t.Run("block", func(t *testing.T) {
			w, d := newWorld(t, db, nil), device()
			w.rules.Counter, d.Count, d.Step = policy.CounterBlock, 5, 1
			c := w.register(t, ada, d)
			thief := d.Clone()
			if _, err := w.signIn(t, d); err != nil {
				t.Fatal(err)
			}
			_, err := w.signIn(t, thief)
			wantReason(t, err, idp.Unproven, "counter_rollback")
			if count, clone := stored(c.ID); count != 6 || clone != w.now.UnixMilli() {
				t.Errorf("counter %d, clone seen %d", count, clone)
			}
			// The owner's own key goes on; a large jump is no sign of anything.
			d.Step = 100000
			if _, err := w.signIn(t, d); err != nil {
				t.Errorf("the owner is locked out: %v", err)
			}
		})
		t.Run("warn", func(t *testing.T) {
			w, d := newWorld(t, db, nil), device()
			w.rules.Counter, d.Count, d.Step = policy.CounterWarn, 5, 1
			c := w.register(t, ada, d)
			thief := d.Clone()
			if _, err := w.signIn(t, d); err != nil {
				t.Fatal(err)
			}
			if _, err := w.signIn(t, thief); err != nil {
				t.Fatalf("warn refuses: %v", err)
			}
			if count, clone := stored(c.ID); count != 6 || clone != w.now.UnixMilli() {
				t.Errorf("counter %d, clone seen %d", count, clone)
			}
			if len(w.events) != 1 || w.events[0].Reason != "counter_rollback" || w.events[0].Credential != c.ID {
				t.Errorf("events %+v", w.events)
			}
		})
		t.Run("never counts", func(t *testing.T) {
			w, d := newWorld(t, db, nil), device()
			w.rules.Counter = policy.CounterBlock
			c := w.register(t, ada, d)
			for range 3 {
				if _, err := w.signIn(t, d); err != nil {
					t.Fatal(err)
				}
			}
			if count, clone := stored(c.ID); count != 0 || clone != 0 || len(w.events) != 0 {
				t.Errorf("counter %d, clone seen %d, events %v", count, clone, w.events)
			}
		})
	})
}

// TestCounterRace is T35: copies of a key that answer at once with the same
// count. One is let in; in warn mode the others leave an event each.
func TestCounterRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		for _, mode := range []policy.Counter{policy.CounterBlock, policy.CounterWarn} {
			t.Run(string(mode), func(t *testing.T) {
				const copies = 16
				w, d := newWorld(t, db, nil), device()
				w.rules.Counter, d.Count, d.Step = mode, 5, 1
				w.register(t, ada, d)
				settles := make([]method.Settle, copies)
				for i := range settles {
					a := w.begin(t, method.Request{})
					payload, err := d.Clone().Get(a.Show)
					if err != nil {
						t.Fatal(err)
					}
					v, err := w.verify(a, payload)
					if err != nil {
						t.Fatal(err)
					}
					settles[i] = v.Settle
				}
				var won, lost atomic.Int32
				var wg sync.WaitGroup
				for _, s := range settles {
					wg.Go(func() {
						err := w.settle(s)
						switch e := idp.AsError(err); {
						case e == nil:
							won.Add(1)
						case e.Reason == "counter_rollback":
							lost.Add(1)
						default:
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if mode == policy.CounterBlock && (won.Load() != 1 || lost.Load() != copies-1) {
					t.Errorf("%d won, %d lost", won.Load(), lost.Load())
				}
				if mode == policy.CounterWarn && (won.Load() != copies || len(w.events) != copies-1) {
					t.Errorf("%d won, %d events", won.Load(), len(w.events))
				}
			})
		}
	})
}

// TestLimitRace: 100 registrations at once of a person who holds 19 of 20.
func TestLimitRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, nil)
		for range 19 {
			w.register(t, ada, device())
		}
		settles := make([]method.Settle, 100)
		for i := range settles {
			a := w.beginRegister(t, ada)
			payload, err := device().Create(a.Show)
			if err != nil {
				t.Fatal(err)
			}
			reg, err := w.finish(a, payload)
			if err != nil {
				t.Fatal(err)
			}
			settles[i] = reg.Settle
		}
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for _, s := range settles {
			wg.Go(func() {
				err := w.settle(s)
				switch e := idp.AsError(err); {
				case e == nil:
					won.Add(1)
				case e.Kind == idp.Denied && e.Reason == "passkey_limit":
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		list, err := w.List(t.Context(), tenant, ada.ID)
		if err != nil || won.Load() != 1 || lost.Load() != 99 || len(list) != 20 {
			t.Fatalf("%d won, %d lost, %d held, %v", won.Load(), lost.Load(), len(list), err)
		}
		_, err = w.BeginRegister(t.Context(), method.Request{Tenant: tenant, User: ada, Now: w.now})
		wantReason(t, err, idp.Denied, "passkey_limit")
		// One removed, one place.
		if err := w.settle(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Remove(ctx, tx, tenant, ada.ID, list[3].ID)
		}); err != nil {
			t.Fatal(err)
		}
		w.register(t, ada, device())
	})
}

// TestFirstRegistrationRace: two first passkeys of a person, each begun before
// there was a user handle. One handle wins; a person never has two.
func TestFirstRegistrationRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, nil)
		var settles []method.Settle
		for range 8 {
			a := w.beginRegister(t, ada)
			payload, err := device().Create(a.Show)
			if err != nil {
				t.Fatal(err)
			}
			reg, err := w.finish(a, payload)
			if err != nil {
				t.Fatal(err)
			}
			settles = append(settles, reg.Settle)
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		for _, s := range settles {
			wg.Go(func() {
				switch e := idp.AsError(w.settle(s)); {
				case e == nil:
					won.Add(1)
				case e.Reason != "handle_changed" || e.Kind != idp.Conflict:
					t.Error(e)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d won", won.Load())
		}
	})
}

// counting is a Querier that counts statements.
type counting struct {
	sqldb.Querier
	n int
}

func (c *counting) QueryRow(ctx context.Context, q string, args ...any) *sqldb.Row {
	c.n++
	return c.Querier.QueryRow(ctx, q, args...)
}

func (c *counting) Query(ctx context.Context, q string, args ...any) (*sqldb.Rows, error) {
	c.n++
	return c.Querier.Query(ctx, q, args...)
}

// TestEqualWork: whatever is wrong with an answer, one statement is run and one
// signature looked at (decisions 2.7).
func TestEqualWork(t *testing.T) {
	w, d := sqliteWorld(t), device()
	real := string(w.register(t, ada, d).ID)
	noHandle := func(p map[string]any) { delete(response(p), "userHandle") }
	// Of the list that ada's name gets, a decoy, and an id of nobody's list.
	decoy := ""
	for _, id := range w.offered(t, ada.Name) {
		if s := string(encodeID(id)); s != real {
			decoy = s
		}
	}
	for _, ask := range []struct {
		name string
		method.Request
	}{
		{"one button", method.Request{}},
		{"the owner's name", method.Request{UserName: ada.Name}},
		{"somebody else's name", method.Request{UserName: bo.Name}},
		{"nobody's name", method.Request{UserName: nobodysName}},
		{"as the owner", method.Request{User: ada}},
		{"as somebody else", method.Request{User: bo}},
	} {
		for name, id := range map[string]string{"real id": real, "decoy": decoy, "unknown id": "AAAA"} {
			for name, bend := range map[string]func(map[string]any){
				name: nil, name + " without a handle": noHandle,
				name + " with another handle": func(p map[string]any) { response(p)["userHandle"] = "AAAA" },
			} {
				t.Run(ask.name+", "+name, func(t *testing.T) {
					a := w.begin(t, ask.Request)
					liar := d.Clone()
					liar.Signature, liar.Payload = flip, bend
					raw, err := unbase64(id)
					if err != nil {
						t.Fatal(err)
					}
					payload, err := claiming(liar, raw).Get(a.Show)
					if err != nil {
						t.Fatal(err)
					}
					n := w.counted(func() {
						if _, err = w.verify(a, payload); !errors.Is(err, idp.Unproven) {
							t.Fatalf("got %v", err)
						}
					})
					if n != 1 {
						t.Errorf("%d statements", n)
					}
					if !w.tried(t, a, payload) {
						t.Error("no signature was looked at")
					}
				})
			}
		}
	}
}

// tried says whether a signature is looked at for an answer.
func (w *world) tried(t testing.TB, a asked, payload []byte) bool {
	t.Helper()
	k, fault := parseKeep(a.Keep, purposeSignIn)
	if fault != nil {
		t.Fatal(fault)
	}
	ans, err := parseAssertion(payload)
	if err != nil {
		t.Fatal(err)
	}
	row, err := find(t.Context(), w.db, tenant, ans.credentialID())
	v, fault := w.weigh(w.Room.site, k, row, err == nil, rules{}, ans, a.user)
	if fault == nil {
		t.Fatal("the answer is good")
	}
	return v.tried
}

// TestDecoys: a list for a name that exists cannot be told from one that does
// not, and both stay what they are (WAN10, T34).
func TestDecoys(t *testing.T) {
	w := sqliteWorld(t)
	w.register(t, ada, device())
	w.register(t, ada, device())
	lists := map[string][]string{}
	for _, name := range []string{ada.Name, strings.ToUpper(ada.Name), bo.Name, "nobody@nordhafen.example"} {
		c := &counting{Querier: w.db}
		before := w.db
		w.Room.db = c
		var ids []string
		for range 2 {
			show := w.begin(t, method.Request{UserName: name}).Show
			var got struct {
				PublicKey struct {
					AllowCredentials []map[string]any
				}
			}
			if err := json.Unmarshal(show, &got); err != nil {
				t.Fatal(err)
			}
			var again []string
			for _, d := range got.PublicKey.AllowCredentials {
				if len(d) != 2 || d["type"] != "public-key" {
					t.Errorf("%s: descriptor %v tells more than an id", name, d)
				}
				again = append(again, d["id"].(string))
			}
			if ids != nil && strings.Join(ids, " ") != strings.Join(again, " ") {
				t.Errorf("%s: two answers differ", name)
			}
			ids = again
		}
		w.Room.db = before
		if c.n != 2 {
			t.Errorf("%s: %d statements for two challenges", name, c.n)
		}
		if n := len(ids); n != 4 && n != 8 && n != 20 {
			t.Errorf("%s: %d ids", name, n)
		}
		lists[name] = ids
	}
	if strings.Join(lists[ada.Name], " ") != strings.Join(lists[strings.ToUpper(ada.Name)], " ") {
		t.Error("another case of the name gives another list")
	}
	held, _ := w.List(t.Context(), tenant, ada.ID)
	for _, c := range held {
		if !strings.Contains(strings.Join(lists[ada.Name], " "), string(c.ID)) {
			t.Errorf("a real key is not in the list")
		}
	}
	// Another secret, other decoys.
	other := sqliteWorld(t)
	a, _, err := other.named(t.Context(), tenant, "nobody@nordhafen.example")
	if err != nil || string(encodeID(a[0].ID)) == lists["nobody@nordhafen.example"][0] {
		t.Errorf("decoys do not depend on the secret (%v)", err)
	}
}

func TestDecoyShapes(t *testing.T) {
	w := sqliteWorld(t)
	key, err := w.cfg.Secret(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	marks, err := w.cfg.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[int]int{}
	for i := range 500 {
		name := "user" + string(rune('a'+i%26)) + strings.Repeat("x", i%40) + string(rune('a'+i/26))
		bare := cover(key, marks, name, nil, 20)
		sizes[len(bare)]++
		// One real key takes the place of one decoy and changes nothing else.
		real := bytes.Repeat([]byte{0x5a}, 32)
		with := cover(key, marks, name, [][]byte{real}, 20)
		if len(with) != len(bare) {
			t.Fatalf("%s: %d ids without a key, %d with one", name, len(bare), len(with))
		}
		for j := 1; j < len(with); j++ {
			if bytes.Compare(with[j-1], with[j]) > 0 {
				t.Fatalf("%s: not sorted", name)
			}
		}
	}
	if sizes[4] < 400 || sizes[8] == 0 || sizes[50] != 0 {
		t.Errorf("sizes %v", sizes)
	}
	for n, want := range map[int]int{0: 4, 4: 4, 5: 8, 8: 8, 9: 20, 20: 20, 25: 20} {
		if got := len(cover(key, marks, "usera", someIDs(n), 20)); got != want && !(got > want && want < 20) {
			t.Errorf("%d keys give a list of %d, want %d", n, got, want)
		}
	}
	for n, want := range map[int]int{20: 20, 21: 50, 50: 50} {
		if got := len(cover(key, marks, "usera", someIDs(n), 50)); got != want {
			t.Errorf("%d keys of 50 give a list of %d, want %d", n, got, want)
		}
	}
}

func someIDs(n int) [][]byte {
	ids := make([][]byte, n)
	for i := range ids {
		ids[i] = []byte{byte(i), 1, 2, 3}
	}
	return ids
}
