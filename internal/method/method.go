package method

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Request asks a room for a challenge. It names no transport: a page, a
// device and another host all ask alike.
type Request struct {
	Tenant idp.TenantID
	// User is the person as far as something proven or remembered says so;
	// the zero User when nobody is known yet.
	User idp.User
	// UserName is what somebody typed. The room must not let its reply tell
	// whether such a person exists: unknown names get decoys.
	UserName string
	Device   idp.DeviceID
	// Scene is where a sign-in is asked from; zero for everything else.
	Scene Scene
	// Session is the one that a person registers in; empty for everything else.
	Session idp.SessionID
	Now     time.Time
}

// Scene is what somebody who is asked elsewhere to approve a sign-in must know
// of where it comes from (ADR 0022). A room shows it, compares it and keeps it;
// it is no proof of anything.
type Scene struct {
	Client idp.ClientID // empty: our own pages
	App    string       // the name of the application; empty: our own pages
	IP     string
	Agent  string // the User-Agent as it was sent
	// Browser is the digest of the browser's cookie.
	Browser []byte
	// Knows are the people whom this browser is known to, and has shown to be
	// by its key (passkeys-and-phone.md §6.7).
	Knows []idp.UserID
}

// Challenge is what a room makes for a ceremony.
type Challenge struct {
	Show  json.RawMessage // goes to the page
	Keep  []byte          // comes back, sealed by the corridor, in Answer.Keep
	Lives time.Duration   // zero: the corridor's default, five minutes
	// Settle of a Waiter writes that its other road was asked: the corridor
	// runs it in the transaction that keeps the flow waiting, and it does the
	// same work whoever was named. That of a registration writes what the new
	// credential's other road must find. Nil for everything else: nothing
	// anonymous writes a row.
	Settle Settle
}

// Answer is what came back. Payload is untrusted bytes.
type Answer struct {
	Tenant  idp.TenantID
	User    idp.User // as in the Request; the zero User when nobody was known
	Device  idp.DeviceID
	Keep    []byte
	Payload []byte
	Now     time.Time
}

// Settle writes what goes with a verdict, inside the corridor's one
// transaction. Its first statement must be the conditional one that decides
// (is the credential still there? has the counter moved?); when that finds
// nothing it returns an idp.Error and has written nothing. It may run twice.
type Settle func(context.Context, *sqldb.Tx) error

// Verdict is a verified proof and what must be written with it.
type Verdict struct {
	// Proof, when it comes with an error, may name the user and credential
	// that the answer was about: for the audit, never for the reply.
	Proof idp.Proof
	// Genuine says, beside an error, that the answer was that credential's own
	// and is refused for another reason: a counter that went back, a rule.
	Genuine bool
	// Settle may be nil. When Verify fails, a Settle that comes with the
	// error is run too, to count the failure.
	Settle Settle
	// Until, when not zero, is when all that stands on this proof must end:
	// a session opened with an access pass ends with the pass.
	Until time.Time
	// Detail goes into the record of the sign-in, of a success and of a
	// refusal, and comes back to the door: what the answer was about, in the
	// room's own words, each beginning with its id. On a refusal it says
	// nothing that the one who answered does not know. The corridor bounds it;
	// its own words win.
	Detail map[string]string
}

// Method is what every room does.
type Method interface {
	ID() idp.MethodID
	// Challenge reads but never writes.
	Challenge(context.Context, Request) (Challenge, error)
	// Verify reads but never writes: effects go into the Verdict's Settle.
	// Its errors are Unproven with a Reason, whatever was wrong.
	Verify(context.Context, Answer) (Verdict, error)
}

// Registrar lets people add credentials on a page.
type Registrar interface {
	BeginRegister(context.Context, Request) (Challenge, error)
	FinishRegister(context.Context, Answer) (Registration, error)
}

// Registration is a verified new credential and what must be written for it.
type Registration struct {
	Credential Credential
	Settle     Settle
}

// OneShot is for methods whose whole answer is one message of a device
// protocol. KeepFrom makes, from a nonce the server gave out, the Keep that
// Verify needs; RegisterOnce registers without a page.
type OneShot interface {
	KeepFrom(nonce []byte) []byte
	RegisterOnce(context.Context, Answer) (Registration, error)
}

