package tpmtest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// TPM is an emulated TPM with a storage key and an endorsement key.
type TPM struct {
	t      testing.TB
	conn   transport.TPM
	parent tpm2.NamedHandle
	ek     tpm2.NamedHandle
	EK     []byte // TPMT_PUBLIC
}

// New starts a TPM of its own.
func New(t testing.TB) *TPM {
	t.Helper()
	socket := Start(t, t.TempDir())
	conn, err := linuxudstpm.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	tpm := &TPM{t: t, conn: conn}
	tpm.parent, _ = tpm.primary(tpm2.TPMRHOwner, tpm2.ECCSRKTemplate, 0x81000001)
	tpm.ek, tpm.EK = tpm.primary(tpm2.TPMRHEndorsement, tpm2.RSAEKTemplate, 0x81010001)
	return tpm
}

// primary makes a primary key and keeps it at a place: a TPM has room for three
// that it does not keep.
func (m *TPM) primary(under tpm2.TPMHandle, template tpm2.TPMTPublic, at tpm2.TPMHandle) (tpm2.NamedHandle, []byte) {
	m.t.Helper()
	made, err := tpm2.CreatePrimary{PrimaryHandle: under, InPublic: tpm2.New2B(template)}.Execute(m.conn)
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = tpm2.EvictControl{
		Auth: tpm2.TPMRHOwner, ObjectHandle: &tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, PersistentHandle: at,
	}.Execute(m.conn)
	if err != nil {
		m.t.Fatal(err)
	}
	m.flush(made.ObjectHandle)
	return tpm2.NamedHandle{Handle: at, Name: made.Name}, made.OutPublic.Bytes()
}

func (m *TPM) flush(h tpm2.TPMHandle) {
	if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(m.conn); err != nil {
		m.t.Error(err)
	}
}

// Key is a key in a TPM, loaded for each use. It signs, when it may.
type Key struct {
	tpm     *TPM
	Area    []byte // TPMT_PUBLIC
	created *tpm2.CreateResponse
}

// loaded lets fn use the key.
func (k *Key) loaded(fn func(tpm2.AuthHandle) error) error {
	m := k.tpm
	got, err := tpm2.Load{
		ParentHandle: tpm2.AuthHandle{Handle: m.parent.Handle, Name: m.parent.Name, Auth: tpm2.PasswordAuth(nil)},
		InPrivate:    k.created.OutPrivate, InPublic: k.created.OutPublic,
	}.Execute(m.conn)
	if err != nil {
		return err
	}
	defer m.flush(got.ObjectHandle)
	return fn(tpm2.AuthHandle{Handle: got.ObjectHandle, Name: got.Name, Auth: tpm2.PasswordAuth(nil)})
}

// Attributes say what a key is for; change what a test wants otherwise.
func Attributes(signs, decrypts, restricted bool) tpm2.TPMAObject {
	return tpm2.TPMAObject{
		FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true,
		SignEncrypt: signs, Decrypt: decrypts, Restricted: restricted,
	}
}

// Make makes an RSA key. Signing ones sign with RSASSA and SHA-256.
func (m *TPM) Make(a tpm2.TPMAObject) *Key {
	m.t.Helper()
	parms := &tpm2.TPMSRSAParms{KeyBits: 2048, Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}}
	if a.SignEncrypt && !a.Decrypt {
		parms.Scheme = tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(
			tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}
	}
	made, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: m.parent.Handle, Name: m.parent.Name, Auth: tpm2.PasswordAuth(nil)},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: a,
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, parms),
		}),
	}.Execute(m.conn)
	if err != nil {
		m.t.Fatal(err)
	}
	return &Key{m, made.OutPublic.Bytes(), made}
}

// Public is the public key.
func (k *Key) Public() crypto.PublicKey {
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](k.Area)
	if err != nil {
		k.tpm.t.Fatal(err)
	}
	key, err := tpm2.Pub(*area)
	if err != nil {
		k.tpm.t.Fatal(err)
	}
	return key.(*rsa.PublicKey)
}

