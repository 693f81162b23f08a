package broker_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// listed is a trust store with a list of its own: what a test revokes.
type listed struct {
	*trust.Store
	revoked sync.Map // certificates in DER
}

func (l *listed) Verify(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r trust.Rules) (trust.Verified, error) {
	v, err := l.Store.Verify(ctx, t, leaf, sent, r)
	if _, gone := l.revoked.Load(string(leaf.Raw)); err == nil && gone {
		return trust.Verified{}, idp.Unprovenf("certificate_revoked", "%w", &pkix.Fault{Reason: pkix.Revoked, Cert: leaf, Path: v.Chain, Err: errors.New("so says the test")}).Coded(500171)
	}
	return v, err
}

// cardRoom opens the room of certificates. Nobody comes to it by a handshake
// here.
func (n *node) cardRoom(t testing.TB, issuer func(idp.TenantID) string) {
	n.trust = &listed{Store: trust.New(trust.Config{DB: n.db, Now: n.clock.now, Bus: n.notices})}
	var err error
	n.cards, err = certificate.New(certificate.Config{
		DB: n.db, Now: n.clock.now, Base: base, Tenant: n.directory.Resolve, Trust: n.trust, Stands: n.trust.Stands, Issuer: issuer,
		Address:   func(context.Context, idp.TenantID) (string, error) { return "", nil },
		Handshake: func(*http.Request) ([]*x509.Certificate, error) { return nil, nil },
		Key: func(ctx context.Context, id idp.TenantID) (*secret.Key, error) {
			return n.keys.Sealing(ctx, id, "certificate.ticket")
		},
		Rules: func(ctx context.Context, id idp.TenantID) (policy.CertificateRules, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Certificate, err
		},
		Users: func(ctx context.Context, id idp.TenantID, p policy.UserProperty, values []string) ([]idp.User, error) {
			return n.directory.UsersBy(ctx, n.db, id, string(p), values)
		},
		Judge: func(ctx context.Context, u idp.User, f idp.Facts) (policy.Refusal, error) {
			p, who, err := n.policies.For(ctx, u.Tenant, u)
			return p.Judge(who, policy.Use, policy.Certificate, &f).Refusal, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// issuer switches certificates on and makes an authority that the tenant
// trusts, without asking for a list.
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

func card(w *world, ca *pkixtest.Authority, key crypto.Signer, upn string, changes ...pkixtest.Change) certificatetest.Card {
	return certificatetest.Card{Key: key, Chain: []*x509.Certificate{ca.Leaf(key.Public(), "Somebody", upn, w.clock.now(), changes...)}}
}

// byCard asks for a PRT with one nonce for both messages.
func (w *world) byCard(m *machine, c certificatetest.Card, user string) answer {
	w.t.Helper()
	n := w.nonce()
	return w.send(m.sign(byHello(n, c.Message(user, n, w.clock.now()))))
}

// TestCardPRT: a PRT by the certificate of a person says how it was got, and
// counts for what the rules make of the certificate (device-protocol.md §7.2).
func TestCardPRT(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.join(0)
		for _, c := range []struct {
			name string
			key  crypto.Signer
			mode idp.Mode
			amr  string
			mfa  bool
		}{
			{"P-256, multi-factor", pkixtest.ECKey(t), idp.ModeCertificateMulti, "[pop mfa]", true},
			{"RSA, multi-factor", pkixtest.RSAKey(t), idp.ModeCertificateMulti, "[rsa mfa]", true},
			{"RSA, single factor", pkixtest.RSAKey(t), idp.ModeCertificateSingle, "[rsa]", false},
		} {
			k := card(w, w.issuer(c.mode), c.key, w.ada.Name)
			h := m.receive(t, w.byCard(m, k, w.ada.Name))
			prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
			if err != nil || len(prts) == 0 {
				t.Fatalf("%s: %v, %v", c.name, prts, err)
			}
			p := prts[slices.IndexFunc(prts, func(p prt.PRT) bool { return p.Proofs[0].Credential == certificate.CredentialID(k.Leaf()) })]
			if !p.Direct || p.User != w.ada.ID || p.MFATime.IsZero() == c.mfa || p.Proofs[0].Mode != c.mode || p.Proofs[0].Facts.Certificate == nil {
				t.Errorf("%s: PRT %+v", c.name, p)
			}
			got := h.open(t, w.use(h, nil))
			access := claimsOf(t, got["access_token"])
			if fmt.Sprint(access["amr"]) != c.amr || access["upn"] != w.ada.Name || access["deviceid"] != string(m.ID) {
				t.Errorf("%s: %v", c.name, access)
			}
			done, err := w.audit.List(t.Context(), w.db, w.tenant.ID, audit.Filter{Limit: 5})
			if err != nil || !slices.ContainsFunc(done, func(e audit.Event) bool {
				return e.Activity == "signin.done" && e.Method == policy.Certificate && e.Session == p.ID && e.Detail["certificateSubject"] == "O=Nordhafen,CN=Somebody"
			}) {
				t.Errorf("%s: recorded %+v, %v", c.name, done, err)
			}
			h.open(t, w.renew(h))
		}
	})
}

// TestCardRefused: each for its own reason alone; nothing is given out, and what
// the device has signed burns its nonces.
func TestCardRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := w.issuer(idp.ModeCertificateMulti)
		m, key := w.join(0), pkixtest.ECKey(t)
		good, bobs := card(w, ca, key, w.ada.Name), card(w, ca, pkixtest.ECKey(t), w.bob.Name)
		gone := card(w, ca, key, w.ada.Name)
		w.trust.revoked.Store(string(gone.Leaf().Raw), true)
		stranger := pkixtest.Root(t, "Westwerk Root", w.clock.now())
		kid := base64.StdEncoding.EncodeToString(make([]byte, 32))
		inner := func(c certificatetest.Card, change func(h, cl object)) func(string) []byte {
			return func(n string) []byte {
				h, cl := c.Header(), certificatetest.Claims(w.ada.Name, n, w.clock.now())
				change(h, cl)
				return c.Sign(h, cl)
			}
		}
		as := func(c certificatetest.Card) func(string) []byte { return inner(c, func(_, _ object) {}) }
		other := w.nonce()
		for _, c := range []struct {
			name   string
			inner  func(nonce string) []byte
			reason string
			code   int
		}{
			{"somebody else's", as(bobs), "certificate_other_person", 50017},
			{"revoked", as(gone), "certificate_revoked", 500171},
			{"over", as(card(w, ca, key, w.ada.Name, func(c *x509.Certificate) { c.NotAfter = w.clock.now().Add(-time.Minute) })), "certificate_expired", 500172},
			{"of strangers", as(card(w, stranger, key, w.ada.Name)), "certificate_unknown_issuer", 50017},
			{"the device's own", func(n string) []byte {
				return []byte(sign(m.key, object{"alg": "RS256", "x5c": []string{base64.StdEncoding.EncodeToString(m.cert)}},
					object{"iss": w.ada.Name, "aud": "common", "request_nonce": n}))
			}, "certificate_unknown_issuer", 50017},
			{"wrong signature", inner(certificatetest.Card{Key: pkixtest.ECKey(t), Chain: good.Chain}, func(_, _ object) {}), "wrong_signature", 130005},
			// Hello downgrade (device-protocol.md §15).
			{"with a kid", inner(good, func(h, _ object) { h["kid"] = kid }), "header_refused", 130005},
			{"with a use", inner(good, func(h, _ object) { h["use"] = "ngc" }), "header_refused", 130005},
			{"with both", inner(good, func(h, _ object) { h["kid"], h["use"] = kid, "ngc" }), "header_refused", 130005},
			// The nonce of its own is the outer one: no device vouches for the key.
			{"on another nonce of ours", inner(good, func(_, c object) { c["request_nonce"] = other }), "nonce_differs", 130005},
		} {
			n := w.nonce()
			a := w.send(m.sign(byHello(n, c.inner(n))))
			sub := ""
			if c.code == 130005 {
				sub = "bad_token"
			}
			a.refused(t, c.name, "invalid_grant", c.code, sub)
			done, err := w.audit.List(t.Context(), w.db, w.tenant.ID, audit.Filter{Limit: 1})
			if err != nil || done[0].Reason != c.reason || done[0].Outcome != audit.Failure || done[0].Detail["device"] != string(m.ID) {
				t.Errorf("%s: recorded %+v, %v, want %s", c.name, done, err, c.reason)
			}
			// The device has signed it, so its nonce is spent.
			w.send(m.sign(byHello(n, good.Message(w.ada.Name, n, w.clock.now())))).refused(t, c.name+", and then a good one", "invalid_grant", 140000, "bad_token")
		}
		// A certificate without any is a Hello key's message, and refused as one.
		n := w.nonce()
		w.send(m.sign(byHello(n, inner(good, func(h, _ object) { h["x5c"] = []string{} })(n)))).refused(t, "no certificate", "invalid_grant", 130005, "bad_token")
		if prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID); err != nil || len(prts) != 0 {
			t.Errorf("%d PRTs, %v", len(prts), err)
		}
		m.receive(t, w.byCard(m, good, w.ada.Name))
		// No certificates here: the method is the tenant's to switch off.
		w.policy(func(p *policy.Policy) { p.Switch(policy.Certificate, false) })
		if a := w.byCard(m, good, w.ada.Name); a.status == http.StatusOK || !strings.Contains(a.body, "130500") {
			t.Errorf("switched off: %d %s", a.status, a.body)
		}
	})
}

