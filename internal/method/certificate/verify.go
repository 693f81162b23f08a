package certificate

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// Verify judges what came back from a handshake, or a message that a
// certificate's key has signed: one read, or a signature, and then the very same
// checks. Errors are Unproven with a reason, most of them Genuine: the
// certificate holds, and is nobody's, somebody else's or barred.
func (m *Room) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	if len(a.Keep) > 0 && a.Keep[0] == keepOnce {
		return m.verifyOnce(ctx, a)
	}
	keep, fault := parseKeep(a.Keep)
	if fault != nil {
		return method.Verdict{}, fault
	}
	code, fault := parseAnswer(a.Payload)
	if fault != nil {
		return method.Verdict{}, fault
	}
	h, err := m.handover(ctx, a.Tenant, secret.Digest(code))
	switch {
	case errors.Is(err, idp.NotFound):
		return method.Verdict{}, idp.Unprovenf("handover_unknown", "no handshake for this code").Say(sayOver)
	case err != nil:
		return method.Verdict{}, fmt.Errorf("handshake: %w", err)
	case h.ceremony != keep.Ticket:
		return method.Verdict{Settle: h.drop}, idp.Unprovenf("handover_of_other", "handshake of another ceremony").Say(sayOver)
	case !a.Now.Before(h.expires):
		return method.Verdict{Settle: h.drop}, idp.Unprovenf("handover_late", "handshake was kept until %s", h.expires.UTC()).Say(sayOver)
	}
	chain, err := h.certificates()
	if err != nil {
		return method.Verdict{Settle: h.drop}, idp.Unprovenf("certificate_malformed", "stored chain: %w", err).Coded(codeRefused).Say(say["certificate_malformed"])
	}
	v, err := m.judge(ctx, a, chain, keep.Typed)
	if err != nil {
		v.Settle = h.drop
		return v, err
	}
	note := v.Settle
	v.Settle = func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := h.fetch(ctx, tx, a.Now)
		if err == nil && !ok {
			err = idp.Expiredf("handover_used", "the handshake was fetched meanwhile").Say(sayOver)
		}
		if err != nil {
			return err
		}
		return note(ctx, tx)
	}
	return v, nil
}

// maxCode is longer than any code.
const maxCode = 64

// parseAnswer reads what a page sends: {"code": …}.
func parseAnswer(payload []byte) (string, *idp.Error) {
	var in struct {
		Code string `json:"code"`
	}
	if len(payload) > 256 {
		return "", idp.Unprovenf("answer_malformed", "answer of %d bytes", len(payload))
	}
	if err := json.Unmarshal(payload, &in); err != nil || in.Code == "" || len(in.Code) > maxCode {
		return "", idp.Unprovenf("answer_malformed", "answer of %d bytes: %w", len(payload), err)
	}
	return in.Code, nil
}

// judge says who comes with a chain whose key has signed, and what that is
// worth. typed is the name of the person that it must be, folded, or empty.
func (m *Room) judge(ctx context.Context, a method.Answer, chain []*x509.Certificate, typed string) (method.Verdict, error) {
	leaf := chain[0]
	rules, err := m.cfg.Rules(ctx, a.Tenant)
	if err != nil {
		return method.Verdict{}, fmt.Errorf("rules: %w", err)
	}
	seen := summary(leaf)
	v := method.Verdict{Detail: seenDetail(seen)}
	path, err := m.cfg.Trust.Verify(ctx, a.Tenant, leaf, chain[1:], trustRules(&rules))
	if err != nil {
		return v, told(err)
	}
	v.Genuine = true
	facts, err := factsOf(path)
	if err != nil {
		return v, told(err)
	}
	worth := rules.Worth(policy.Presents(&facts))
	all, err := bind(ctx, leaf, rules.Ordered(), worth.Affinity, m.finder(a.Tenant))
	if err != nil {
		return method.Verdict{}, err
	}
	by, fault := decided(all)
	if fault != nil {
		return v, fault
	}
	facts.Certificate.High = by.Affinity == policy.HighAffinity
	id := CredentialID(leaf)
	v.Proof = idp.Proof{Tenant: a.Tenant, User: by.user.ID, Method: ID, Credential: id}
	if typed != "" && directory.Fold(by.user.Name) != typed {
		return v, idp.Unprovenf("certificate_other_person", "certificate of %s, and %.80q was typed", by.user.ID, typed).Coded(codeRefused).Say(say["certificate_other_person"])
	}
	barred, err := isBarred(ctx, m.db, a.Tenant, by.user.ID, id)
	if err != nil {
		return method.Verdict{}, fmt.Errorf("what was seen of the certificate: %w", err)
	}
	if barred {
		return v, errBarred(id)
	}
	v.Proof.Time, v.Proof.Facts = a.Now, facts
	prove(&v.Proof, leaf, worth.Mode)
	addDetail(v.Detail, by, worth, facts)
	v.Settle = m.note(rowOf(v.Proof, leaf, seen), path)
	return v, nil
}

