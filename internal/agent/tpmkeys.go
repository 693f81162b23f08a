package agent

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// template is the public area of a key before it is made. Only user keys count
// wrong tries: the others ask for nothing.
func template(u use) tpm2.TPMTPublic {
	public := tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			NoDA: u != forUser, SignEncrypt: u != forTransport, Decrypt: u == forTransport, Restricted: u == forAttesting,
		},
	}
	parms := &tpm2.TPMSRSAParms{KeyBits: 2048}
	if u == forTransport {
		// Left open, as the label and hash of OAEP are said at each use.
		parms.Scheme = tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}
	} else {
		parms.Scheme = tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(
			tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}
	}
	public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, parms)
	return public
}

// sessionTemplate is the public area of a session key: a keyed hash that the
// TPM did not make but never gives out.
func sessionTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{Scheme: tpm2.TPMTKeyedHashScheme{
			Scheme:  tpm2.TPMAlgHMAC,
			Details: tpm2.NewTPMUSchemeKeyedHash(tpm2.TPMAlgHMAC, &tpm2.TPMSSchemeHMAC{HashAlg: tpm2.TPMAlgSHA256}),
		}}),
	}
}

// Make makes a key that never leaves this TPM.
func (t *tpm) Make(u use, auth []byte) (key, error) {
	return t.create(template(u), tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: auth}})
}

// hold puts a secret into the TPM as a session key.
func (t *tpm) hold(secret []byte) (key, error) {
	return t.create(sessionTemplate(), tpm2.TPMSSensitiveCreate{
		Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret}),
	})
}

func (t *tpm) create(public tpm2.TPMTPublic, sensitive tpm2.TPMSSensitiveCreate) (key, error) {
	var k key
	err := t.again(func() error {
		made, err := tpm2.Create{
			ParentHandle: tpm2.AuthHandle{Handle: t.parent.Handle, Name: t.parent.Name, Auth: t.session(nil)},
			InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &sensitive},
			InPublic:     tpm2.New2B(public),
		}.Execute(t.conn)
		if err == nil {
			k = key{Public: made.OutPublic.Bytes(), Private: made.OutPrivate.Buffer}
		}
		return err
	})
	if err != nil {
		return key{}, fmt.Errorf("make a key in the TPM: %w", err)
	}
	return k, nil
}

// with loads a key, lets fn use it, and unloads it.
func (t *tpm) with(k key, fn func(tpm2.NamedHandle) error) error {
	var h tpm2.NamedHandle
	err := t.again(func() error {
		loaded, err := tpm2.Load{
			ParentHandle: tpm2.AuthHandle{Handle: t.parent.Handle, Name: t.parent.Name, Auth: t.session(nil)},
			InPrivate:    tpm2.TPM2BPrivate{Buffer: k.Private},
			InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](k.Public),
		}.Execute(t.conn)
		if err == nil {
			h = tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}
		}
		return err
	})
	if errors.Is(err, tpm2.TPMRCIntegrity) {
		return fmt.Errorf("%w: %w", errForeign, err)
	}
	if err != nil {
		return fmt.Errorf("load a key into the TPM: %w", err)
	}
	defer tpm2.FlushContext{FlushHandle: h.Handle}.Execute(t.conn)
	return fn(h)
}

// judged says what a refused use of a key means.
func judged(err error) error {
	switch {
	case errors.Is(err, tpm2.TPMRCLockout):
		return fmt.Errorf("%w: %w", errLocked, err)
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		return fmt.Errorf("%w: %w", errWrongAuth, err)
	case err != nil:
		return fmt.Errorf("use a key of the TPM: %w", err)
	}
	return nil
}

