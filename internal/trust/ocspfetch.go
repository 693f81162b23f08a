package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/signetid/signet/internal/outbound"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/secret"
)

const (
	// answerFor is how long a responder's answer is believed without asking
	// again, if it does not end before.
	answerFor = time.Hour
	// undatedFor is how old an answer may be that does not say when it ends.
	// Such are not kept.
	undatedFor = 5 * time.Minute
	// maxAnswers is how many are kept in memory.
	maxAnswers = 10_000
	nonceSize  = 16 // bytes (RFC 8954 §2.1 allows up to 32)
)

// answers are what responders said of certificates that are not revoked. What
// is revoked, or could not be learnt, is asked anew.
type answers struct {
	mu   sync.Mutex
	said map[[sha256.Size]byte]answer
}

type answer struct {
	checked Checked
	until   time.Time
}

func (a *answers) find(key [sha256.Size]byte, now time.Time) (Checked, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, ok := a.said[key]
	return got.checked, ok && now.Before(got.until)
}

func (a *answers) keep(key [sha256.Size]byte, c Checked, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said == nil {
		a.said = map[[sha256.Size]byte]answer{}
	}
	for old := range a.said {
		if len(a.said) < maxAnswers {
			break
		}
		delete(a.said, old) // any one: map order is random enough
	}
	a.said[key] = answer{c, until}
}

// byResponder asks the responder of the certificate's issuer, unless its last
// answer still counts. What it does not say is unknown, and refused (CBA06).
func (s *Store) byResponder(ctx context.Context, q question) (Checked, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%x\x00%x", q.by.Tenant, q.by.ID, q.by.OCSP, q.by.Cert.Raw, q.cert.Raw))
	if c, ok := s.answers.find(key, q.now); ok {
		return c, nil
	}
	unknown := func(err error) (Checked, error) {
		return Checked{}, &pkix.Fault{Reason: pkix.RevocationUnknown, Cert: q.cert, Path: q.path, Err: fmt.Errorf("responder of %q: %w", q.by.Name, err)}
	}
	nonce := secret.Bytes(nonceSize)
	der, err := s.net.ask(ctx, q.by.OCSP, q.cert, q.by.Cert, nonce)
	if err != nil {
		return unknown(err)
	}
	st, err := pkix.CheckOCSP(der, q.cert, q.by.Cert, pkix.OCSP{
		Now: q.now, Nonce: nonce, MaxAge: undatedFor,
		Check: func(delegate, issuer *x509.Certificate) error { return s.delegate(ctx, q, delegate) },
	})
	var f *pkix.Fault
	if errors.As(err, &f) && f.Reason == pkix.RevocationUnknown {
		return unknown(f.Err)
	}
	if err != nil {
		return Checked{}, err
	}
	c := Checked{Cert: q.cert, By: ByOCSP, Authority: q.by.ID, ThisUpdate: st.ThisUpdate, NextUpdate: st.NextUpdate}
	if until := st.NextUpdate; !until.IsZero() {
		if most := q.now.Add(answerFor); most.Before(until) {
			until = most
		}
		s.answers.keep(key, c, until)
	}
	return c, nil
}

// delegate says by the authority's lists whether one who answers for it is
// revoked.
func (s *Store) delegate(ctx context.Context, q question, cert *x509.Certificate) error {
	r, err := s.listsOf(ctx, q, []Authority{q.by})
	if err != nil {
		return err
	}
	above := q.path
	for i, c := range q.path {
		if c.Equal(q.by.Cert) {
			above = q.path[i:]
		}
	}
	_, err = r.Check(cert, q.by.Cert, append([]*x509.Certificate{cert}, above...))
	return err
}

// ask sends a request to a responder (RFC 6960 Appendix A.1) and gives what it
// answers, unread.
func (f *fetcher) ask(ctx context.Context, address string, cert, issuer *x509.Certificate, nonce []byte) ([]byte, error) {
	body, err := pkix.RequestOCSP(cert, issuer, nonce)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.limits.OCSPTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	req.Header.Set("Accept", "application/ocsp-response")
	client, err := f.client(address)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, f.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	der, err := outbound.Read(res.Body, pkix.MaxOCSP)
	if err != nil {
		return nil, f.unreachable(err)
	}
	return der, nil
}
