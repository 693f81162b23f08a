package psso_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/signetid/signet/internal/sqldb"
)

// TestSec_PSO05_ExchangeMeanwhile ends a sign-in while a key exchange that stands
// on it is answered: nothing is unlocked any more.
func TestSec_PSO05_ExchangeMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, end := range map[string]func(ctx context.Context, tx *sqldb.Tx, m *machine) error{
			"Mac removed": func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				return w.devices.Remove(ctx, tx, m.Tenant, m.ID)
			},
			"signed out": func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				return w.prts.RevokeUser(ctx, tx, m.Tenant, w.ada.ID)
			},
		} {
			m := w.mac()
			token := w.signIn(m, w.ada, w.enrol(m, w.ada))
			_, about := w.provisioned(t, w.keyRequest(m, w.ada, token))
			q := w.keyExchange(m, w.ada, token, about, &ecKey().PublicKey)
			done := false
			w.clock.when("(*Corridor).Carried", func() {
				done = true
				w.write(func(ctx context.Context, tx *sqldb.Tx) error { return end(ctx, tx, m) })
			})
			before := w.spent()
			w.send(q).refused(t, name, http.StatusUnauthorized, "invalid_grant", "")
			if !done || w.spent() == before {
				t.Errorf("%s: ended %v, burnt %d", name, done, w.spent()-before)
			}
		}
	})
}

// TestHostileTexts: what no column takes is no trouble of ours.
func TestHostileTexts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		for _, text := range []string{"\x00", "ada\x00@nordhafen.example", "\ufffd", "a\u202e", "%00"} {
			q := w.login(m, w.ada, k)
			q.with(object{"sub": text, "username": text})
			if a := w.send(q); a.status != http.StatusUnauthorized {
				t.Errorf("name %q: %d %s (%s)", text, a.status, a.body, a.cause)
			}
			q = w.login(m, w.ada, k)
			q.with(object{"claims": object{"id_token": object{"groups": object{"values": []string{text}}}}})
			if a := w.send(q); a.status != http.StatusOK {
				t.Errorf("group %q: %d %s (%s)", text, a.status, a.body, a.cause)
			}
			q = w.login(m, w.ada, k)
			q.header["kid"] = text
			if a := w.send(q); a.status != http.StatusBadRequest {
				t.Errorf("kid %q: %d %s (%s)", text, a.status, a.body, a.cause)
			}
			q = w.keyRequest(m, w.ada, text)
			if a := w.send(q); a.status != http.StatusUnauthorized {
				t.Errorf("token %q: %d %s (%s)", text, a.status, a.body, a.cause)
			}
			q = w.login(m, w.ada, k)
			q.with(object{"iss": text})
			if a := w.send(q); a.status != http.StatusBadRequest {
				t.Errorf("iss %q: %d %s (%s)", text, a.status, a.body, a.cause)
			}
			q = w.keyRequest(m, w.ada, w.signIn(m, w.ada, k))
			q.with(object{"key_purpose": text})
			if a := w.send(q); a.status != http.StatusBadRequest {
				t.Errorf("purpose %q: %d %s (%s)", text, a.status, a.body, a.cause)
			}
		}
	})
}
