package passkey

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"github.com/signetid/signet/internal/idp"
)

// Attestation statement formats that are verified (WebAuthn Level 3, §8).
// android-safetynet is no longer made, compound not made yet.
var formats = []string{"none", "packed", "tpm", "android-key", "apple", "fido-u2f"}

// statement is the verdict on an attestation statement.
type statement struct {
	format   string
	self     bool // signed by the credential's own key: says nothing of the model
	anchored bool // the model is proven: a chain ends in one of our anchors
}

// parseObject decodes an attestation object (§6.5.4) without judging it.
func parseObject(raw []byte) (*protocol.AttestationObject, authData, *idp.Error) {
	// §7.1 step 13.
	var o protocol.AttestationObject
	if err := webauthncbor.Unmarshal(raw, &o); err != nil {
		return nil, authData{}, idp.Unprovenf("attestation_object_malformed", "attestation object: %w", err)
	}
	data, fault := parseAuthData(o.RawAuthData)
	if fault != nil {
		return nil, authData{}, fault
	}
	if len(data.id) == 0 {
		return nil, authData{}, idp.Unprovenf("authenticator_data_malformed", "no attested credential data")
	}
	if err := o.AuthData.Unmarshal(o.RawAuthData); err != nil {
		return nil, authData{}, idp.Unprovenf("authenticator_data_malformed", "authenticator data: %w", err)
	}
	return &o, data, nil
}

// judgeStatement follows §7.1 steps 21 to 23.
func judgeStatement(o *protocol.AttestationObject, clientData []byte, roots *x509.CertPool, now time.Time) (statement, *idp.Error) {
	// Step 21: compared by case.
	if !slices.Contains(formats, o.Format) {
		return statement{}, idp.Unprovenf("attestation_format_unknown", "attestation format %.40q", o.Format)
	}
	// Step 22. Validity of the certificates inside is checked by the library
	// against the process's clock.
	hash := sha256.Sum256(clientData)
	if err := o.VerifyAttestation(hash[:], nil, protocol.AttestationPolicy{}, protocol.SignaturePolicy{}); err != nil {
		return statement{}, idp.Unprovenf("attestation_invalid", "attestation %s: %w", o.Format, err)
	}
	// Step 23: without an anchor, a chain that verifies proves nothing:
	// everybody can make a CA (trap 2).
	st := statement{format: o.Format, self: o.Type == "basic_surrogate"}
	switch {
	case o.Format == "none", st.self:
	case o.Format == "apple", o.Format == "android-key":
		// The library has accepted the chain only because it ends in the
		// root of Apple or Google that is built into it.
		st.anchored = true
	default:
		st.anchored = chainAnchored(o, roots, now)
	}
	return st, nil
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// chainAnchored says whether the certificates of the statement lead to roots.
func chainAnchored(o *protocol.AttestationObject, roots *x509.CertPool, now time.Time) bool {
	chain, _ := o.AttStatement["x5c"].([]any)
	if roots == nil || len(chain) == 0 || len(chain) > 8 {
		return false
	}
	var leaf *x509.Certificate
	between := x509.NewCertPool()
	for i, c := range chain {
		der, _ := c.([]byte)
		cert, err := x509.ParseCertificate(der)
		switch {
		case err != nil && i == 0:
			return false
		case err != nil:
			// Some TPM makers' CAs have serial numbers that crypto/x509
			// refuses. The chain has to do without.
		case i == 0:
			leaf = cert
		default:
			between.AddCert(cert)
		}
	}
	if o.Format == "tpm" {
		// The AIK certificate's critical SAN holds directory names, which the
		// library has read (§8.3.1) and crypto/x509 does not know.
		leaf.UnhandledCriticalExtensions = slices.DeleteFunc(leaf.UnhandledCriticalExtensions, oidSubjectAltName.Equal)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}
