package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/sqldb"
)

// Paces of lists. They are asked for half of the way to the next update, so
// that a host may be down for as long again, and at least every mostWait, which
// bounds how late a revocation is seen that an authority publishes early.
const (
	mostWait   = 4 * time.Hour
	leastWait  = time.Minute
	firstRetry = time.Minute // after a failure; doubles up to lastRetry
	lastRetry  = time.Hour
	publishLag = 2 * time.Minute // after the time that an authority names for its next list
)

// maxWords is how many characters of a failure are kept.
const maxWords = 300

// Refresh fetches the lists of one authority now, and tells their states. On
// one node, calls that come together share one download. The error is that of
// the first list that could not be had: Unavailable, with a sentence for
// people; the states tell of it too. Invalid: the authority has no address.
func (s *Store) Refresh(ctx context.Context, t idp.TenantID, id idp.AuthorityID) ([]ListState, error) {
	a, err := s.Get(ctx, s.cfg.DB, t, id)
	if err != nil {
		return nil, err
	}
	if !a.Removed.IsZero() {
		return nil, nothing(string(id))
	}
	if len(a.kinds()) == 0 {
		return nil, idp.Invalidf("no_list", "authority %s has no address of a list", id).On("crl").Say("The certificate authority has no address of a list.")
	}
	var out []ListState
	var first error
	// Who asked first may go away; others may wait for the same.
	ctx = context.WithoutCancel(ctx)
	for _, k := range a.kinds() {
		err := s.get(ctx, a, k)
		if err != nil && (first == nil || !errors.Is(err, idp.Unavailable)) {
			first = err
		}
		r, err := rowOf(ctx, s.cfg.DB, listKey{t, id, k})
		if err != nil {
			return nil, err
		}
		out = append(out, r.state(a, k))
	}
	return out, first
}

// get fetches a list and takes it in, once at a time on this node. What fails
// outside is noted in the row, and Unavailable.
func (s *Store) get(ctx context.Context, a Authority, k ListKind) error {
	key := listKey{a.Tenant, a.ID, k}
	_, err, _ := s.once.Do(key.String(), func() (any, error) {
		return nil, s.getOnce(ctx, a, key)
	})
	return err
}

func (s *Store) getOnce(ctx context.Context, a Authority, k listKey) error {
	row, err := rowOf(ctx, s.cfg.DB, k)
	if err != nil {
		return err
	}
	held, err := s.cache.Get(ctx, k.tenant)
	if err != nil {
		return err
	}
	have, err := s.loadList(ctx, k)
	var damaged *pkix.Fault
	if err != nil && !errors.As(err, &damaged) { // what cannot be read is fetched anew
		return err
	}
	address := a.url(k.kind)
	etag, modified := row.etag, row.modified
	if row.url != address || have == nil {
		etag, modified = "", ""
	}
	before := row.version
	got, err := s.net.list(ctx, address, etag, modified)
	var list *pkix.CRL
	if err == nil {
		list, err = s.accept(a, k.kind, have, got, held.all)
	}
	now := s.now()
	row.url, row.tried = address, millis(now)
	if err != nil {
		row.failed, row.failures = millis(now), row.failures+1
		row.failure, row.due = words(err), millis(now.Add(min(lastRetry, firstRetry<<min(row.failures-1, 10))))
		if _, saved := s.save(ctx, k, row, before, nil, false); saved != nil {
			return saved
		}
		return err
	}
	row.succeeded, row.failure, row.failures, row.etag, row.modified = millis(now), "", 0, got.etag, got.modified
	row.due = millis(next(list, now))
	newer := got.body != nil && (have == nil || !same(have, list))
	if newer {
		row.version++
		row.number, row.entries, row.bytes = list.Number.String(), int64(list.Len()), int64(len(got.body))
		row.this, row.next = millis(list.ThisUpdate), millis(list.NextUpdate)
	}
	if _, err = s.save(ctx, k, row, before, list, newer); err != nil || k.kind != Delta {
		return err
	}
	return s.hurry(ctx, k, list)
}

// hurry makes the complete list due when it is too old for its delta.
func (s *Store) hurry(ctx context.Context, k listKey, delta *pkix.CRL) error {
	k.kind = Complete
	base, err := rowOf(ctx, s.cfg.DB, k)
	if err != nil || base.number == "" {
		return err
	}
	if n, ok := new(big.Int).SetString(base.number, 10); !ok || n.Cmp(delta.Base) >= 0 || base.failure != "" {
		return nil
	}
	_, err = s.cfg.DB.Exec(ctx, `update trust_list set due = $4 where tenant_id = $1 and authority_id = $2 and kind = $3 and due > $4`,
		k.tenant, k.authority, k.kind, millis(s.now()))
	if err != nil {
		return fmt.Errorf("list %s is due: %w", k, err)
	}
	return nil
}

// save writes a row and, when it is newer, its list. Where another node was
// faster its list stands, which was judged as this one was.
func (s *Store) save(ctx context.Context, k listKey, row listRow, before int64, list *pkix.CRL, newer bool) (won bool, err error) {
	var body []byte
	if newer {
		if body, err = list.MarshalBinary(); err != nil {
			return false, fmt.Errorf("store list %s: %w", k, err)
		}
	}
	err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if won, err = saveRow(ctx, tx, k, row, before); err != nil || !won || !newer {
			return err
		}
		if err := saveBody(ctx, tx, k, body); err != nil {
			return err
		}
		if s.cfg.Bus == nil {
			return nil
		}
		return s.cfg.Bus.Publish(ctx, tx, ListTopic, k.String())
	})
	return won, err
}