// TestCardOnce: of one message, sent sixteen times to two servers, one gets a
// PRT.
func TestCardOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := card(w, w.issuer(idp.ModeCertificateMulti), pkixtest.ECKey(t), w.ada.Name)
		m := w.join(0)
		nodes := []*node{w.node, w.again()}
		n := w.nonce()
		request := m.sign(byHello(n, k.Message(w.ada.Name, n, w.clock.now())))
		var won atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range 16 {
			all.Go(func() {
				<-start
				if a := nodes[i%2].post(w.at("/oauth2/token"), form(request)); a.status == http.StatusOK {
					won.Add(1)
				} else if !strings.Contains(a.body, "AADSTS140000") {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		close(start)
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d got a PRT, want 1", won.Load())
		}
	})
}

// TestCardBarred: what stands on a certificate ends when it is taken away.
func TestCardBarred(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := card(w, w.issuer(idp.ModeCertificateMulti), pkixtest.ECKey(t), w.ada.Name)
		m := w.join(0)
		h := m.receive(t, w.byCard(m, k, w.ada.Name))
		h.open(t, w.use(h, nil))
		if err := w.corridor.RemoveFor(t.Context(), w.tenant.ID, w.ada.ID, policy.Certificate, certificate.CredentialID(k.Leaf()), "cli:test", signin.Peer{}); err != nil {
			t.Fatal(err)
		}
		if a := w.use(h, nil); a.status == http.StatusOK {
			t.Errorf("its PRT: %d", a.status)
		}
		w.byCard(m, k, w.ada.Name).refused(t, "the certificate", "invalid_grant", 50017, "")
	})
}
