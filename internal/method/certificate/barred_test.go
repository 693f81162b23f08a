package certificate_test

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// otherSignature gives the same certificate with another signature that holds as
// well: of ECDSA (r, s) and (r, n-s) do, so that whoever has one has two.
func otherSignature(t *testing.T, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	var parts struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.Raw, &parts); err != nil {
		t.Fatal(err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(parts.Signature.Bytes, &sig); err != nil {
		t.Fatal(err)
	}
	sig.S.Sub(elliptic.P256().Params().N, sig.S)
	raw, err := asn1.Marshal(sig)
	if err != nil {
		t.Fatal(err)
	}
	parts.Signature = asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)}
	if raw, err = asn1.Marshal(parts); err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSec_CBA13_BarredUnderAnotherSignature: a certificate that was taken away
// from somebody stays so when its bytes are changed where nobody has signed
// them: in the signature.
func TestSec_CBA13_BarredUnderAnotherSignature(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		card := w.card(t, w.Ada.Name)
		twin := certificatetest.Card{Key: card.Key, Chain: []*x509.Certificate{otherSignature(t, card.Leaf())}}
		if twin.Leaf().Equal(card.Leaf()) || twin.Leaf().CheckSignatureFrom(w.sub.Cert) != nil {
			t.Fatal("the other signature does not hold, or is no other")
		}
		if a, b := w.mustSignIn(t, card), w.mustSignIn(t, twin); a.Credential != b.Credential {
			t.Errorf("one certificate has the names %s and %s", a.Credential, b.Credential)
		}
		if n := len(w.list(t, w.Ada)); n != 1 {
			t.Errorf("one certificate is listed %d times", n)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, certificate.CredentialID(card.Leaf()))
		})
		for what, c := range map[string]certificatetest.Card{"as it was": card, "under another signature": twin} {
			if got := w.refused(t, c); got != "certificate_barred" {
				t.Errorf("%s: %q, want certificate_barred", what, got)
			}
		}
	})
}

// TestSec_CBA13_WithdrawnMeanwhile: what takes trust from an authority of the
// path between the judgement and the session, on whatever node, is not too late.
func TestSec_CBA13_WithdrawnMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		off, on := false, true
		change := func(which *x509.Certificate, e trust.Edit) func() { return func() { w.edit(t, which, e) } }
		for what, c := range map[string]struct{ does, undoes func() }{
			"issuer switched off": {change(w.sub.Cert, trust.Edit{Enabled: &off}), change(w.sub.Cert, trust.Edit{Enabled: &on})},
			"anchor switched off": {change(w.root.Cert, trust.Edit{Enabled: &off}), change(w.root.Cert, trust.Edit{Enabled: &on})},
			"issuer removed":      {func() { w.removed(t, w.sub.Cert, true) }, func() { w.removed(t, w.sub.Cert, false) }},
		} {
			w.trust.after = c.does
			if got := w.refused(t, w.card(t, w.Ada.Name)); got != "certificate_unknown_issuer" {
				t.Errorf("%s: %q", what, got)
			}
			if n := w.Count(t, "session", w.Tenant.ID); n != 0 {
				t.Errorf("%s: %d sessions", what, n)
			}
			w.trust.after = nil
			c.undoes()
		}
		if n := len(w.list(t, w.Ada)); n != 0 {
			t.Errorf("%d certificates were noted", n)
		}
		w.mustSignIn(t, w.card(t, w.Ada.Name))
	})
}

// removed removes an authority of the tenant, or restores it.
func (w *world) removed(t *testing.T, which *x509.Certificate, gone bool) {
	t.Helper()
	all, err := w.trust.List(t.Context(), w.DB, w.Tenant.ID)
	if !gone && err == nil {
		all, err = w.trust.Removed(t.Context(), w.DB, w.Tenant.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Cert.Equal(which) {
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				do := w.trust.Restore
				if gone {
					do = w.trust.Remove
				}
				_, err := do(ctx, tx, w.Tenant.ID, a.ID)
				return err
			})
			return
		}
	}
	t.Fatal("no such authority")
}
