package certificate_test

import (
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/policy"
)

func (w *world) explain(t testing.TB, chain ...*x509.Certificate) certificate.Explained {
	t.Helper()
	x, err := w.room.Explain(t.Context(), w.Tenant.ID, chain)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// steps writes an explanation as "key outcome reason".
func steps(x certificate.Explained) string {
	var out []string
	for _, s := range x.Steps {
		out = append(out, strings.TrimSpace(s.Key+" "+string(s.Outcome)+" "+s.Reason))
	}
	return strings.Join(out, ", ")
}

func values(s certificate.Step, key string) (out []string) {
	for _, v := range s.Values {
		if v.Key == key {
			out = append(out, v.Text)
		}
	}
	return out
}

func step(t testing.TB, x certificate.Explained, key string) certificate.Step {
	t.Helper()
	i := slices.IndexFunc(x.Steps, func(s certificate.Step) bool { return s.Key == key })
	if i < 0 {
		t.Fatalf("no step %q in %s", key, steps(x))
	}
	return x.Steps[i]
}

// TestExplainGood: every step in its order, with what is known, and nothing is
// stored.
func TestExplainGood(t *testing.T) {
	w := one(t)
	w.bindings(t, byMail, byName, byKey)
	w.rules(t, func(r *policy.CertificateRules) {
		r.Levels = []policy.CertificateLevel{{Issuer: pkix.KeyID(w.sub.Cert), Mode: idp.ModeCertificateMulti, Affinity: policy.LowAffinity}}
	})
	card := w.card(t, w.Ada.Name)
	events := len(w.Events(t, w.Tenant.ID))
	x := w.explain(t, card.Leaf())
	const want = "path passed, time passed, revocation passed, revocation passed, level passed, binding skipped no_field, binding passed, person passed, bar passed, policy passed"
	if got := steps(x); got != want {
		t.Errorf("steps %s\nwant  %s", got, want)
	}
	if !x.Good || x.Reason != "" || x.User.ID != w.Ada.ID || x.Mode != idp.ModeCertificateMulti || x.Rule != "certificate.levels[0]" || x.Affinity != policy.LowAffinity {
		t.Errorf("explained %+v", x)
	}
	c := x.Certificate
	if c.Subject != "O=Nordhafen,CN=Somebody" || c.Issuer != "O=Nordhafen,CN=Nordhafen People" || len(c.Thumbprint) != 40 || len(c.SHA256) != 64 ||
		!c.NotAfter.Equal(card.Leaf().NotAfter) || !slices.Equal(c.Names, []certificate.Value{{Key: "principalName", Text: w.Ada.Name}}) {
		t.Errorf("certificate %+v", c)
	}
	// What a person could have, firm ones first; nothing of a kind that is not there.
	if ids := x.UserIDs; len(ids) < 4 || !strings.HasPrefix(ids[0], "X509:<S") || ids[len(ids)-1] != "X509:<PN>"+w.Ada.Name ||
		!slices.Contains(ids, "X509:<I>O=Nordhafen,CN=Nordhafen People<S>O=Nordhafen,CN=Somebody") {
		t.Errorf("ids %q", ids)
	}
	if got := values(step(t, x, certificate.StepPath), "chain"); len(got) != 3 || got[2] != "O=Nordhafen,CN=Nordhafen Root" {
		t.Errorf("chain %q", got)
	}
	for _, s := range x.Steps {
		if s.Key == certificate.StepBinding && s.Outcome == certificate.Passed && !slices.Equal(values(s, "value"), []string{w.Ada.Name}) {
			t.Errorf("binding %+v", s)
		}
	}
	if got := values(step(t, x, certificate.StepPerson), "userPrincipalName"); !slices.Equal(got, []string{w.Ada.Name}) {
		t.Errorf("person %q", got)
	}
	if n := w.Count(t, "certificate_seen", w.Tenant.ID) + w.Count(t, "certificate_handover", w.Tenant.ID); n != 0 || len(w.Events(t, w.Tenant.ID)) != events {
		t.Errorf("%d rows, %d events", n, len(w.Events(t, w.Tenant.ID))-events)
	}
	if _, err := json.Marshal(x); err != nil {
		t.Error(err)
	}
	w.mustSignIn(t, card) // and so it does
}

// TestExplainFailing: after the step that fails it goes on as far as anything is
// known.
func TestExplainFailing(t *testing.T) {
	w := one(t)
	good := w.card(t, w.Ada.Name)
	for _, c := range []struct {
		name   string
		card   func() *x509.Certificate
		want   string
		reason string
	}{
		{"over", func() *x509.Certificate {
			return w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.NotAfter = w.Now().Add(-time.Hour) }).Leaf()
		}, "path passed, time failed certificate_expired, revocation unknown, level unknown, binding passed, person passed, bar passed, policy unknown", "certificate_expired"},
		{"revoked", func() *x509.Certificate {
			leaf := w.card(t, w.Ada.Name).Leaf()
			w.trust.refuse(leaf, pkix.Revoked)
			return leaf
		}, "path passed, time passed, revocation failed certificate_revoked, level unknown, binding passed, person passed, bar passed, policy unknown", "certificate_revoked"},
		{"not for this, and nobody's", func() *x509.Certificate {
			return w.card(t, "nobody@nordhafen.example", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }).Leaf()
		}, "path failed certificate_usage, time passed, revocation unknown, level unknown, binding skipped no_match, person failed certificate_no_user", "certificate_usage"},
		{"of strangers, and over", func() *x509.Certificate {
			w2 := w.root.Sub("unused", w.Now())
			return w2.Leaf(good.Key.Public(), "Somebody", w.Ada.Name, w.Now(), func(c *x509.Certificate) { c.NotAfter = w.Now().Add(-time.Hour) })
		}, "path failed certificate_unknown_issuer, time failed certificate_expired, revocation unknown, level unknown, binding passed, person passed, bar passed, policy unknown", "certificate_unknown_issuer"},
	} {
		x := w.explain(t, c.card())
		if steps(x) != c.want || x.Good || x.Reason != c.reason {
			t.Errorf("%s: %s (good %v, %s)\nwant %s", c.name, steps(x), x.Good, x.Reason, c.want)
		}
		if x.Mode != "" {
			t.Errorf("%s: counts as %s", c.name, x.Mode)
		}
	}
}

