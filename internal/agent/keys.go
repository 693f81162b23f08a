package agent

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/signetid/signet/internal/jose"
)

// Place says where the private keys of a machine are.
type Place string

// The places. Software keys are files: whoever reads them is the device.
const (
	InTPM      Place = "tpm"
	InSoftware Place = "software"
)

// use is what a key is for; it decides what the key's place lets it do.
type use int

const (
	forDevice    use = iota // signs what the device says
	forTransport            // unwraps session keys (RSA-OAEP with SHA-1)
	forUser                 // signs for a person, and asks for the PIN
	forAttesting            // a TPM's restricted key: certifies other keys
)

// key is one private key as its place gives it out: a TPM's blobs, of no use
// to any other TPM, or a software key.
type key struct {
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
	Salt    []byte `json:"salt,omitempty"` // of the PIN, for keys that ask for one
}

// Lockout is how the place of a key answers wrong PINs.
type Lockout struct {
	Enforced bool          `json:"enforced"` // false: nothing counts (software keys)
	Locked   bool          `json:"locked"`
	Left     int           `json:"triesLeft"`
	Heals    time.Duration `json:"-"` // after this long one more try is given back
}

// vault is a place of keys.
type vault interface {
	Place() Place
	// Make makes a key; auth is what its use asks for, nil: nothing.
	Make(u use, auth []byte) (key, error)
	// PublicKey reads a key's public half, without using the place.
	PublicKey(k key) (*rsa.PublicKey, error)
	// Sign signs a SHA-256 digest (RSASSA-PKCS1-v1_5). A wrong auth is
	// errWrongAuth, a place that answers no more is errLocked.
	Sign(k key, auth, digest []byte) ([]byte, error)
	// ChangeAuth gives the same key under another auth.
	ChangeAuth(k key, old, next []byte) (key, error)
	// Unwrap makes of a session_key_jwe a key that only MAC uses.
	Unwrap(ctx context.Context, transport key, jwe string) (key, error)
	// MAC is HMAC-SHA-256 under a session key, for inputs of up to 1 KiB.
	MAC(k key, data []byte) ([]byte, error)
	Lockout() (Lockout, error)
	Close() error
}

// signer lends a vault's key to whoever wants a crypto.Signer. Only digests by
// SHA-256 are signed, and only by PKCS #1 v1.5.
type signer struct {
	vault  vault
	key    key
	auth   []byte
	public *rsa.PublicKey
}

var _ crypto.Signer = signer{}

func newSigner(v vault, k key, auth []byte) (signer, error) {
	pub, err := v.PublicKey(k)
	return signer{v, k, auth, pub}, err
}

func (s signer) Public() crypto.PublicKey { return s.public }

func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss || opts.HashFunc() != crypto.SHA256 {
		return nil, fmt.Errorf("keys of a device sign RSASSA-PKCS1-v1_5 with SHA-256 only")
	}
	return s.vault.Sign(s.key, s.auth, digest)
}

// helloKeyID is what a user key is called in assertions (device-protocol.md
// §7.2): standard base64 of the SHA-256 of its RSA1 blob.
func helloKeyID(pub *rsa.PublicKey) string {
	sum := sha256.Sum256(jose.RSA1(pub))
	return base64.StdEncoding.EncodeToString(sum[:])
}
