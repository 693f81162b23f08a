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
