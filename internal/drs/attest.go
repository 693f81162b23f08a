package drs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-attestation/attest"
	"github.com/google/go-tpm/tpm2"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// attestation is what a machine shows of its TPM when it joins: our own
// extension (docs/device-registration.md §3). Each text is base64 of a structure
// of the TPM 2.0 Library, Part 2, or of a certificate in DER.
type attestation struct {
	Type            jose.Text
	Nonce           jose.Text
	EkCertificate   jose.Text   //nolint:revive // names of the wire
	EkIntermediates []jose.Text //nolint:revive // names of the wire
	EkPublic        jose.Text   //nolint:revive // names of the wire
	AkPublic        jose.Text
	AkCreationData  jose.Text
	AkAttest        jose.Text
	AkSignature     jose.Text
	DeviceKey       *certified
	TransportKey    *certified
}

// certified is a key that an attestation key vouches for (TPM2_Certify).
type certified struct{ Public, Attest, Signature jose.Text }

// shown is what was proven of a machine's keys.
type shown struct {
	tpm       bool // the machine sent an attestation
	assurance device.Assurance
	nonce     nonce.Sealed
	// activation asks the TPM itself, when its endorsement key is one of a
	// maker that we know; nil: it is not.
	activation *attest.ActivationParameters
}

// burn spends the nonce of an attestation.
func (s shown) burn(ctx context.Context, tx *sqldb.Tx) error {
	if !s.tpm {
		return nil
	}
	err := nonce.Burn(ctx, tx, s.nonce)
	if errors.Is(err, idp.Expired) {
		return badNonce("%w", err)
	}
	return err
}

func badNonce(format string, args ...any) error {
	return idp.Expiredf("nonce_over", format, args...).Coded(codeNonce).Say("The nonce is unknown, used or over. Ask for another one.")
}

// required says whether a device must be attested to be used.
func required(r policy.DeviceRules) bool {
	return r.Attestation == policy.AttestationRequired || r.Attestation == policy.AttestationAlways
}

// shown judges the attestation of a join. One that is wrong is Invalid, as
// something that somebody made up; one that leads nowhere is refused where the
// tenant requires it to.
func (s *Server) shown(ctx context.Context, a enrol.Access, j joining) (shown, error) {
	out := shown{assurance: device.Unproven}
	if j.attestation != nil {
		var err error
		if out, err = s.attested(ctx, a.Tenant, j); err != nil {
			return shown{}, err
		}
	}
	if a.Rules.Devices.Attestation == policy.AttestationNone {
		out.activation = nil // nobody wants to know
	}
	if required(a.Rules.Devices) && out.activation == nil {
		return shown{}, idp.Deniedf("attestation_required", "assurance can be %s at most", out.assurance).Coded(codePolicy).
			Say("Your organisation admits only devices whose TPM can be verified.")
	}
	return out, nil
}

func (s *Server) attested(ctx context.Context, t idp.TenantID, j joining) (shown, error) {
	n, err := s.cfg.Box.Open(ctx, t, nonce.RegistrationNonce, string(j.attestation.Nonce))
	if errors.Is(err, idp.Expired) {
		return shown{}, badNonce("%w", err)
	}
	if err != nil {
		return shown{}, err
	}
	ak, err := verify(*j.attestation, j.key, j.transport)
	if err != nil {
		return shown{}, idp.Invalidf("attestation_invalid", "%w", err).Coded(codeMalformed).On("Attestation").
			Say("The attestation does not verify.")
	}
	out := shown{tpm: true, nonce: n, assurance: device.Unproven}
	if j.transport == nil || j.attestation.TransportKey == nil {
		return out, nil
	}
	out.assurance = device.Unattested
	ek, err := s.endorsement(*j.attestation)
	if err != nil {
		return shown{}, idp.Invalidf("attestation_invalid", "%w", err).Coded(codeMalformed).On("Attestation").
			Say("The certificate of the TPM cannot be read.")
	}
	if ek != nil {
		out.activation = &attest.ActivationParameters{EK: ek, AK: ak}
	}
	return out, nil
}

