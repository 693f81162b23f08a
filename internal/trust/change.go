package trust

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Bounds of words.
const (
	maxName    = 256  // characters
	maxAddress = 2048 // bytes
)

// Add takes authorities into a container of the tenant; an empty one is the
// tenant's first, which is made when there is none. All come in or none does.
// Invalid names what is wrong with which certificate, Conflict says which one
// the tenant has already, Denied that there would be more than MaxAuthorities.
// The audit record, in the same transaction, is the caller's to write: Told
// says what goes into it.
func (s *Store) Add(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, in ContainerID, offers []Offer) ([]Authority, error) {
	if t == "" || len(offers) == 0 {
		return nil, idp.Invalidf("no_authority", "nothing to add to %q", t).On("certificate").Say("There is no certificate to add.")
	}
	if err := lock(ctx, tx, t); err != nil {
		return nil, err
	}
	all, err := everyAuthority(ctx, tx, t)
	if err != nil {
		return nil, err
	}
	out, err := s.fits(all, offers)
	if err != nil {
		return nil, err
	}
	c, err := s.containerFor(ctx, tx, t, in)
	if err != nil {
		return nil, err
	}
	for i := range out {
		a := &out[i]
		// A millisecond apart, so that lists have them in the order of the file.
		a.ID, a.Tenant, a.Container = idp.AuthorityID(secret.NewUUID4()), t, c.ID
		a.Created = s.now().Add(time.Duration(i) * time.Millisecond)
		a.Changed = a.Created
		if err := insert(ctx, tx, *a); err != nil {
			return nil, err
		}
	}
	return out, s.changed(ctx, tx, t)
}

// Try says what Add would make or refuse, and changes nothing. What it gives
// has no ids.
func (s *Store) Try(ctx context.Context, q sqldb.Querier, t idp.TenantID, offers []Offer) ([]Authority, error) {
	all, err := everyAuthority(ctx, q, t)
	if err != nil {
		return nil, err
	}
	return s.fits(all, offers)
}

// Update changes an authority. With a version other than 0 it is Conflict when
// the authority is no longer of that version.
func (s *Store) Update(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.AuthorityID, version int64, e Edit) (Authority, error) {
	return s.edit(ctx, tx, t, id, version, func(a *Authority) error {
		if !a.Removed.IsZero() {
			return nothing(string(id))
		}
		was := a.Root
		e.apply(a)
		if a.Root != was {
			if err := fit(a.Cert, a.Root); err != nil {
				return err
			}
		}
		return tidy(a)
	})
}

// Remove takes an authority away: what it stands above is refused from the next
// sign-in on. Restore brings it back, within KeptFor.
func (s *Store) Remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.AuthorityID) (Authority, error) {
	return s.edit(ctx, tx, t, id, 0, func(a *Authority) error {
		if !a.Removed.IsZero() {
			return nothing(string(id))
		}
		a.Removed = s.now()
		return nil
	})
}

// Restore brings back one that was removed, as it was. Conflict: its
// certificate was added again meanwhile.
func (s *Store) Restore(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.AuthorityID) (Authority, error) {
	return s.edit(ctx, tx, t, id, 0, func(a *Authority) error {
		if a.Removed.IsZero() || !a.Removed.After(s.now().Add(-KeptFor)) {
			return nothing(string(id))
		}
		have, err := s.List(ctx, tx, t)
		if err != nil {
			return err
		}
		a.Removed = time.Time{}
		if err := markContainer(ctx, tx, t, a.Container, 0); err != nil {
			return err
		}
		return room(len(have), 1)
	})
}

func (s *Store) edit(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.AuthorityID, version int64, fn func(*Authority) error) (Authority, error) {
	if err := lock(ctx, tx, t); err != nil {
		return Authority{}, err
	}
	a, err := s.Get(ctx, tx, t, id)
	if err != nil {
		return Authority{}, err
	}
	if version != 0 && a.Version != version {
		return Authority{}, stale(a)
	}
	was := a
	if err := fn(&a); err != nil {
		return Authority{}, err
	}
	a.Changed = s.now()
	ok, err := update(ctx, tx, a)
	if err != nil {
		return Authority{}, err
	}
	if !ok {
		return Authority{}, stale(a)
	}
	a.Version++
	if was.serves() && !a.serves() || was.serves() && was.Root && !a.Root {
		if err := s.withdraw(ctx, tx, t); err != nil {
			return Authority{}, err
		}
	}
	return a, s.changed(ctx, tx, t)
}

// serves says whether paths may lead over an authority, as far as the tenant
// has a say in it.
func (a Authority) serves() bool { return a.Enabled && a.Removed.IsZero() }

