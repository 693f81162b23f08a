package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

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
	rules, err := x.room.cfg.Rules(ctx, x.tenant)
	if err != nil {
		return err
	}
	path, err := x.room.cfg.Trust.Verify(ctx, x.tenant, x.leaf, x.sent, trustRules(&rules))
	var facts idp.Facts
	if err == nil {
		facts, err = factsOf(path)
	}
	if err != nil && idp.AsError(err).Kind != idp.Unproven {
		return err
	}
	holds := err == nil
	x.path(path, err)
	worth := x.level(&rules, facts, holds)
	by, err := x.bindings(ctx, rules.Ordered(), worth.Affinity)
	if err != nil || by == nil {
		return err
	}
	x.out.User, x.out.Affinity = by.user, by.Affinity
	if err := x.bar(ctx, by.user); err != nil {
		return err
	}
	if !holds {
		x.add(StepPolicy, Unknown, "")
		return nil
	}
	facts.Certificate.High = by.Affinity == policy.HighAffinity
	return x.policy(ctx, by.user, facts)
}

// path tells of the path, its times and each check of revocation: from what was
// verified, or from the fault.
func (x *explaining) path(v trust.Verified, err error) {
	if err == nil {
		x.add(StepPath, Passed, "", append(chainValues(v.Chain), Value{"policies", strings.Join(v.Policies, " ")})...)
		x.add(StepTime, Passed, "", x.times()...)
		for _, c := range v.Checks {
			x.add(StepRevocation, Passed, "", checkValues(c)...)
		}
		return
	}
	reason := idp.AsError(err).Reason
	var fault *pkix.Fault
	values := []Value{{"detail", detailOf(err)}}
	if errors.As(err, &fault) {
		if fault.Cert != nil {
			values = append([]Value{{"certificate", subjectOf(fault.Cert)}}, values...)
		}
		values = append(chainValues(fault.Path), values...)
	}
	switch reason {
	case "certificate_" + string(pkix.Expired), "certificate_" + string(pkix.NotYetValid):
		x.add(StepPath, Passed, "", chainValues(pathOf(fault))...)
		x.add(StepTime, Failed, reason, append(x.times(), values...)...)
		x.add(StepRevocation, Unknown, "")
	case "certificate_" + string(pkix.Revoked), "certificate_" + string(pkix.RevocationUnknown):
		x.add(StepPath, Passed, "", chainValues(pathOf(fault))...)
		x.add(StepTime, Passed, "", x.times()...)
		x.add(StepRevocation, Failed, reason, values...)
	default:
		x.add(StepPath, Failed, reason, values...)
		x.timeAlone()
		x.add(StepRevocation, Unknown, "")
	}
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

func pathOf(f *pkix.Fault) []*x509.Certificate {
	if f == nil {
		return nil
	}
	return f.Path
}

func subjectOf(c *x509.Certificate) string {
	s, err := pkix.RootFirst(c.RawSubject)
	if err != nil || s == "" {
		return hex.EncodeToString(c.SerialNumber.Bytes())
	}
	return s
}

func chainValues(chain []*x509.Certificate) []Value {
	var out []Value
	for _, c := range chain {
		out = append(out, Value{"chain", subjectOf(c)})
	}
	return out
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

// detailOf is the innermost text of an error: what an administrator can act on.
func detailOf(err error) string {
	var fault *pkix.Fault
	if errors.As(err, &fault) {
		return fault.Error()
	}
	return err.Error()
}

// level says what the certificate counts for. Where no path holds nobody knows
// its issuer or its policies, and only the tenant's own affinity is asked for.
func (x *explaining) level(r *policy.CertificateRules, f idp.Facts, holds bool) policy.Worth {
	if !holds {
		x.add(StepLevel, Unknown, "")
		return policy.Worth{Affinity: r.Affinity}
	}
	w := r.Worth(policy.Presents(&f))
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
