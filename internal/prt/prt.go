package prt

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of PRTs.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Overlap is how long the generation before the current one stays good: the
// answer to a renewal may have been lost (decisions 3.3).
const Overlap = 10 * time.Minute

// maxAgent is how much of a User-Agent is kept, in characters.
const maxAgent = 256

// AADSTS numbers of this package (device-protocol.md §3.2) [K].
const (
	codeUnreadable = 70000
	codeRevoked    = 50173
	codeOver       = 700082
	codeMAC        = 140001
	codeKDF        = 5000611
)

// Protocol is which dialect a PRT was asked for in (device-protocol.md §7).
type Protocol string

// The dialects.
const (
	Classic Protocol = "classic" // windows_api_version
	V3      Protocol = "3.0"     // prt_protocol_version 3.0
	V4      Protocol = "4.0"     // the device signs each use; there is no session key
	Mac     Protocol = "mac"     // Platform SSO: as V4, and one row a person and Mac (Login)
)

// PRT is a primary refresh token, without its secrets.
type PRT struct {
	ID     idp.SessionID // stands where a session's id stands
	Tenant idp.TenantID
	User   idp.UserID
	Device idp.DeviceID
	// Proofs are what it stands on: how it was obtained and nothing else
	// (security.md DEV09).
	Proofs []idp.Proof
	// ProofTime is when the user last made a verified gesture, MFATime is
	// carried and renewed as Entra does (decisions 2.5). Zero: Prepare takes
	// them from Proofs.
	ProofTime, MFATime time.Time
	// Direct says that the request for the PRT itself held the proof, of a
	// Hello key, a passkey or a certificate, and not a refresh token that
	// carries one. Only then a renewal moves MFATime (entra-behaviours.md §6.5).
	Direct     bool
	Protocol   Protocol
	KDF        int // the version that its uses are bound to: 2, or 0 while none is
	Generation int64
	Issued     time.Time
	Renewed    time.Time // when the current generation began
	LastUsed   time.Time
	Expires    time.Time // sliding
	Ends       time.Time // absolute
	Agent, IP  string    // of who asked for it
}

// Config is what a Service needs.
type Config struct {
	DB    *sqldb.DB
	Keys  *keyring.Ring
	Audit *audit.Log
	Now   func() time.Time
	// Epoch is part of every value; raising it voids all that were made before
	// (decisions 1.7).
	Epoch func() int64
	// Lives gives the tenant's sliding and absolute limits. They count for
	// PRTs that exist already, too.
	Lives func(context.Context, idp.TenantID) (idle, absolute time.Duration, err error)
	// Bus tells other nodes of changes. Nil: every use reads the row.
	Bus *bus.Bus
	// OnEnd is called in the transaction that ends a PRT, once for each, to
	// end what stands on it. It may be nil.
	OnEnd func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.SessionID) error
}

// Service issues and judges PRTs. It is safe for concurrent use.
type Service struct {
	cfg  Config
	rows *cache.Cache[key, row] // what Find reads
}

// New makes a Service.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg}
	s.remember()
	return s
}

// Issued is a PRT ready to be written: its value and session key exist nowhere
// else. SessionKey has 32 bytes, and is nil for V4 and Mac.
type Issued struct {
	PRT        PRT
	Value      string // of Mac only after Login
	SessionKey []byte

	key  *secret.Key // of Mac: what Login seals the value with
	idle time.Duration
	life time.Duration
}

// Opened is a presented PRT that is one of ours and stands: row read, not
// revoked, in time, of a generation that is still good. That whoever sent it
// holds its session key is not said yet: Prove says it.
type Opened struct {
	PRT        PRT
	SessionKey []byte // 32 bytes; nil for V4 and Mac
	// Presented is the generation of what was presented: the current one, or
	// the one before it, within its Overlap or of a Mac at any time.
	Presented int64

	key *secret.Key // that successors are sealed with
}

// Secrets never print: not by a fmt verb, not in a log, not in JSON.

// Format names the PRT.
func (i Issued) Format(f fmt.State, _ rune) { name(f, i.PRT.ID) }

// LogValue names the PRT.
func (i Issued) LogValue() slog.Value { return slog.StringValue("prt " + string(i.PRT.ID)) }

