package trust_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/x509"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

func TestAddAndRead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := pkixtest.Root(t, "Nordhafen Root", start)
		low := ca.Sub("Nordhafen People", start)
		made := w.mustAdd(tenant, root(ca), trust.Offer{Cert: low.Cert, Name: "Badges", CRL: " http://crl.example/p.crl ", Delta: "http://crl.example/d.crl", OCSP: "https://ocsp.example", Hint: true})
		if got := names(made); !slices.Equal(got, []string{"Nordhafen Root", "Badges"}) {
			t.Fatalf("made %q", got)
		}
		got, err := w.Get(t.Context(), w.db, tenant, made[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Root || !got.Enabled || got.CRL != "http://crl.example/p.crl" || got.Delta != "http://crl.example/d.crl" || got.OCSP != "https://ocsp.example" ||
			!got.Hint || got.Version != 1 || got.Key() != fmt.Sprintf("%x", low.Cert.SubjectKeyId) || !got.Cert.Equal(low.Cert) || !got.Known() {
			t.Errorf("read %+v", got)
		}
		if got.Container != made[0].Container || got.Container == "" {
			t.Errorf("containers %q and %q", got.Container, made[0].Container)
		}
		if all := w.list(tenant); !slices.Equal(names(all), names(made)) {
			t.Errorf("list %q", names(all))
		}
		// Nothing of it is another tenant's.
		if _, err := w.Get(t.Context(), w.db, other, made[0].ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("another tenant reads it: %v", err)
		}
		if _, err := w.update(other, made[0].ID, 0, trust.Edit{Name: to("Mine")}); !errors.Is(err, idp.NotFound) {
			t.Errorf("another tenant changes it: %v", err)
		}
		if _, err := w.remove(other, made[0].ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("another tenant removes it: %v", err)
		}
	})
}

func TestUpdate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.mustAdd(tenant, root(pkixtest.Root(t, "Root", start, ownIssuer)))[0]
		w.pass(time.Minute)
		got, err := w.update(tenant, a.ID, 1, trust.Edit{Name: to(" Another\u202e name "), Enabled: to(false), CRL: to("http://crl.example/a"), Root: to(false)})
		if err != nil || got.Name != `Another\u{202e} name` || got.Enabled || got.Root || got.Version != 2 || !got.Changed.Equal(w.now()) {
			t.Fatalf("%+v, %v", got, err)
		}
		if read, err := w.Get(t.Context(), w.db, tenant, a.ID); err != nil || read.Version != 2 || read.Name != got.Name || read.CRL != got.CRL {
			t.Errorf("read %+v, %v", read, err)
		}
		if _, err := w.update(tenant, a.ID, 1, trust.Edit{Name: to("Late")}); !errors.Is(err, idp.Conflict) {
			t.Errorf("old version: %v", err)
		}
		for field, e := range map[string]trust.Edit{
			"name":  {Name: to("  ")},
			"crl":   {CRL: to("ldap://dc.example/cn=ca")},
			"delta": {CRL: to(""), Delta: to("http://crl.example/d")},
			"ocsp":  {OCSP: to("https://name:word@ocsp.example/")},
		} {
			_, err := w.update(tenant, a.ID, 0, e)
			if x := idp.AsError(err); !errors.Is(err, idp.Invalid) || x.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		for _, address := range []string{"file:///etc/passwd", "http://", "http:crl", "http://crl.example/#x", "http://crl.example/ a", "//crl.example/a", "http://" + strings.Repeat("a", 3000)} {
			if _, err := w.update(tenant, a.ID, 0, trust.Edit{CRL: &address}); !errors.Is(err, idp.Invalid) {
				t.Errorf("%.40q: %v", address, err)
			}
		}
		if read, _ := w.Get(t.Context(), w.db, tenant, a.ID); read.Version != 2 {
			t.Errorf("a refused change counted: version %d", read.Version)
		}
		long, err := w.update(tenant, a.ID, 0, trust.Edit{Name: to(strings.Repeat("ä", 256))})
		if err != nil || len([]rune(long.Name)) != 256 {
			t.Errorf("name of 256: %v", err)
		}
		if _, err := w.update(tenant, a.ID, 0, trust.Edit{Name: to(strings.Repeat("ä", 257))}); !errors.Is(err, idp.Invalid) {
			t.Errorf("name of 257: %v", err)
		}
		// Of which kind a certificate can be it says itself.
		b := w.mustAdd(tenant, root(pkixtest.Root(t, "Other root", start)))[0]
		if _, err := w.update(tenant, b.ID, 0, trust.Edit{Root: to(false)}); !errors.Is(err, idp.Invalid) || !strings.Contains(idp.AsError(err).Public, `"Other root"`) {
			t.Errorf("a root that has no issuer: %v", err)
		}
	})
}

