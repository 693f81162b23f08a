package agent

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// attester is a place of keys that can show where they are.
type attester interface {
	// Attest certifies both keys for a server's nonce; the key it gives is
	// the attestation key, for Activate.
	Attest(nonce string, device, transport key) (attestation, key, error)
	// Activate opens what a server made for this TPM's endorsement key and
	// that attestation key: a TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET.
	Activate(ak key, credential, secret []byte) ([]byte, error)
}

var _ attester = (*tpm)(nil)

// attestation is the member Attestation of a join (docs/device-registration.md).
type attestation struct {
	Type           string    `json:"Type"`
	Nonce          string    `json:"Nonce"`
	EkCertificate  []byte    `json:"EkCertificate,omitempty"`
	EkPublic       []byte    `json:"EkPublic"`
	AkPublic       []byte    `json:"AkPublic"`
	AkCreationData []byte    `json:"AkCreationData"`
	AkAttest       []byte    `json:"AkAttest"`
	AkSignature    []byte    `json:"AkSignature"`
	DeviceKey      certified `json:"DeviceKey"`
	TransportKey   certified `json:"TransportKey"`
}

// certified is a key as the attestation key certifies it.
type certified struct {
	Public    []byte `json:"Public"`
	Attest    []byte `json:"Attest"`
	Signature []byte `json:"Signature"`
}

// ekCertificate is where makers put the certificate of the RSA-2048
// endorsement key (TCG EK Credential Profile 2.5, 2.2.1.4).
const ekCertificate = tpm2.TPMHandle(0x01C00002)

// rsassa is how an attestation key signs.
func rsassa() tpm2.TPMTSigScheme {
	return tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUSigScheme(
		tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})}
}

func (t *tpm) Attest(nonce string, device, transport key) (attestation, key, error) {
	a := attestation{Type: "tpm20", Nonce: nonce, EkCertificate: t.maker()}
	var ak key
	err := t.endorsed(func(_ tpm2.NamedHandle, public []byte) error {
		a.EkPublic = public
		return nil
	})
	if err == nil {
		ak, err = t.attestationKey(&a)
	}
	if err != nil {
		return a, key{}, fmt.Errorf("make an attestation key: %w", err)
	}
	about := sha256.Sum256([]byte(nonce))
	if a.DeviceKey, err = t.certify(ak, device, about[:]); err != nil {
		return a, key{}, fmt.Errorf("certify the device key: %w", err)
	}
	if a.TransportKey, err = t.certify(ak, transport, about[:]); err != nil {
		return a, key{}, fmt.Errorf("certify the transport key: %w", err)
	}
	return a, ak, nil
}

// attestationKey makes a restricted key and has it say how it was made.
func (t *tpm) attestationKey(a *attestation) (key, error) {
	var made *tpm2.CreateResponse
	err := t.again(func() error {
		var err error
		made, err = tpm2.Create{
			ParentHandle: tpm2.AuthHandle{Handle: t.parent.Handle, Name: t.parent.Name, Auth: t.session(nil)},
			InPublic:     tpm2.New2B(template(forAttesting)),
		}.Execute(t.conn)
		return err
	})
	if err != nil {
		return key{}, err
	}
	ak := key{Public: made.OutPublic.Bytes(), Private: made.OutPrivate.Buffer}
	a.AkPublic, a.AkCreationData = ak.Public, made.CreationData.Bytes()
	return ak, t.with(ak, func(h tpm2.NamedHandle) error {
		return t.again(func() error {
			said, err := tpm2.CertifyCreation{
				SignHandle:     tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.session(nil)},
				ObjectHandle:   &h,
				CreationHash:   made.CreationHash,
				InScheme:       rsassa(),
				CreationTicket: made.CreationTicket,
			}.Execute(t.conn)
			if err == nil {
				a.AkAttest, a.AkSignature = said.CertifyInfo.Bytes(), tpm2.Marshal(said.Signature)
			}
			return err
		})
	})
}

