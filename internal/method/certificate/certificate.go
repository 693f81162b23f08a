package certificate

import (
	"cmp"
	"context"
	"crypto/x509"
	"embed"
	"errors"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// ID is the room's word in policies and proofs.
const ID = policy.Certificate

// Path is where a browser makes its handshake, below the tenant and on the
// listener that asks for certificates; Return is where it comes back to, below
// the tenant on the main host (decisions 5.6).
const (
	Path   = "/certificate"
	Return = "/signin/certificate"
)

// Migrations are the room's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Trust is what the room asks of the tenant's authorities.
type Trust interface {
	// Verify builds and checks the path of leaf, with what came beside it.
	// Errors are Unproven with a Reason that begins with "certificate_".
	Verify(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r trust.Rules) (trust.Verified, error)
	// Holds says, by q, whether the authorities of such a path are trusted still.
	Holds(ctx context.Context, q sqldb.Querier, t idp.TenantID, v trust.Verified) (bool, error)
	// Steps is the same for people.
	Steps(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r trust.Rules) (trust.Trace, error)
}

// Config is what the room needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	// Base is the address of the main host: https://id.example.
	Base string
	// Address is where browsers of a tenant make their handshake, a name of its
	// own or the one that all share: https://id.example:8443. Empty: nowhere, and
	// nobody signs in with a certificate on a page.
	Address func(context.Context, idp.TenantID) (string, error)
	// Tenant finds the tenant that a path names; NotFound when there is none.
	Tenant func(ctx context.Context, ref string) (idp.Tenant, error)
	// Handshake says which certificates a request came with: those of its TLS
	// connection, or what the one proxy that may says it was (security.md
	// CBA09); the leaf first, none when none was sent.
	Handshake func(*http.Request) ([]*x509.Certificate, error)
	// Key seals what ties a handshake to a sign-in.
	Key func(context.Context, idp.TenantID) (*secret.Key, error)
	// Rules are those of the tenant.
	Rules func(context.Context, idp.TenantID) (policy.CertificateRules, error)
	Trust Trust
	// Stands gives what says whether a path of some issuers, as Facts have them,
	// could hold at present: its anchor is trusted, and none of them was switched
	// off or removed. It reads by q.
	Stands func(ctx context.Context, q sqldb.Querier, t idp.TenantID) (func(issuers []string) bool, error)
	// Issuer is what the tenant's tokens name as their issuer, one of the
	// audiences of a message.
	Issuer func(idp.TenantID) string
	// Users are the people of whom a property is one of values, compared as that
	// property is: names without letter case, certificateUserIds exactly.
	Users func(ctx context.Context, t idp.TenantID, p policy.UserProperty, values []string) ([]idp.User, error)
	// Judge is what policy says of a person's sign-in with a certificate of
	// these facts: whose it is to use (scopes), whether the method is theirs. The
	// corridor asks it for a sign-in; the room does for Explain.
	Judge func(context.Context, idp.User, idp.Facts) (policy.Refusal, error)
	// Handshakes is how many of one source are taken in, a minute; a source may
	// be an office. Zero: 240.
	Handshakes int
}

// Room is the room of certificates. It is safe for concurrent use.
type Room struct {
	cfg    Config
	db     sqldb.Querier
	door   *web.Limiter // of the handshake's address, by source
	recent recent
}

var (
	_ method.Method   = (*Room)(nil)
	_ method.OneShot  = (*Room)(nil)
	_ method.Away     = (*Room)(nil)
	_ method.Manager  = (*Room)(nil)
	_ method.Restorer = (*Room)(nil)
	_ method.Viewer   = (*Room)(nil)
	_ method.Worker   = (*Room)(nil)
)

// New opens the room.
func New(c Config) (*Room, error) {
	if c.DB == nil || c.Now == nil || c.Base == "" || c.Address == nil || c.Tenant == nil || c.Handshake == nil || c.Key == nil ||
		c.Rules == nil || c.Trust == nil || c.Stands == nil || c.Issuer == nil || c.Users == nil || c.Judge == nil {
		return nil, errors.New("certificate: a dependency is missing")
	}
	door := web.NewLimiter(cmp.Or(c.Handshakes, 240), time.Minute, 50_000, c.Now)
	return &Room{cfg: c, db: c.DB, door: door, recent: recent{kept: map[string]handover{}}}, nil
}

// ID implements method.Method.
func (m *Room) ID() idp.MethodID { return ID }

// Away implements method.Away: the handshake is made at another address.
func (m *Room) Away() {}

// View implements method.Viewer: a row among the other ways, until somebody has
// come by it (the page remembers that).
func (m *Room) View() method.View {
	return method.View{Action: "signin-certificate", Icon: "badge", Label: "method.certificate", Note: "method.certificate.note"}
}