// TestExplainLast: what is refused at the end, with the path in order.
func TestExplainLast(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	id := w.mustSignIn(t, card).Credential
	const before = "path passed, time passed, revocation passed, revocation passed, level passed, binding passed, person passed, "
	check := func(what, want, reason string) {
		t.Helper()
		if x := w.explain(t, card.Leaf()); steps(x) != before+want || x.Good || x.Reason != reason || x.User.ID != w.Ada.ID {
			t.Errorf("%s: %s (good %v, %s)", what, steps(x), x.Good, x.Reason)
		}
	}
	w.Enable(t, w.Ada, false)
	check("switched off", "bar passed, policy failed user_disabled", "user_disabled")
	w.Enable(t, w.Ada, true)
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
		r := p.Methods[policy.Certificate]
		r.Exclude = []policy.Target{{User: w.Ada.ID}}
		p.Methods[policy.Certificate] = r
	})
	check("not hers", "bar passed, policy failed excluded", "excluded")
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
		r := p.Methods[policy.Certificate]
		r.Exclude = nil
		p.Methods[policy.Certificate] = r
	})
	if err := w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, w.Ada.ID, certificate.ID, id, "cli:test", w.peer); err != nil {
		t.Fatal(err)
	}
	check("barred", "bar failed certificate_barred, policy passed", "certificate_barred")
}

// TestExplainAgrees: a binding that was passed over says why.
func TestExplainBindings(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	w.bindings(t, byName, byMail, byKey)
	w.rules(t, func(r *policy.CertificateRules) { r.Affinity = policy.HighAffinity })
	x := w.explain(t, card.Leaf())
	const want = "binding skipped too_weak, binding skipped too_weak, binding skipped no_match, person failed certificate_no_user"
	if got := steps(x); !strings.HasSuffix(got, want) {
		t.Errorf("steps %s", got)
	}
	if got := values(x.Steps[len(x.Steps)-2], "value"); !slices.Equal(got, []string{skiOf(card)}) {
		t.Errorf("looked for %q", got)
	}
}
