package trust_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	path "github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/trust"
)

// house is a root, an authority below it that issues to people, and one of
// those.
type house struct {
	root, people *pkixtest.Authority
	ada          *x509.Certificate
	rules        trust.Rules
}

func ownIssuer(c *x509.Certificate) { c.AuthorityKeyId = c.SubjectKeyId }

func newHouse(t testing.TB, changes ...pkixtest.Change) house {
	// The root names its own key as its issuer's: it can stand as either kind.
	h := house{root: pkixtest.Root(t, "Nordhafen Root", start, ownIssuer)}
	h.people = h.root.Sub("Nordhafen People", start)
	h.ada = h.people.Leaf(pkixtest.ECKey(t).Public(), "Ada", "ada@nordhafen.example", start, changes...)
	// These authorities have no lists: their keys are named.
	h.rules = trust.Rules{Unchecked: []string{path.KeyID(h.root.Cert), path.KeyID(h.people.Cert)}}
	return h
}

// refused says whether a verification fails for that reason, and only then.
func refused(t *testing.T, what string, err error, reason string) {
	t.Helper()
	e := idp.AsError(err)
	if reason == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	var f *path.Fault
	if e == nil || e.Kind != idp.Unproven || e.Reason != reason || !errors.As(err, &f) || e.Code == 0 {
		t.Errorf("%s: %v, want %s", what, err, reason)
	}
}

func (w *world) verify(t idp.TenantID, h house, sent ...*x509.Certificate) (trust.Verified, error) {
	return w.Verify(context.Background(), t, h.ada, sent, h.rules)
}

func TestVerify(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		_, err := w.verify(tenant, h, h.people.Cert, h.root.Cert)
		refused(t, "nothing is trusted yet", err, "certificate_unknown_issuer")
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		got, err := w.verify(tenant, h)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Chain) != 3 || !got.Chain[0].Equal(h.ada) || !got.Chain[2].Equal(h.root.Cert) {
			t.Errorf("a path of %d", len(got.Chain))
		}
		if len(got.Authorities) != 2 || got.Authorities[0].ID != made[1].ID || got.Authorities[1].ID != made[0].ID {
			t.Errorf("authorities %q", names(got.Authorities))
		}
		if len(got.Checks) != 2 || got.Checks[0].Cert != h.ada || got.Checks[0].By != trust.Unchecked || got.Checks[0].Authority != made[1].ID ||
			!got.Checks[1].Cert.Equal(h.people.Cert) || got.Checks[1].Authority != made[0].ID {
			t.Errorf("checks %+v", got.Checks)
		}
	})
}

// What a client sends may complete a path, and is checked like all else: an
// authority that the tenant does not know has no list. That one of the same key
// identifier may do without is not for it: who issued it chose that.
func TestVerifySent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		w.mustAdd(tenant, root(h.root))
		_, err := w.verify(tenant, h)
		refused(t, "without what stands between", err, "certificate_unknown_issuer")
		_, err = w.verify(tenant, h, h.people.Cert)
		refused(t, "a sent one without a list", err, "certificate_list_unavailable")
		w.mustAdd(tenant, sub(h.people))
		got, err := w.verify(tenant, h, h.people.Cert)
		if err != nil || len(got.Chain) != 3 || !got.Authorities[0].Known() || got.Authorities[0].Name != "Nordhafen People" || !got.Authorities[1].Known() {
			t.Errorf("%q, %v", names(got.Authorities), err)
		}
	})
}

func TestVerifyUsages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := pkixtest.Root(t, "Root", start)
		w.mustAdd(tenant, root(ca))
		key := pkixtest.ECKey(t).Public()
		eku := func(u ...x509.ExtKeyUsage) pkixtest.Change {
			return func(c *x509.Certificate) { c.ExtKeyUsage = u }
		}
		logon := func(c *x509.Certificate) {
			c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}}
		}
		for name, c := range map[string]struct {
			change         pkixtest.Change
			anyEKU, noEKU  bool
			reason         string
			reasonOtherway string
		}{
			"clientAuth":   {change: eku(x509.ExtKeyUsageClientAuth)},
			"logon":        {change: logon},
			"server":       {change: eku(x509.ExtKeyUsageServerAuth), reason: "certificate_usage"},
			"any":          {change: eku(x509.ExtKeyUsageAny), reason: "certificate_usage"},
			"any, allowed": {change: eku(x509.ExtKeyUsageAny), anyEKU: true},
			"any, wrong":   {change: eku(x509.ExtKeyUsageAny), noEKU: true, reason: "certificate_usage"},
			"none":         {change: eku(), reason: "certificate_usage"},
			"none, so":     {change: eku(), noEKU: true},
			"none, wrong":  {change: eku(), anyEKU: true, reason: "certificate_usage"},
			"no signing":   {change: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, reason: "certificate_usage"},
		} {
			leaf := ca.Leaf(key, "Ada", "", start, c.change)
			r := trust.Rules{Unchecked: []string{path.KeyID(ca.Cert)}, AnyUsage: c.anyEKU, NoUsage: c.noEKU}
			_, err := w.Verify(t.Context(), tenant, leaf, nil, r)
			refused(t, name, err, c.reason)
		}
	})
}

