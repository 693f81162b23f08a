package phone

import (
	"context"
	"embed"
	"encoding/json"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// ID is the room's word in policies and proofs.
const ID = policy.Phone

// Migrations are the room's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Config is what the room needs.
type Config struct {
	DB      *sqldb.DB
	Now     func() time.Time
	Bus     *bus.Bus
	BaseURL string // https://id.example, without a slash at the end

	// Rules are those of the tenant, For what they say of one person.
	Rules func(context.Context, idp.TenantID) (policy.PhoneRules, error)
	For   func(context.Context, idp.User) (policy.PhoneFor, error)
	// Tenant, User and UserByName are NotFound for who does not exist.
	Tenant     func(context.Context, idp.TenantID) (idp.Tenant, error)
	User       func(context.Context, idp.TenantID, idp.UserID) (idp.User, error)
	UserByName func(context.Context, idp.TenantID, string) (idp.User, error)
	// Seal keys the subscriptions of a tenant's phones, Code the codes that are
	// typed, which are found before their tenant is known, Decoy what stands for
	// names that nobody has.
	Seal  func(context.Context, idp.TenantID) (*secret.Key, error)
	Code  func(context.Context) (*secret.Key, error)
	Decoy func(context.Context, idp.TenantID) (*secret.Key, error)
	// Passkeys are the passkey room's: all WebAuthn is its own (decisions 2.10).
	Passkeys Passkeys
	// Push sends; nil: no phone is told anything, and open apps ask.
	Push Push
	// Place says where an address is.
	Place func(ip string) Where
	// Remove takes a phone away by its own wish, as its owner would on a page.
	Remove func(context.Context, idp.TenantID, idp.UserID, idp.CredentialID) error
	// Audit writes what no sign-in record says. Nil: nothing is written.
	Audit func(context.Context, *sqldb.Tx, audit.Event) error
}

// Passkeys is what the room asks of the passkey room.
type Passkeys interface {
	BeginRegister(context.Context, method.Request) (method.Challenge, error)
	FinishRegister(context.Context, method.Answer) (method.Registration, error)
	// Assertion makes the options of an assertion by a passkey of this person,
	// over this challenge; only is the id of the one that will do, or "" for any.
	Assertion(ctx context.Context, t idp.TenantID, u idp.UserID, only idp.CredentialID, challenge []byte) (json.RawMessage, error)
	// VerifyAssertion judges one: user verified, this person's, alive. Errors are
	// Unproven with a reason.
	VerifyAssertion(ctx context.Context, t idp.TenantID, u idp.UserID, only idp.CredentialID, challenge, payload []byte, now time.Time) (Asserted, error)
	// Held says whether the person has this passkey and could use it now.
	Held(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) (bool, error)
}

// Asserted is a verified assertion.
type Asserted struct {
	Credential        idp.CredentialID
	AuthenticatorData []byte
	Signature         []byte
	Synced            bool
	Settle            method.Settle // sign counter, last use
}

// Push is what the room asks of package push.
type Push interface {
	// Queue has a message sent once tx commits, and again until it is of no use.
	Queue(ctx context.Context, tx *sqldb.Tx, ref push.Ref, to push.Target, m push.Message) error
	// Send sends one now, for a test.
	Send(ctx context.Context, to push.Target, m push.Message) push.Result
	// Check refuses a target that nothing would be sent to: Invalid, and why.
	Check(push.Target) error
	// PublicKey is the application server key of Web Push.
	PublicKey(context.Context) (string, error)
	// Kinds are the roads that are open.
	Kinds() []string
}

// Where is where an address is, as far as anybody here knows.
type Where struct {
	Kind    string // as phonewire.Place
	Country string
	Network string // who runs it
	Hosting bool   // a data centre
}
