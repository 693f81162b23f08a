package device

import (
	"context"
	"crypto"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/sqldb"
)

// JoinType says how a machine belongs to the organisation, in Graph's words
// (trustType).
type JoinType string

// Joined machines are the organisation's own, registered ones a person's.
const (
	Joined     JoinType = "AzureAd"
	Registered JoinType = "Workplace"
)

// Assurance is what was proven of where a device's keys are (decisions 4.1).
type Assurance string

const (
	Attested   Assurance = "attested"   // in a TPM whose maker is trusted, shown by its attestation
	Unattested Assurance = "unattested" // possession of both keys is proven, not where they are
	Unproven   Assurance = "unproven"   // possession of the transport key is not proven either
)

// Device is a registered machine.
type Device struct {
	ID        idp.DeviceID
	Tenant    idp.TenantID
	Name      string // display name, as the machine said
	OS        string // "Linux", "Windows", …, as the machine said
	OSVersion string
	Join      JoinType
	Owner     idp.UserID // who joined it
	Assurance Assurance
	Software  bool // its agent says that the keys are files
	Enabled   bool
	// Key verifies what the device signs (RSA or P-256); Transport is what
	// session keys are wrapped to, nil when the device has none.
	Key       crypto.PublicKey
	Transport crypto.PublicKey
	// Thumbprint is the SHA-1 of the certificate, upper-case hex: only a name.
	Thumbprint string
	Created    time.Time
	LastSeen   time.Time // zero: never; written at most once an hour
	Certified  time.Time // end of the certificate
	// Voided is when the device was last disabled: PRTs issued before do not
	// revive (decisions 4.8). Zero: never.
	Voided time.Time
}

// Bus tells the other nodes, and this one, that something changed.
type Bus interface {
	Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error
	Subscribe(topic string, fn func(key string))
}

// Topic is the bus topic of changed devices; the key is "tenant/device".
const Topic = "device"

// Config is what a Registry needs.
type Config struct {
	DB   *sqldb.DB
	Keys *keyring.Ring
	Now  func() time.Time
	Bus  Bus // nil: nothing is cached
}

// Registry keeps the devices of all tenants and certifies them.
type Registry struct{ cfg Config }

// New makes a registry.
func New(cfg Config) *Registry { return &Registry{cfg: cfg} }

var errNotYet = errors.New("device: not yet")

// Candidate is what joins.
type Candidate struct {
	Tenant    idp.TenantID
	Name, OS  string
	OSVersion string
	Join      JoinType
	Owner     idp.UserID
	Assurance Assurance
	Software  bool
	Key       crypto.PublicKey
	Transport crypto.PublicKey // may be nil
	Quota     int              // devices that the owner may have, this one with them
	// Shared lets Key and Transport be one key (compat.sharedDeviceKey).
	Shared bool
}

// Prepare chooses the device's id and makes its certificate (DER), without
// writing anything. It may have to make the tenant's authority, so it must not
// be called in a transaction.
func (r *Registry) Prepare(ctx context.Context, c Candidate) (Device, []byte, error) {
	return Device{}, nil, errNotYet
}

// Add writes a prepared device. Conflict: a key of it is registered already,
// here or in any tenant ("key_registered"); Denied "device_quota": the owner
// has too many. Both hold under races.
func (r *Registry) Add(ctx context.Context, tx *sqldb.Tx, d Device, c Candidate) error {
	return errNotYet
}

// Get finds a device of the tenant by its id, or is NotFound. It answers from a
// cache that every node invalidates on change.
func (r *Registry) Get(ctx context.Context, t idp.TenantID, id idp.DeviceID) (Device, error) {
	return Device{}, errNotYet
}

// Load is Get, read from q: for a transaction that must know.
func (r *Registry) Load(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.DeviceID) (Device, error) {
	return Device{}, errNotYet
}

// Identify finds the device whose certificate this is (DER, the leaf alone): it
// must be of the authority of its tenant, within its time, and its key that of
// the device's row. A disabled device is found too: the caller asks Enabled.
// Whatever is wrong is Unproven: "device_certificate" (not ours, or broken),
// "device_unknown" (not registered any more). The tenant comes out of the row.
func (r *Registry) Identify(ctx context.Context, leaf []byte) (Device, error) {
	return Device{}, errNotYet
}

// Owned lists the devices of a person, newest first.
func (r *Registry) Owned(ctx context.Context, t idp.TenantID, u idp.UserID) ([]Device, error) {
	return nil, errNotYet
}

// SetEnabled switches a device on or off, and runs what hangs on OnDisable when
// it is switched off. NotFound when there is no such device.
func (r *Registry) SetEnabled(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, on bool) error {
	return errNotYet
}

// Rename gives a device another display name.
func (r *Registry) Rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, name string) error {
	return errNotYet
}

// Remove deletes a device, and runs what hangs on OnRemove.
func (r *Registry) Remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) error {
	return errNotYet
}

// RemoveUser deletes the devices of a person who is deleted.
func (r *Registry) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	return errNotYet
}

// Seen notes that a device was used; it writes at most once an hour.
func (r *Registry) Seen(ctx context.Context, d Device) error { return errNotYet }

// Hook is run in the transaction of a removal or of switching off.
type Hook func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) error

// OnRemove adds what must go with a device; OnDisable what must end with it.
// They are called before the house serves.
func (r *Registry) OnRemove(Hook)  {}
func (r *Registry) OnDisable(Hook) {}
