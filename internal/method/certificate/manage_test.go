package certificate_test

import (
	"context"
	"crypto/x509"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// TestSeen: a certificate is listed from its first sign-in on, and never
// before.
func TestSeen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		card := w.card(t, w.Ada.Name)
		if n := len(w.list(t, w.Ada)); n != 0 {
			t.Fatalf("%d before the first", n)
		}
		first := w.Now()
		w.mustSignIn(t, card)
		w.Advance(time.Hour)
		p := w.mustSignIn(t, card)
		all := w.list(t, w.Ada)
		if len(all) != 1 {
			t.Fatalf("%d listed, want 1", len(all))
		}
		c := all[0]
		want := method.Credential{
			ID: p.Credential, Tenant: w.Tenant.ID, User: w.Ada.ID, Method: certificate.ID, Name: "Somebody", Model: "Nordhafen People",
			Mode: idp.ModeCertificateSingle, Facts: p.Facts, Properties: p.Properties, Created: first, LastUsed: w.Now(), Expires: card.Leaf().NotAfter,
		}
		want.Facts.Name = "Somebody"
		if !reflect.DeepEqual(c, want) {
			t.Errorf("listed %+v\nwant   %+v", c, want)
		}
		seen, err := w.room.Seen(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(seen) != 1 || seen[0].ID != c.ID || seen[0].Subject != "O=Nordhafen,CN=Somebody" || seen[0].Issuer != "O=Nordhafen,CN=Nordhafen People" {
			t.Errorf("seen %+v, %v", seen, err)
		}
		if n := len(w.list(t, w.Bob)); n != 0 {
			t.Errorf("%d are Bob's", n)
		}
	})
}

// TestSeenNow: what a list says is by the rules as they are, whatever they were.
func TestSeenNow(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	w.mustSignIn(t, card)
	count := func() (n int) {
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = w.room.Count(ctx, tx, w.Tenant.ID, w.Ada.ID)
			return err
		})
		return n
	}
	want := func(what string, mode idp.Mode, disabled bool) {
		t.Helper()
		c := w.list(t, w.Ada)[0]
		ways := 1
		if disabled {
			ways = 0
		}
		if c.Mode != mode || c.Disabled != disabled || count() != ways || c.Usable() == disabled {
			t.Errorf("%s: mode %s, disabled %v, %d ways in", what, c.Mode, c.Disabled, count())
		}
	}
	want("at first", idp.ModeCertificateSingle, false)
	w.rules(t, func(r *policy.CertificateRules) { r.Mode = idp.ModeCertificateMulti })
	want("multi-factor", idp.ModeCertificateMulti, false)
	if has := w.list(t, w.Ada)[0].Properties; !reflect.DeepEqual(has, []idp.Property{idp.PhishingResistant, idp.Possession, idp.UserVerified, idp.MultiFactor}) {
		t.Errorf("properties %v", has)
	}
	off := false
	edit := func(which *x509.Certificate, e trustEdit) { w.edit(t, which, e) }
	edit(w.sub.Cert, trustEdit{Enabled: &off})
	want("its issuer switched off", idp.ModeCertificateMulti, true)
	on := true
	edit(w.sub.Cert, trustEdit{Enabled: &on})
	want("and on again", idp.ModeCertificateMulti, false)
	edit(w.root.Cert, trustEdit{Enabled: &off})
	want("no anchor any more", idp.ModeCertificateMulti, true)
	edit(w.root.Cert, trustEdit{Enabled: &on})
	w.Advance(card.Leaf().NotAfter.Sub(w.Now()))
	want("over", idp.ModeCertificateMulti, true)
}

