package device

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Candidate is what joins.
type Candidate struct {
	Tenant    idp.TenantID
	Name, OS  string
	OSVersion string
	Join      JoinType
	// Owner may be empty: then the device is whose who activates it, and
	// counts to nobody's quota before.
	Owner     idp.UserID
	By        idp.FamilyID // whose access token it is
	Assurance Assurance
	Software  bool
	Key       crypto.PublicKey
	Transport crypto.PublicKey // may be nil
	Quota     int              // devices that the owner may have, this one with them
	// Shared lets Key and Transport be one key (compat.sharedDeviceKey).
	Shared bool
	// Pending is until when it has to be attested. Zero: it is enabled at once.
	Pending time.Time
}

// Longest texts that are kept of what a machine says of itself.
const (
	maxName = 256 // Graph's displayName of a device
	maxOS   = 64
)

// Prepare chooses the device's id and makes its certificate (DER), without
// writing anything of it. It may have to make the tenant's authority, so it
// must not be called in a transaction. A key that cannot be used, or that is
// both keys though they must not be one, is Invalid: "device_key",
// "transport_key", "shared_device_key".
func (r *Registry) Prepare(ctx context.Context, c Candidate) (Device, []byte, error) {
	if err := checkKeys(c); err != nil {
		return Device{}, nil, err
	}
	d := Device{
		ID: idp.DeviceID(secret.NewUUID4()), Tenant: c.Tenant, Name: said(c.Name, maxName), OS: said(c.OS, maxOS),
		OSVersion: said(c.OSVersion, maxOS), Join: c.Join, Owner: c.Owner, By: c.By, Assurance: c.Assurance, Software: c.Software,
		Enabled: c.Pending.IsZero(), Pending: c.Pending, Key: c.Key, Transport: c.Transport, Created: r.now(),
	}
	if d.Name == "" {
		d.Name = string(d.ID)
	}
	der, err := r.certify(ctx, &d)
	if err != nil {
		return Device{}, nil, err
	}
	return d, der, nil
}

// said makes of what a machine says a text that fits its column and a line.
func said(text string, limit int) string {
	return strings.TrimSpace(audit.Clean(strings.TrimSpace(text), limit))
}

func checkKeys(c Candidate) error {
	if err := CheckKey(c.Key); err != nil {
		return idp.Invalidf("device_key", "%w", err).On("CertificateRequest").Say(sayKeys)
	}
	if c.Transport == nil {
		return nil
	}
	if err := CheckKey(c.Transport); err != nil {
		return idp.Invalidf("transport_key", "%w", err).On("TransportKey").Say(sayKeys)
	}
	if !c.Shared && Same(c.Key, c.Transport) {
		return idp.Invalidf("shared_device_key", "device key and transport key are one").On("TransportKey").
			Say("The device key and the transport key must be two keys.")
	}
	return nil
}

const sayKeys = "Accepted are RSA keys of 2048 to 8192 bits and keys of P-256."

// CheckKey says why a public key cannot be one of a device: it is neither RSA
// nor P-256, too small, or weak (security.md TOK07; device-protocol.md §5.4).
func CheckKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.Bit(0) == 0 {
			return fmt.Errorf("RSA modulus is even")
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return fmt.Errorf("curve is not P-256")
		}
		if _, err := k.ECDH(); err != nil { // on the curve, and not infinity
			return err
		}
	default:
		return fmt.Errorf("key of type %T", key)
	}
	_, err := jose.Usable(key)
	return err
}

// KeyKind names the kind of a public key as people do: "RSA 2048", "EC P-256";
// empty for one that no device has.
func KeyKind(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + k.Curve.Params().Name
	}
	return ""
}

// Same says whether two public keys are one.
func Same(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// Digest is what a public key is known by: the SHA-256 of its
// SubjectPublicKeyInfo in DER.
func Digest(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:], nil
}

// Roles of a key.
const (
	roleDevice    = "device"
	roleTransport = "transport"
)

// Add writes a prepared device. Conflict: a key of it is registered already,
// here or in any tenant ("key_registered"); Denied "device_quota": the owner
// has too many. Both hold under races: each is one conditional statement.
func (r *Registry) Add(ctx context.Context, tx *sqldb.Tx, d Device, c Candidate) error {
	if d.Owner != "" {
		if err := hold(ctx, tx, d.Tenant, d.Owner, c.Quota); err != nil {
			return err
		}
	}
	if err := insert(ctx, tx, d); err != nil {
		return err
	}
	if err := r.Claim(ctx, tx, d.Tenant, d.ID, d.Key, roleDevice); err != nil {
		return err
	}
	if d.Transport != nil && !Same(d.Key, d.Transport) {
		if err := r.Claim(ctx, tx, d.Tenant, d.ID, d.Transport, roleTransport); err != nil {
			return err
		}
	}
	return r.changed(ctx, tx, d.Tenant, d.ID)
}

// Claim enters one more key that a device keeps: no key is registered twice,
// for whatever it is used and in whatever tenant (security.md DEV03). Conflict
// "key_registered" when it is. role is a stable word for what the key is for; a
// room that keeps keys on devices uses its own, and gives them up by Release.
func (r *Registry) Claim(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, key crypto.PublicKey, role string) error {
	digest, err := Digest(key)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `
		insert into device_key (digest, tenant_id, device_id, role) values ($1, $2, $3, $4)
		on conflict (digest) do nothing`, digest, t, id, role)
	if err != nil {
		return fmt.Errorf("claim %s key of device %s: %w", role, id, err)
	}
	if n == 0 {
		return idp.Conflictf("key_registered", "%s key of a device in %s is registered already", role, t).
			Say("This key is registered already. Make a new one.")
	}
	return nil
}

// Release gives up a key that was claimed for a role; it does nothing when
// there is none such.
func (r *Registry) Release(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, key crypto.PublicKey, role string) error {
	digest, err := Digest(key)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `delete from device_key where digest = $1 and tenant_id = $2 and role = $3`, digest, t, role)
	if err != nil {
		return fmt.Errorf("release %s key: %w", role, err)
	}
	return nil
}
