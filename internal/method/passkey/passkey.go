package passkey

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// ID is the room's word in flows, policies and proofs.
const ID = policy.Passkey

// Migrations are the room's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Config is what the room needs. RP ID and origins are an installation's
// settings, the same for all tenants (decisions 5.2).
type Config struct {
	DB *sqldb.DB

	RPID    string   // the domain name that keys are made for
	RPName  string   // shown by authenticators
	Origins []string // where our pages are: https://host, or http://localhost:port
	// RelatedOrigins are other https origins that may use the same keys
	// (WebAuthn Level 3, §5.11). At most five different names with Origins.
	RelatedOrigins []string
	// EnrollURL and ManageURL are what /.well-known/passkey-endpoints tells
	// password managers. Default: /account on the first of Origins.
	EnrollURL, ManageURL string

	Rules func(context.Context, idp.TenantID) (policy.PasskeyRules, error)
	// Wishes say what to ask of a browser for this person.
	Wishes func(context.Context, idp.User) (policy.Wishes, error)
	// Secret keys the decoys of a tenant; Mark keys what tells a decoy from an
	// id that is nobody's, and is one for all tenants, since ids are unique over all.
	Secret func(context.Context, idp.TenantID) (*secret.Key, error)
	Mark   func(context.Context) (*secret.Key, error)
	// User and UserByName are NotFound for who does not exist. Fold gives the
	// spellings of a name that UserByName takes for one, and no other, one text.
	User       func(context.Context, idp.TenantID, idp.UserID) (idp.User, error)
	UserByName func(context.Context, idp.TenantID, string) (idp.User, error)
	Fold       func(string) string

	// ExtraRPID is one more RP ID of the tenant, for assertions in one message
	// of a device, or "". Nil: no tenant has one.
	ExtraRPID func(context.Context, idp.TenantID) (string, error)

	// Platform is the Platform Credential that the person has with this public
	// key, by the SHA-256 of its SubjectPublicKeyInfo, and could prove themselves by
	// now; empty: none (decisions 5.1). tx may be nil. Nil: nobody has any.
	Platform func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, print []byte) (idp.CredentialID, error)

	// Models knows key models: a metadata.Registry.
	Models Models
	// Audit writes what no sign-in record says: "passkey.counter" when a
	// counter went back and the tenant lets that pass, "passkey.synced" when
	// a key became copyable, "passkey.attested" and "passkey.unattested" when
	// a newer list of models changed the verdict on a key. Nil: nothing is
	// written.
	Audit func(context.Context, *sqldb.Tx, audit.Event) error
}

// Models is what the room asks of the registry of key models.
type Models interface {
	// Judge says whether a verified statement proves the model, as of a time.
	Judge(metadata.Evidence, time.Time) metadata.Trust
	// Name is the name of a model, or "".
	Name(aaguid string) string
	// Verdict is what is known of a model at present.
	Verdict(aaguid string) metadata.Verdict
	// Number grows with every newer list; 0: there is none.
	Number() int64
}

var _ Models = (*metadata.Registry)(nil)

// Room is the passkey room. It is safe for concurrent use.
type Room struct {
	cfg      Config
	db       sqldb.Querier // reads only; writes go through the corridor's Tx
	site     site
	decoyKey []byte
	judged   atomic.Int64 // the list that every key was judged by, as far as this process knows
}

var (
	_ method.Method    = (*Room)(nil)
	_ method.Registrar = (*Room)(nil)
	_ method.OneShot   = (*Room)(nil)
	_ method.Manager   = (*Room)(nil)
	_ method.Mounter   = (*Room)(nil)
	_ method.Viewer    = (*Room)(nil)
	_ method.Worker    = (*Room)(nil)
)

// New checks the configuration and opens the room. All complaints come at once.
func New(c Config) (*Room, error) {
	var wrong []error
	if err := protocol.ValidateRPID(c.RPID); err != nil {
		wrong = append(wrong, fmt.Errorf("RP ID %q: %w", c.RPID, err))
	}
	if len(c.Origins) == 0 {
		wrong = append(wrong, errors.New("no origin"))
	}
	for _, o := range c.Origins {
		if err := checkOrigin(o); err != nil {
			wrong = append(wrong, err)
		} else if !covers(c.RPID, o) {
			wrong = append(wrong, fmt.Errorf("origin %s is not within RP ID %s", o, c.RPID))
		}
	}
	for _, o := range c.RelatedOrigins {
		if err := checkOrigin(o); err != nil {
			wrong = append(wrong, err)
		} else if !strings.HasPrefix(o, "https://") {
			wrong = append(wrong, fmt.Errorf("related origin %s is not https", o))
		}
	}
	if len(c.RelatedOrigins) > 0 {
		if _, err := protocol.NewRelatedOrigins(slices.Concat(c.Origins, c.RelatedOrigins)...); err != nil {
			wrong = append(wrong, fmt.Errorf("related origins: %w", err))
		}
	}
	if c.DB == nil || c.Rules == nil || c.Wishes == nil || c.Secret == nil || c.Mark == nil || c.User == nil || c.UserByName == nil || c.Fold == nil || c.Models == nil {
		wrong = append(wrong, errors.New("a dependency is missing"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	if c.RPName == "" {
		c.RPName = c.RPID
	}
	return &Room{
		cfg: c, db: c.DB, decoyKey: decoyCOSE(),
		site: site{
			rpID: c.RPID, idHash: sha256.Sum256([]byte(c.RPID)),
			origins: slices.Concat(c.Origins, c.RelatedOrigins),
		},
	}, nil
}

// checkOrigin wants an origin as browsers write it, since it is compared as text.
func checkOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("origin %q is not scheme://host[:port]", o)
	}
	if u.Scheme == "http" && u.Hostname() != "localhost" {
		return fmt.Errorf("origin %q: browsers allow passkeys only on https and localhost", o)
	}
	host := strings.ToLower(u.Host)
	if (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		host = strings.ToLower(u.Hostname())
	}
	if want := u.Scheme + "://" + host; o != want {
		return fmt.Errorf("origin %q: write it as %s", o, want)
	}
	return nil
}

// covers says whether a page at origin may use rpID (§5.1.3 step 8).
func covers(rpID, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Hostname() == rpID || strings.HasSuffix(u.Hostname(), "."+rpID))
}

// ID implements method.Method.
func (m *Room) ID() idp.MethodID { return ID }

// rules reads the tenant's rules that this room obeys.
func (m *Room) rules(ctx context.Context, tenant idp.TenantID) (rules, error) {
	p, err := m.cfg.Rules(ctx, tenant)
	if err != nil {
		return rules{}, err
	}
	return rules{limit: min(p.Limit, maxKeys), warnAt: p.WarnAt, counterBlocks: p.Counter == policy.CounterBlock}, nil
}

func (m *Room) note(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, row row, activity, outcome, reason string, now time.Time) error {
	if m.cfg.Audit == nil {
		return nil
	}
	return m.cfg.Audit(ctx, tx, audit.Event{
		Tenant: tenant, At: now, Category: "change", Activity: activity, Outcome: outcome, Reason: reason,
		Actor: string(row.user), User: row.user, Method: ID, Credential: row.id,
	})
}