// MarshalJSON refuses: the door writes value and key where they belong.
func (i Issued) MarshalJSON() ([]byte, error) { return nil, errSecret }

// Format names the PRT.
func (o Opened) Format(f fmt.State, _ rune) { name(f, o.PRT.ID) }

// LogValue names the PRT.
func (o Opened) LogValue() slog.Value { return slog.StringValue("prt " + string(o.PRT.ID)) }

// MarshalJSON refuses.
func (o Opened) MarshalJSON() ([]byte, error) { return nil, errSecret }

var errSecret = errors.New("a PRT is never written as JSON")

func name(f fmt.State, id idp.SessionID) { fmt.Fprintf(f, "prt %s", string(id)) }

// Prepare makes a PRT of p's tenant, user, device, proofs, protocol, KDF, agent
// and address; id, times and ends are filled in. A given Ends can only shorten
// what the tenant allows. It writes nothing but may have to make the tenant's key,
// so it must not be called in a transaction.
func (s *Service) Prepare(ctx context.Context, p PRT) (Issued, error) {
	idle, absolute, err := s.cfg.Lives(ctx, p.Tenant)
	if err != nil {
		return Issued{}, fmt.Errorf("lives of PRTs: %w", err)
	}
	key, err := s.key(ctx, p.Tenant)
	if err != nil {
		return Issued{}, err
	}
	now := s.cfg.Now()
	p.ID, p.Generation = idp.SessionID(secret.NewUUID7(now)), 1
	p.Issued, p.Renewed, p.LastUsed = now, now, now
	if p.Ends.IsZero() || p.Ends.After(now.Add(absolute)) {
		p.Ends = now.Add(absolute)
	}
	p.Expires = earlier(now.Add(idle), p.Ends)
	p.Agent = audit.Clean(p.Agent, maxAgent) // what is no text no column takes
	p.stand()
	i := Issued{PRT: p}
	switch p.Protocol {
	case Mac: // whose row may be there already
		i.key, i.idle, i.life = key, idle, absolute
		return i, nil
	case V4:
	default:
		i.SessionKey = secret.Bytes(sessionKeySize)
	}
	i.Value, err = s.seal(key, p, i.SessionKey)
	return i, err
}

// stand takes the two times from the proofs, where they are not given.
func (p *PRT) stand() {
	given, mfa := !p.ProofTime.IsZero(), !p.MFATime.IsZero()
	for _, proof := range p.Proofs {
		if !given && proof.Time.After(p.ProofTime) {
			p.ProofTime = proof.Time
		}
		if !mfa && proof.Has(idp.MultiFactor) && proof.Time.After(p.MFATime) {
			p.MFATime = proof.Time
		}
	}
}

// Add writes a prepared PRT, of any protocol but Mac: those are Login's.
func (s *Service) Add(ctx context.Context, tx *sqldb.Tx, i Issued) error {
	return insert(ctx, tx, i.PRT, s.cfg.Epoch())
}

// Find opens a presented value for the tenant, which must exist: one read at
// most, since rows are kept for as long as no node has told of a change; none is
// refused by what was kept. Every refusal is Expired, with the reason and AADSTS number of device-protocol.md §3.2:
// "prt_unreadable" 70000, "prt_revoked" 50173, "prt_over" 700082, "prt_reuse"
// 50173. Beside every refusal but the first the Opened comes back too, so that
// the caller can tell the owner of the session key from somebody who found a
// value: a generation that is too old revokes nothing until Reused is called by
// who has checked Prove.
func (s *Service) Find(ctx context.Context, t idp.TenantID, value string) (Opened, error) {
	idle, absolute, err := s.cfg.Lives(ctx, t)
	if err != nil {
		return Opened{}, fmt.Errorf("lives of PRTs: %w", err)
	}
	b, seal, err := s.open(ctx, t, value)
	if err != nil {
		return Opened{}, err
	}
	at := key{t, b.id}
	var r row
	if b.mac { // not kept: Login tells nobody
		r, err = load(ctx, s.cfg.DB, t, b.id, "")
	} else {
		r, err = s.rows.Get(ctx, at)
	}
	if err == nil && !b.mac && s.refuse(r, b.generation, idle, absolute) != nil {
		// Another node may have moved on, and the notice be on its way.
		s.rows.Drop(at)
		r, err = s.rows.Get(ctx, at)
	}
	o := Opened{PRT: r.PRT, SessionKey: b.sessionKey, Presented: b.generation, key: seal}
	switch {
	case errors.Is(err, idp.NotFound): // its user was removed, or it is long over
		o.PRT = PRT{ID: b.id, Tenant: t}
		return o, revoked(b.id)
	case err != nil:
		return Opened{}, err
	}
	return o, s.refuse(r, b.generation, idle, absolute)
}

