package device

import (
	"context"
	"crypto"
	"embed"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the tables of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

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

// Device is a registered machine. One that came from the Registry is shared:
// callers do not change what it points to.
type Device struct {
	ID        idp.DeviceID
	Tenant    idp.TenantID
	Name      string // display name, as the machine said
	OS        string // "Linux", "Windows", …, as the machine said
	OSVersion string
	Join      JoinType
	Owner     idp.UserID // who joined it; empty: it waits for its first person (Activate)
	// By is the grant whose access token joined the device; empty: not known.
	// What was approved in another place speaks for no other device
	// (device-protocol.md §15).
	By        idp.FamilyID
	Assurance Assurance
	Software  bool // its agent says that the keys are files
	Enabled   bool
	// Pending is until when the device has to be attested, or activated by its
	// first person (Activate); until it is, it is not enabled, and what is not in
	// time is removed. Zero: it need not.
	Pending time.Time
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

// System is what the machine said that it runs, in a few words: "Windows 11",
// "Debian 13 (Linux)"; empty when it said nothing.
func (d *Device) System() string {
	switch {
	case d.OSVersion == "" || d.OS == "":
		return d.OS + d.OSVersion
	case strings.HasPrefix(strings.ToLower(d.OSVersion), strings.ToLower(d.OS)):
		return d.OSVersion
	case d.OSVersion[0] >= '0' && d.OSVersion[0] <= '9':
		return d.OS + " " + d.OSVersion
	}
	return d.OSVersion + " (" + d.OS + ")"
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
	DB *sqldb.DB
	// Keys gives the sealing key of a tenant and purpose (keyring.Ring.Sealing).
	Keys func(context.Context, idp.TenantID, string) (*secret.Key, error)
	Now  func() time.Time
	Bus  Bus // nil: nothing is cached
}

// How many devices, and keys of devices, a node remembers.
const remembered = 20_000

// knownCertificates bounds the certificates, some 1.2 KB each, whose
// signature need not be verified again.
const knownCertificates = 4_000

// Registry keeps the devices of all tenants and certifies them. It is safe for
// concurrent use once the hooks are in place.
type Registry struct {
	cfg         Config
	devices     *cache.Cache[ref, known]
	places      *cache.Cache[string, ref]       // digest of a device key → whose it is
	certified   *cache.Cache[string, certified] // certificate (DER) → what it says
	authorities sync.Map                        // idp.TenantID → *x509.Certificate
	removed     []Hook
	disabled    []Hook
}

// ref names a device.
type ref struct {
	tenant idp.TenantID
	id     idp.DeviceID
}

// known is a device that a node remembers.
type known struct {
	Device
	digest string // of its key
}

// New makes a registry.
func New(cfg Config) *Registry {
	r := &Registry{cfg: cfg}
	size := 0
	if cfg.Bus != nil {
		size = remembered
	}
	r.devices = cache.New(size, r.know)
	r.places = cache.New(size, func(ctx context.Context, digest string) (ref, error) { return locate(ctx, cfg.DB, []byte(digest)) })
	r.certified = cache.New(min(size, knownCertificates), r.examine)
	if cfg.Bus != nil {
		cfg.Bus.Subscribe(Topic, r.forget)
	}
	return r
}

// know reads a device, and what its key is known by.
func (r *Registry) know(ctx context.Context, at ref) (known, error) {
	d, err := r.Load(ctx, r.cfg.DB, at.tenant, at.id)
	if err != nil {
		return known{}, err
	}
	digest, err := Digest(d.Key)
	return known{d, string(digest)}, err
}

// forget drops what a notice is about. A place whose device is gone is found
// out when it is used: ids of devices are never given twice.
func (r *Registry) forget(key string) {
	t, id, ok := strings.Cut(key, "/")
	if !ok {
		r.devices.DropAll()
		return
	}
	r.devices.Drop(ref{idp.TenantID(t), idp.DeviceID(id)})
}

// Get finds a device of the tenant by its id, or is NotFound. It answers from a
// cache that every node invalidates on change.
func (r *Registry) Get(ctx context.Context, t idp.TenantID, id idp.DeviceID) (Device, error) {
	if !plausible(id) {
		return Device{}, nothing(id)
	}
	d, err := r.devices.Get(ctx, ref{t, id})
	return d.Device, err
}

// plausible says whether id could be one of ours, so that what strangers send
// is not asked for.
func plausible(id idp.DeviceID) bool {
	return len(id) == 36 && strings.Trim(string(id), "0123456789abcdef-") == ""
}

// Hook is run in the transaction of a removal or of switching off.
type Hook func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) error

// OnRemove adds what must go with a device; OnDisable what must end with it
// when it is switched off. They are called by app while wiring.
func (r *Registry) OnRemove(h Hook) { r.removed = append(r.removed, h) }

// OnDisable is described at OnRemove.
func (r *Registry) OnDisable(h Hook) { r.disabled = append(r.disabled, h) }

func (r *Registry) changed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) error {
	if r.cfg.Bus == nil {
		return nil
	}
	return r.cfg.Bus.Publish(ctx, tx, Topic, string(t)+"/"+string(id))
}

func (r *Registry) now() time.Time { return r.cfg.Now().UTC().Truncate(time.Millisecond) }

func nothing(id idp.DeviceID) error {
	return idp.NotFoundf("device_unknown", "device %.40q", string(id)).Say("There is no such device.")
}

func run(ctx context.Context, tx *sqldb.Tx, hooks []Hook, t idp.TenantID, id idp.DeviceID) error {
	for _, h := range hooks {
		if err := h(ctx, tx, t, id); err != nil {
			return fmt.Errorf("what hangs on device %s: %w", id, err)
		}
	}
	return nil
}
