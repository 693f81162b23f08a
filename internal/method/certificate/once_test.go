package certificate_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// once sends one message on a nonce of its own.
func (w *world) once(t testing.TB, message func(nonce string) []byte) (idp.Proof, error) {
	t.Helper()
	value, sealed := w.Nonce(t, w.Tenant.ID)
	p, _, err := w.Corridor.Once(t.Context(), signin.OnceRequest{
		Tenant: w.Tenant.ID, Method: certificate.ID, Nonce: []byte(value), Nonces: []nonce.Sealed{sealed}, Payload: message(value),
		Device: "30000000-0000-4000-8000-000000000001", Peer: w.peer,
	})
	return p, err
}

// TestOnce: a message that the key of a certificate has signed proves what a
// handshake would.
func TestOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.rules(t, func(r *policy.CertificateRules) { r.Mode = idp.ModeCertificateMulti })
		for name, key := range map[string]certificatetest.Card{"RSA": w.cardOf(t, pkixtest.RSAKey(t), w.Ada.Name), "P-256": w.card(t, w.Ada.Name)} {
			p, err := w.once(t, func(n string) []byte { return key.Message(strings.ToUpper(w.Ada.Name), n, w.Now()) })
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			page := w.mustSignIn(t, key)
			page.Time = p.Time
			if !reflect.DeepEqual(p, page) {
				t.Errorf("%s: by message %+v\nby handshake %+v", name, p, page)
			}
		}
		if n := len(w.list(t, w.Ada)); n != 2 {
			t.Errorf("%d certificates seen, want 2", n)
		}
	})
}

