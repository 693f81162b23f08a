package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/trust"
)

// summary is what a certificate says of itself; what cannot be read of it is
// left out.
func summary(c *x509.Certificate) Summary {
	sum := sha256.Sum256(c.Raw)
	s := Summary{
		Serial: hex.EncodeToString(c.SerialNumber.Bytes()), Thumbprint: thumbprint(c), SHA256: hex.EncodeToString(sum[:]),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
	}
	s.Subject, _ = pkix.RootFirst(c.RawSubject)
	s.Issuer, _ = pkix.RootFirst(c.RawIssuer)
	return s
}

// summaryNamed is summary with the alternative names.
func summaryNamed(c *x509.Certificate) Summary {
	s := summary(c)
	names, err := pkix.Names(c)
	if err != nil {
		return s // the path says so
	}
	for _, n := range names.PrincipalNames {
		s.Names = append(s.Names, Value{"principalName", n})
	}
	for _, n := range names.RFC822Names {
		s.Names = append(s.Names, Value{"rfc822Name", n})
	}
	for _, n := range names.DNSNames {
		s.Names = append(s.Names, Value{"dnsName", n})
	}
	for _, n := range names.URIs {
		s.Names = append(s.Names, Value{"uri", n})
	}
	return s
}

// userIDs are the values of certificateUserIds that could name a certificate, the
// firm ones first. What cannot be read of it, or be held there, is left out.
func userIDs(c *x509.Certificate) (out []string) {
	for _, f := range []policy.CertificateField{
		policy.FieldSubjectKeyIdentifier, policy.FieldSHA1PublicKey, policy.FieldIssuerAndSerialNumber,
		policy.FieldIssuerAndSubject, policy.FieldSubject, policy.FieldPrincipalName, policy.FieldRFC822Name,
	} {
		values, err := Values(c, f, policy.ByCertificateUserIDs)
		if err == nil {
			out = append(out, values...)
		}
	}
	return slices.DeleteFunc(out, func(v string) bool { return directory.CheckCertificateID(v) != nil })
}

// explaining is one explanation on its way. Its steps are the calls that judge
// makes, in their order; a sign-in stops where the first fails.
type explaining struct {
	room   *Room
	tenant idp.TenantID
	leaf   *x509.Certificate
	sent   []*x509.Certificate
	out    Explained
}

func (x *explaining) add(key string, o Outcome, reason string, values ...Value) {
	x.out.Steps = append(x.out.Steps, Step{key, o, reason, slices.DeleteFunc(values, func(v Value) bool { return v.Text == "" })})
	if o == Failed && x.out.Reason == "" {
		x.out.Reason = reason
	}
}

func (x *explaining) run(ctx context.Context) error {
	x.out.Certificate = summaryNamed(x.leaf)
	x.out.UserIDs = userIDs(x.leaf)
	rules, err := x.room.cfg.Rules(ctx, x.tenant)
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	trace, err := x.room.cfg.Trust.Steps(ctx, x.tenant, x.leaf, x.sent, trustRules(&rules))
	if err != nil {
		return err
	}
	x.path(trace)
	var facts *idp.Facts
	if trace.Fault == nil {
		f, err := factsOf(trace.Verified)
		if err != nil { // a name that Verify has compared can be read
			return err
		}
		facts = &f
	}
	worth := x.level(&rules, facts)
	by, err := x.bindings(ctx, rules.Ordered(), worth.Affinity)
	if err != nil || by == nil {
		return err
	}
	x.out.User, x.out.Affinity = by.user, by.Affinity
	if err := x.bar(ctx, by.user); err != nil {
		return err
	}
	if facts == nil {
		x.add(StepPolicy, Unknown, "")
		return nil
	}
	facts.Certificate.High = by.Affinity == policy.HighAffinity
	return x.policy(ctx, by.user, *facts)
}

// path tells of the path, its times and each check of revocation.
func (x *explaining) path(t trust.Trace) {
	var chain []Value
	for _, s := range t.Steps {
		chain = append(chain, Value{"chain", subjectOf(s.Cert)})
		if s.Authority.Known() {
			chain = append(chain, Value{"authority", s.Authority.Name})
		}
	}
	f := t.Fault
	if f == nil {
		x.add(StepPath, Passed, "", append(chain, Value{"policies", strings.Join(t.Policies, " ")})...)
		x.add(StepTime, Passed, "", x.times()...)
		x.checks(t, "")
		return
	}
	reason, about := faultWord(f), []Value{{"detail", f.Error()}}
	if f.Cert != nil {
		about = append(about, Value{"certificate", subjectOf(f.Cert)})
	}
	switch f.Reason {
	case pkix.Expired, pkix.NotYetValid:
		x.add(StepPath, Passed, "", chain...)
		x.add(StepTime, Failed, reason, append(x.times(), about...)...)
		x.add(StepRevocation, Unknown, "")
	case pkix.Revoked, pkix.RevocationUnknown:
		x.add(StepPath, Passed, "", chain...)
		x.add(StepTime, Passed, "", x.times()...)
		x.checks(t, reason)
	default:
		x.add(StepPath, Failed, reason, append(chain, about...)...)
		x.timeAlone()
		x.add(StepRevocation, Unknown, "")
	}
}