// accept judges what came: the list that is to be in use from now on. have is
// the one that is; nil: none.
func (s *Store) accept(a Authority, k ListKind, have *pkix.CRL, got fetched, all []Authority) (*pkix.CRL, error) {
	now := s.now()
	if got.body == nil {
		if !now.Before(have.NextUpdate) {
			return nil, over(have)
		}
		return have, nil
	}
	c, err := pkix.ParseCRL(got.body)
	if err != nil {
		var f *pkix.Fault
		says := "What the address gives is no list of revocations that can be read."
		if errors.As(err, &f) && f.Reason == pkix.UnknownCritical {
			says = "The list has a critical extension that is not known, so that it must not be used."
		} else if errors.As(err, &f) && f.Reason == pkix.TooBig {
			says = "The list has something in it that is longer than it may be."
		}
		return nil, refused("crl_malformed", err, says)
	}
	if c.Delta() != (k == Delta) {
		says := "The list only tells changes (a delta); the address must be that of a complete one."
		if k == Delta {
			says = "The list is a complete one; the address must be that of a delta."
		}
		return nil, refused("crl_kind", errors.New("the other kind"), says)
	}
	if err := bind(c, a, all); err != nil {
		return nil, err
	}
	switch {
	case c.ThisUpdate.After(now):
		return nil, refused("crl_early", errors.New("yet to come"), "The list is of a time that is yet to come: "+told(c.ThisUpdate)+".")
	case !now.Before(c.NextUpdate):
		return nil, over(c)
	case have != nil && goesBack(have, c) && c.Number.Cmp(have.Number) == 0:
		return nil, refused("crl_number", fmt.Errorf("number %s again, of before", c.Number), "The list has the number of the one in use, and is older than the one in use.")
	case have != nil && goesBack(have, c):
		return nil, refused("crl_number", fmt.Errorf("number %s after %s", c.Number, have.Number),
			fmt.Sprintf("The list has the number %s, which comes before %s, that of the list in use.", short(c.Number), short(have.Number)))
	}
	return c, nil
}

// bind checks the signature, by a certificate of the tenant's authorities of
// the name that the list is from: the authority itself, or, of a list that is
// indirect, another (RFC 5280 §6.3.3 (b), (f), (g)). An authority's own list is
// by its own key: another authority of its name has a list of its own, which
// whoever stands between could put in this one's place. Whether that certificate
// holds is asked at each sign-in.
func bind(c *pkix.CRL, a Authority, all []Authority) error {
	own := pkix.SameName(c.Issuer, a.Cert.RawSubject)
	if !own && !c.Indirect() {
		return refused("crl_issuer", errors.New("another issuer"), "The list is of another issuer.")
	}
	var why error
	for _, cert := range append([]*x509.Certificate{a.Cert}, certificates(all)...) {
		if !pkix.SameName(c.Issuer, cert.RawSubject) || own && !bytes.Equal(cert.RawSubjectPublicKeyInfo, a.Cert.RawSubjectPublicKeyInfo) {
			continue
		}
		err := c.Bind(cert, false)
		if err == nil {
			return nil
		}
		var f *pkix.Fault
		if why == nil || errors.As(err, &f) && f.Reason != pkix.BadSignature {
			why = err
		}
	}
	var f *pkix.Fault
	switch errors.As(why, &f); {
	case why == nil:
		return refused("crl_issuer", errors.New("another issuer"), "The list is of an issuer that is none of the certificate authorities here.")
	case f != nil && f.Reason == pkix.WeakAlgorithm:
		return refused("crl_weak", why, "The list is signed by an algorithm that is too weak.")
	case f != nil && f.Reason == pkix.Usage:
		return refused("crl_usage", why, "The list is signed by a certificate authority whose key usage does not allow that (cRLSign).")
	}
	return refused("crl_signature", why, "The signature of the list is not that of the certificate authority.")
}

func certificates(all []Authority) []*x509.Certificate {
	out := make([]*x509.Certificate, len(all))
	for i, a := range all {
		out[i] = a.Cert
	}
	return out
}

// goesBack says that a list is older than the one in use, of the same issuer
// and key: somebody plays back what was once true. The key is that which signed,
// not what a list tells of it: an authority may have begun to tell it.
func goesBack(have, c *pkix.CRL) bool {
	if !pkix.SameName(have.Issuer, c.Issuer) || !have.SameSigner(c) {
		return false
	}
	by := c.Number.Cmp(have.Number)
	return by < 0 || by == 0 && c.ThisUpdate.Before(have.ThisUpdate)
}

// same says that a list is the one in use.
func same(have, c *pkix.CRL) bool {
	return pkix.SameName(have.Issuer, c.Issuer) && string(have.KeyID) == string(c.KeyID) && have.Number.Cmp(c.Number) == 0 &&
		have.ThisUpdate.Equal(c.ThisUpdate) && have.NextUpdate.Equal(c.NextUpdate) && have.Len() == c.Len()
}

// next is when to ask for the list after c.
func next(c *pkix.CRL, now time.Time) time.Time {
	wait := c.NextUpdate.Sub(now) / 2
	if at := c.NextPublish.Add(publishLag); !c.NextPublish.IsZero() && at.After(now) && at.Before(c.NextUpdate) {
		wait = at.Sub(now)
	}
	return now.Add(min(max(wait, leastWait), mostWait))
}

func over(c *pkix.CRL) error {
	return refused("crl_over", errors.New("over"), "The list is over since "+told(c.NextUpdate)+".")
}

func refused(reason string, err error, says string) error {
	return idp.Unavailablef(reason, "%w", err).Say(says)
}

func told(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func short(n *big.Int) string { return audit.Clean(n.String(), 50) }

// words are what the state says of a failure.
func words(err error) string {
	if e := idp.AsError(err); e != nil && e.Public != "" {
		return audit.Clean(e.Public, maxWords)
	}
	return "Something failed on this server."
}