func TestRemoveAndRestore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := pkixtest.Root(t, "Root", start)
		a := w.mustAdd(tenant, root(ca))[0]
		if got, err := w.remove(tenant, a.ID); err != nil || !got.Removed.Equal(w.now()) {
			t.Fatalf("%+v, %v", got, err)
		}
		if len(w.list(tenant)) != 0 {
			t.Error("removed, and listed")
		}
		gone, err := w.Removed(t.Context(), w.db, tenant)
		if err != nil || len(gone) != 1 || gone[0].ID != a.ID {
			t.Errorf("removed ones: %v, %v", names(gone), err)
		}
		if _, err := w.remove(tenant, a.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("removed twice: %v", err)
		}
		if _, err := w.update(tenant, a.ID, 0, trust.Edit{Enabled: to(true)}); !errors.Is(err, idp.NotFound) {
			t.Errorf("changed after removal: %v", err)
		}
		if _, err := w.restore(other, a.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("restored by another tenant: %v", err)
		}
		if got, err := w.restore(tenant, a.ID); err != nil || got.Version != 3 || len(w.list(tenant)) != 1 {
			t.Errorf("restore: %+v, %v", got, err)
		}
		if _, err := w.restore(tenant, a.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("restored twice: %v", err)
		}
		// Added again while it was away.
		w.remove(tenant, a.ID)
		again := w.mustAdd(tenant, root(ca))[0]
		if _, err := w.restore(tenant, a.ID); !errors.Is(err, idp.Conflict) {
			t.Errorf("restored beside its like: %v", err)
		}
		w.remove(tenant, again.ID)
		w.pass(trust.KeptFor - time.Second)
		if got, err := w.restore(tenant, a.ID); err != nil {
			t.Errorf("restored on the last day: %+v, %v", got, err)
		}
		w.pass(time.Second)
		if _, err := w.restore(tenant, again.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("restored too late: %v", err)
		}
	})
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.mustAdd(tenant, root(pkixtest.Root(t, "Old", start)))[0]
		b := w.mustAdd(other, root(pkixtest.Root(t, "Young", start)))[0]
		stays := w.mustAdd(other, root(pkixtest.Root(t, "Stays", start)))[0]
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.RemoveContainer(ctx, tx, tenant, a.Container)
			return err
		})
		w.pass(time.Hour)
		w.remove(other, b.ID)
		w.pass(trust.KeptFor - time.Hour)
		for _, j := range w.Jobs() {
			if j.Name == "trust.purge" {
				if err := j.Run(t.Context(), w.now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := w.Get(t.Context(), w.db, tenant, a.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("the old one: %v", err)
		}
		if _, err := w.Get(t.Context(), w.db, other, b.ID); err != nil {
			t.Errorf("the young one: %v", err)
		}
		if _, err := w.Get(t.Context(), w.db, other, stays.ID); err != nil {
			t.Errorf("the one that stays: %v", err)
		}
		var left int64
		if err := w.db.QueryRow(t.Context(), `select count(*) from trust_container`).Scan(&left); err != nil || left != 1 {
			t.Errorf("%d containers, %v", left, err)
		}
	})
}

func TestAddAllOrNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := pkixtest.Root(t, "Root", start)
		w.mustAdd(tenant, root(ca))
		fresh := pkixtest.Root(t, "Fresh", start)
		leaf := trust.Offer{Cert: ca.Leaf(ca.Key.Public(), "Ada", "", start)}
		again := root(pkixtest.Root(t, "Again", start, func(c *x509.Certificate) { c.SubjectKeyId = fresh.Cert.SubjectKeyId }))
		for name, c := range map[string]struct {
			with trust.Offer
			kind idp.Kind
			says string
		}{
			"there already":                 {root(ca), idp.Conflict, `"Root"`},
			"twice":                         {root(fresh), idp.Conflict, `"Fresh"`},
			"a leaf":                        {leaf, idp.Invalid, `"Ada"`},
			"the key identifier of another": {root(pkixtest.Root(t, "Guise", start, func(c *x509.Certificate) { c.SubjectKeyId = ca.Cert.SubjectKeyId })), idp.Conflict, "Rules could not tell them apart"},
			"that of another beside it":     {again, idp.Conflict, `"Again"`},
		} {
			_, err := w.add(tenant, root(fresh), c.with)
			if x := idp.AsError(err); !errors.Is(err, c.kind) || !strings.Contains(x.Public, c.says) || x.Field != "certificate" {
				t.Errorf("%s: %v, %q", name, err, idp.AsError(err).Public)
			}
			if got := names(w.list(tenant)); len(got) != 1 {
				t.Errorf("%s: %q came in", name, got)
			}
			if _, err := w.Try(t.Context(), w.db, tenant, []trust.Offer{root(fresh), c.with}); !errors.Is(err, c.kind) {
				t.Errorf("%s: a try says %v", name, err)
			}
		}
		if got, err := w.Try(t.Context(), w.db, tenant, []trust.Offer{root(fresh)}); err != nil || len(got) != 1 || len(w.list(tenant)) != 1 {
			t.Errorf("try: %v", err)
		}
		if _, err := w.add(other, root(ca)); err != nil {
			t.Errorf("the same in another tenant: %v", err)
		}
		if _, err := w.add(tenant); !errors.Is(err, idp.Invalid) {
			t.Errorf("nothing: %v", err)
		}
	})
}

