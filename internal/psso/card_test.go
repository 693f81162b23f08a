package psso_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// issuer switches cards on and makes an authority that the tenant trusts,
// without asking for a list.
func (w *world) issuer(mode idp.Mode) *pkixtest.Authority {
	w.t.Helper()
	ca := pkixtest.Root(w.t, "Nordhafen Root", w.clock.now())
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := w.trust.Add(ctx, tx, w.tenant.ID, "", trust.Offers([]*x509.Certificate{ca.Cert}, nil))
		return err
	})
	w.policy(func(p *policy.Policy) {
		p.Switch(policy.Certificate, true)
		p.Certificate.Mode = mode
		p.Certificate.Unchecked = []string{pkix.KeyID(ca.Cert)}
	})
	return ca
}

// byCard is a login by a smart card.
func (w *world) byCard(m *machine, u idp.User, key crypto.Signer, certificates ...*x509.Certificate) *message {
	w.t.Helper()
	q := w.fresh(m, "/psso/token", pssowire.TypeLogin)
	q.claims = q.claims.merge(object{
		"client_id": pssowire.ClientID, "sub": u.Name, "username": u.Name, "scope": scope, "grant_type": pssowire.GrantBearer,
	})
	q.innerKey = key
	q.innerHeader = object{"typ": pssowire.TypeAssertion, "alg": "RS256", "kid": "b3BhcXVl"}
	if pub, ok := key.Public().(*ecdsa.PublicKey); ok {
		q.innerHeader["alg"], q.innerHeader["kid"] = "ES256", pssowire.KeyOf(pub).String()
	}
	if len(certificates) == 1 { // as macOS 13 to 26
		q.innerHeader["x5c"] = base64.StdEncoding.EncodeToString(certificates[0].Raw)
		return q
	}
	var chain []string
	for _, c := range certificates {
		chain = append(chain, base64.StdEncoding.EncodeToString(c.Raw))
	}
	q.innerHeader["x5c"] = chain
	return q
}

// TestCardLogin: cards of both kinds sign in, by each algorithm that a Mac has
// for them, and count for what the tenant's rules make of them.
func TestCardLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		for _, c := range []struct {
			name string
			key  crypto.Signer
			alg  string
			mode idp.Mode
			amr  string
		}{
			{"P-256", pkixtest.ECKey(t), "ES256", idp.ModeCertificateMulti, "[pop mfa]"},
			{"RSA, RS256", rsaKey(), "RS256", idp.ModeCertificateMulti, "[rsa mfa]"},
			{"RSA, RS384", rsaKey(), "RS384", idp.ModeCertificateMulti, "[rsa mfa]"},
			{"RSA, RS512", rsaKey(), "RS512", idp.ModeCertificateMulti, "[rsa mfa]"},
			{"RSA, single factor", rsaKey(), "RS256", idp.ModeCertificateSingle, "[rsa]"},
		} {
			ca := w.issuer(c.mode)
			q := w.byCard(m, w.ada, c.key, ca.Leaf(c.key.Public(), "Ada", w.ada.Name, w.clock.now()))
			q.innerHeader["alg"] = c.alg
			o := q.open(t, w.send(q))
			id := w.idToken(t, o.out["id_token"])
			if fmt.Sprint(id["amr"]) != c.amr || id["oid"] != string(w.ada.ID) || id["nonce"] != macNonce {
				t.Errorf("%s: %v", c.name, id)
			}
			q = w.refresh(m, o.out["refresh_token"].(string))
			q.open(t, w.send(q))
		}
		ca := w.issuer(idp.ModeCertificateMulti)
		key := pkixtest.ECKey(t)
		q := w.byCard(m, w.ada, key, ca.Leaf(key.Public(), "Ada", w.ada.Name, w.clock.now()), ca.Cert)
		q.open(t, w.send(q)) // a list of two
	})
}

// TestSec_PSO04_Cards: a card that would not do for a handshake does not do here,
// and the answer says no more than for any other proof.
func TestSec_PSO04_Cards(t *testing.T) {
	w := lite(t)
	m := w.mac()
	ca, foreign := w.issuer(idp.ModeCertificateMulti), pkixtest.Root(t, "Nobody's Root", w.clock.now())
	key, other := pkixtest.ECKey(t), pkixtest.ECKey(t)
	k := w.enrol(m, w.ada)
	now := w.clock.now()
	set := func(c *x509.Certificate) func(q *message) {
		return func(q *message) { q.innerHeader["x5c"] = base64.StdEncoding.EncodeToString(c.Raw) }
	}
	eve := w.person(w.other, "eve")
	w.check(t, func() *message { return w.byCard(m, w.ada, key, ca.Leaf(key.Public(), "Ada", w.ada.Name, now)) },
		credential("of an authority that nobody trusts", "certificate_unknown_issuer", set(foreign.Leaf(key.Public(), "Ada", w.ada.Name, now))),
		credential("over", "certificate_expired", set(ca.Leaf(key.Public(), "Ada", w.ada.Name, now, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
		}))),
		credential("of another key", "wrong_signature", set(ca.Leaf(other.Public(), "Ada", w.ada.Name, now))),
		credential("of somebody else", "certificate_other_person", set(ca.Leaf(key.Public(), "Bob", w.bob.Name, now))),
		credential("of nobody", "certificate_no_user", set(ca.Leaf(key.Public(), "Nobody", "nobody@nordhafen.example", now))),
		credential("of another tenant", "certificate_no_user", set(ca.Leaf(key.Public(), "Eve", eve.Name, now))),
		credential("no certificate", "key_unknown", func(q *message) { delete(q.innerHeader, "x5c") }), // then it is one of a key
		credential("an authority's own", "wrong_signature", set(ca.Cert)),
		credential("not for signing", "certificate_usage", set(ca.Leaf(key.Public(), "Ada", w.ada.Name, now, func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyAgreement
		}))),
		credential("another kid", "kid_differs", func(q *message) { q.innerHeader["kid"] = k.ID().String() }),
		credential("a certificate beside a Secure Enclave key", "wrong_signature", func(q *message) {
			q.innerKey, q.innerHeader["kid"] = k.Private(), k.ID().String()
		}),
		credential("another nonce", "login_nonce_differs", func(q *message) { q.inner = object{"nonce": "x"} }),
		credential("another scope", "scope_differs", func(q *message) { q.inner = object{"scope": "openid"} }),
		credential("another name inside", "issuer_differs", func(q *message) { q.inner = object{"iss": w.bob.Name, "sub": w.bob.Name} }),
	)
	q := w.byCard(m, w.ada, key, ca.Leaf(key.Public(), "Ada", w.ada.Name, now))
	w.enable(w.ada, false)
	a := w.send(q)
	a.refused(t, "switched off", http.StatusUnauthorized, "invalid_grant", "")
	w.enable(w.ada, true)
	w.policy(func(p *policy.Policy) { p.Switch(policy.Certificate, false) })
	a = w.send(w.byCard(m, w.ada, key, ca.Leaf(key.Public(), "Ada", w.ada.Name, now)))
	if a.status != http.StatusForbidden {
		t.Errorf("cards are off: %d %s (%s)", a.status, a.body, a.cause)
	}
}
