package agent

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/signetid/signet/internal/secret"
)

// software keeps keys as bytes in the state file, for trials and tests. It is
// told apart everywhere: in the registry, in status, in every answer.
//
// The user key is sealed under its PIN, and that is all there is: nothing
// counts wrong tries, so whoever has the file can try all PINs. The session
// key stays wrapped to the transport key, which lies beside it.
type software struct{}

// softRounds stretches a PIN (PBKDF2-HMAC-SHA-256): about a quarter of a
// second. OWASP's Password Storage Cheat Sheet, 2023, has the number.
const softRounds = 600_000

func (software) Place() Place              { return InSoftware }
func (software) Close() error              { return nil }
func (software) Lockout() (Lockout, error) { return Lockout{}, nil }

func (software) Make(u use, auth []byte) (key, error) {
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return key{}, fmt.Errorf("make a software key: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		return key{}, fmt.Errorf("write a software key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&made.PublicKey)
	if err != nil {
		return key{}, fmt.Errorf("write a software key: %w", err)
	}
	if auth == nil {
		return key{Public: public, Private: private}, nil
	}
	sealed, err := softSeal(auth, private, public)
	return key{Public: public, Private: sealed}, err
}

// softKey is the key that a PIN makes.
func softKey(auth, salt []byte) (*secret.Key, error) {
	k, err := pbkdf2.Key(sha256.New, string(auth), salt, softRounds, secret.KeySize)
	if err != nil {
		return nil, fmt.Errorf("stretch the PIN: %w", err)
	}
	return secret.NewKey(k)
}

// softSalt is the length of the salt that is written before a sealed key.
const softSalt = 16

func softSeal(auth, private, public []byte) ([]byte, error) {
	salt := secret.Bytes(softSalt)
	k, err := softKey(auth, salt)
	if err != nil {
		return nil, err
	}
	return append(salt, k.Seal(private, public)...), nil
}

func (software) open(sealed key, auth []byte) (*rsa.PrivateKey, error) {
	private := sealed.Private
	if auth != nil {
		if len(private) < softSalt {
			return nil, fmt.Errorf("a software key is damaged")
		}
		k, err := softKey(auth, private[:softSalt])
		if err != nil {
			return nil, err
		}
		if private, err = k.Open(private[softSalt:], sealed.Public); err != nil {
			return nil, errWrongAuth
		}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("read a software key: %w", err)
	}
	r, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a software key is a %T", parsed)
	}
	return r, nil
}

func (s software) Sign(k key, auth, digest []byte) ([]byte, error) {
	private, err := s.open(k, auth)
	if err != nil {
		return nil, err
	}
	return rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest)
}

func (s software) ChangeAuth(k key, old, next []byte) (key, error) {
	private, err := s.open(k, old)
	if err != nil {
		return key{}, err
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return key{}, fmt.Errorf("write a software key: %w", err)
	}
	k.Private, err = softSeal(next, bytes, k.Public)
	return k, err
}

// Unwrap keeps what the server sent, with the key that opens it.
func (s software) Unwrap(_ context.Context, transport key, jwe string) (key, error) {
	k := key{Public: []byte(jwe), Private: transport.Private}
	_, err := s.session(k)
	return k, err
}

func (s software) session(k key) ([]byte, error) {
	return openSessionKey(string(k.Public), func(wrapped []byte) ([]byte, error) {
		private, err := s.open(key{Private: k.Private}, nil)
		if err != nil {
			return nil, err
		}
		return rsa.DecryptOAEP(sha1.New(), nil, private, wrapped, nil)
	})
}

func (s software) MAC(k key, data []byte) ([]byte, error) {
	secret, err := s.session(k)
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, secret)
	m.Write(data)
	return m.Sum(nil), nil
}

func (software) PublicKey(k key) (*rsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("read a software key's public half: %w", err)
	}
	r, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a software key is a %T", parsed)
	}
	return r, nil
}
