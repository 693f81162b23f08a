package psso_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

// TestSec_PSO02_Meanwhile takes a Mac or its keys away while a login is judged:
// the transaction asks once more, and nobody is signed in.
func TestSec_PSO02_Meanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			end    func(ctx context.Context, tx *sqldb.Tx, m *machine) error
			reason string
		}{
			"removed": {func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				return w.devices.Remove(ctx, tx, m.Tenant, m.ID)
			}, "device_unknown"},
			"switched off": {func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				return w.devices.SetEnabled(ctx, tx, m.Tenant, m.ID, false)
			}, "device_disabled"},
			"registered anew": {func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				_, err := w.macs.Replace(ctx, tx, mac.Registration{Tenant: m.Tenant, Device: m.ID, Source: mac.ByPerson,
					Signing: mac.NewKey{Public: &ecKey().PublicKey}, Encryption: mac.NewKey{Public: &ecKey().PublicKey}})
				return err
			}, "device_unknown"},
		} {
			m := w.mac()
			q := w.login(m, w.ada, w.enrol(m, w.ada))
			before, done := w.spent(), false
			w.clock.when("prt.(*Service).Prepare", func() {
				done = true
				w.write(func(ctx context.Context, tx *sqldb.Tx) error { return c.end(ctx, tx, m) })
			})
			a := w.send(q)
			if !done {
				t.Fatalf("%s: nothing has happened meanwhile", name)
			}
			if a.refused(t, name, http.StatusBadRequest, "invalid_client", ""); a.reason() != c.reason {
				t.Errorf("%s: %s, want %s", name, a.cause, c.reason)
			}
			if w.spent() == before {
				t.Errorf("%s: the nonce is good still", name)
			}
			if prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID); err != nil || len(prts) != 0 {
				t.Errorf("%s: PRTs %+v, %v", name, prts, err)
			}
		}
	})
}

// A Mac that is removed while its key request is answered leaves no key behind
// (§8.3).
func TestSec_PSO05_Meanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		token := w.signIn(m, w.ada, w.enrol(m, w.ada))
		q := w.keyRequest(m, w.ada, token)
		done := false
		w.clock.when("(*Corridor).Carried", func() {
			done = true
			w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, m.Tenant, m.ID) })
		})
		w.send(q).refused(t, "removed", http.StatusUnauthorized, "invalid_grant", "")
		var left int
		if err := w.db.QueryRow(t.Context(), `select count(*) from mac_unlock where tenant_id = $1`, w.tenant.ID).Scan(&left); err != nil || left != 0 || !done {
			t.Errorf("%d keys left, %v, removed %v", left, err, done)
		}
	})
}

// A sign-in from before its Mac was switched off does not revive with it, even
// when nothing has ended its row (decisions 4.8).
func TestSec_DEV07_MacVoided(t *testing.T) {
	w := lite(t)
	m := w.mac()
	token := w.signIn(m, w.ada, w.enrol(m, w.ada))
	w.switchOn(m, false)
	w.switchOn(m, true)
	if _, err := w.db.Exec(t.Context(), `update prt set ended = 0 where tenant_id = $1`, w.tenant.ID); err != nil {
		t.Fatal(err)
	}
	a := w.send(w.refresh(m, token))
	if a.refused(t, "revived", http.StatusUnauthorized, "invalid_grant", ""); a.reason() != "device_voided" {
		t.Errorf("%s", a.cause)
	}
}
