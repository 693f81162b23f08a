package signin

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// Config is what a Corridor needs.
type Config struct {
	DB        *sqldb.DB
	Box       *nonce.Box
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Sessions  *session.Store
	Audit     *audit.Log
	Now       func() time.Time
	Methods   []method.Method // in the order in which pages offer them
}

// Corridor leads flows from a door to an outcome.
type Corridor struct{ cfg Config }

// New makes a Corridor. Two methods of one id are an error.
func New(c Config) (*Corridor, error) { return &Corridor{cfg: c}, nil }

// Start seals a new flow; nothing is written. Flow.Browser must be set.
func (c *Corridor) Start(ctx context.Context, f Flow) (handle string, err error) { panic("soon") }

// Resume gives the flow behind a handle. Late, unreadable and finished ones
// are idp.Expired; one of another browser is idp.Unproven "other_browser",
// and an event.
func (c *Corridor) Resume(ctx context.Context, tenant idp.TenantID, handle string, peer Peer) (Flow, error) {
	panic("soon")
}

// Offers gives the methods that the tenant allows, always in the same order,
// whoever asks (decisions 2.7).
func (c *Corridor) Offers(ctx context.Context, f Flow) ([]Offer, error) { panic("soon") }

// Begin asks a method for a challenge.
func (c *Corridor) Begin(ctx context.Context, f Flow, m idp.MethodID, userName string) (Begun, error) {
	panic("soon")
}

// Answer takes what came back for a ceremony.
func (c *Corridor) Answer(ctx context.Context, f Flow, ceremony string, payload []byte, current *session.Session, peer Peer) (Step, error) {
	panic("soon")
}

// Next says what comes next. Flows that were never started are sealed on the
// way, so that Step.Handle is always good.
func (c *Corridor) Next(ctx context.Context, f Flow, current *session.Session, peer Peer) (Step, error) {
	panic("soon")
}

// Consent takes the person's word on Step.NewScopes.
func (c *Corridor) Consent(ctx context.Context, f Flow, current session.Session, allow bool, peer Peer) (Step, error) {
	panic("soon")
}

// OnceRequest is one message that holds everything.
type OnceRequest struct {
	Tenant  idp.TenantID
	Method  idp.MethodID
	Nonce   []byte         // as the message carries it: what the room's KeepFrom gets
	Nonces  []nonce.Sealed // all nonces of the request, burnt as one set
	Payload []byte
	User    idp.User     // verified by the door; may be zero
	Device  idp.DeviceID // its signature verified by the door; may be empty
	ACR     []string
	MaxAge  *int64
	Peer    Peer
	// Settle writes what takes the place of a session.
	Settle func(context.Context, *sqldb.Tx, idp.Proof) error
}

// Once is the whole corridor for one message.
func (c *Corridor) Once(ctx context.Context, r OnceRequest) (idp.Proof, policy.Decision, error) {
	panic("soon")
}

// BeginRegister begins the registration of a credential by its owner.
func (c *Corridor) BeginRegister(ctx context.Context, s session.Session, m idp.MethodID, peer Peer) (Begun, error) {
	panic("soon")
}

// FinishRegister takes what came back for it.
func (c *Corridor) FinishRegister(ctx context.Context, s session.Session, ceremony string, payload []byte, peer Peer) (method.Credential, error) {
	panic("soon")
}

// Credentials lists what a user has registered, over all methods.
func (c *Corridor) Credentials(ctx context.Context, tenant idp.TenantID, user idp.UserID) ([]method.Credential, error) {
	panic("soon")
}

// Rename gives a credential of the session's user another name.
func (c *Corridor) Rename(ctx context.Context, s session.Session, m idp.MethodID, cred idp.CredentialID, name string, peer Peer) error {
	panic("soon")
}

// Remove takes a credential of the session's user away; never the last usable
// one, idp.Denied "last_method".
func (c *Corridor) Remove(ctx context.Context, s session.Session, m idp.MethodID, cred idp.CredentialID, peer Peer) error {
	panic("soon")
}

// BrowserDigest is what a Flow keeps of the browser cookie.
func BrowserDigest(cookie string) []byte { return nil }
