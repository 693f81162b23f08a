package metadata

import (
	"crypto/sha1" // names a key in U2F metadata; nothing rests on it
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"time"
)

// Evidence is what a verified attestation statement shows of a key's model.
// That its signatures are right is its caller's promise.
type Evidence struct {
	AAGUID string   // lower case, from the authenticator data
	Format string   // attestation statement format identifier (WebAuthn §8)
	Self   bool     // signed by the credential's own key
	Chain  [][]byte // x5c, DER, the attestation certificate first; empty for none and self
}

// Trust is the verdict on Evidence.
type Trust struct {
	Attested bool   // the chain ends in a root of this very model
	Reason   string // why not: one of the reasons below; "" when attested
	Number   int64  // the list it was judged by; 0: there was none
}

// Reasons why a model is only claimed.
const (
	ReasonNone          = "none"               // the key did not say what it is
	ReasonSelf          = "self"               // it vouches for itself
	ReasonFormat        = "format"             // a statement format that proves nothing any more, or an unknown one
	ReasonPlatform      = "platform"           // decisions 5.1: compared by public key, never by chain
	ReasonNoMetadata    = "no_metadata"        // there is no list to judge by
	ReasonModelUnknown  = "model_unknown"      // the list does not have the model
	ReasonNoRoots       = "model_without_root" // the list has it, without any root
	ReasonChain         = "chain"              // no path to a root of the model, at that time
	ReasonAAGUID        = "aaguid_mismatch"    // the certificate is another model's
	ReasonCompromised   = "attestation_key_compromised"
	ReasonRevoked       = "model_revoked"
	maxEvidence         = 8
	formatApple         = "apple"
	formatU2F           = "fido-u2f"
	formatTPM           = "tpm"
	maxCertificateBytes = 16 << 10
)

// chained are the formats whose statement may hold a chain (WebAuthn §8.2,
// §8.3, §8.4, §8.6, §8.8). SafetyNet (§8.5) was switched off by its maker and
// proves nothing today.
var chained = []string{"packed", formatTPM, "android-key", formatU2F, formatApple}

// Judge says whether the evidence proves the model, at a time: that of the
// registration, since attestation certificates may be valid for days only
// (WebAuthn §7.1 step 23). It never looks at an AAGUID alone: a claim proves
// nothing.
func (r *Registry) Judge(e Evidence, at time.Time) Trust {
	s := r.now.Load()
	reason := s.judge(e, at, r.cfg.Now())
	return Trust{Attested: reason == "", Reason: reason, Number: s.number}
}

// judge returns why not, or "". Status counts as of now, certificates as of at.
func (s *set) judge(e Evidence, at, now time.Time) string {
	switch {
	case e.Format == "none":
		return ReasonNone
	case !slices.Contains(chained, e.Format):
		return ReasonFormat
	case e.Self || len(e.Chain) == 0:
		return ReasonSelf
	case e.AAGUID == PlatformCredential:
		return ReasonPlatform
	}
	chain, ok := parseChain(e)
	if !ok {
		return ReasonChain
	}
	model := s.find(e, chain)
	if reason := model.barred(e, chain[0], now); reason != "" {
		return reason
	}
	return s.anchored(e, model, chain, at)
}

// find looks a model up: by AAGUID, or, for U2F keys, which have none, by the
// key identifiers of their certificates.
func (s *set) find(e Evidence, chain []*x509.Certificate) *entry {
	if e.Format != formatU2F {
		return s.byAAGUID[e.AAGUID]
	}
	for _, c := range chain {
		if m := s.byKeyID[keyID(c)]; m != nil {
			return m
		}
	}
	return nil
}

// barred says why a chain of this model is worth nothing whatever its end.
func (e *entry) barred(ev Evidence, leaf *x509.Certificate, now time.Time) string {
	// Certificates of keys that speak U2F, too, may name their model, which a
	// U2F statement has no place for.
	if claimed, ok := modelOf(leaf); ok && claimed != ev.AAGUID && ev.Format != formatU2F {
		return ReasonAAGUID
	}
	if e == nil {
		return ""
	}
	for _, der := range ev.Chain {
		if slices.Contains(e.burnt, sha256.Sum256(der)) {
			return ReasonCompromised
		}
	}
	for _, r := range e.reports {
		switch {
		case !r.inEffect(now):
		case r.word == attestationCompromise && !r.batch:
			return ReasonCompromised
		case r.word == revoked:
			return ReasonRevoked
		}
	}
	return ""
}

// anchored looks for a path from the chain to a root of the model.
func (s *set) anchored(e Evidence, model *entry, chain []*x509.Certificate, at time.Time) string {
	roots, n := x509.NewCertPool(), 0
	if model != nil {
		roots, n = model.pool()
	}
	if e.Format == formatApple {
		// §8.8: Apple's anonymous attestation has one root, and models of
		// Apple are not in the MDS.
		roots = roots.Clone()
		roots.AddCert(appleRoot())
		n++
	}
	switch {
	case n == 0 && s.number == 0:
		return ReasonNoMetadata
	case n == 0 && (model == nil || model.Source == Bundled):
		return ReasonModelUnknown
	case n == 0:
		return ReasonNoRoots
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := chain[0]
	if e.Format == formatTPM {
		// The AIK certificate's critical SAN holds directory names (§8.3.1),
		// which the statement's verifier has read and crypto/x509 does not know.
		leaf.UnhandledCriticalExtensions = slices.DeleteFunc(leaf.UnhandledCriticalExtensions, oidSubjectAltName.Equal)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return ReasonChain
	}
	return ""
}

// parseChain reads x5c. A certificate after the first that crypto/x509 refuses
// (some TPM makers' CAs have odd serial numbers) is left out: the path has to
// do without.
func parseChain(e Evidence) ([]*x509.Certificate, bool) {
	if len(e.Chain) > maxEvidence {
		return nil, false
	}
	var out []*x509.Certificate
	for i, der := range e.Chain {
		if len(der) > maxCertificateBytes {
			return nil, false
		}
		c, err := x509.ParseCertificate(der)
		switch {
		case err == nil:
			out = append(out, c)
		case i == 0:
			return nil, false
		}
	}
	return out, true
}

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidModel          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4} // id-fido-gen-ce-aaguid (§8.2.1)
)

// modelOf reads the AAGUID that a certificate was made for, if it says one.
func modelOf(c *x509.Certificate) (string, bool) {
	for _, x := range c.Extensions {
		if !x.Id.Equal(oidModel) {
			continue
		}
		var raw []byte
		rest, err := asn1.Unmarshal(x.Value, &raw)
		if err != nil || len(rest) > 0 || len(raw) != 16 {
			return "", true // says something, and it is no AAGUID
		}
		id, _ := canonical(hex.EncodeToString(raw))
		return id, true
	}
	return "", false
}

// keyID is the key identifier of a certificate (RFC 5280 §4.2.1.2, method 1).
func keyID(c *x509.Certificate) string {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil {
		return ""
	}
	sum := sha1.Sum(info.Key.RightAlign())
	return hex.EncodeToString(sum[:])
}
