package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/pkix"
)

// revocation says how a certificate is not revoked: by the responder of its
// issuer where it has one, and otherwise by lists. It is Store.check.
func (s *Store) revocation(ctx context.Context, q question) (Checked, error) {
	if q.by.OCSP == "" {
		return s.byLists(ctx, q)
	}
	c, err := s.byResponder(ctx, q)
	if err != nil || q.by.CRL == "" {
		return c, err
	}
	// A list that is at hand and says otherwise is believed: responders may lag
	// behind. That there is none is nothing here, for the responder decides.
	var f *pkix.Fault
	if _, err := s.byLists(ctx, q); err != nil && (!errors.As(err, &f) || f.Reason == pkix.Revoked) {
		return Checked{}, err
	}
	return c, nil
}

// byLists looks into the lists of the authorities of the path, and then into
// all of the tenant's: another may issue lists for it.
func (s *Store) byLists(ctx context.Context, q question) (Checked, error) {
	near := make([]Authority, 0, len(q.path))
	for _, c := range q.path {
		if a, ok := q.held.own[c]; ok {
			near = append(near, a)
		}
	}
	st, err := s.judge(ctx, q, near)
	var f *pkix.Fault
	if errors.As(err, &f) && f.Reason == pkix.RevocationUnknown && len(near) < len(q.held.all) {
		st, err = s.judge(ctx, q, q.held.all)
	}
	if err == nil && q.by.Delta != "" {
		err = s.changes(ctx, q, &st)
	}
	if errors.As(err, &f) && f.Reason == pkix.RevocationUnknown {
		err = &pkix.Fault{Reason: f.Reason, Cert: f.Cert, Path: f.Path, Err: fmt.Errorf("lists of %q: %w", q.by.Name, f.Err)}
	}
	if err != nil {
		return Checked{}, err
	}
	return Checked{Cert: q.cert, By: ByCRL, Authority: q.by.ID, ThisUpdate: st.ThisUpdate, NextUpdate: st.NextUpdate, Stale: st.Stale}, nil
}

// changes refuses when nothing tells what was revoked since the complete list of
// an authority with deltas: there is none, it is over, or it is of a complete
// list that has not come. Who holds one of them back would hide a revocation for
// as long as the complete list lasts (security.md CBA04, entra-behaviours.md §5.5).
func (s *Store) changes(ctx context.Context, q question, st *pkix.Status) error {
	d, err := s.lists.Get(ctx, listKey{q.by.Tenant, q.by.ID, Delta})
	if err != nil {
		return err
	}
	unknown := func(format string, args ...any) error {
		return &pkix.Fault{Reason: pkix.RevocationUnknown, Cert: q.cert, Path: q.path, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case d == nil:
		return unknown("its issuer's delta has not come")
	case !q.now.Before(d.NextUpdate.Add(max(q.rules.StaleFor, 0))):
		return unknown("its issuer's delta is over since %s", d.NextUpdate.Format(time.RFC3339))
	// It is among those that said so, or older than one of them.
	case !slices.ContainsFunc(st.Lists, func(l *pkix.CRL) bool { return l.SameSigner(d) && l.Number.Cmp(d.Number) >= 0 }):
		return unknown("its issuer's delta is of a complete list that has not come")
	}
	st.Stale = st.Stale || !q.now.Before(d.NextUpdate)
	return nil
}

// judge asks the lists of these authorities.
func (s *Store) judge(ctx context.Context, q question, of []Authority) (pkix.Status, error) {
	r, err := s.listsOf(ctx, q, of)
	if err != nil {
		return pkix.Status{}, err
	}
	return r.Check(q.cert, q.by.Cert, q.path)
}

func (s *Store) listsOf(ctx context.Context, q question, of []Authority) (*pkix.Revocation, error) {
	r := &pkix.Revocation{Signers: certificates(q.held.all), Now: q.now, Stale: q.rules.StaleFor}
	for _, a := range of {
		for _, k := range a.kinds() {
			l, err := s.lists.Get(ctx, listKey{a.Tenant, a.ID, k})
			if err != nil {
				return nil, err
			}
			if l != nil && speaksFor(l, q.by) {
				r.Lists = append(r.Lists, l)
			}
		}
	}
	return r, nil
}

// speaksFor says whether a list may be asked about what by has issued. Names do
// not tell authorities apart: one whose key was renewed has its name twice, and
// then each list has only what its own key has signed. So a list of that name has
// to be by the same key, wherever it was fetched and whatever key identifier it
// tells; RFC 5280 §6.3.3 takes any of that name.
func speaksFor(l *pkix.CRL, by Authority) bool {
	return !pkix.SameName(l.Issuer, by.Cert.RawSubject) || l.SignedBy(by.Cert)
}
