package trust_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/trust"
)

// TestSec_CBA08_IdentifierOfOneRemoved: rules name authorities by the key
// identifiers that those give themselves. One with the identifier of another,
// and another key, does not come in while that one is away, to have its rules or
// to stand beside it when it is restored.
func TestSec_CBA08_IdentifierOfOneRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		thief := h.root.Sub("Supplier", start, func(c *x509.Certificate) { c.SubjectKeyId = h.people.Cert.SubjectKeyId })
		taken := func(what string) {
			t.Helper()
			_, err := w.add(tenant, sub(thief))
			if e := idp.AsError(err); e == nil || e.Kind != idp.Conflict || e.Reason != "authority_key_taken" {
				t.Errorf("%s: %v", what, err)
			}
			if _, err := w.Try(t.Context(), w.db, tenant, []trust.Offer{sub(thief)}); err == nil || idp.AsError(err).Reason != "authority_key_taken" {
				t.Errorf("%s, tried: %v", what, err)
			}
		}
		taken("beside it")
		if _, err := w.remove(tenant, made[1].ID); err != nil {
			t.Fatal(err)
		}
		taken("while it is removed")
		leaf := thief.Leaf(pkixtest.ECKey(t).Public(), "Ada", "ada@nordhafen.example", start)
		if _, err := w.Verify(t.Context(), tenant, leaf, certs(thief), h.rules); err == nil {
			t.Error("a certificate of it holds")
		}
		// Its own certificate may come again, and another of its key.
		if _, err := w.add(tenant, sub(h.people)); err != nil {
			t.Error(err)
		}
		if _, err := w.restore(tenant, made[1].ID); err == nil {
			t.Error("it is there twice")
		}
		// The identifier is free when nobody can be restored that has it.
		w.pass(trust.KeptFor + time.Hour)
		for _, a := range w.list(tenant) {
			if a.Cert.Equal(h.people.Cert) {
				w.remove(tenant, a.ID)
			}
		}
		taken("while the second is removed")
	})
}
