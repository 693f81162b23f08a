package trust_test

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
)

// Only what was given to that tenant is an anchor: not what the client sends,
// not another tenant's, not an intermediate.
func TestSec_CBA02_OnlyTheTenantsAuthorities(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		w.mustAdd(other, root(h.root), sub(h.people))
		_, err := w.verify(tenant, h, h.people.Cert, h.root.Cert)
		refused(t, "another tenant's", err, "certificate_unknown_issuer")
		w.mustAdd(tenant, sub(h.people))
		_, err = w.verify(tenant, h, h.people.Cert, h.root.Cert)
		refused(t, "an intermediate with a root that was sent", err, "certificate_unknown_issuer")
		w.mustAdd(tenant, trust.Offer{Cert: h.root.Cert, Root: false})
		_, err = w.verify(tenant, h)
		refused(t, "a root that was added as an intermediate", err, "certificate_unknown_issuer")
		_, err = w.verify(other, h)
		refused(t, "beside it, the other tenant", err, "")
	})
}

// The same authority in two tenants: what one does to its own is the other's
// business in nothing, and neither is the record of the other.
func TestSec_T26_SameAuthorityInTwoTenants(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		mine := w.mustAdd(tenant, root(h.root), sub(h.people))
		theirs := w.mustAdd(other, root(h.root), sub(h.people))
		for i := range mine {
			if mine[i].ID == theirs[i].ID {
				t.Fatal("one record for two tenants")
			}
		}
		for name, of := range map[idp.TenantID][]trust.Authority{tenant: mine, other: theirs} {
			got, err := w.verify(name, h)
			if err != nil || got.Authorities[0].ID != of[0+1].ID || got.Authorities[1].ID != of[0].ID || got.Authorities[0].Tenant != name {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := w.update(other, theirs[1].ID, 0, trust.Edit{Enabled: to(false)}); err != nil {
			t.Fatal(err)
		}
		_, err := w.verify(other, h)
		refused(t, "switched off there", err, "certificate_unknown_issuer")
		_, err = w.verify(tenant, h)
		refused(t, "and on here", err, "")
		if _, err := w.remove(tenant, theirs[0].ID); idp.AsError(err) == nil || idp.AsError(err).Kind != idp.NotFound {
			t.Errorf("removed from beside: %v", err)
		}
	})
}

// What has neither list nor responder is refused, unless its very key is named
// (fail closed); naming a key does not open one that has a list.
func TestSec_CBA04_NothingUncheckedUnlessNamed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		both := h.rules
		for name, r := range map[string]trust.Rules{
			"none named":         {},
			"the root alone":     {Unchecked: both.Unchecked[:1]},
			"the issuer alone":   {Unchecked: both.Unchecked[1:]},
			"another":            {Unchecked: []string{"00", ""}},
			"stale lists pass":   {StaleFor: 1000 * time.Hour},
			"any and no purpose": {AnyUsage: true, NoUsage: true},
		} {
			h.rules = r
			_, err := w.verify(tenant, h)
			refused(t, name, err, "certificate_list_unavailable")
		}
		h.rules = both
		_, err := w.verify(tenant, h)
		refused(t, "both named", err, "")
		for name, e := range map[string]trust.Edit{
			"a list that was never fetched": {CRL: to("http://crl.example/p")},
			"a responder that is not there": {CRL: to(""), OCSP: to("http://127.0.0.1:1/")},
		} {
			if _, err := w.update(tenant, made[1].ID, 0, e); err != nil {
				t.Fatal(err)
			}
			_, err := w.verify(tenant, h)
			refused(t, name, err, "certificate_list_unavailable")
		}
	})
}

// An authority that is switched off, removed or over fails the next sign-in,
// whatever the client sends along.
func TestSec_CBA13_GoneAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		// The authority's other certificate: same name, same key.
		twin := h.root.Leaf(h.people.Key.Public(), "", "", start, func(c *x509.Certificate) {
			c.Subject = h.people.Cert.Subject
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		})
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		passes := func(what, reason string) {
			t.Helper()
			_, err := w.verify(tenant, h, h.people.Cert, twin, h.root.Cert)
			refused(t, what, err, reason)
		}
		passes("as it is", "")
		for i, name := range []string{"the root", "the issuer"} {
			w.update(tenant, made[i].ID, 0, trust.Edit{Enabled: to(false)})
			passes(name+" off", "certificate_unknown_issuer")
			w.update(tenant, made[i].ID, 0, trust.Edit{Enabled: to(true)})
			passes(name+" on", "")
			w.remove(tenant, made[i].ID)
			passes(name+" removed", "certificate_unknown_issuer")
			w.restore(tenant, made[i].ID)
			passes(name+" restored", "")
		}
		w.update(tenant, made[0].ID, 0, trust.Edit{Root: to(false)})
		passes("the root no anchor any more", "certificate_unknown_issuer")
		w.update(tenant, made[0].ID, 0, trust.Edit{Root: to(true)})
		passes("an anchor again", "")
		// A renewed certificate beside one that was switched off: it stands.
		w.update(tenant, made[1].ID, 0, trust.Edit{Enabled: to(false)})
		w.mustAdd(tenant, trust.Offer{Cert: twin})
		passes("its other certificate was added", "")
	})
}