// refuse says why a PRT is not good in this generation; nil when it is.
func (s *Service) refuse(r row, generation int64, idle, absolute time.Duration) error {
	switch {
	case r.ended || r.epoch != s.cfg.Epoch():
		return revoked(r.ID)
	case !r.inTime(s.cfg.Now(), idle, absolute):
		return idp.Expiredf("prt_over", "prt %s", r.ID).Coded(codeOver)
	case s.stale(r.PRT, generation):
		return reused(r.PRT, generation)
	}
	return nil
}

func revoked(id idp.SessionID) error {
	return idp.Expiredf("prt_revoked", "prt %s", id).Coded(codeRevoked)
}

func reused(p PRT, generation int64) error {
	return idp.Expiredf("prt_reuse", "generation %d of prt %s, current is %d", generation, p.ID, p.Generation).Coded(codeRevoked)
}

// stale says whether this generation is one too many: neither the current one,
// nor the one before it within Overlap, on either side: a renewal from the
// future is one before the clock was set back (security.md REL07). A Mac has no
// Overlap, since it may come back after days with what it had before an answer
// that was lost (decisions 1.6).
func (s *Service) stale(p PRT, generation int64) bool {
	switch p.Generation {
	case generation:
		return false
	case generation + 1:
		return p.Protocol != Mac && s.cfg.Now().Sub(p.Renewed).Abs() >= Overlap
	}
	return true
}

// inTime says whether a PRT is inside its ends, and inside the limits as they
// are now, so that a tightened policy reaches PRTs that exist.
func (p PRT) inTime(now time.Time, idle, absolute time.Duration) bool {
	return now.Before(p.Expires) && now.Before(p.Ends) &&
		now.Before(p.Renewed.Add(idle)) && now.Before(p.Issued.Add(absolute))
}

// Prove checks that m was made by the holder of the session key, for this
// payload (device-protocol.md §8.4; security.md DEV06). What does not verify is
// Unproven, "wrong_signature", 140001. A good proof by derivation version 1 of a
// PRT that is bound to version 2 is Unproven, "kdf_downgrade", 5000611; whether
// version 1 is good enough for one that is not bound is policy's (m.KDF).
func (o Opened) Prove(m jose.Loose) error {
	if len(o.SessionKey) != sessionKeySize || m.Alg != "HS256" {
		return idp.Unprovenf("wrong_signature", "prt %s has no session key, or %s is no proof of it", o.PRT.ID, m.Alg).Coded(codeMAC)
	}
	version := max(m.KDF, 1)
	if err := m.VerifyMAC(Derive(o.SessionKey, version, m.Ctx, m.Payload)); err != nil {
		return idp.Unprovenf("wrong_signature", "prt %s: %w", o.PRT.ID, err).Coded(codeMAC)
	}
	if o.PRT.KDF == 2 && version != 2 {
		return idp.Unprovenf("kdf_downgrade", "prt %s is bound to version 2", o.PRT.ID).Coded(codeKDF)
	}
	return nil
}

// AnswerKey is the key for an answer with this context (device-protocol.md
// §8.2: always version 1); a jose.KeyFor.
func (o Opened) AnswerKey(ctx []byte) ([]byte, error) {
	if len(o.SessionKey) != sessionKeySize {
		return nil, fmt.Errorf("prt %s has no session key", o.PRT.ID)
	}
	return Derive(o.SessionKey, 1, ctx, nil), nil
}

// Derive gives the key for one message: SP 800-108 counter mode with
// HMAC-SHA-256, label "AzureAD-SecureConversation". version is 1 or 2; version
// 2 hashes the payload into the context (device-protocol.md §8.2).
func Derive(sessionKey []byte, version int, ctx, payload []byte) []byte {
	return jose.Derive(sessionKey, version, ctx, payload)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
