package certificate_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
)

// FuzzMessage: whatever is sent, nothing but the one good message proves
// anybody, and the answer is always a refusal of ours.
func FuzzMessage(f *testing.F) {
	w := one(f)
	card := w.card(f, w.Ada.Name)
	good := card.Message(w.Ada.Name, "nonce", w.Now())
	f.Add(good)
	f.Add([]byte("e30.e30.AA"))
	header, claims := card.Header(), certificatetest.Claims(w.Ada.Name, "nonce", w.Now())
	claims["exp"], claims["iat"], claims["aud"] = "99999999999999999999", -1, []any{1, nil}
	f.Add(card.Sign(header, claims))
	header["kid"], header["use"], header["x5c"] = "AA", "ngc", "AA"
	f.Add(card.Sign(header, claims))
	keep := w.room.KeepFrom([]byte("nonce"))
	f.Fuzz(func(t *testing.T, message []byte) {
		v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: keep, Payload: message, Now: w.Now()})
		if err == nil {
			// Another spelling of the same bytes is the same message.
			m, perr := jose.ParseLoose(string(message), "ES256")
			if g, gerr := jose.ParseLoose(string(good), "ES256"); perr != nil || gerr != nil || !json.Valid(m.Payload) || !bytes.Equal(m.Payload, g.Payload) || v.Proof.User != w.Ada.ID {
				t.Errorf("%q proved %s", message, v.Proof.User)
			}
			return
		}
		if !errors.Is(err, idp.Unproven) || reason(err) == "" {
			t.Errorf("%q: %v, want unproven", message, err)
		}
	})
}

// FuzzMacMessage: the same of what a Mac's card signs, and whatever was kept.
func FuzzMacMessage(f *testing.F) {
	w := one(f)
	card := w.card(f, w.Ada.Name)
	e := assertion.Expected{RequestNonce: "nonce", Audiences: []string{macAudience}, Name: w.Ada.Name, Nonce: "N", Scope: "openid"}
	good := macMessage(f, card, nil)(e, w.Now())
	f.Add(e.Keep(), good)
	f.Add(e.Keep(), macMessage(f, card, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.Chain, s.TextTimes = pssowire.ChainList, true })(e, w.Now()))
	f.Add(e.Keep(), card.Message(w.Ada.Name, "nonce", w.Now()))
	f.Add([]byte("nonce"), good)
	f.Add([]byte("\x00{}"), good)
	f.Fuzz(func(t *testing.T, keep, message []byte) {
		v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: w.room.KeepFrom(keep), Payload: message, Now: w.Now()})
		if err == nil && v.Proof.User != w.Ada.ID {
			t.Errorf("%q on %q proved %s", message, keep, v.Proof.User)
		}
		if err != nil && (!errors.Is(err, idp.Unproven) || reason(err) == "") {
			t.Errorf("%q on %q: %v, want unproven", message, keep, err)
		}
	})
}

// FuzzAnswer: whatever a page sends back, and whatever the corridor kept, only
// the code of that ceremony fetches its handshake.
func FuzzAnswer(f *testing.F) {
	w := one(f)
	ch, err := w.room.Challenge(f.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
	if err != nil {
		f.Fatal(err)
	}
	good := w.answer(f, ch.Show, w.card(f, w.Ada.Name))
	var want struct{ Code string }
	if err := json.Unmarshal(good, &want); err != nil {
		f.Fatal(err)
	}
	f.Add(ch.Keep, good)
	f.Add(ch.Keep, []byte(`{"code":""}`))
	f.Add([]byte(`p{"t":""}`), good)
	f.Add([]byte("n"), []byte("a.b.c"))
	f.Fuzz(func(t *testing.T, keep, answer []byte) {
		v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: keep, Payload: answer, Now: w.Now()})
		if err == nil {
			var got struct{ Code string }
			if jerr := json.Unmarshal(answer, &got); jerr != nil || got != want || v.Proof.User != w.Ada.ID {
				t.Errorf("%q on %q proved %s", answer, keep, v.Proof.User)
			}
			return
		}
		if !errors.Is(err, idp.Unproven) || reason(err) == "" {
			t.Errorf("%q on %q: %v, want unproven", answer, keep, err)
		}
	})
}

// FuzzChain: whatever was stored as a chain, and whatever its names are, it is
// Ada's, or a refusal.
func FuzzChain(f *testing.F) {
	w := one(f)
	f.Add(w.card(f, w.Ada.Name).Leaf().Raw)
	f.Add(append(slices.Clone(w.card(f, w.Ada.Name).Leaf().Raw), w.sub.Cert.Raw...))
	f.Add(w.card(f, "", func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.PrincipalNames(f, w.Ada.Name, "\x00"))
	}).Leaf().Raw)
	f.Add([]byte{0x30, 0x80})
	f.Add([]byte{})
	const code = "the code of this test"
	keep := w.keep(f)
	var kept struct {
		T string `json:"t"`
	}
	if err := json.Unmarshal(keep[1:], &kept); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, chain []byte) {
		_, err := w.DB.Exec(t.Context(), `
			insert into certificate_handover (code, tenant_id, ceremony, chain, expires) values ($1, $2, $3, $4, $5)
			on conflict (code) do update set chain = excluded.chain`,
			secret.Digest(code), w.Tenant.ID, kept.T, chain, w.Now().Add(1e9).UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: keep, Payload: payload(code), Now: w.Now()})
		switch {
		case err == nil && v.Proof.User != w.Ada.ID:
			t.Errorf("%x proved %s", chain, v.Proof.User)
		case err != nil && (!errors.Is(err, idp.Unproven) || reason(err) == ""):
			t.Errorf("%x: %v, want unproven", chain, err)
		}
	})
}

// FuzzValues: whatever a certificate says of itself, what is looked for in
// certificateUserIds is one that the directory would take, of the field's own
// form, or one that nobody can have.
func FuzzValues(f *testing.F) {
	w := one(f)
	f.Add(w.card(f, w.Ada.Name).Leaf().Raw)
	f.Add(w.sub.Cert.Raw)
	forms := map[policy.CertificateField]string{
		policy.FieldPrincipalName: directory.CertificatePN, policy.FieldRFC822Name: directory.CertificateRFC822, policy.FieldSubject: directory.CertificateS,
		policy.FieldIssuerAndSubject: directory.CertificateI, policy.FieldIssuerAndSerialNumber: directory.CertificateI,
		policy.FieldSubjectKeyIdentifier: directory.CertificateSKI, policy.FieldSHA1PublicKey: directory.CertificateSHA1,
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		for field, form := range forms {
			list, err := certificate.Values(c, field, policy.ByCertificateUserIDs)
			if err != nil && len(list) > 0 {
				t.Errorf("%s: %q beside %v", field, list, err)
			}
			for _, v := range list {
				if len(v) <= len(form) || v[:len(form)] != form {
					t.Errorf("%s: %q", field, v)
				}
			}
		}
	})
}
