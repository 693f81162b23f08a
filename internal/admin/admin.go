package admin

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// Config is what the door calls. Fields that are nil make their operations
// Unavailable.
type Config struct {
	DB        *sqldb.DB
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Audit     *audit.Log
	Keys      Keys
	Metadata  Metadata
	// IssuePass makes an access pass in the transaction of its audit event.
	IssuePass func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, PassOptions) (Pass, error)
	// PreparePass is called before that transaction, for what it needs and
	// cannot make itself, such as a tenant's first key. May be nil.
	PreparePass func(context.Context, idp.TenantID) error
	// MintToken makes a bearer token for the administration API.
	MintToken func(context.Context, TokenGrant) (token string, err error)
	// RevokeUser ends all sessions and refresh tokens of a user.
	RevokeUser func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
	// RevokeGrant ends what an application got by a user's consent.
	RevokeGrant func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.ClientID) error
	// SavePolicy puts next in the place of old and writes the record, unless
	// that locks administrators out.
	SavePolicy func(ctx context.Context, t idp.TenantID, old, next policy.Policy, e audit.Event) (policy.Policy, error)
	// Preview says what would happen if next took the place of the tenant's
	// policy.
	Preview func(ctx context.Context, t idp.TenantID, next policy.Policy, o policy.PreviewOptions) (policy.Impact, error)
	// CheckPolicy is what SavePolicy would refuse for locking out.
	CheckPolicy func(ctx context.Context, t idp.TenantID, old, next policy.Policy) error
	// Provision registers keys for others, made for pages at Origin; empty:
	// no server runs that has one.
	Provision Provisioner
	Origin    string
	// Hygiene lists and clears keys, Devices keeps the register of machines.
	Hygiene *hygiene.Keeper
	Devices *device.Registry
	// Macs has what Macs are beside devices, and their registration tokens.
	Macs *mac.Registry
	// OnDevice says what stands on a device.
	OnDevice func(context.Context, idp.TenantID, idp.DeviceID) (Standing, error)
	// Authorities are those that tenants trust to issue certificates, and
	// EndAuthority ends what people have by certificates below the one of a key
	// identifier, with a record of each that begins with an event.
	Authorities  *trust.Store
	EndAuthority func(ctx context.Context, t idp.TenantID, key string, e audit.Event, progress func(int)) (Ended, error)
	// ExplainCertificate tries a certificate, the first of chain, as a sign-in
	// would.
	ExplainCertificate func(ctx context.Context, t idp.TenantID, chain []*x509.Certificate) (certificate.Explained, error)
	// Phones are those that approve sign-ins, and RemoveMethod takes a
	// credential away as an administrator does, with its record.
	Phones       Phones
	RemoveMethod func(ctx context.Context, t idp.TenantID, u idp.UserID, m idp.MethodID, id idp.CredentialID, actor string) error
	// MacProfile makes the configuration profile of the tenant's Macs. May be nil.
	MacProfile func(context.Context, idp.TenantID, MacProfileAsk) ([]byte, error)
	// KEK has the key-encryption keys of this node. May be nil.
	KEK KEK
	Now func() time.Time
}

// Ended is what was ended of certificates.
type Ended struct {
	Certificates int `json:"certificates"` // that people have signed in with
	Sessions     int `json:"sessions"`     // of browsers; tokens are not counted
}

// Standing is what stands on a device, and goes or rests with it.
type Standing struct {
	Keys    int          // Hello keys that it keeps
	MacKeys int          // Platform Credentials that it keeps
	Tokens  int          // primary refresh tokens
	Only    []idp.UserID // who has no other way in than a key of it
}

// Keys is the keyring as far as this door needs it.
type Keys interface {
	Signer(ctx context.Context, t idp.TenantID, alg string) (keyring.Signer, error)
	Rotate(ctx context.Context, t idp.TenantID, alg string) error
	RotateNow(ctx context.Context, t idp.TenantID, alg string) error
	Keys(ctx context.Context, t idp.TenantID) ([]keyring.Info, error)
}

// PassOptions say what pass is wanted; zero fields leave it to the policy.
type PassOptions struct {
	Lifetime time.Duration
	Length   int
	Once     *bool
}

// Pass is an access pass, with the code that is shown once.
type Pass struct {
	ID      idp.CredentialID
	Code    string
	Starts  time.Time
	Expires time.Time
	Once    bool
}

// TokenGrant says what a token for the administration API is good for
// (decisions 6.1).
type TokenGrant struct {
	Tenant  idp.TenantID
	Role    string
	Actor   string // "cli:<os user>"
	Expires time.Time
}

// Doer does operations: the Service itself, or a Client that reaches the one
// of a running server. actor is who the audit names; a Client leaves that to the
// server, which knows its peer. progress may be nil.
type Doer interface {
	Do(ctx context.Context, actor, op string, params json.RawMessage, progress func(done int)) (json.RawMessage, error)
}

var (
	_ Doer = (*Service)(nil)
	_ Doer = (*Client)(nil)
)

// Service is the door. It is safe for concurrent use.
type Service struct {
	cfg          Config
	remoteWithin time.Duration
}

// New makes the door.
func New(cfg Config) *Service { return &Service{cfg: cfg, remoteWithin: remoteWithin} }

// call is one operation under way.
type call struct {
	Config
	actor    string
	grant    *Grant // of a token; nil: at this machine
	op       string
	tenant   idp.Tenant // the zero Tenant for operations that need none
	progress func(int)
}