// certify has the attestation key say what another key is.
func (t *tpm) certify(ak, k key, about []byte) (certified, error) {
	c := certified{Public: k.Public}
	err := t.with(ak, func(signs tpm2.NamedHandle) error {
		return t.with(k, func(h tpm2.NamedHandle) error {
			return t.again(func() error {
				said, err := tpm2.Certify{
					ObjectHandle:   tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.session(nil)},
					SignHandle:     tpm2.AuthHandle{Handle: signs.Handle, Name: signs.Name, Auth: tpm2.PasswordAuth(nil)},
					QualifyingData: tpm2.TPM2BData{Buffer: about},
					InScheme:       rsassa(),
				}.Execute(t.conn)
				if err == nil {
					c.Attest, c.Signature = said.CertifyInfo.Bytes(), tpm2.Marshal(said.Signature)
				}
				return err
			})
		})
	})
	return c, err
}

// endorsed makes the endorsement key of the TCG's default template, which
// every TPM makes from its seed, and lets fn use it.
func (t *tpm) endorsed(fn func(ek tpm2.NamedHandle, public []byte) error) error {
	var ek tpm2.NamedHandle
	var public []byte
	err := t.again(func() error {
		made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.RSAEKTemplate)}.Execute(t.conn)
		if err == nil {
			ek, public = tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, made.OutPublic.Bytes()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("make the endorsement key: %w", err)
	}
	defer tpm2.FlushContext{FlushHandle: ek.Handle}.Execute(t.conn)
	return fn(ek, public)
}

// Activate proves that the attestation key is in the TPM whose endorsement key
// the server encrypted to.
func (t *tpm) Activate(ak key, credential, secret []byte) ([]byte, error) {
	id, err := tpm2.Unmarshal[tpm2.TPM2BIDObject](credential)
	if err != nil {
		return nil, fmt.Errorf("read the server's credential: %w", err)
	}
	wrapped, err := tpm2.Unmarshal[tpm2.TPM2BEncryptedSecret](secret)
	if err != nil {
		return nil, fmt.Errorf("read the server's credential: %w", err)
	}
	var opened []byte
	err = t.endorsed(func(ek tpm2.NamedHandle, _ []byte) error {
		return t.with(ak, func(h tpm2.NamedHandle) error {
			return t.again(func() error {
				got, err := tpm2.ActivateCredential{
					ActivateHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: tpm2.PasswordAuth(nil)},
					KeyHandle:      tpm2.AuthHandle{Handle: ek.Handle, Name: ek.Name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, tpm2.PolicyCallback(t.endorsementPolicy))},
					CredentialBlob: *id,
					Secret:         *wrapped,
				}.Execute(t.conn)
				if err == nil {
					opened = got.CertInfo.Buffer
				}
				return err
			})
		})
	})
	if err != nil {
		return nil, fmt.Errorf("activate the server's credential: %w", err)
	}
	if len(opened) == 0 {
		return nil, errors.New("the server's credential is empty")
	}
	return opened, nil
}

// endorsementPolicy is what the endorsement key's template asks for.
func (t *tpm) endorsementPolicy(conn transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session,
		NonceTPM:      nonce,
	}.Execute(conn)
	return err
}

// maker is the certificate that the TPM's maker put into it; nil: none, or not
// readable by us.
func (t *tpm) maker() []byte {
	read, err := tpm2.NVReadPublic{NVIndex: ekCertificate}.Execute(t.conn)
	if err != nil {
		return nil
	}
	public, err := read.NVPublic.Contents()
	if err != nil {
		return nil
	}
	const piece = 512 // every TPM reads as much at once
	var der []byte
	for len(der) < int(public.DataSize) {
		got, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: ekCertificate, Name: read.NVName},
			Size:       uint16(min(piece, int(public.DataSize)-len(der))),
			Offset:     uint16(len(der)),
		}.Execute(t.conn)
		if err != nil || len(got.Data.Buffer) == 0 {
			return nil
		}
		der = append(der, got.Data.Buffer...)
	}
	return der
}
