package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
)

// What a leaf's extended key usages must name one of (security.md CBA02).
const (
	usageClientAuth = "1.3.6.1.5.5.7.3.2"      // RFC 5280 §4.2.1.12
	usageSmartCard  = "1.3.6.1.4.1.311.20.2.2" // smart-card logon [K]
)

// MaxSent is how many certificates that a client sends along are looked at.
const MaxSent = pkix.MaxDepth

// Numbers of refusals in replies (entra-behaviours.md §13).
const (
	codeRefused = 50017  // the path does not hold
	codeRevoked = 500171 // revoked
	codeTime    = 500172 // expired, or not valid yet
	codeNoList  = 500173 // no list says that it is not revoked
)

// Verify builds and checks the path of a leaf against the authorities of the
// tenant, and of no other (security.md CBA02). sent are certificates that the
// client sent with it, trusted for nothing; of them the first MaxSent are
// looked at.
//
// It waits for the network only where an authority's responder is asked (OCSP).
// Errors are Unproven, with a reason of "certificate_" and what is wrong:
// certificate_expired, certificate_not_yet_valid, certificate_revoked,
// certificate_unknown_issuer (no path to an authority of the tenant that is
// enabled), certificate_list_unavailable (nothing says that it is not revoked),
// and otherwise pkix's own word. They wrap a *pkix.Fault. Other kinds: the
// database failed.
func (s *Store) Verify(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r Rules) (Verified, error) {
	w, err := s.walk(ctx, t, leaf, sent, r)
	if err != nil {
		return Verified{}, err
	}
	if w.fault != nil {
		return Verified{}, refusal(w.fault)
	}
	return w.verified, nil
}

// Steps is Verify for people: what there is to say of each certificate. An
// error says that nothing could be judged; that the path does not hold is in
// the Trace.
func (s *Store) Steps(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r Rules) (Trace, error) {
	w, err := s.walk(ctx, t, leaf, sent, r)
	if err != nil {
		return Trace{}, err
	}
	return w.trace(), nil
}

// walked is a verification that was made.
type walked struct {
	held     *anchors
	verified Verified
	fault    *pkix.Fault
	checks   map[*x509.Certificate]Checked
}

func (s *Store) walk(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r Rules) (walked, error) {
	held, err := s.cache.Get(ctx, t)
	if err != nil {
		return walked{}, fmt.Errorf("authorities of %s: %w", t, err)
	}
	w := walked{held: held, checks: map[*x509.Certificate]Checked{}}
	var broken error // what failed on our side
	now, admitted := s.now(), held.admit(sent)
	roots, subs := held.over(append([]*x509.Certificate{leaf}, admitted...))
	path, err := pkix.Verify(leaf, pkix.Options{
		Anchors: roots, Intermediates: append(subs, admitted...), Signed: held.wasSigned,
		Now: now, Usages: []string{usageClientAuth, usageSmartCard}, AnyUsage: r.AnyUsage, NoUsage: r.NoUsage, DigitalSignature: true,
		Check: func(cert, issuer *x509.Certificate, path []*x509.Certificate) error {
			c, err := s.checked(ctx, question{cert: cert, by: held.authority(issuer), path: path, held: held, rules: r, now: now})
			var f *pkix.Fault
			if err != nil && !errors.As(err, &f) {
				broken = err
			}
			w.checks[cert] = c
			return err
		},
	})
	if err != nil {
		if broken != nil {
			return walked{}, fmt.Errorf("revocation: %w", broken)
		}
		if !errors.As(err, &w.fault) {
			return walked{}, fmt.Errorf("verify a path: %w", err)
		}
		return w, nil
	}
	held.remember(path.Chain)
	w.verified.Path = path
	for i, c := range path.Chain {
		if i > 0 {
			w.verified.Authorities = append(w.verified.Authorities, held.authority(c))
		}
		if i < len(path.Chain)-1 {
			w.verified.Checks = append(w.verified.Checks, w.checks[c])
		}
	}
	return w, nil
}

// checked says how a certificate of an authority is not revoked: by its list
// or its responder when it has one of them, and otherwise not at all, unless
// the rules name its key.
func (s *Store) checked(ctx context.Context, q question) (Checked, error) {
	if q.by.CRL != "" || q.by.OCSP != "" {
		return s.check(ctx, q)
	}
	// A key identifier is what its issuer writes into a certificate: one that a
	// client sent along may say any.
	if q.by.Known() && slices.Contains(q.rules.Unchecked, q.by.Key()) {
		return Checked{Cert: q.cert, By: Unchecked, Authority: q.by.ID}, nil
	}
	return Checked{}, &pkix.Fault{Reason: pkix.RevocationUnknown, Cert: q.cert, Err: fmt.Errorf("%q has neither list nor responder", q.by.Name)}
}

// trace tells a verification certificate by certificate.
func (w walked) trace() Trace {
	out := Trace{Verified: w.verified, Fault: w.fault}
	chain := w.verified.Chain
	if w.fault != nil {
		chain = w.fault.Path
	}
	for i, c := range chain {
		step := Step{Cert: c}
		if i > 0 {
			step.Authority = w.held.authority(c)
		}
		step.Anchor = step.Authority.Root && step.Authority.Known()
		if checked, ok := w.checks[c]; ok && checked.By != "" {
			step.Checked = &checked
		}
		if w.fault != nil && w.fault.Cert == c {
			step.Fault = w.fault
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

// refusal is a fault as callers of this package see it.
func refusal(f *pkix.Fault) error {
	word, code := string(f.Reason), codeRefused
	switch f.Reason {
	case pkix.NoPath:
		word = "unknown_issuer"
	case pkix.RevocationUnknown:
		word, code = "list_unavailable", codeNoList
	case pkix.Revoked:
		code = codeRevoked
	case pkix.Expired, pkix.NotYetValid:
		code = codeTime
	}
	return idp.Unprovenf("certificate_"+word, "%w", f).Coded(code)
}
