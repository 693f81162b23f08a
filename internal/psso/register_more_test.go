package psso_test

import (
	"context"
	"testing"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// Claims that cannot be read burn the nonce that they have, once the Mac has
// signed them.
func TestUnreadableClaims(t *testing.T) {
	w := liteOffice(t)
	m := w.join(w.ada, newHardware()).machine
	for _, row := range []struct {
		verb, path, typ string
	}{{"POST", "/psso/device", pssowire.TypeRotation}, {"POST", "/psso/user", pssowire.TypeUser}, {"DELETE", "/psso/device", pssowire.TypeRemoval}} {
		for _, nonce := range []any{w.nonce(), "made up", 7} {
			before := w.spent()
			a := w.request(row.verb, row.path, signAs(t, m.signing, row.typ, map[string]any{"iat": "x", "request_nonce": nonce}), "")
			a.refused(t, row.typ, 400, "invalid_request", "claims_malformed")
			want := int64(0)
			if text, _ := nonce.(string); len(text) > 10 {
				want = 1
			}
			if n := w.spent() - before; n != want {
				t.Errorf("%s: %d nonces burnt, want %d", row.typ, n, want)
			}
		}
	}
	key := ecKey()
	w.request("POST", "/psso/device", signAs(t, key, pssowire.TypeDevice, map[string]any{"iat": "x"}), "").
		refused(t, "a registration", 400, "invalid_request", "claims_malformed")
}

// A Mac that is switched off stays so, by whatever keys it comes.
func TestDisabledIsNotReplaced(t *testing.T) {
	w := liteOffice(t)
	h := newHardware()
	m := w.join(w.ada, h, func(c *pssowire.Device) { w.attest(h, c) })
	w.switchOn(m.machine, false)
	again, tok := newHardware(), w.bearer(w.ada)
	c := w.joinClaims(again, tok, false)
	w.attest(again, &c)
	w.sendJoin(again, c, tok).refused(t, "with other keys", 400, "invalid_client", "device_disabled")
	if w.load(m.ID).Enabled || w.held() != 1 {
		t.Error("it is on, or there are two")
	}
}

// Where only attested keys are admitted, a Mac from before that gets no new ones
// that are not.
func TestRotationRequired(t *testing.T) {
	w := liteOffice(t)
	m, _, session := w.signedIn(w.ada)
	w.attestation(policy.AttestationRequired)
	w.rotate(w.rotation(m, newHardware(), session)).refused(t, "without", 403, "access_denied", "attestation_required")
}

// Somebody who is switched off joins nothing.
func TestSwitchedOffJoinsNothing(t *testing.T) {
	w := liteOffice(t)
	a := w.attempt(newHardware(), w.bearer(w.ada), false)
	value, _ := w.ticket()
	w.enable(w.ada, false)
	if got := w.try(a); got.status == 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.bring(newHardware(), value) // a Mac of nobody
	if w.held() != 1 {
		t.Errorf("%d devices", w.held())
	}
}

// Where there are no certificates, no card is registered.
func TestNoCards(t *testing.T) {
	w := liteOffice(t)
	w.policy(func(p *policy.Policy) { p.Macs.Method = policy.MacCard })
	m := w.join(w.ada, newHardware()).machine
	key, tok := ecKey(), w.bearer(w.ada)
	c := w.cardClaims(m, key, "", w.card(key, w.ada.ID), tok)
	plain := newNode(t, w.db, w.kek, w.clock, w.notices, func(cfg *psso.Config) { cfg.UserKey = w.platform.Kept })
	a := plain.postJSON("POST", w.at("/psso/user"), pssowire.Envelope{Request: signAs(t, m.signing, pssowire.TypeUser, c)}, "Authorization", "Bearer "+tok)
	a.refused(t, "a card", 403, "access_denied", "card_refused")
}

// What this node knows of a key may be as old as a notice on its way: whether the
// key is still the Mac's is asked where it is settled. Then nothing is written but
// that the nonce is burnt.
func TestSec_PSO05_KeyGoneMeanwhile(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, session := w.signedIn(w.ada)
		requests := map[string]func() answer{
			"another person": func() answer {
				tok := w.bearer(w.bob)
				return w.sendUser(m, w.userClaims(m, newKey(), tok), tok)
			},
			"other device keys": func() answer { return w.rotate(w.rotation(m, newHardware(), session)) },
			"another user key":  func() answer { return w.sendUser(m, w.userRotation(m, k, newKey(), session), "") },
			"a repetition": func() answer {
				h := &hardware{signing: m.signing, encryption: m.encryption}
				return w.sendJoin(h, w.joinClaims(h, "x", true), "")
			},
			"a repetition that shows the keys": func() answer {
				h := &hardware{signing: m.signing, encryption: m.encryption}
				c := w.joinClaims(h, "x", true)
				w.attest(h, &c)
				return w.sendJoin(h, c, "")
			},
		}
		kid := pssowire.KeyOf(&m.signing.PublicKey)
		w.write(func(ctx context.Context, tx *sqldb.Tx) error { // and nobody is told
			_, err := tx.Exec(ctx, `delete from mac_key where tenant_id = $1 and kid = $2`, w.tenant.ID, kid[:])
			return err
		})
		for what, send := range requests {
			before := w.spent()
			send().refused(t, what, 400, "invalid_client", "device_unknown")
			if n := w.spent() - before; n != 1 {
				t.Errorf("%s: %d nonces burnt", what, n)
			}
		}
		if w.keysOf(w.ada) != 1 || w.keysOf(w.bob) != 0 || w.load(m.ID).Assurance != device.Unattested {
			t.Error("something was written")
		}
	})
}

// A person who is registered on a Mac while it goes has a key there that is
// orphaned, or none: never one on a Mac that is gone.
func TestRegisterWhileLeaving(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		for range 4 {
			m := w.join(w.ada, newHardware()).machine
			tok := w.bearer(w.bob)
			claims := w.userClaims(m, newKey(), tok)
			gone := w.removal("/psso/device", nil)
			got := w.together(2, func(n int) answer {
				if n == 0 {
					return w.remove(m, "/psso/device", gone)
				}
				return w.sendUser(m, claims, tok)
			})
			if got["OK "] == 0 || got["OK "] < 2 && got["OK "]+got["Bad Request device_unknown"]+got["Forbidden device_missing"] != 2 {
				t.Errorf("%v", got)
			}
			all, err := w.platform.List(t.Context(), w.tenant.ID, w.bob.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range all {
				if !c.Orphaned {
					t.Errorf("a key stands: %+v", c)
				}
			}
		}
	})
}
