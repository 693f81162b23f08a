package mac

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// SealingPurpose names the sealing key of unlock keys.
const SealingPurpose = "psso.unlock"

// UserUnlock is the one purpose that is documented (apple-platform-sso.md §8.2).
const UserUnlock = pssowire.KeyPurpose

// unlockYears is how long the certificate of an unlock key says that it is good.
// Nothing looks at it again; the key goes when its row goes.
const unlockYears = 10

// Holder names an unlock key: the Mac, the person and what it is for. There is
// one of each.
type Holder struct {
	Tenant  idp.TenantID
	Device  idp.DeviceID
	User    idp.UserID
	Purpose string // UserUnlock
}

// Unlock has the keys that unlock Macs: the server does the key agreement for
// the Mac (apple-platform-sso.md §8.2, §8.3). A private key is a row, sealed to
// its holder; what deletes the row erases the key.
type Unlock struct{ cfg Config }

// Provisioned is an unlock key as its Mac is told of it.
type Provisioned struct {
	Certificate []byte // X.509, DER
	// Context comes back with every exchange: opaque, and good for this holder
	// and this key alone.
	Context string
	Created time.Time
	Expires time.Time

	holder Holder
	id     string
	sealed []byte
	fresh  bool // not written yet
	key    *secret.Key
}

// Prepare gives the key of the holder: the one that is there, or a new one that
// Provision writes. It may have to make the tenant's sealing key, so it must not
// be called in a transaction. Invalid "key_purpose" for a purpose that is none.
func (u *Unlock) Prepare(ctx context.Context, h Holder) (Provisioned, error) {
	if h.Purpose != UserUnlock {
		return Provisioned{}, idp.Invalidf("key_purpose", "purpose %.40q", h.Purpose).On("key_purpose")
	}
	seal, err := u.cfg.Keys(ctx, h.Tenant, SealingPurpose)
	if err != nil {
		return Provisioned{}, fmt.Errorf("sealing key %s: %w", SealingPurpose, err)
	}
	p, err := loadUnlock(ctx, u.cfg.DB, h)
	if errors.Is(err, idp.NotFound) {
		p, err = u.make(h, seal)
	}
	if err != nil {
		return Provisioned{}, fmt.Errorf("unlock key: %w", err)
	}
	p.key = seal
	p.Context = p.context()
	return p, nil
}

// Provision writes a prepared key, unless another request was faster: both are
// told of the one that stands. The same key comes back as often as a Mac asks.
// fresh says that it was this call that wrote it.
func (u *Unlock) Provision(ctx context.Context, tx *sqldb.Tx, p Provisioned) (_ Provisioned, fresh bool, err error) {
	if p.fresh {
		if fresh, err = insertUnlock(ctx, tx, p); err != nil {
			return Provisioned{}, false, err
		}
	}
	stands, err := loadUnlock(ctx, tx, p.holder)
	switch {
	case errors.Is(err, idp.NotFound):
		return Provisioned{}, false, erased(p.holder) // erased since Prepare
	case err != nil:
		return Provisioned{}, false, fmt.Errorf("unlock key: %w", err)
	}
	stands.key = p.key
	stands.Context = stands.context()
	return stands, fresh, nil
}

// Exchange does the key agreement (NIST SP 800-56A, §5.7.1.2) of the holder's key
// with other, the 65 bytes of an uncompressed point, and gives the 32 bytes of
// the x coordinate, leading zeros and all. It reads one row and locks nothing:
// several come at once while a person waits. Invalid: "other_publickey" (no point
// of the curve), "key_context" (of another holder or key, bent, or of a key that
// was erased).
func (u *Unlock) Exchange(ctx context.Context, h Holder, keyContext string, other []byte) ([]byte, error) {
	theirs, err := ecdh.P256().NewPublicKey(other)
	if err != nil {
		return nil, idp.Invalidf("other_publickey", "%w", err).On("other_publickey")
	}
	seal, err := u.cfg.Keys(ctx, h.Tenant, SealingPurpose)
	if err != nil {
		return nil, fmt.Errorf("sealing key %s: %w", SealingPurpose, err)
	}
	id, err := h.open(seal, keyContext)
	if err != nil {
		return nil, err
	}
	p, err := loadUnlock(ctx, u.cfg.DB, h)
	switch {
	case errors.Is(err, idp.NotFound), err == nil && p.id != id:
		return nil, erased(h)
	case err != nil:
		return nil, fmt.Errorf("unlock key: %w", err)
	}
	raw, err := seal.Open(p.sealed, h.aad("key"))
	if err != nil {
		return nil, fmt.Errorf("unlock key %s: %w", p.id, err)
	}
	ours, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("unlock key %s: %w", p.id, err)
	}
	return ours.ECDH(theirs)
}

