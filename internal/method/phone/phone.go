package phone

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
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
	// May is what policy has against this person's approving by phone.
	May func(context.Context, idp.User) (policy.Refusal, error)
	// Accepts is what policy has against a new passkey of these facts, which a
	// phone has made for this person to approve with. It may be used on pages as
	// well, where they may use passkeys.
	Accepts func(context.Context, idp.User, idp.Facts) (policy.Refusal, error)
	// Fold gives the spellings of a name that UserByName takes for one, and no
	// other, one text.
	Fold func(string) string
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
	// Failed hears what went wrong while phones were told. It may be nil.
	Failed func(error)
	// Audit writes what no sign-in record says. Nil: nothing is written.
	Audit func(context.Context, *sqldb.Tx, audit.Event) error
}

// Passkeys is what the room asks of the passkey room.
type Passkeys interface {
	BeginRegister(context.Context, method.Request) (method.Challenge, error)
	FinishRegister(context.Context, method.Answer) (method.Registration, error)
	// Assertion makes the options of an assertion by a passkey of this person,
	// over this challenge; only is the id of the one that will do, or "" for any.
	// NotFound when the person has no such passkey.
	Assertion(ctx context.Context, t idp.TenantID, u idp.UserID, only idp.CredentialID, challenge []byte) (json.RawMessage, error)
	// VerifyAssertion judges one: user verified, this person's, alive. Errors are
	// Unproven with a reason.
	VerifyAssertion(ctx context.Context, t idp.TenantID, u idp.UserID, only idp.CredentialID, challenge, payload []byte, now time.Time) (method.Asserted, error)
	// Held says whether the person has this passkey and could use it now, as far
	// as its room knows, and what is known of it.
	Held(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, id idp.CredentialID) (idp.Facts, bool, error)
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

// Room is the phone room. It is safe for concurrent use. Run tells phones.
type Room struct {
	cfg  Config
	db   sqldb.Querier // reads only
	hub  *hub          // of those who wait for a request or an enrolment
	asks chan struct{} // that something is to be told
	door *door         // what phones speak to
}

var (
	_ method.Method     = (*Room)(nil)
	_ method.Waiter     = (*Room)(nil)
	_ method.Withdrawer = (*Room)(nil)
	_ method.Manager    = (*Room)(nil)
	_ method.Shaper     = (*Room)(nil)
	_ method.Viewer     = (*Room)(nil)
	_ method.Worker     = (*Room)(nil)
	_ method.Registrar  = (*Room)(nil)
	_ method.Mounter    = (*Room)(nil)
)

// New checks the configuration and opens the room.
func New(c Config) (*Room, error) {
	if c.DB == nil || c.Now == nil || c.Bus == nil || c.BaseURL == "" || c.Rules == nil || c.For == nil || c.May == nil || c.Accepts == nil || c.Fold == nil ||
		c.Tenant == nil || c.User == nil || c.UserByName == nil || c.Seal == nil || c.Code == nil || c.Decoy == nil ||
		c.Passkeys == nil || c.Place == nil || c.Remove == nil {
		return nil, errors.New("phones: a dependency is missing")
	}
	door, err := newDoor(c.BaseURL, c.Now)
	if err != nil {
		return nil, err
	}
	m := &Room{cfg: c, db: c.DB, hub: newHub(), asks: make(chan struct{}, 1), door: door}
	c.Bus.Subscribe(topicRequest, m.hub.wake)
	c.Bus.Subscribe(topicEnrolment, m.hub.wake)
	return m, nil
}

// ID implements method.Method.
func (m *Room) ID() idp.MethodID { return ID }

// View implements method.Viewer: a button of its own, and the user name that is
// typed on the page anyway.
func (m *Room) View() method.View {
	return method.View{
		Action: "signin-phone", Icon: "phone",
		Label: "method.phone", Note: "method.phone.note", Primary: true,
	}
}

// Where is where an address is, as far as anybody here knows.
type Where struct {
	Kind    string // as phonewire.Place
	Country string
	Network string // who runs it
	Hosting bool   // a data centre
}
