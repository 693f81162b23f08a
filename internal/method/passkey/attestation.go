package passkey

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
)

// Attestation statement formats that are verified (WebAuthn Level 3, §8).
// android-safetynet is no longer made, compound not made yet.
var formats = []string{"none", "packed", "tpm", "android-key", "apple", "fido-u2f"}

// statement is the verdict on an attestation statement.
type statement struct {
	format   string
	self     bool // signed by the credential's own key: says nothing of the model
	anchored bool // the model is proven: the chain ends in a root of that model
	trust    metadata.Trust
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

// judgeStatement follows §7.1 steps 21 to 23. Whether a chain proves the model
// is asked of models, as of a time.
func judgeStatement(o *protocol.AttestationObject, clientData []byte, models Models, at time.Time) (statement, *idp.Error) {
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
	// everybody can make a CA (trap 2). The library's own roots for apple and
	// android-key say who made the chip, not what model it is: they do not
	// count either, but for Apple's, which the registry has, too.
	e := evidence(o)
	e.Self = o.Type == "basic_surrogate"
	t := models.Judge(e, at)
	return statement{format: o.Format, self: e.Self, anchored: t.Attested, trust: t}, nil
}

// evidence is what a statement shows of the key's model. A statement without a
// chain is the key's own.
func evidence(o *protocol.AttestationObject) metadata.Evidence {
	e := metadata.Evidence{AAGUID: guid(o.AuthData.AttData.AAGUID), Format: o.Format}
	chain, _ := o.AttStatement["x5c"].([]any)
	for _, c := range chain {
		der, _ := c.([]byte)
		e.Chain = append(e.Chain, der)
	}
	return e
}