// Sign signs in the TPM.
func (t *tpm) Sign(k key, auth, digest []byte) ([]byte, error) {
	var signature []byte
	err := t.with(k, func(h tpm2.NamedHandle) error {
		return judged(t.again(func() error {
			made, err := tpm2.Sign{
				KeyHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.signing(auth)},
				Digest:    tpm2.TPM2BDigest{Buffer: digest},
				InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUSigScheme(
					tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
				Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
			}.Execute(t.conn)
			if err != nil {
				return err
			}
			rsassa, err := made.Signature.Signature.RSASSA()
			if err != nil {
				return err
			}
			signature = rsassa.Sig.Buffer
			return nil
		}))
	})
	return signature, err
}

// decrypt undoes RSA-OAEP with SHA-1 and an empty label (device-protocol.md
// §8.1). Only the child of Unwrap calls it.
func (t *tpm) decrypt(k key, wrapped []byte) ([]byte, error) {
	var secret []byte
	err := t.with(k, func(h tpm2.NamedHandle) error {
		return judged(t.again(func() error {
			opened, err := tpm2.RSADecrypt{
				KeyHandle:  tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.session(nil)},
				CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: wrapped},
				InScheme: tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgOAEP, Details: tpm2.NewTPMUAsymScheme(
					tpm2.TPMAlgOAEP, &tpm2.TPMSEncSchemeOAEP{HashAlg: tpm2.TPMAlgSHA1})},
			}.Execute(t.conn)
			if err == nil {
				secret = opened.Message.Buffer
			}
			return err
		}))
	})
	return secret, err
}

// MAC is one TPM2_HMAC.
func (t *tpm) MAC(k key, data []byte) ([]byte, error) {
	var sum []byte
	err := t.with(k, func(h tpm2.NamedHandle) error {
		return judged(t.again(func() error {
			made, err := tpm2.Hmac{
				Handle:  tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.session(nil)},
				Buffer:  tpm2.TPM2BMaxBuffer{Buffer: data},
				HashAlg: tpm2.TPMAlgSHA256,
			}.Execute(t.conn)
			if err == nil {
				sum = made.OutHMAC.Buffer
			}
			return err
		}))
	})
	return sum, err
}

// ChangeAuth wraps the same key under another PIN. The TPM counts a wrong old
// one as it does at signing.
func (t *tpm) ChangeAuth(k key, old, next []byte) (key, error) {
	err := t.with(k, func(h tpm2.NamedHandle) error {
		return judged(t.again(func() error {
			made, err := tpm2.ObjectChangeAuth{
				ObjectHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.session(old)},
				ParentHandle: t.parent,
				NewAuth:      tpm2.TPM2BAuth{Buffer: next},
			}.Execute(t.conn)
			if err == nil {
				k.Private = made.OutPrivate.Buffer
			}
			return err
		}))
	})
	return k, err
}

// Unwrap has a child process do it: RSA-OAEP as this protocol has it cannot be
// imported by a TPM, so for one moment the key is in somebody's memory.
func (t *tpm) Unwrap(ctx context.Context, transport key, jwe string) (key, error) {
	storage := t.Storage()
	// Two processes must not hold one TPM that nobody manages.
	t.release()
	if err := t.conn.Close(); err != nil {
		return key{}, fmt.Errorf("let go of the TPM: %w", err)
	}
	session, err := inChild(t.child, t.path, storage)(ctx, transport, jwe)
	again, openErr := openTPM(t.path, storage)
	if openErr != nil {
		return key{}, openErr
	}
	again.child = t.child
	*t = *again
	return session, err
}

// PublicKey reads the public half out of the TPM's own structure.
func (t *tpm) PublicKey(k key) (*rsa.PublicKey, error) { return tpmPublicKey(k) }

func tpmPublicKey(k key) (*rsa.PublicKey, error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](k.Public)
	if err != nil {
		return nil, fmt.Errorf("read a key's public half: %w", err)
	}
	var pub crypto.PublicKey
	if pub, err = tpm2.Pub(*public); err != nil {
		return nil, fmt.Errorf("read a key's public half: %w", err)
	}
	r, ok := pub.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a key of the device is a %T", pub)
	}
	return r, nil
}