// faultWord is the reason of the error that trust makes of a fault.
func faultWord(f *pkix.Fault) string {
	switch f.Reason {
	case pkix.NoPath:
		return "certificate_unknown_issuer"
	case pkix.RevocationUnknown:
		return "certificate_list_unavailable"
	}
	return "certificate_" + string(f.Reason)
}

// checks tells of each certificate that something says of whether it was
// revoked, and of the one for which nothing does, or the wrong thing.
func (x *explaining) checks(t trust.Trace, reason string) {
	for _, s := range t.Steps {
		about := []Value{{"certificate", subjectOf(s.Cert)}}
		switch {
		case s.Fault != nil:
			x.add(StepRevocation, Failed, reason, append(about, Value{"detail", s.Fault.Error()})...)
		case s.Checked != nil:
			x.add(StepRevocation, Passed, "", append(checkValues(*s.Checked), Value{"authorityName", nameIn(t, s.Checked.Authority)})...)
		}
	}
}

// nameIn is what an authority of the path is called here; empty: it is none.
func nameIn(t trust.Trace, id idp.AuthorityID) string {
	for _, s := range t.Steps {
		if s.Authority.Known() && s.Authority.ID == id {
			return s.Authority.Name
		}
	}
	return ""
}

// timeAlone judges the certificate's own time where no path holds.
func (x *explaining) timeAlone() {
	now := x.room.cfg.Now()
	switch {
	case now.Before(x.leaf.NotBefore):
		x.add(StepTime, Failed, "certificate_not_yet_valid", x.times()...)
	case now.After(x.leaf.NotAfter):
		x.add(StepTime, Failed, "certificate_expired", x.times()...)
	default:
		x.add(StepTime, Passed, "", x.times()...)
	}
}

func (x *explaining) times() []Value {
	return []Value{{"notBefore", stamp(x.leaf.NotBefore)}, {"notAfter", stamp(x.leaf.NotAfter)}}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func subjectOf(c *x509.Certificate) string {
	s, err := pkix.RootFirst(c.RawSubject)
	if err != nil || s == "" {
		return hex.EncodeToString(c.SerialNumber.Bytes())
	}
	return s
}

func checkValues(c trust.Checked) []Value {
	out := []Value{
		{"certificate", subjectOf(c.Cert)}, {"by", c.By}, {"authority", string(c.Authority)},
		{"thisUpdate", stamp(c.ThisUpdate)}, {"nextUpdate", stamp(c.NextUpdate)},
	}
	if c.Stale {
		out = append(out, Value{"stale", "true"})
	}
	return out
}

// level says what the certificate counts for. Where no path holds nobody knows
// its issuer or its policies, and only the tenant's own affinity is asked for.
func (x *explaining) level(r *policy.CertificateRules, f *idp.Facts) policy.Worth {
	if f == nil {
		x.add(StepLevel, Unknown, "")
		return policy.Worth{Affinity: r.Affinity}
	}
	w := r.Worth(policy.Presents(f))
	x.out.Mode, x.out.Rule = w.Mode, w.Rule
	x.add(StepLevel, Passed, "", Value{"mode", string(w.Mode)}, Value{"rule", w.Rule}, Value{"affinity", string(w.Affinity)},
		Value{"issuer", f.Issuer}, Value{"policies", strings.Join(f.Certificate.Policies, " ")})
	return w
}

// bindings tells of each that was tried, and gives the one that decides, or nil.
func (x *explaining) bindings(ctx context.Context, list []policy.CertificateBinding, need policy.Affinity) (*tried, error) {
	all, err := bind(ctx, x.leaf, list, need, x.room.finder(x.tenant))
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		outcome := Passed
		switch t.reason {
		case "":
		case tooWeak, noField, noMatch:
			outcome = Skipped
		default:
			outcome = Unknown // the person step says why
		}
		values := []Value{
			{"field", string(t.Field)}, {"property", string(t.Property)}, {"priority", strconv.Itoa(t.Priority)}, {"affinity", string(t.Affinity)},
		}
		for _, v := range t.values {
			values = append(values, Value{"value", v})
		}
		if t.err != nil {
			values = append(values, Value{"detail", t.err.Error()})
		}
		x.add(StepBinding, outcome, t.reason, values...)
	}
	by, fault := decided(all)
	if fault != nil {
		x.add(StepPerson, Failed, fault.Reason)
		return nil, nil
	}
	x.add(StepPerson, Passed, "", Value{"userPrincipalName", by.user.Name}, Value{"displayName", by.user.DisplayName}, Value{"id", string(by.user.ID)})
	return &by, nil
}

func (x *explaining) bar(ctx context.Context, u idp.User) error {
	barred, err := isBarred(ctx, x.room.db, x.tenant, u.ID, CredentialID(x.leaf))
	if err != nil {
		return err
	}
	if barred {
		x.add(StepBar, Failed, "certificate_barred")
		return nil
	}
	x.add(StepBar, Passed, "")
	return nil
}

// policy asks what the corridor would.
func (x *explaining) policy(ctx context.Context, u idp.User, f idp.Facts) error {
	if !u.Enabled {
		x.add(StepPolicy, Failed, "user_disabled")
		return nil
	}
	refused, err := x.room.cfg.Judge(ctx, u, f)
	if err != nil {
		return err
	}
	if !refused.Allowed() {
		x.add(StepPolicy, Failed, refused.Reason, Value{"rule", refused.Rule})
		return nil
	}
	x.add(StepPolicy, Passed, "")
	x.out.Good = x.out.Reason == ""
	return nil
}