// Each is refused for that reason alone: the plain one beside it comes in.
func TestUnsuitable(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		short, _ := x509.ParseCertificate(weakRSA(t, 1024))
		ca := pkixtest.Root(t, "Root", start)
		for name, c := range map[string]struct {
			cert   *x509.Certificate
			reason string
			sub    bool
		}{
			"no CA":          {pkixtest.Root(t, "X", start, func(c *x509.Certificate) { c.IsCA = false; c.MaxPathLen = 0 }).Cert, "not_a_ca", false},
			"no certSign":    {pkixtest.Root(t, "X", start, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }).Cert, "not_a_ca", false},
			"expired":        {pkixtest.Root(t, "X", start, func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Second) }).Cert, "authority_expired", false},
			"short key":      {short, "weak_algorithm", false},
			"large":          {pkixtest.Root(t, "X", start, func(c *x509.Certificate) { c.DNSNames = []string{strings.Repeat("a", 64<<10)} }).Cert, "certificate_too_big", false},
			"no key id":      {pkixtest.Root(t, "X", start, func(c *x509.Certificate) { c.SubjectKeyId = nil; c.IsCA = false; c.BasicConstraintsValid = false }).Cert, "not_a_ca", false},
			"plain":          {pkixtest.Root(t, "Plain", start).Cert, "", false},
			"to come":        {pkixtest.Root(t, "Next", start, func(c *x509.Certificate) { c.NotBefore = start.Add(time.Hour) }).Cert, "", false},
			"no key usage":   {pkixtest.Root(t, "X", start, func(c *x509.Certificate) { c.KeyUsage = 0 }).Cert, "not_a_ca", false},
			"below":          {ca.Sub("Below", start).Cert, "", true},
			"no issuer key":  {pkixtest.Root(t, "X", start).Cert, "certificate_unfit", true},
			"own issuer key": {pkixtest.Root(t, "Own", start, ownIssuer).Cert, "", true},
		} {
			_, err := w.add(tenant, trust.Offer{Cert: c.cert, Root: !c.sub})
			if c.reason == "" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if x := idp.AsError(err); !errors.Is(err, idp.Invalid) || x.Reason != c.reason || !strings.Contains(x.Public, `"X"`) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestRoom(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := pkixtest.Root(t, "Root", start)
		var many []trust.Offer
		for i := range trust.MaxAuthorities {
			// One key for all: what is counted are certificates.
			many = append(many, trust.Offer{Cert: ca.Leaf(ca.Key.Public(), fmt.Sprint("CA ", i), "", start, func(c *x509.Certificate) {
				c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
			})})
		}
		made := w.mustAdd(tenant, many[1:]...)
		w.mustAdd(tenant, many[0])
		if _, err := w.add(tenant, root(ca)); !errors.Is(err, idp.Denied) {
			t.Errorf("one too many: %v", err)
		}
		if _, err := w.remove(tenant, made[0].ID); err != nil {
			t.Fatal(err)
		}
		w.mustAdd(tenant, root(ca))
		if _, err := w.restore(tenant, made[0].ID); !errors.Is(err, idp.Denied) {
			t.Errorf("restored as one too many: %v", err)
		}
		if got := w.list(tenant); len(got) != trust.MaxAuthorities {
			t.Errorf("%d authorities", len(got))
		}
	})
}

// Two administrators send the same file at the same time: one of them wins,
// and nobody gets beyond what a tenant may have.
func TestRaceAdd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cas := []*pkixtest.Authority{pkixtest.Root(t, "A", start), pkixtest.Root(t, "B", start)}
		const at = 8
		errs := make([]error, at)
		var wg sync.WaitGroup
		for i := range at {
			wg.Go(func() {
				offers := []trust.Offer{root(cas[0]), root(cas[1])}
				if i%2 == 1 {
					slices.Reverse(offers)
				}
				_, errs[i] = w.add(tenant, offers...)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, idp.Conflict) {
				t.Errorf("a loser: %v", err)
			}
		}
		if got := w.list(tenant); won != 1 || len(got) != 2 {
			t.Errorf("%d won, %q came in", won, names(got))
		}
	})
}

func TestRaceUpdate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.mustAdd(tenant, root(pkixtest.Root(t, "A", start)))[0]
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = w.update(tenant, a.ID, 1, trust.Edit{Name: to(fmt.Sprint(i))}) })
		}
		wg.Wait()
		won := ""
		for i, err := range errs {
			switch {
			case err == nil && won == "":
				won = fmt.Sprint(i)
			case !errors.Is(err, idp.Conflict):
				t.Errorf("%d: %v", i, err)
			}
		}
		if got, _ := w.Get(t.Context(), w.db, tenant, a.ID); got.Name != won || got.Version != 2 {
			t.Errorf("%q won, and %q of version %d is there", won, got.Name, got.Version)
		}
	})
}