func errBarred(id idp.CredentialID) *idp.Error {
	return idp.Unprovenf("certificate_barred", "certificate %s was removed from this person", id).Coded(codeRefused).Say(say["certificate_barred"])
}

func (m *Room) finder(t idp.TenantID) lookup {
	return func(ctx context.Context, p policy.UserProperty, values []string) ([]idp.User, error) {
		return m.cfg.Users(ctx, t, p, values)
	}
}

func trustRules(r *policy.CertificateRules) trust.Rules {
	return trust.Rules{Unchecked: r.Unchecked, StaleFor: r.StaleFor, NoUsage: r.NoUsage, AnyUsage: r.AnyUsage}
}

// factsOf is what a valid path says of its certificate, but for how its person
// was found.
func factsOf(v trust.Verified) (idp.Facts, error) {
	name, err := named(v.Chain[0].RawIssuer)
	if err != nil {
		return idp.Facts{}, idp.Unprovenf("certificate_malformed", "issuer: %w", err).Coded(codeRefused)
	}
	c := &idp.CertificateFacts{Policies: slices.Clone(v.Policies), IssuerName: name}
	f := idp.Facts{Certificate: c}
	for i, a := range v.Authorities {
		// A key identifier is what its issuer writes into a certificate. Rules
		// mean the tenant's own authorities by one: what a client sent along is
		// none of those, whatever it says.
		if !a.Known() {
			continue
		}
		c.Issuers = append(c.Issuers, a.Key())
		if i == 0 {
			f.Issuer = a.Key()
		}
	}
	return f, nil
}

// decided is the binding that says whose a certificate is. That it is nobody's,
// or several people's, is one sentence.
func decided(all []tried) (tried, *idp.Error) {
	nobody := func(reason, format string, args ...any) (tried, *idp.Error) {
		return tried{}, idp.Unprovenf(reason, format, args...).Coded(codeNobody).Say(say["certificate_no_user"])
	}
	if len(all) == 0 {
		return nobody("certificate_no_user", "there are no bindings")
	}
	last := all[len(all)-1]
	switch last.reason {
	case "":
		return last, nil
	case ambiguous:
		return nobody("certificate_ambiguous", "binding %d, %s to %s, leads to several people", last.rank, last.Field, last.Property)
	case unread:
		return tried{}, idp.Unprovenf("certificate_malformed", "binding %d: %w", last.rank, last.err).Coded(codeRefused).Say(say["certificate_malformed"])
	}
	if !slices.ContainsFunc(all, func(t tried) bool { return t.reason != tooWeak }) {
		return tried{}, idp.Unprovenf("certificate_affinity", "no binding is as firm as is asked for").Coded(codeRefused).Say(say["certificate_affinity"])
	}
	return nobody("certificate_no_user", "none of %d bindings leads to anybody", len(all))
}

// prove adds what a judged certificate proves.
func prove(p *idp.Proof, leaf *x509.Certificate, mode idp.Mode) {
	p.Mode, p.Properties, p.AMR = mode, properties(mode), []string{"pop"}
	if _, ok := leaf.PublicKey.(*rsa.PublicKey); ok {
		p.AMR[0] = "rsa"
	}
	if mode == idp.ModeCertificateMulti {
		p.AMR = append(p.AMR, "mfa")
	}
}

// properties are what an answer claims: that a PIN was asked is what a rule
// believes of the issuer. That hardware holds the key nobody has shown.
func properties(mode idp.Mode) []idp.Property {
	out := []idp.Property{idp.PhishingResistant, idp.Possession}
	if mode == idp.ModeCertificateMulti {
		out = append(out, idp.UserVerified, idp.MultiFactor)
	}
	return out
}