func (e Edit) apply(a *Authority) {
	set(&a.Name, e.Name)
	set(&a.Root, e.Root)
	set(&a.Enabled, e.Enabled)
	set(&a.CRL, e.CRL)
	set(&a.Delta, e.Delta)
	set(&a.OCSP, e.OCSP)
	set(&a.Hint, e.Hint)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// authority is what an offer becomes.
func (o Offer) authority() Authority {
	a := Authority{
		Name: o.Name, Cert: o.Cert, Root: o.Root, Enabled: !o.Disabled, CRL: o.CRL, Delta: o.Delta, OCSP: o.OCSP, Hint: o.Hint, Version: 1,
	}
	if strings.TrimSpace(a.Name) == "" {
		a.Name = audit.Clean(label(o.Cert), maxName-1)
	}
	return a
}

// fits makes authorities of offers, if they can be added to all of the tenant's,
// those that were removed among them.
func (s *Store) fits(all []Authority, offers []Offer) ([]Authority, error) {
	seen, keys, have := make(map[string]bool, len(all)+len(offers)), make(map[string][]byte), 0
	for _, a := range all {
		keys[a.Key()] = a.Cert.RawSubjectPublicKeyInfo
		if a.Removed.IsZero() {
			seen[Thumbprint(a.Cert)] = true
			have++
		}
	}
	var out []Authority
	for _, o := range offers {
		if err := suitable(o.Cert, o.Root, s.now()); err != nil {
			return nil, err
		}
		a := o.authority()
		if err := tidy(&a); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(b Authority) bool { return b.Cert.Equal(o.Cert) }) {
			return nil, idp.Conflictf("authority_taken", "certificate %s of %q", Thumbprint(a.Cert), a.Name).On("certificate").
				Say("The certificate of " + quote(a.Name) + " is twice in what was sent.")
		}
		if seen[Thumbprint(o.Cert)] {
			return nil, taken(a)
		}
		// Rules name authorities by key identifiers, which issuers choose: one
		// that has another's would come under rules that are not meant for it.
		// Those of one that was removed are there still, and it can be restored.
		if other, there := keys[a.Key()]; there && !bytes.Equal(other, o.Cert.RawSubjectPublicKeyInfo) {
			return nil, idp.Conflictf("authority_key_taken", "key identifier %s", a.Key()).On("certificate").
				Say(quote(a.Name) + " says that its subject key identifier is " + a.Key() + ", and so does another certificate authority with another key, which is here or was removed not long ago. Rules could not tell them apart.")
		}
		seen[Thumbprint(o.Cert)], keys[a.Key()] = true, o.Cert.RawSubjectPublicKeyInfo
		out = append(out, a)
	}
	return out, room(have, len(offers))
}

func room(have, more int) error {
	if have+more <= MaxAuthorities {
		return nil
	}
	return idp.Deniedf("too_many_authorities", "%d and %d more", have, more).
		Say(fmt.Sprintf("A tenant may have %d certificate authorities; it has %d, and these would be %d more.", MaxAuthorities, have, more))
}

// tidy cleans what people wrote, and refuses what cannot be.
func tidy(a *Authority) error {
	a.Name = strings.TrimSpace(audit.Clean(a.Name, maxName+1))
	if a.Name == "" || utf8.RuneCountInString(a.Name) > maxName {
		return bad(a, "name", "A certificate authority needs a name of up to 256 characters.")
	}
	for _, at := range []struct {
		field string
		to    *string
	}{{"crl", &a.CRL}, {"delta", &a.Delta}, {"ocsp", &a.OCSP}} {
		*at.to = strings.TrimSpace(*at.to)
		if *at.to != "" && !fetchable(*at.to) {
			return bad(a, at.field, "The address "+quote(*at.to)+" is none that can be fetched: it must begin with http:// or https://, name a host, and carry neither a password nor a fragment.")
		}
	}
	if a.Delta != "" && a.CRL == "" {
		return bad(a, "delta", "A delta list says what came after a full list: give the address of that, too.")
	}
	return nil
}

// fetchable says whether an address is one that lists may have (security.md
// CBA05). Where it may lead is looked at when it is dialled.
func fetchable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= maxAddress && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.Fragment == "" && u.Opaque == "" && !strings.ContainsFunc(address, audit.Unprintable) && !strings.Contains(address, " ")
}

// Told is what the audit record of a change says of an authority.
func Told(a Authority) map[string]string {
	kind := "intermediate"
	if a.Root {
		kind = "root"
	}
	out := map[string]string{
		"authority": string(a.ID), "displayName": a.Name, "thumbprint": Thumbprint(a.Cert), "subjectKeyIdentifier": a.Key(),
		"type": kind, "enabled": fmt.Sprint(a.Enabled),
	}
	for name, value := range map[string]string{"crl": a.CRL, "deltaCrl": a.Delta, "ocsp": a.OCSP} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

func (s *Store) changed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) error {
	if s.cfg.Bus == nil {
		return nil
	}
	return s.cfg.Bus.Publish(ctx, tx, Topic, string(t))
}

func bad(a *Authority, field, says string) error {
	return idp.Invalidf("bad_authority", "%s of %q", field, a.Name).On(field).Say(says)
}

func nothing(id string) error {
	return idp.NotFoundf("authority_unknown", "authority %q", audit.Clean(id, 64)).Say("There is no such certificate authority.")
}

func taken(a Authority) error {
	return idp.Conflictf("authority_taken", "certificate %s of %q", Thumbprint(a.Cert), a.Name).On("certificate").
		Say("The certificate of " + quote(a.Name) + " is there already. Nothing was changed: leave it out.")
}

func stale(a Authority) error {
	return idp.Conflictf("authority_changed", "authority %s is of version %d", a.ID, a.Version).
		Say("The certificate authority was changed meanwhile. Look at it again.")
}

// quote is text of somebody's in a sentence.
func quote(s string) string { return `"` + audit.Clean(s, 100) + `"` }