// TestOnceRefusals: each for its own reason alone.
func TestOnceRefusals(t *testing.T) {
	w := one(t)
	card, bobs := w.card(t, w.Ada.Name), w.card(t, w.Bob.Name)
	kid := base64.StdEncoding.EncodeToString(make([]byte, 32))
	signed := func(change func(h, c map[string]any)) func(string) []byte {
		return func(n string) []byte {
			h, c := card.Header(), certificatetest.Claims(w.Ada.Name, n, w.Now())
			change(h, c)
			return card.Sign(h, c)
		}
	}
	chainOf := func(certs ...*x509.Certificate) []string {
		return certificatetest.Card{Key: card.Key, Chain: certs}.Header()["x5c"].([]string)
	}
	for _, c := range []struct {
		name    string
		message func(string) []byte
		want    string
	}{
		// Hello downgrade (device-protocol.md §15).
		{"with a kid", signed(func(h, _ map[string]any) { h["kid"] = kid }), "header_refused"},
		{"with a use", signed(func(h, _ map[string]any) { h["use"] = "ngc" }), "header_refused"},
		{"with both", signed(func(h, _ map[string]any) { h["kid"], h["use"] = kid, "ngc" }), "header_refused"},
		{"KID in capitals", signed(func(h, _ map[string]any) { h["KID"] = kid }), "header_refused"},
		{"with a thumbprint", signed(func(h, _ map[string]any) { h["x5t"] = "AAAA" }), "header_refused"},
		{"another type", signed(func(h, _ map[string]any) { h["typ"] = "JWS" }), "header_refused"},
		{"no certificate", signed(func(h, _ map[string]any) { delete(h, "x5c") }), "chain_missing"},
		{"an empty list", signed(func(h, _ map[string]any) { h["x5c"] = []string{} }), "chain_missing"},
		{"no certificate in it", signed(func(h, _ map[string]any) { h["x5c"] = "AAAA" }), "certificate_malformed"},
		{"six certificates", signed(func(h, _ map[string]any) {
			h["x5c"] = chainOf(card.Leaf(), w.sub.Cert, w.sub.Cert, w.sub.Cert, w.sub.Cert, w.sub.Cert)
		}), "token_malformed"},
		{"algorithm none", signed(func(h, _ map[string]any) { h["alg"] = "none" }), "algorithm_refused"},
		{"a MAC", signed(func(h, _ map[string]any) { h["alg"] = "HS256" }), "algorithm_refused"},
		{"another algorithm", signed(func(h, _ map[string]any) { h["alg"] = "RS256" }), "algorithm_differs"},
		// The nonce.
		{"no nonce", signed(func(_, c map[string]any) { delete(c, "request_nonce") }), "nonce_missing"},
		{"another nonce", signed(func(_, c map[string]any) { c["request_nonce"] = "other" }), "nonce_differs"},
		// For whom, by whom, when.
		{"nobody's", signed(func(_, c map[string]any) { delete(c, "iss") }), "issuer_missing"},
		{"for another tenant", signed(func(_, c map[string]any) { c["aud"] = string(w.Other.ID) }), "audience_differs"},
		{"for two", signed(func(_, c map[string]any) { c["aud"] = []string{"common", "common"} }), "audience_differs"},
		{"late", signed(func(_, c map[string]any) { c["exp"] = w.Now().Add(-2 * time.Minute).Unix() }), "message_late"},
		{"long", signed(func(_, c map[string]any) { c["exp"] = w.Now().Add(3 * time.Hour).Unix() }), "message_long"},
		// Whose.
		{"Bob's name", signed(func(_, c map[string]any) { c["iss"] = w.Bob.Name }), "certificate_other_person"},
		{"Bob's certificate, Ada's key", signed(func(h, c map[string]any) { h["x5c"], c["iss"] = chainOf(bobs.Leaf()), w.Bob.Name }), "wrong_signature"},
		{"an authority's certificate before hers", signed(func(h, _ map[string]any) { h["x5c"] = chainOf(w.sub.Cert, card.Leaf()) }), "wrong_signature"},
		{"garbage", func(string) []byte { return []byte("x.y.z") }, "token_malformed"},
	} {
		_, err := w.once(t, c.message)
		if reason(err) != c.want || idp.AsError(err).Kind != idp.Unproven {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if n := w.Count(t, "certificate_seen", w.Tenant.ID); n != 0 {
		t.Errorf("%d certificates seen", n)
	}
	if _, err := w.once(t, signed(func(_, _ map[string]any) {})); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// TestSec_PSO04_TheVerySameChecks: whatever refuses a certificate in a handshake
// refuses it in a message, for the same reason.
func TestSec_PSO04_TheVerySameChecks(t *testing.T) {
	w := one(t)
	for _, c := range []struct {
		name   string
		card   func() certificatetest.Card
		before func()
	}{
		{"revoked", func() certificatetest.Card {
			card := w.card(t, w.Ada.Name)
			w.trust.refuse(card.Leaf(), pkix.Revoked)
			return card
		}, nil},
		{"over", func() certificatetest.Card {
			return w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.NotAfter = w.Now().Add(-time.Second) })
		}, nil},
		{"not for this", func() certificatetest.Card {
			return w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		}, nil},
		{"self-signed", func() certificatetest.Card {
			r := pkixtest.Root(t, "Mine", w.Now())
			return certificatetest.Card{Key: r.Key, Chain: []*x509.Certificate{r.Cert}}
		}, nil},
		{"nobody's", func() certificatetest.Card { return w.card(t, "nobody@nordhafen.example") }, nil},
		{"firmer asked for", func() certificatetest.Card { return w.card(t, w.Ada.Name) }, func() {
			w.bindings(t, byName, byKey)
			w.rules(t, func(r *policy.CertificateRules) { r.Affinity = policy.HighAffinity })
		}},
	} {
		if c.before != nil {
			c.before()
		}
		card := c.card()
		page := w.refused(t, card)
		_, err := w.once(t, func(n string) []byte { return card.Message(w.Ada.Name, n, w.Now()) })
		if page == "" || reason(err) != page {
			t.Errorf("%s: handshake %q, message %v", c.name, page, err)
		}
		if _, err := w.onceMac(t, macMessage(t, card, nil)); reason(err) != page {
			t.Errorf("%s: handshake %q, a Mac's message %v", c.name, page, err)
		}
	}
}

// TestOnceIsNoPage: an answer of one kind is none of the other, whatever the
// corridor kept.
func TestOnceIsNoPage(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(keep, answer []byte) string {
		_, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: keep, Payload: answer, Now: w.Now()})
		return reason(err)
	}
	if got := verify(ch.Keep, card.Message(w.Ada.Name, string(ch.Keep), w.Now())); got != "answer_malformed" {
		t.Errorf("a message to a page's ceremony: %q", got)
	}
	if got := verify(w.room.KeepFrom([]byte("nonce")), w.answer(t, ch.Show, card)); got != "token_malformed" {
		t.Errorf("a code on a nonce: %q", got)
	}
	if got := verify(nil, w.answer(t, ch.Show, card)); got != "ceremony_malformed" {
		t.Errorf("a code on nothing: %q", got)
	}
}

// TestNotRegistered: there is nothing to register.
func TestNotRegistered(t *testing.T) {
	w := one(t)
	_, err := w.room.RegisterOnce(context.Background(), method.Answer{})
	if reason(err) != "certificate_not_registered" {
		t.Errorf("register: %v", err)
	}
	if _, ok := any(w.room).(method.Registrar); ok {
		t.Error("the room is a Registrar")
	}
	if _, ok := any(w.room).(method.Mounter); ok {
		t.Error("the room mounts something on the main host")
	}
}