// Do does the operation op with params, a JSON object, and returns its result
// as JSON. Invalid when there is no such operation or its parameters are not
// what it takes.
func (s *Service) Do(ctx context.Context, actor, op string, params json.RawMessage, progress func(int)) (json.RawMessage, error) {
	return s.do(ctx, caller{actor: actor}, op, params, progress)
}

func (s *Service) do(ctx context.Context, who caller, op string, params json.RawMessage, progress func(int)) (json.RawMessage, error) {
	o, ok := operations[op]
	if !ok {
		return nil, idp.Invalidf("unknown_operation", "operation %q", audit.Clean(op, 64)).Say("There is no such operation.")
	}
	if who.actor == "" {
		return nil, errors.New("operation " + op + " without an actor")
	}
	if who.grant != nil {
		if err := who.grant.may(op); err != nil {
			return nil, err
		}
	}
	if progress == nil {
		progress = func(int) {}
	}
	result, err := o(ctx, &call{Config: s.cfg, actor: who.actor, grant: who.grant, op: op, progress: progress}, params)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// Operations lists the names of all operations, sorted.
func Operations() []string {
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

type operation func(ctx context.Context, c *call, params json.RawMessage) (any, error)

// inTenant is the part of parameters that says which tenant is meant, by id
// or domain. It may be left out when there is only one.
type inTenant struct {
	Tenant string `json:"tenant"`
}

func (i inTenant) ref() string { return i.Tenant }

// within makes an operation on a tenant of a function.
func within[P interface{ ref() string }](do func(context.Context, *call, P) (any, error)) operation {
	return func(ctx context.Context, c *call, params json.RawMessage) (any, error) {
		p, err := decode[P](params)
		if err != nil {
			return nil, err
		}
		if c.tenant, err = c.findTenant(ctx, p.ref()); err != nil {
			return nil, err
		}
		return do(ctx, c, p)
	}
}

// plain makes an operation on no tenant of a function.
func plain[P any](do func(context.Context, *call, P) (any, error)) operation {
	return func(ctx context.Context, c *call, params json.RawMessage) (any, error) {
		p, err := decode[P](params)
		if err != nil {
			return nil, err
		}
		return do(ctx, c, p)
	}
}

// decode reads parameters. A field that the operation does not know is
// Invalid: what somebody asked for must not be dropped in silence.
func decode[P any](params json.RawMessage) (P, error) {
	var p P
	if len(params) == 0 {
		params = json.RawMessage(`{}`)
	}
	d := json.NewDecoder(strings.NewReader(string(params)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		say := "The parameters are not the JSON that this operation takes."
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			say = "There is no parameter " + audit.Clean(field, 64) + " here."
		} else if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			say = "The parameter " + audit.Clean(wrong.Field, 64) + " must be a " + wrong.Type.String() + "."
		}
		return p, idp.Invalidf("bad_parameters", "%w", err).Say(say)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return p, idp.Invalidf("bad_parameters", "more than one JSON value").Say("The parameters are more than one JSON value.")
	}
	if err := web.OneReading(params, &p); err != nil {
		return p, idp.Invalidf("bad_parameters", "%w", err).Say("The parameters can be read in more than one way: " + audit.Clean(err.Error(), 100) + ".")
	}
	return p, nil
}

// findTenant resolves a reference to a tenant; an empty one is the only
// tenant there is.
func (c *call) findTenant(ctx context.Context, ref string) (idp.Tenant, error) {
	if c.grant != nil {
		return c.grantedTenant(ctx, ref)
	}
	if ref != "" {
		return c.Directory.Resolve(ctx, ref)
	}
	all, err := c.Directory.Tenants(ctx)
	switch {
	case err != nil:
		return idp.Tenant{}, err
	case len(all) == 0:
		return idp.Tenant{}, idp.NotFoundf("no_tenant", "no tenant at all").Say("There is no tenant yet. Make one first.")
	case len(all) > 1:
		return idp.Tenant{}, idp.Invalidf("which_tenant", "%d tenants", len(all)).On("tenant").
			Say(fmt.Sprintf("There are %d tenants. Say which one is meant.", len(all)))
	}
	return all[0], nil
}

// grantedTenant is the one that the token is for, however it is named.
func (c *call) grantedTenant(ctx context.Context, ref string) (idp.Tenant, error) {
	t, err := c.Directory.Tenant(ctx, c.grant.Tenant)
	if err != nil || ref == "" || ref == string(t.ID) {
		return t, err
	}
	if named, err := c.Directory.Resolve(ctx, ref); err != nil || named.ID != t.ID {
		return idp.Tenant{}, idp.Deniedf("other_tenant", "token of %s for %q", t.ID, audit.Clean(ref, 64)).Say("The token is for another tenant.")
	}
	return t, nil
}

// change runs fn and the audit event of this operation in one transaction
// (security.md LOG03). fn may run twice and fills in what the event says.
func (c *call) change(ctx context.Context, fn func(context.Context, *sqldb.Tx, *audit.Event) error) error {
	return c.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		e := c.event()
		if err := fn(ctx, tx, &e); err != nil {
			return err
		}
		return c.Audit.Write(ctx, tx, e)
	})
}

// event is what every event of this call begins with.
func (c *call) event() audit.Event {
	return audit.Event{
		Tenant: c.tenant.ID, Category: audit.Change, Activity: c.op, Outcome: audit.Success,
		Actor: c.actor, Detail: map[string]string{},
	}
}

func missing(what string) error {
	return idp.Unavailablef("not_wired", "no %s here", what).Say("This server cannot do that.")
}

// stamp writes a time for people and programs.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