func TestSteps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		got, err := w.Steps(t.Context(), tenant, h.ada, nil, h.rules)
		if err != nil || got.Fault != nil || len(got.Steps) != 3 || len(got.Chain) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		for i, s := range got.Steps {
			if s.Cert == nil || (s.Checked == nil) != (i == 2) || s.Anchor != (i == 2) || s.Fault != nil || s.Authority.Known() != (i > 0) {
				t.Errorf("step %d: %+v", i, s)
			}
		}
		// Without a list: refused, at the first that was asked about.
		r := h.rules
		r.Unchecked = nil
		got, err = w.Steps(t.Context(), tenant, h.ada, nil, r)
		if err != nil || got.Fault == nil || got.Fault.Reason != path.RevocationUnknown || len(got.Chain) != 0 || len(got.Steps) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		if s := got.Steps[1]; s.Fault == nil || s.Authority.ID != made[1].ID || s.Checked != nil || got.Steps[0].Fault != nil {
			t.Errorf("%+v", s)
		}
		// Without any authority: as far as it was built.
		got, err = w.Steps(t.Context(), other, h.ada, nil, h.rules)
		if err != nil || got.Fault == nil || len(got.Steps) != 1 || got.Steps[0].Authority.Known() {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestHints(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hints := func() (out []string) {
			t.Helper()
			raw, err := w.Hints(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range raw {
				var n pkix.RDNSequence
				if _, err := asn1.Unmarshal(r, &n); err != nil {
					t.Fatal(err)
				}
				var name pkix.Name
				name.FillFromRDNSequence(&n)
				out = append(out, name.CommonName)
			}
			return out
		}
		if got := hints(); len(got) != 0 {
			t.Errorf("of nothing: %q", got)
		}
		a, b := pkixtest.Root(t, "A", start), pkixtest.Root(t, "B", start)
		made := w.mustAdd(tenant, root(a), root(b), root(pkixtest.Root(t, "A", start)),
			root(pkixtest.Root(t, "Soon over", start, func(c *x509.Certificate) { c.NotAfter = start.Add(time.Hour) })),
			root(pkixtest.Root(t, "To come", start, func(c *x509.Certificate) { c.NotBefore = start.Add(time.Hour) })))
		if got := hints(); len(got) != 3 || got[0] != "A" || got[1] != "B" || got[2] != "Soon over" {
			t.Errorf("all: %q", got)
		}
		w.pass(2 * time.Hour)
		if got := hints(); len(got) != 3 || got[2] != "To come" {
			t.Errorf("later: %q", got)
		}
		w.update(tenant, made[1].ID, 0, trust.Edit{Hint: to(true)})
		if got := hints(); len(got) != 1 || got[0] != "B" {
			t.Errorf("marked: %q", got)
		}
		w.update(tenant, made[1].ID, 0, trust.Edit{Enabled: to(false)})
		if got := hints(); len(got) != 2 || got[0] != "A" {
			t.Errorf("the marked one is off: %q", got)
		}
	})
}

// More names than fit: the first of them are told.
func TestHintsBound(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := pkixtest.Root(t, "Root", start)
		var many []trust.Offer
		for i := range 200 {
			many = append(many, trust.Offer{Cert: ca.Leaf(ca.Key.Public(), "", "", start, func(c *x509.Certificate) {
				c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
				c.Subject = pkix.Name{CommonName: string(rune('a' + i)), Organization: []string{"An organisation with a name that takes its place, and then some more of it, until it is about two hundred bytes long altogether"}}
			})})
		}
		w.mustAdd(tenant, many...)
		raw, err := w.Hints(t.Context(), tenant)
		size := 0
		for _, r := range raw {
			size += 2 + len(r)
		}
		if err != nil || len(raw) < 50 || len(raw) >= 200 || size > 16<<10 || size < 15<<10 {
			t.Errorf("%d names of %d bytes, %v", len(raw), size, err)
		}
	})
}

// Sign-ins go on while an authority comes and goes: each is judged by one
// state of the store, and after the last change nobody passes.
func TestRaceRemove(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := w.verify(tenant, h); err != nil && idp.AsError(err).Reason != "certificate_unknown_issuer" {
						t.Errorf("meanwhile: %v", err)
						return
					}
				}
			})
		}
		for range 10 {
			if _, err := w.remove(tenant, made[1].ID); err != nil {
				t.Error(err)
			}
			_, err := w.verify(tenant, h)
			refused(t, "removed", err, "certificate_unknown_issuer")
			if _, err := w.restore(tenant, made[1].ID); err != nil {
				t.Error(err)
			}
			_, err = w.verify(tenant, h)
			refused(t, "restored", err, "")
		}
		close(stop)
		wg.Wait()
	})
}

// A verification that cannot read the store is an error of ours, and no verdict.
func TestVerifyBroken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Verify(ctx, tenant, h.ada, nil, h.rules); err == nil || errors.Is(err, idp.Unproven) {
			t.Errorf("verify: %v", err)
		}
		if _, err := w.Steps(ctx, tenant, h.ada, nil, h.rules); err == nil {
			t.Error("steps of nothing")
		}
	})
}