// TestRename: a name is cleaned, and nobody else's.
func TestRename(t *testing.T) {
	w := one(t)
	id := w.mustSignIn(t, w.card(t, w.Ada.Name)).Credential
	rename := func(u idp.User, name string) error {
		return w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Rename(ctx, tx, u.Tenant, u.ID, id, name)
		})
	}
	if err := rename(w.Ada, "  My\u202e badge\n"); err != nil || w.list(t, w.Ada)[0].Name != "My badge" {
		t.Errorf("renamed: %v, %+v", err, w.list(t, w.Ada))
	}
	w.mustSignIn(t, w.card(t, w.Ada.Name)) // another one does not touch it
	for name, c := range map[string]struct {
		u    idp.User
		name string
		want idp.Kind
	}{"nothing left": {w.Ada, "\u202e ", idp.Invalid}, "Bob": {w.Bob, "x", idp.NotFound}, "another tenant": {w.Eve, "x", idp.NotFound}} {
		if err := rename(c.u, c.name); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestBar: what was removed signs that person in no more, and what stood on it
// ends; it can be lifted for as long as the certificate is good, and stands
// for as long.
func TestBar(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key := pkixtest.ECKey(t)
		card := w.cardOf(t, key, w.Ada.Name)
		in, err := w.signIn(t, card)
		if err != nil {
			t.Fatal(err)
		}
		id := certificate.CredentialID(card.Leaf())
		if err := w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, w.Ada.ID, certificate.ID, id, "cli:test", w.peer); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Sessions.Find(t.Context(), w.Tenant.ID, in.Bearer); !errors.Is(err, idp.Expired) && !errors.Is(err, idp.NotFound) && !errors.Is(err, idp.Unproven) {
			t.Errorf("the session that stood on it: %v", err)
		}
		if got := w.refused(t, card); got != "certificate_barred" {
			t.Errorf("barred: %q", got)
		}
		if n := len(w.list(t, w.Ada)); n != 0 {
			t.Errorf("%d listed", n)
		}
		// Another certificate, even of that key, is another one.
		w.mustSignIn(t, w.cardOf(t, key, w.Ada.Name))
		var removed []idp.CredentialID
		if err := w.Corridor.Removed(t.Context(), w.Tenant.ID, func(c method.Credential, at time.Time) error {
			removed = append(removed, c.ID)
			return nil
		}); err != nil || !reflect.DeepEqual(removed, []idp.CredentialID{id}) {
			t.Errorf("removed: %v, %v", removed, err)
		}
		// A month later a removed key would be gone; the bar stands.
		w.Advance(40 * 24 * time.Hour)
		if err := w.room.SweepSeen(t.Context(), w.Now()); err != nil {
			t.Fatal(err)
		}
		if got := w.refused(t, card); got != "certificate_barred" {
			t.Errorf("a month later: %q", got)
		}
		restore := func(u idp.User) error {
			return w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				c, err := w.room.Restore(ctx, tx, u.Tenant, u.ID, id)
				if err == nil && c.ID != id {
					t.Errorf("restored %+v", c)
				}
				return err
			})
		}
		if err := restore(w.Bob); !errors.Is(err, idp.NotFound) {
			t.Errorf("restored to Bob: %v", err)
		}
		if err := restore(w.Ada); err != nil {
			t.Fatal(err)
		}
		if err := restore(w.Ada); !errors.Is(err, idp.NotFound) {
			t.Errorf("restored twice: %v", err)
		}
		w.mustSignIn(t, card)
	})
}

// TestBarMeanwhile: what is removed between the verdict and its settlement lets
// nobody in.
func TestBarMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		card := w.card(t, w.Ada.Name)
		id := w.mustSignIn(t, card).Credential
		ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
		if err != nil {
			t.Fatal(err)
		}
		v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: ch.Keep, Payload: w.answer(t, ch.Show, card), Now: w.Now()})
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, id)
		})
		if err := w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return v.Settle(ctx, tx) }); reason(err) != "certificate_barred" {
			t.Errorf("settled: %v", err)
		}
	})
}

// TestWalk: over all people of the tenant, in parts, barred ones left out; with a
// person goes what was seen of them.
func TestWalk(t *testing.T) {
	w := one(t)
	for _, u := range []idp.User{w.Ada, w.Bob, w.Ada} {
		w.mustSignIn(t, w.card(t, u.Name))
	}
	walk := func() (n map[idp.UserID]int) {
		n = map[idp.UserID]int{}
		if err := w.room.Walk(t.Context(), w.Tenant.ID, func(c method.Credential) error { n[c.User]++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := walk(); got[w.Ada.ID] != 2 || got[w.Bob.ID] != 1 {
		t.Errorf("walked %v", got)
	}
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, w.list(t, w.Ada)[0].ID)
	})
	if got := walk(); got[w.Ada.ID] != 1 {
		t.Errorf("with one barred: %v", got)
	}
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.room.RemoveUser(ctx, tx, w.Tenant.ID, w.Ada.ID)
	})
	if n := w.Count(t, "certificate_seen", w.Tenant.ID); n != 1 {
		t.Errorf("%d rows are left, want Bob's", n)
	}
	stop := errors.New("stop")
	if err := w.room.Walk(t.Context(), w.Tenant.ID, func(method.Credential) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

// TestNames: whatever a certificate is called, a list has a name for it.
func TestNames(t *testing.T) {
	w := one(t)
	for _, c := range []struct{ cn, want string }{
		{"Ada \u202eecalevoL", "Ada ecalevoL"}, {strings.Repeat("ä", 60), strings.Repeat("ä", 32)}, {"", "O=Nordhafen"},
	} {
		card := w.card(t, w.Ada.Name, func(x *x509.Certificate) { x.Subject.CommonName = c.cn })
		id := w.mustSignIn(t, card).Credential
		for _, one := range w.list(t, w.Ada) {
			if one.ID == id && one.Name != c.want {
				t.Errorf("%q is called %q, want %q", c.cn, one.Name, c.want)
			}
		}
	}
}