func erased(h Holder) error {
	return idp.Invalidf("key_context", "the unlock key of %s on %s is another one, or none", h.User, h.Device).On("key_context")
}

// make draws a key and certifies it by itself.
func (u *Unlock) make(h Holder, seal *secret.Key) (Provisioned, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Provisioned{}, err
	}
	now := u.cfg.now()
	p := Provisioned{Created: now, Expires: now.AddDate(unlockYears, 0, 0), holder: h, id: secret.NewUUID4(), fresh: true}
	if p.Certificate, err = certificate(key, p); err != nil {
		return Provisioned{}, err
	}
	raw, err := key.Bytes()
	if err != nil {
		return Provisioned{}, err
	}
	p.sealed = seal.Seal(raw, h.aad("key"))
	return p, nil
}

// certificate is self-signed and says of its key that it agrees on keys, and
// nothing of whose it is (apple-platform-sso.md §8.2). macOS finds the key by the
// SHA-1 of its point, which is the subject key identifier.
func certificate(key *ecdsa.PrivateKey, p Provisioned) ([]byte, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	name := sha1.Sum(point) // a name and no more (RFC 5280, §4.2.1.2, method 1)
	serial := new(big.Int).SetBytes(secret.Bytes(16))
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: p.id},
		NotBefore: p.Created.Add(-time.Hour).Truncate(time.Second), NotAfter: p.Expires.Truncate(time.Second),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageKeyAgreement, SubjectKeyId: name[:],
	}
	return x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
}

// aad is what a sealed value of the holder is bound to. No part has a zero byte.
func (h Holder) aad(what string) []byte {
	return []byte(strings.Join([]string{SealingPurpose, what, string(h.Tenant), string(h.Device), string(h.User), h.Purpose}, "\x00"))
}

// context is the value that names a key to its holder.
func (p Provisioned) context() string {
	return base64.RawURLEncoding.EncodeToString(p.key.Seal([]byte(p.id), p.holder.aad("context")))
}

// maxContext is longer than any context that we make.
const maxContext = 512

func (h Holder) open(seal *secret.Key, keyContext string) (id string, err error) {
	if len(keyContext) > maxContext || strings.ContainsAny(keyContext, "\r\n") {
		return "", badContext(h)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(keyContext)
	if err != nil {
		return "", badContext(h)
	}
	plain, err := seal.Open(raw, h.aad("context"))
	if err != nil {
		return "", badContext(h)
	}
	return string(plain), nil
}

func badContext(h Holder) error {
	return idp.Invalidf("key_context", "no context of %s on %s", h.User, h.Device).On("key_context")
}

// Has says whether the person has a key on the Mac.
func (u *Unlock) Has(ctx context.Context, q sqldb.Querier, t idp.TenantID, d idp.DeviceID, user idp.UserID) (bool, error) {
	return hasUnlock(ctx, q, t, d, user)
}

// Erase deletes the keys that a person has on a Mac: when their user key there
// goes, or their right to it. That there are none is no error.
func (u *Unlock) Erase(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID, user idp.UserID) error {
	_, err := tx.Exec(ctx, `delete from mac_unlock where tenant_id = $1 and device_id = $2 and user_id = $3`, t, d, user)
	if err != nil {
		return fmt.Errorf("erase unlock keys of %s on %s: %w", user, d, err)
	}
	return nil
}