// Credential is one thing a user registered, as pages and reports see it.
type Credential struct {
	ID     idp.CredentialID
	Tenant idp.TenantID
	User   idp.UserID
	Method idp.MethodID
	Name   string // its owner's word
	Model  string // "YubiKey 5 NFC", empty when unknown
	Mode   idp.Mode
	Facts  idp.Facts
	// Properties are what a proof by it claims: those that a verified answer
	// would carry.
	Properties []idp.Property
	Created    time.Time
	LastUsed   time.Time // zero: never
	Expires    time.Time // zero: never
	Disabled   bool
	Orphaned   bool // its device is gone
	Weak       bool // its key can be factored (ROCA)
	// Needs is a credential of another room, by which this one proves as well:
	// without it this one proves nobody. Empty: it stands alone.
	Needs idp.CredentialID
	// Bootstrap credentials (an access pass) never count as a way in that
	// may be the last one.
	Bootstrap bool
	// Refusal is why policy would not let the person sign in with it now.
	// Rooms leave it alone; the corridor sets it.
	Refusal policy.Refusal
}

// Usable says whether the credential is a way in that lasts.
func (c Credential) Usable() bool {
	return !c.Bootstrap && !c.Disabled && !c.Orphaned && c.Refusal.Allowed()
}

// Asserted is what a passkey said over a challenge of another room's, verified
// (decisions 2.10).
type Asserted struct {
	Credential        idp.CredentialID
	AuthenticatorData []byte
	Signature         []byte
	Synced            bool
	// Settle writes the sign counter and the last use, and decides: the passkey
	// must still be there. Beside an error it counts the failure, or is nil.
	Settle Settle
}

// Manager shows, renames and takes away credentials, and lets policy judge
// them in bulk. Rename and Remove write in the caller's transaction, so that
// the audit record commits with them; both return NotFound when the tenant
// or user does not match.
type Manager interface {
	List(context.Context, idp.TenantID, idp.UserID) ([]Credential, error)
	Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error
	Remove(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) error
	// Count says, inside a transaction, how many credentials of the user
	// could open a session now.
	Count(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) (int, error)
	// Walk calls fn for every credential of the tenant, in no order.
	Walk(context.Context, idp.TenantID, func(Credential) error) error
}

// Restorer is for methods that keep what was removed for thirty days. Restore
// writes in the caller's transaction and is NotFound for what is not there, or
// not any more; Removed calls fn for all that could be restored, with when it
// was removed, those of one user together.
type Restorer interface {
	Removed(ctx context.Context, t idp.TenantID, fn func(c Credential, removed time.Time) error) error
	Restore(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) (Credential, error)
}

// Waiter is for methods whose answer comes by another road. Ready reads only:
// asking it burns nothing, and what it says of a finished wait, refused or
// late as well as approved, Verify says in full.
type Waiter interface {
	Ready(context.Context, Answer) (bool, error)
	// Changed is closed when Ready may have something else to say, on any
	// node; it may be closed too often, never too seldom. stop gives it back.
	Changed(Answer) (changed <-chan struct{}, stop func())
	// Again sends once more whatever told the other road, for somebody to whom
	// nothing has come; what it returns is run in a transaction. Limited when
	// it was sent often enough.
	Again(context.Context, Answer) (Settle, error)
}

// Away is for methods whose answer is fetched at another address of this
// server: the browser goes there and comes back with it (decisions 5.6). Show
// is {"go": URL}, where the browser is sent; a sealed flow does not fit into an
// address, so it is stored meanwhile (ADR 0022), and what the page adds to the
// URL, "flow", comes back with the answer. Else it is a ceremony like any other.
type Away interface {
	// Away does nothing: a room has it or has it not.
	Away()
}

// Withdrawer takes back what it asked by its other road, when nobody waits for
// it any more. What is not waiting by then it leaves as it is.
type Withdrawer interface {
	Withdraw(Answer) Settle
}

// Mounter adds endpoints of the room's own.
type Mounter interface {
	Mount(mux *http.ServeMux)
}

// View is what the sign-in page shows of a method.
type View struct {
	Action   string        // data-action of its button: "signin-passkey"
	Icon     string        // symbol name
	Label    string        // catalogue key of the button
	Note     string        // catalogue key of the line under it, in "other ways"
	Primary  bool          // has a button of its own; else a row under "other ways"
	Fragment template.HTML // extra fields, when the method needs some
	Scripts  []string      // asset names of the room's ES modules
}

// Shape says how the credentials of a room look in a Graph-shaped API
// (decisions 2.11).
type Shape struct {
	Collection string // "fido2Methods"
	Type       string // "fido2AuthenticationMethod"
	// Fields are the properties beyond id and createdDateTime.
	Fields func(Credential) map[string]any
}

// Shaper shows its credentials in the Graph-shaped API.
type Shaper interface{ Shape() Shape }

// Viewer has a page fragment.
type Viewer interface{ View() View }

// Worker has background work.
type Worker interface{ Jobs() []job.Job }