// Sign signs a SHA-256 digest with RSASSA, as crypto.Signer.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 {
		return nil, fmt.Errorf("hash %s", opts.HashFunc())
	}
	var sig []byte
	err := k.loaded(func(h tpm2.AuthHandle) error {
		made, err := tpm2.Sign{
			KeyHandle: h, Digest: tpm2.TPM2BDigest{Buffer: digest}, InScheme: rsassa(),
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(k.tpm.conn)
		if err != nil {
			return err
		}
		value, err := made.Signature.Signature.RSASSA()
		if err == nil {
			sig = value.Sig.Buffer
		}
		return err
	})
	return sig, err
}

func rsassa() tpm2.TPMTSigScheme {
	return tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUSigScheme(
		tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})}
}

// Statement is something that a TPM said, signed.
type Statement struct{ Attest, Signature []byte }

// Created has a key say how it was made (TPM2_CertifyCreation); the second value
// is its TPMS_CREATION_DATA.
func (k *Key) Created() (Statement, []byte) {
	k.tpm.t.Helper()
	var out Statement
	err := k.loaded(func(h tpm2.AuthHandle) error {
		said, err := tpm2.CertifyCreation{
			SignHandle: h, ObjectHandle: &tpm2.NamedHandle{Handle: h.Handle, Name: h.Name}, CreationHash: k.created.CreationHash,
			InScheme: rsassa(), CreationTicket: k.created.CreationTicket,
		}.Execute(k.tpm.conn)
		if err == nil {
			out = Statement{said.CertifyInfo.Bytes(), tpm2.Marshal(said.Signature)}
		}
		return err
	})
	if err != nil {
		k.tpm.t.Fatal(err)
	}
	return out, k.created.CreationData.Bytes()
}

// Certify has an attestation key say what another key is, for somebody who gave
// a nonce: the qualifying data are its SHA-256.
func (k *Key) Certify(about *Key, nonce string) Statement {
	k.tpm.t.Helper()
	data := sha256.Sum256([]byte(nonce))
	var out Statement
	err := k.loaded(func(signs tpm2.AuthHandle) error {
		return about.loaded(func(h tpm2.AuthHandle) error {
			said, err := tpm2.Certify{
				ObjectHandle: h, SignHandle: signs, QualifyingData: tpm2.TPM2BData{Buffer: data[:]}, InScheme: rsassa(),
			}.Execute(k.tpm.conn)
			if err == nil {
				out = Statement{said.CertifyInfo.Bytes(), tpm2.Marshal(said.Signature)}
			}
			return err
		})
	})
	if err != nil {
		k.tpm.t.Fatal(err)
	}
	return out
}

// Activate opens a challenge that was made for this attestation key and the
// endorsement key of its TPM: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
func (k *Key) Activate(credential, secret []byte) (plain []byte, err error) {
	id, err := tpm2.Unmarshal[tpm2.TPM2BIDObject](credential)
	if err != nil {
		return nil, err
	}
	wrapped, err := tpm2.Unmarshal[tpm2.TPM2BEncryptedSecret](secret)
	if err != nil {
		return nil, err
	}
	err = k.loaded(func(h tpm2.AuthHandle) error {
		got, err := tpm2.ActivateCredential{
			ActivateHandle: h,
			KeyHandle: tpm2.AuthHandle{
				Handle: k.tpm.ek.Handle, Name: k.tpm.ek.Name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, tpm2.PolicyCallback(endorsement)),
			},
			CredentialBlob: *id, Secret: *wrapped,
		}.Execute(k.tpm.conn)
		if err == nil {
			plain = got.CertInfo.Buffer
		}
		return err
	})
	return plain, err
}

// endorsement is the policy of the endorsement key's template.
func endorsement(conn transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session, NonceTPM: nonce,
	}.Execute(conn)
	return err
}