// note writes that a person came with a certificate, unless it was barred for
// them meanwhile, or one of the authorities above it is trusted no more: what a
// node has in memory of those may be of before.
func (m *Room) note(k row, path trust.Verified) method.Settle {
	facts, err := json.Marshal(k.facts)
	return func(ctx context.Context, tx *sqldb.Tx) error {
		if err != nil {
			return err
		}
		switch ok, err := m.cfg.Trust.Holds(ctx, tx, k.tenant, path); {
		case err != nil:
			return err
		case !ok:
			return idp.Unprovenf("certificate_unknown_issuer", "an authority of the path was withdrawn meanwhile").Coded(codeRefused).Say(say["certificate_unknown_issuer"])
		}
		ok, err := touch(ctx, tx, k, string(facts))
		if err == nil && !ok {
			err = errBarred(k.id)
		}
		return err
	}
}

// The words of a sign-in with a certificate in the audit.
const (
	detailSubject    = "certificateSubject"
	detailIssuer     = "certificateIssuer"
	detailSerial     = "certificateSerial"
	detailThumbprint = "certificateThumbprint"
	detailPolicies   = "certificatePolicies"
	detailBinding    = "certificateBinding"
	detailAffinity   = "certificateAffinity"
	detailLevel      = "certificateLevel"
	detailRule       = "certificateRule"
)

// seenDetail is what whoever comes with a certificate knows of it.
func seenDetail(s Summary) map[string]string {
	return map[string]string{detailSubject: s.Subject, detailIssuer: s.Issuer, detailSerial: s.Serial, detailThumbprint: s.Thumbprint}
}

// addDetail adds what the rules say, in Entra's words (entra-behaviours.md §5.8).
func addDetail(d map[string]string, by tried, w policy.Worth, f idp.Facts) {
	d[detailBinding] = fmt.Sprintf("Certificate: %s; User Attribute: %s; Rank: %d", by.Field, by.Property, by.rank)
	d[detailAffinity], d[detailRule] = string(by.Affinity), w.Rule
	d[detailLevel] = "singleFactorAuthentication"
	if w.Mode == idp.ModeCertificateMulti {
		d[detailLevel] = "multiFactorAuthentication"
	}
	if len(f.Certificate.Policies) > 0 {
		d[detailPolicies] = strings.Join(f.Certificate.Policies, " ")
	}
}

// AADSTS numbers of certificates that hold and are not taken; those of paths that
// do not are trust's. A certificate proves itself, so they may differ.
const (
	codeRefused = 50017 // [K]
	codeNobody  = 50034 // [K]
)

// sayOver is for a way back from a handshake that is none any more.
const sayOver = "The time is up, or this was used before. Nobody was let in. Start again."

// say are the sentences of what is wrong with a certificate. None tells of an
// account: who holds the certificate's key may know what it is. That it is
// nobody's and that it is several people's is one sentence.
var say = map[string]string{
	"certificate_no_user":          "This certificate belongs to nobody here. Choose another one, or ask the help desk.",
	"certificate_other_person":     "This certificate is not of the person whose name was typed. Choose another one, or start again with the right name.",
	"certificate_barred":           "This certificate was taken away from you. Choose another one, or ask the help desk.",
	"certificate_expired":          "This certificate is over. Ask for a new one, and sign in another way until then.",
	"certificate_not_yet_valid":    "This certificate is not good yet. Choose another one, or ask the help desk.",
	"certificate_revoked":          "This certificate was revoked. Nobody was let in. Ask the help desk for another one.",
	"certificate_list_unavailable": "Whether this certificate was revoked cannot be found out at the moment. Sign in another way, or try again later.",
	"certificate_unknown_issuer":   "This certificate is from an authority that your organisation does not know. Choose another one.",
	"certificate_affinity":         "This certificate is not tied to you as firmly as your organisation asks. Choose another one, or ask the help desk.",
	"certificate_usage":            "This certificate is not made for signing in. Choose another one.",
	"certificate_malformed":        "This certificate cannot be read. Choose another one, or ask the help desk.",
	"":                             "This certificate cannot be used here. Choose another one, or ask the help desk.",
}

// told gives a refusal of the path its sentence.
func told(err error) error {
	e := idp.AsError(err)
	if e.Kind != idp.Unproven {
		return err
	}
	text := e.Public
	if text == "" {
		text = say[e.Reason]
	}
	if text == "" {
		text = say[""]
	}
	return (&idp.Error{Kind: idp.Unproven, Reason: e.Reason, Code: e.Code, Err: err}).Say(text)
}

// at is a stored time; 0 is none.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