func TestSec_CBA13_Expired(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		soon := func(c *x509.Certificate) { c.NotAfter = start.Add(time.Hour) }
		for name, build := range map[string]func() (house, []trust.Offer){
			"root": func() (h house, _ []trust.Offer) {
				h.root = pkixtest.Root(t, "Root", start, soon)
				h.people = h.root.Sub("People", start)
				return h, []trust.Offer{root(h.root), sub(h.people)}
			},
			"intermediate": func() (h house, _ []trust.Offer) {
				h.root = pkixtest.Root(t, "Root", start)
				h.people = h.root.Sub("People", start, soon)
				return h, []trust.Offer{root(h.root), sub(h.people)}
			},
		} {
			h, offers := build()
			w.mustAdd(tenant, offers...)
			h.ada = h.people.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", start)
			for _, a := range w.list(tenant) {
				h.rules.Unchecked = append(h.rules.Unchecked, a.Key())
			}
			was := w.clock.Load()
			w.pass(time.Hour)
			_, err := w.verify(tenant, h)
			refused(t, name+" in its last second", err, "")
			w.pass(time.Second)
			_, err = w.verify(tenant, h)
			refused(t, name+" over", err, "certificate_expired")
			w.clock.Store(start.Add(-2 * time.Hour).UnixMilli())
			_, err = w.verify(tenant, h)
			refused(t, name+" not yet", err, "certificate_not_yet_valid")
			w.clock.Store(was)
		}
	})
}

// What one node changes is gone on the others, within a minute by far.
func TestSec_CBA13_OnEveryNode(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		if db.Dialect() == sqldb.SQLite {
			return // one node, and what is changed never leaves it
		}
		w := newWorld(t, db)
		far, line := w.node()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { line.Run(ctx); close(done) }()
		defer func() { cancel(); <-done }()
		h := newHouse(t)
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		until := func(what string, passes bool) {
			t.Helper()
			deadline := time.Now().Add(30 * time.Second)
			for {
				_, err := far.Verify(ctx, tenant, h.ada, nil, h.rules)
				if (err == nil) == passes {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s: after 30 s still %v", what, err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		until("added", true)
		w.update(tenant, made[1].ID, 0, trust.Edit{Enabled: to(false)})
		until("switched off", false)
		w.update(tenant, made[1].ID, 0, trust.Edit{Enabled: to(true)})
		until("switched on", true)
		w.remove(tenant, made[0].ID)
		until("removed", false)
	})
}

// What is remembered of the tenant's own authorities opens nothing for forged
// ones of the same names.
func TestSec_CBA01_ForgedBesideRemembered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		w.mustAdd(tenant, root(h.root), sub(h.people))
		_, err := w.verify(tenant, h)
		refused(t, "the true one", err, "")
		same := func(of *pkixtest.Authority) pkixtest.Change {
			return func(c *x509.Certificate) {
				c.Subject, c.SubjectKeyId, c.SerialNumber = of.Cert.Subject, of.Cert.SubjectKeyId, of.Cert.SerialNumber
			}
		}
		thief := pkixtest.Root(t, "Nordhafen Root", start, same(h.root))
		own := thief.Sub("Nordhafen People", start, same(h.people))
		forged := own.Leaf(pkixtest.ECKey(t).Public(), "Ada", "ada@nordhafen.example", start)
		_, err = w.Verify(t.Context(), tenant, forged, []*x509.Certificate{own.Cert, thief.Cert}, h.rules)
		refused(t, "a leaf of a forged issuer", err, "certificate_signature")
		byRoot := thief.Leaf(pkixtest.ECKey(t).Public(), "Ada", "ada@nordhafen.example", start)
		_, err = w.Verify(t.Context(), tenant, byRoot, []*x509.Certificate{thief.Cert}, h.rules)
		refused(t, "a leaf of a forged root", err, "certificate_signature")
	})
}

// TestSec_CBA13_Holds: a path that was verified a moment ago holds no more when
// trust was taken from one of its authorities, also for a node that has not
// heard of it; and it holds when something else was changed.
func TestSec_CBA13_Holds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHouse(t)
		made := w.mustAdd(tenant, root(h.root), sub(h.people))
		w.mustAdd(other, root(h.root), sub(h.people))
		deaf, _ := w.node()
		got, err := deaf.Verify(t.Context(), tenant, h.ada, nil, h.rules)
		if err != nil {
			t.Fatal(err)
		}
		want := func(what string, of idp.TenantID, want bool) {
			t.Helper()
			// The path of before, and what that node verifies now.
			again, err := deaf.Verify(t.Context(), tenant, h.ada, nil, h.rules)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for _, v := range []trust.Verified{got, again} {
				if ok, err := deaf.Holds(t.Context(), w.db, of, v); err != nil || ok != want {
					t.Errorf("%s: holds %t, %v", what, ok, err)
				}
			}
		}
		want("as it was", tenant, true)
		want("of another tenant", other, false)
		w.mustAdd(tenant, root(pkixtest.Root(t, "Westwerk Root", start)))
		want("another authority came", tenant, true)
		for what, id := range map[string]idp.AuthorityID{"its anchor": made[0].ID, "its issuer": made[1].ID} {
			w.update(tenant, id, 0, trust.Edit{Enabled: to(false)})
			want(what+" is switched off", tenant, false)
			w.update(tenant, id, 0, trust.Edit{Enabled: to(true)})
			want(what+" is on again", tenant, true)
			w.remove(tenant, id)
			want(what+" is removed", tenant, false)
			w.restore(tenant, id)
			want(what+" is restored", tenant, true)
		}
		w.update(tenant, made[0].ID, 0, trust.Edit{Root: to(false)})
		want("its anchor is none", tenant, false)
		if ok, err := w.Holds(t.Context(), w.db, tenant, trust.Verified{}); ok || err != nil {
			t.Errorf("no path holds: %v", err)
		}
	})
}
