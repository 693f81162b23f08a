package psso_test

import (
	"context"
	"crypto/ecdsa"
	"net/http"
	"testing"

	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// rotate has new keys wait to take the places of a Mac's.
func (w *world) rotate(m *machine, signing, encryption *ecdsa.PrivateKey) *machine {
	w.t.Helper()
	next := *m
	q := mac.Rotation{Tenant: m.Tenant, Device: m.ID}
	if signing != nil {
		q.Signing, next.signing = &mac.NewKey{Public: &signing.PublicKey}, signing
	}
	if encryption != nil {
		q.Encryption, next.encryption = &mac.NewKey{Public: &encryption.PublicKey}, encryption
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { _, err := w.macs.Rotate(ctx, tx, q); return err })
	return &next
}

// TestRotation: both generations of keys are good until a login comes under the
// new one (§10); the answer goes to the key that the message names.
func TestRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		old := w.mac()
		k := w.enrol(old, w.ada)
		w.signIn(old, w.ada, k)
		next := w.rotate(old, ecKey(), ecKey())
		second := w.again()
		token := w.signIn(old, w.ada, k) // under the old ones still
		// Signed by the new key and answered to the old one, and the other way
		// round: a refresh settles nothing.
		q := w.refresh(&machine{next.Device, next.signing, old.encryption}, token)
		q.open(t, second.send(q))
		q = w.refresh(&machine{old.Device, old.signing, next.encryption}, token)
		if o := q.open(t, w.send(q)); o.header["kid"] != pssowire.KeyOf(&next.encryption.PublicKey).String() {
			t.Errorf("answered to %v", o.header["kid"])
		}
		q = w.login(next, w.ada, k)
		token = q.open(t, second.send(q)).out["refresh_token"].(string)
		for what, n := range map[string]*node{"here": w.node, "there": second} {
			a := n.send(w.login(old, w.ada, k))
			if what == "there" || a.status != http.StatusOK {
				if a.refused(t, "the old signing key "+what, http.StatusBadRequest, "invalid_client", ""); a.reason() != "device_unknown" && a.reason() != "mac_key_unknown" {
					t.Errorf("the old signing key %s: %s", what, a.cause)
				}
			} else {
				t.Errorf("the old signing key signs in %s", what)
			}
			a = n.send(w.login(&machine{next.Device, next.signing, old.encryption}, w.ada, k))
			a.refused(t, "the old encryption key "+what, http.StatusBadRequest, "invalid_client", "")
		}
		q = w.refresh(next, token)
		q.open(t, w.send(q))
		w.signIn(next, w.ada, k)
	})
}

// A rotation that no login settles is over after a day: then the new keys alone
// are good.
func TestRotationOver(t *testing.T) {
	w := lite(t)
	old := w.mac()
	k := w.enrol(old, w.ada)
	w.signIn(old, w.ada, k)
	next := w.rotate(old, ecKey(), nil)
	w.advance(mac.RotationLife)
	w.send(w.login(old, w.ada, k)).refused(t, "the old key", http.StatusBadRequest, "invalid_client", "")
	w.signIn(next, w.ada, k)
}

// A key of a Mac that another registration has replaced signs in nobody, whatever
// a server remembers: the transaction asks.
func TestSec_PSO02_ReplacedKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		old := w.mac()
		k := w.enrol(old, w.ada)
		second := w.again()
		q := w.login(old, w.ada, k)
		token := q.open(t, second.send(q)).out["refresh_token"].(string) // both remember it
		w.signIn(old, w.ada, k)
		signing, encryption := ecKey(), ecKey()
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.macs.Replace(ctx, tx, mac.Registration{Tenant: old.Tenant, Device: old.ID, Source: mac.ByPerson,
				Signing: mac.NewKey{Public: &signing.PublicKey}, Encryption: mac.NewKey{Public: &encryption.PublicKey}})
			return err
		})
		for what, n := range map[string]*node{"here": w.node, "there": second} {
			n.send(w.login(old, w.ada, k)).refused(t, "old keys "+what, http.StatusBadRequest, "invalid_client", "")
		}
		next := &machine{old.Device, signing, encryption}
		w.send(w.refresh(next, token)).refused(t, "what stood on them", http.StatusUnauthorized, "invalid_grant", "")
		w.signIn(next, w.ada, k)
	})
}
