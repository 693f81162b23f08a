package nonce

import (
	"context"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of what was spent.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// ServerNonce is the purpose of the nonces that the token endpoint gives out, and
// CommonScope takes the tenant's place in one that is good in every tenant
// (decisions 1.4). RegistrationNonce is that of the nonces of the registration
// service, which an attestation is made on: neither does in the place of the
// other (decisions 4.8).
const (
	ServerNonce       = "nonce"
	RegistrationNonce = "nonce.registration"
	CommonScope       = "common"
)

// MaxLife is the longest that a value may live.
const MaxLife = 24 * time.Hour

// Ahead is by how much a value may be from the future: the clocks of two nodes
// are up to five seconds apart in peace (security.md REL07), and six times that
// does no harm. One further ahead was made by a clock that was wrong, and would
// live longer than it should.
const Ahead = 30 * time.Second

// MaxValue is the longest value that Open looks at, and that Seal makes.
const MaxValue = 16 << 10

// Config is what a Box needs.
type Config struct {
	// Keys gives the sealing key of a tenant and purpose.
	Keys func(context.Context, idp.TenantID, string) (*secret.Key, error)
	// Epoch is part of every value; raising it voids all that were made before.
	Epoch func() int64
	Now   func() time.Time
}

// Box seals and opens values.
type Box struct{ cfg Config }

// New makes a Box.
func New(cfg Config) *Box { return &Box{cfg} }

// Sealed is an opened value.
type Sealed struct {
	Tenant  idp.TenantID
	Purpose string
	// ID names the value in the spent set: 6 bytes of time, then 10 of the
	// random bytes it was sealed with. The time comes first so that rows
	// arrive in order.
	ID      []byte
	Expires time.Time
	Payload []byte
}

// A sealed value is what secret.Key makes of: made (8) ‖ expiry (8) ‖ payload,
// times in Unix milliseconds. It begins with the random bytes that the cipher
// drew, which no two values of a key share: they name the value as well as
// others drawn for that alone would.
const (
	idSize   = 16
	headSize = 16
	drawn    = 12 // what secret.Key.Seal puts first
)

// Seal makes a value for the purpose that lives so long. It writes nothing. A
// payload whose value Open would not look at is Invalid.
func (b *Box) Seal(ctx context.Context, t idp.TenantID, purpose string, lives time.Duration, payload []byte) (string, error) {
	if lives > MaxLife {
		return "", fmt.Errorf("sealed value for %s would live %s, longer than its use is remembered", purpose, lives)
	}
	key, err := b.cfg.Keys(ctx, t, purpose)
	if err != nil {
		return "", fmt.Errorf("sealing key %s: %w", purpose, err)
	}
	now := b.cfg.Now()
	buf := make([]byte, 0, headSize+len(payload)+b.aadSize(t, purpose))
	buf = binary.BigEndian.AppendUint64(buf, uint64(now.UnixMilli()))
	buf = binary.BigEndian.AppendUint64(buf, uint64(now.Add(lives).UnixMilli()))
	buf = append(buf, payload...)
	plain := len(buf)
	buf = b.appendAAD(buf, t, purpose)
	value := base64.RawURLEncoding.EncodeToString(key.Seal(buf[:plain:plain], buf[plain:]))
	if len(value) > MaxValue {
		return "", idp.Invalidf("too_long", "sealed value for %s of %d bytes", purpose, len(value)).Say("The request is too long.")
	}
	return value, nil
}

// Open reads a value that Seal made for the same tenant and purpose in this
// epoch. A late one is Expired with the reason "late", one from the future
// (Ahead) with "early"; both come back beside the error: they are ours, and a
// caller may have to end what they led to. All else that may be wrong is Expired
// with the reason "unreadable", whatever it was. That a value opens does not say
// that it was not spent: only Burn does.
func (b *Box) Open(ctx context.Context, t idp.TenantID, purpose, value string) (Sealed, error) {
	// The decoder passes over line breaks: with them a value could be written
	// in many ways.
	if value == "" || len(value) > MaxValue || strings.IndexByte(value, '\r') >= 0 || strings.IndexByte(value, '\n') >= 0 {
		return Sealed{}, unreadable(purpose)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(raw) < drawn {
		return Sealed{}, unreadable(purpose)
	}
	key, err := b.cfg.Keys(ctx, t, purpose)
	if errors.Is(err, idp.NotFound) {
		return Sealed{}, unreadable(purpose)
	}
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing key %s: %w", purpose, err)
	}
	plain, err := key.Open(raw, b.appendAAD(make([]byte, 0, b.aadSize(t, purpose)), t, purpose))
	if err != nil || len(plain) < headSize {
		return Sealed{}, unreadable(purpose)
	}
	id := make([]byte, 0, idSize)
	id = append(id, plain[2:8]...)
	id = append(id, raw[drawn-10:drawn]...)
	s := Sealed{
		Tenant: t, Purpose: purpose, ID: id, Payload: plain[headSize:],
		Expires: time.UnixMilli(int64(binary.BigEndian.Uint64(plain[8:headSize]))),
	}
	now := b.cfg.Now()
	if made := time.UnixMilli(int64(binary.BigEndian.Uint64(plain[:8]))); made.Sub(now) > Ahead {
		return s, idp.Expiredf("early", "sealed value for %s was made at %s, which this server's clock has not reached", purpose, made.UTC())
	}
	// No leeway: both ends of a sealed value's life are our own clock.
	if !now.Before(s.Expires) {
		return s, idp.Expiredf("late", "sealed value for %s ended at %s", purpose, s.Expires.UTC())
	}
	return s, nil
}

func unreadable(purpose string) error {
	return idp.Expiredf("unreadable", "sealed value for %s", purpose)
}

// appendAAD appends what a value is bound to: epoch, tenant and purpose. An id
// has no zero byte, so that no two pairs give the same bytes.
func (b *Box) appendAAD(a []byte, t idp.TenantID, purpose string) []byte {
	a = binary.BigEndian.AppendUint64(a, uint64(b.cfg.Epoch()))
	a = append(a, t...)
	a = append(a, 0)
	return append(a, purpose...)
}

func (b *Box) aadSize(t idp.TenantID, purpose string) int { return 8 + len(t) + 1 + len(purpose) }

// OpenServer opens a nonce that the token endpoint gave out, for the tenant or
// good in any (decisions 1.4). Errors are those of Open.
func (b *Box) OpenServer(ctx context.Context, t idp.TenantID, value string) (Sealed, error) {
	n, err := b.Open(ctx, t, ServerNonce, value)
	if Unreadable(err) {
		n, err = b.Open(ctx, CommonScope, ServerNonce, value)
	}
	return n, err
}

// Unreadable says of an error of Open that the value is none of ours, and not
// that it is late.
func Unreadable(err error) bool {
	return errors.Is(err, idp.Expired) && idp.AsError(err).Reason == "unreadable"
}

// Burn spends the value. Of several callers, on whatever node, one gets nil;
// the others get Expired with the reason "spent".
func Burn(ctx context.Context, tx *sqldb.Tx, s Sealed) error {
	n, err := tx.Exec(ctx, `
		insert into spent (id, tenant_id, purpose, expires_at) values ($1, $2, $3, $4)
		on conflict (id, tenant_id, purpose) do nothing`,
		s.ID, s.Tenant, s.Purpose, s.Expires.UnixMilli())
	if err != nil {
		return fmt.Errorf("burn %s: %w", s.Purpose, err)
	}
	if n == 0 {
		return idp.Expiredf("spent", "sealed value for %s was used before", s.Purpose)
	}
	return nil
}

// Spent says whether the value was burnt. It is for telling somebody early;
// what must happen once asks Burn.
func Spent(ctx context.Context, q sqldb.Querier, s Sealed) (bool, error) {
	var one int64
	err := q.QueryRow(ctx, `select 1 from spent where id = $1 and tenant_id = $2 and purpose = $3`,
		s.ID, s.Tenant, s.Purpose).Scan(&one)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// sweepBatch bounds how long one sweep holds the writer.
const sweepBatch = 2000

// Jobs forgets, in batches, what could not be opened any more anyway: what is
// older than any value may live, and an hour for a clock that was set back.
func Jobs(db *sqldb.DB) []job.Job {
	return []job.Job{{Name: "nonce.sweep", Every: 5 * time.Minute, Forgets: true, Run: func(ctx context.Context, now time.Time) error {
		for {
			n, err := db.Exec(ctx, `
				delete from spent where (id, tenant_id, purpose) in (
					select id, tenant_id, purpose from spent where id < $1 order by id limit $2)`,
				timed(now.Add(-MaxLife-time.Hour)), sweepBatch)
			if err != nil || n < sweepBatch {
				return err
			}
		}
	}}}
}

// timed is the beginning of every id of that millisecond.
func timed(t time.Time) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(t.UnixMilli(), 0))<<16)
	return b[:6]
}

// ID makes the id of something that must happen once though it was not sealed
// here: a name that somebody else chose, which is over at the given time.
func ID(until time.Time, name string) []byte {
	return append(timed(until), secret.Digest(name)...)
}