// verify checks an attestation by itself: its attestation key was made in a TPM
// for nothing else, and vouches, for this nonce, for the two keys of the join.
// Whether that TPM is one, only its endorsement key can show.
//
// Each structure is read strictly by go-tpm, so that go-attestation, which then
// checks it, meets none that it is not made for.
func verify(a attestation, key, transport crypto.PublicKey) (attest.AttestationParameters, error) {
	var ak attest.AttestationParameters
	if a.Type != "tpm20" {
		return ak, fmt.Errorf("type %.20q", string(a.Type))
	}
	var err error
	for _, f := range []struct {
		name string
		text jose.Text
		to   *[]byte
	}{
		{"AkPublic", a.AkPublic, &ak.Public}, {"AkCreationData", a.AkCreationData, &ak.CreateData},
		{"AkAttest", a.AkAttest, &ak.CreateAttestation}, {"AkSignature", a.AkSignature, &ak.CreateSignature},
	} {
		if *f.to, err = jose.Unbase64(string(f.text)); err != nil {
			return ak, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if err := checkAttestationKey(ak); err != nil {
		return ak, err
	}
	signer, err := attest.ParseAKPublic(ak.Public)
	if err != nil {
		return ak, err
	}
	data := sha256.Sum256([]byte(a.Nonce))
	if a.DeviceKey == nil {
		return ak, errors.New("the device key is not certified")
	}
	if err := a.DeviceKey.verify(signer, key, data[:], false); err != nil {
		return ak, fmt.Errorf("DeviceKey: %w", err)
	}
	if a.TransportKey == nil {
		return ak, nil
	}
	if transport == nil {
		return ak, errors.New("a transport key is certified that does not join")
	}
	if err := a.TransportKey.verify(signer, transport, data[:], true); err != nil {
		return ak, fmt.Errorf("TransportKey: %w", err)
	}
	return ak, nil
}

// checkAttestationKey checks that an attestation key was made in a TPM, can sign
// nothing but what a TPM says, and is of a kind that we read.
func checkAttestationKey(ak attest.AttestationParameters) error {
	pub, err := exactly[tpm2.TPMTPublic](ak.Public)
	if err != nil {
		return fmt.Errorf("AkPublic: %w", err)
	}
	if pub.NameAlg != tpm2.TPMAlgSHA256 {
		return fmt.Errorf("AkPublic: name algorithm %#x", pub.NameAlg)
	}
	if o := pub.ObjectAttributes; !o.SignEncrypt || o.Decrypt || !o.Restricted {
		return errors.New("AkPublic: it is no restricted signing key")
	}
	if err := signsAsWeRead(pub); err != nil {
		return fmt.Errorf("AkPublic: %w", err)
	}
	key, err := tpm2.Pub(*pub)
	if err != nil {
		return fmt.Errorf("AkPublic: %w", err)
	}
	if err := device.CheckKey(key); err != nil {
		return fmt.Errorf("AkPublic: %w", err)
	}
	if _, err := exactly[tpm2.TPMSCreationData](ak.CreateData); err != nil {
		return fmt.Errorf("AkCreationData: %w", err)
	}
	if err := checkStatement(ak.CreateAttestation, tpm2.TPMSTAttestCreation, nil); err != nil {
		return fmt.Errorf("AkAttest: %w", err)
	}
	if err := checkSignature(ak.CreateSignature, pub.Type); err != nil {
		return fmt.Errorf("AkSignature: %w", err)
	}
	return (&attest.ActivationParameters{AK: ak}).CheckAKParameters()
}

// verify checks that a statement of the attestation key is about this key, and
// was made for this nonce.
func (c certified) verify(signer *attest.AKPublic, key crypto.PublicKey, data []byte, decrypts bool) error {
	var p attest.CertificationParameters
	var err error
	for _, f := range []struct {
		text jose.Text
		to   *[]byte
	}{{c.Public, &p.Public}, {c.Attest, &p.CreateAttestation}, {c.Signature, &p.CreateSignature}} {
		if *f.to, err = jose.Unbase64(string(f.text)); err != nil {
			return err
		}
	}
	pub, err := exactly[tpm2.TPMTPublic](p.Public)
	if err != nil {
		return err
	}
	if pub.NameAlg != tpm2.TPMAlgSHA256 {
		return fmt.Errorf("name algorithm %#x", pub.NameAlg)
	}
	if decrypts && !pub.ObjectAttributes.Decrypt {
		return errors.New("it cannot decrypt")
	}
	holds, err := tpm2.Pub(*pub)
	if err != nil {
		return err
	}
	if err := device.CheckKey(holds); err != nil {
		return err
	}
	if !device.Same(holds, key) {
		return errors.New("it is about another key")
	}
	if err := checkStatement(p.CreateAttestation, tpm2.TPMSTAttestCertify, data); err != nil {
		return err
	}
	if err := checkSignature(p.CreateSignature, algorithm(signer.Public)); err != nil {
		return err
	}
	return p.Verify(attest.VerifyOpts{Public: signer.Public, Hash: signer.Hash})
}

// signsAsWeRead says whether a key signs with RSASSA or ECDSA and SHA-256, by
// its own parameters.
func signsAsWeRead(pub *tpm2.TPMTPublic) error {
	var hash tpm2.TPMAlgID
	switch pub.Type {
	case tpm2.TPMAlgRSA:
		p, err := pub.Parameters.RSADetail()
		if err != nil || p.Scheme.Scheme != tpm2.TPMAlgRSASSA {
			return errors.New("it does not sign with RSASSA")
		}
		scheme, err := p.Scheme.Details.RSASSA()
		if err != nil {
			return err
		}
		hash = scheme.HashAlg
	case tpm2.TPMAlgECC:
		p, err := pub.Parameters.ECCDetail()
		if err != nil || p.Scheme.Scheme != tpm2.TPMAlgECDSA {
			return errors.New("it does not sign with ECDSA")
		}
		scheme, err := p.Scheme.Details.ECDSA()
		if err != nil {
			return err
		}
		hash = scheme.HashAlg
	default:
		return fmt.Errorf("type %#x", pub.Type)
	}
	if hash != tpm2.TPMAlgSHA256 {
		return fmt.Errorf("it signs with hash %#x", hash)
	}
	return nil
}

// algorithm is the TPM's word for the kind of a key.
func algorithm(key crypto.PublicKey) tpm2.TPMAlgID {
	if _, ok := key.(interface{ Size() int }); ok {
		return tpm2.TPMAlgRSA
	}
	return tpm2.TPMAlgECC
}

// checkStatement checks the kind of a statement of a TPM, and, where data is
// not nil, for whom it was made.
func checkStatement(raw []byte, kind tpm2.TPMST, data []byte) error {
	s, err := exactly[tpm2.TPMSAttest](raw)
	if err != nil {
		return err
	}
	if s.Type != kind {
		return fmt.Errorf("statement of kind %#x", s.Type)
	}
	if data != nil && !secret.Equal(s.ExtraData.Buffer, data) {
		return errors.New("it was made for another nonce")
	}
	return nil
}

// checkSignature checks the kind of a signature, not the signature.
func checkSignature(raw []byte, key tpm2.TPMAlgID) error {
	s, err := exactly[tpm2.TPMTSignature](raw)
	if err != nil {
		return err
	}
	switch {
	case key == tpm2.TPMAlgRSA && s.SigAlg == tpm2.TPMAlgRSASSA:
		sig, err := s.Signature.RSASSA()
		if err != nil || sig.Hash != tpm2.TPMAlgSHA256 {
			return errors.New("it is not with SHA-256")
		}
	case key == tpm2.TPMAlgECC && s.SigAlg == tpm2.TPMAlgECDSA:
		sig, err := s.Signature.ECDSA()
		if err != nil || sig.Hash != tpm2.TPMAlgSHA256 {
			return errors.New("it is not with SHA-256")
		}
	default:
		return fmt.Errorf("signature of kind %#x", s.SigAlg)
	}
	return nil
}

// maxStructure is longer than any structure that we read.
const maxStructure = 4 << 10

// exactly reads a structure that is all of raw, in the one way to write it.
func exactly[T tpm2.Marshallable, P interface {
	*T
	tpm2.Unmarshallable
}](raw []byte) (*T, error) {
	if len(raw) == 0 || len(raw) > maxStructure {
		return nil, fmt.Errorf("structure of %d bytes", len(raw))
	}
	out, err := tpm2.Unmarshal[T, P](raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(tpm2.Marshal(*out), raw) {
		return nil, errors.New("it can be written in another way")
	}
	return out, nil
}