func TestContainers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var one trust.Container
		err := w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
			one, err = w.CreateContainer(ctx, tx, tenant, " Cards ")
			return err
		})
		if err != nil || one.Name != "Cards" {
			t.Fatalf("%+v, %v", one, err)
		}
		w.pass(time.Minute)
		ca, low := pkixtest.Root(t, "Root", start), pkixtest.Root(t, "Low", start)
		a := w.mustAdd(tenant, root(ca))[0]
		if a.Container != one.ID {
			t.Errorf("in %q", a.Container)
		}
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.RenameContainer(ctx, tx, tenant, one.ID, "Badges")
			return err
		})
		if all, err := w.Containers(t.Context(), w.db, tenant); err != nil || len(all) != 1 || all[0].Name != "Badges" || !all[0].Changed.Equal(w.now()) {
			t.Errorf("%+v, %v", all, err)
		}
		for name, fn := range map[string]func(ctx context.Context, tx *sqldb.Tx) error{
			"renamed": func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.RenameContainer(ctx, tx, other, one.ID, "Mine")
				return err
			},
			"removed": func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.RemoveContainer(ctx, tx, other, one.ID)
				return err
			},
			"filled": func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.Add(ctx, tx, other, one.ID, []trust.Offer{root(ca)})
				return err
			},
		} {
			if err := w.write(fn); !errors.Is(err, idp.NotFound) {
				t.Errorf("%s by another tenant: %v", name, err)
			}
		}
		var gone []trust.Authority
		err = w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
			gone, err = w.RemoveContainer(ctx, tx, tenant, one.ID)
			return err
		})
		if err != nil || len(gone) != 1 || len(w.list(tenant)) != 0 {
			t.Errorf("removed %q, left %q: %v", names(gone), names(w.list(tenant)), err)
		}
		if _, err := w.Container(t.Context(), w.db, tenant, one.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("after removal: %v", err)
		}
		// The next one makes a container of its own; a restored one has its own back.
		if b := w.mustAdd(tenant, root(low))[0]; b.Container == one.ID {
			t.Error("added to a container that was removed")
		}
		if _, err := w.restore(tenant, a.ID); err != nil {
			t.Error(err)
		}
		if _, err := w.Container(t.Context(), w.db, tenant, one.ID); err != nil {
			t.Errorf("container of a restored one: %v", err)
		}
	})
}

// What takes trust away is told, in its transaction, and can be refused; what
// does not, is not.
func TestOnWithdraw(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		told, refuse := 0, error(nil)
		w.OnWithdraw(func(ctx context.Context, tx *sqldb.Tx, of idp.TenantID) error {
			if of != tenant {
				t.Errorf("of %s", of)
			}
			told++
			return refuse
		})
		a := w.mustAdd(tenant, root(pkixtest.Root(t, "A", start, ownIssuer)))[0]
		edit := func(e trust.Edit) func() error {
			return func() error { _, err := w.update(tenant, a.ID, 0, e); return err }
		}
		remove := func() error { _, err := w.remove(tenant, a.ID); return err }
		restore := func() error { _, err := w.restore(tenant, a.ID); return err }
		empty := func() error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.RemoveContainer(ctx, tx, tenant, a.Container)
				return err
			})
		}
		refused := errors.New("no")
		for _, c := range []struct {
			name string
			do   func() error
			told int
		}{
			{"another name", edit(trust.Edit{Name: to("B"), CRL: to("http://crl.example/a")}), 0},
			{"off", edit(trust.Edit{Enabled: to(false)}), 1},
			{"removed while off", remove, 0}, {"restored", restore, 0},
			{"on", edit(trust.Edit{Enabled: to(true)}), 0},
			{"no anchor", edit(trust.Edit{Root: to(false)}), 1}, {"an anchor", edit(trust.Edit{Root: to(true)}), 0},
			{"removed", remove, 1}, {"restored", restore, 0}, {"with its container", empty, 1},
		} {
			told = 0
			if c.told > 0 {
				before := w.list(tenant)
				refuse = refused
				if err := c.do(); !errors.Is(err, refused) {
					t.Errorf("%s: %v", c.name, err)
				}
				if after := w.list(tenant); len(after) != len(before) || after[0].Version != before[0].Version || after[0].Enabled != before[0].Enabled {
					t.Errorf("%s: refused, and changed", c.name)
				}
				refuse, told = nil, 0
			}
			if err := c.do(); err != nil || told != c.told {
				t.Errorf("%s: told %d times, %v", c.name, told, err)
			}
		}
	})
}
