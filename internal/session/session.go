package session

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Session is what a browser holds after a flow.
type Session struct {
	ID     idp.SessionID // not a secret; the sid of tokens and of the audit
	Tenant idp.TenantID
	User   idp.UserID
	Proofs []idp.Proof
	// ProofTime is when the user last made a verified gesture, here or at the
	// machine whose token the session stands on; no renewal moves it. MFATime is when multi-factor was last proven, carried as
	// Entra does (decisions 2.5).
	ProofTime, MFATime time.Time
	Opened, LastSeen   time.Time
	// Expires is the absolute end. A value given to Open or Renew can only
	// shorten what the tenant's limits allow.
	Expires time.Time
	// Restricted sessions were opened by an access pass and may do one
	// thing: register a method (decisions 2.8).
	Restricted bool
	// PRT is the primary refresh token that the session stands on and ends
	// with, and Device the machine that brought it; empty: none. The absolute
	// limit of such a session counts from its opening, since what it stands on
	// is older by nature (security.md SES02).
	PRT       idp.SessionID
	Device    idp.DeviceID
	Agent, IP string
	Browser   []byte // digest of the browser cookie; may be empty

	digest []byte // of the bearer secret, as read: Renew is conditional on it
	bearer string // as presented by the browser; empty when found by id
	ended  bool
	epoch  int64
}

// Bearer is the value this browser presented, for Set and Drop to replace.
// It is empty for a session that was found by its id.
func (s Session) Bearer() string { return s.bearer }

// String names the session without its secret.
func (s Session) String() string { return "session " + string(s.ID) }

// GoString names the session without its secret.
func (s Session) GoString() string { return s.String() }

// LogValue names the session without its secret.
func (s Session) LogValue() slog.Value { return slog.StringValue(string(s.ID)) }

// Config is what a Store needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	// Limits gives the tenant's idle and absolute limits. The absolute one
	// counts from the last gesture: signing in again starts it anew.
	Limits func(context.Context, idp.TenantID) (idle, absolute time.Duration, err error)
	// Stands says whether what a session came by still stands: its primary
	// refresh token, when it has one, and its device. Nil: nothing of the kind
	// does, and such a session is dead.
	Stands func(ctx context.Context, q sqldb.Querier, t idp.TenantID, prt idp.SessionID, device idp.DeviceID) (bool, error)
	// Secure gives the cookies the __Host- prefix and the Secure attribute.
	Secure bool
	// Epoch is the restore epoch (decisions 1.7): sessions of another one
	// are dead. Nil means that it never changes.
	Epoch func() int64
}

// Store opens, finds and ends sessions.
type Store struct {
	db     *sqldb.DB
	now    func() time.Time
	limits func(context.Context, idp.TenantID) (time.Duration, time.Duration, error)
	stands func(context.Context, sqldb.Querier, idp.TenantID, idp.SessionID, idp.DeviceID) (bool, error)
	secure bool
	epoch  func() int64
}

// New makes a Store.
func New(c Config) *Store {
	if c.Epoch == nil {
		c.Epoch = func() int64 { return 0 }
	}
	return &Store{db: c.DB, now: c.Now, limits: c.Limits, stands: c.Stands, secure: c.Secure, epoch: c.Epoch}
}

// maxProofs bounds what a session remembers; the oldest go first.
const maxProofs = 8

// Open writes a new session on s.Proofs and returns it with its bearer, which
// is nowhere else. Id, times and end are filled in here.
func (st *Store) Open(ctx context.Context, tx *sqldb.Tx, s Session) (Session, string, error) {
	_, absolute, err := st.limits(ctx, s.Tenant)
	if err != nil {
		return Session{}, "", fmt.Errorf("session limits: %w", err)
	}
	now := st.now()
	s.ID = idp.SessionID(secret.NewUUID7(now))
	s.Opened, s.LastSeen = now, now
	s.Proofs = merge(nil, s.Proofs)
	s.stand(now, absolute)
	s.epoch = st.epoch()
	s.bearer, s.digest = newBearer(s.ID)
	if err := insert(ctx, tx, s); err != nil {
		return Session{}, "", fmt.Errorf("open session: %w", err)
	}
	return s, s.bearer, nil
}

// Renew adds proofs to s and gives it a new bearer: the id stays, the old
// bearer is dead (SES01). Of several renewals from one bearer one wins; to
// the others, and for a session that has ended, it is idp.Expired.
func (st *Store) Renew(ctx context.Context, tx *sqldb.Tx, s Session, proofs []idp.Proof) (Session, string, error) {
	_, absolute, err := st.limits(ctx, s.Tenant)
	if err != nil {
		return Session{}, "", fmt.Errorf("session limits: %w", err)
	}
	now, old := st.now(), s.digest
	s.LastSeen = now
	if s.PRT == "" {
		s.Expires = time.Time{} // what stands on a token ends when it did before
	}
	s.Proofs = merge(s.Proofs, proofs)
	s.stand(now, absolute)
	s.bearer, s.digest = newBearer(s.ID)
	if err := renew(ctx, tx, s, old); err != nil {
		return Session{}, "", err
	}
	return s, s.bearer, nil
}

// stand derives the two times and the end from the proofs.
func (s *Session) stand(now time.Time, absolute time.Duration) {
	s.ProofTime = time.Time{}
	for _, p := range s.Proofs {
		// What was approved elsewhere is no gesture at this browser.
		if p.Time.After(s.ProofTime) && !p.Has(idp.Remote) {
			s.ProofTime = p.Time
		}
		if p.Has(idp.MultiFactor) && p.Time.After(s.MFATime) {
			s.MFATime = p.Time
		}
	}
	end := now.Add(absolute)
	if s.Expires.IsZero() || s.Expires.After(end) {
		s.Expires = end
	}
}

// merge keeps, for each credential, the latest proof; the newest maxProofs of
// them, oldest first.
func merge(old, add []idp.Proof) []idp.Proof {
	var out []idp.Proof
	for _, p := range slices.Concat(old, add) {
		same := func(q idp.Proof) bool { return q.Method == p.Method && q.Credential == p.Credential }
		if i := slices.IndexFunc(out, same); i >= 0 {
			if p.Time.Before(out[i].Time) {
				continue
			}
			out = slices.Delete(out, i, i+1)
		}
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b idp.Proof) int { return a.Time.Compare(b.Time) })
	return out[max(0, len(out)-maxProofs):]
}

// alive says whether s may be used: not ended, of this epoch, and inside both
// limits as they are now, so that a tightened policy reaches open sessions.
func (s Session) alive(now time.Time, idle, absolute time.Duration, epoch int64) bool {
	from := s.ProofTime
	if s.PRT != "" {
		from = s.Opened
	}
	return !s.ended && s.epoch == epoch &&
		now.Before(s.Expires) &&
		now.Before(from.Add(absolute)) &&
		now.Before(s.LastSeen.Add(idle))
}

// Find gives the live session of bearer in tenant. Whatever is wrong with it
// (malformed, unknown, of another tenant, ended, too old), it is
// idp.NotFound.
func (st *Store) Find(ctx context.Context, tenant idp.TenantID, bearer string) (Session, error) {
	id, digest, ok := parseBearer(bearer)
	if !ok {
		return Session{}, idp.NotFoundf("session_unknown", "malformed bearer")
	}
	s, err := st.ByID(ctx, st.db, tenant, id)
	if err != nil {
		return Session{}, err
	}
	if !secret.Equal(s.digest, digest) {
		return Session{}, idp.NotFoundf("session_unknown", "session %s: other bearer", id)
	}
	s.bearer = bearer
	return s, nil
}

// ByID gives a live session of the tenant by its id, or idp.NotFound.
func (st *Store) ByID(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, id idp.SessionID) (Session, error) {
	s, err := load(ctx, q, tenant, id)
	if err != nil {
		return Session{}, fmt.Errorf("find session %s: %w", id, err)
	}
	ok, err := st.live(ctx, q, s)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, idp.NotFoundf("session_over", "session %s", id)
	}
	return s, nil
}

// Alive says whether the session may still be stood on: token asks before it
// refreshes or introspects. An unknown session is not alive.
func (st *Store) Alive(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, id idp.SessionID) (bool, error) {
	s, err := loadLife(ctx, q, tenant, id)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find session %s: %w", id, err)
	}
	return st.live(ctx, q, s)
}

func (st *Store) live(ctx context.Context, q sqldb.Querier, s Session) (bool, error) {
	idle, absolute, err := st.limits(ctx, s.Tenant)
	if err != nil {
		return false, fmt.Errorf("session limits: %w", err)
	}
	if !s.alive(st.now(), idle, absolute, st.epoch()) {
		return false, nil
	}
	return st.standing(ctx, q, s)
}

// standing asks for what s came by, when it came by something.
func (st *Store) standing(ctx context.Context, q sqldb.Querier, s Session) (bool, error) {
	if s.PRT == "" && s.Device == "" {
		return true, nil
	}
	if st.stands == nil {
		return false, nil
	}
	ok, err := st.stands(ctx, q, s.Tenant, s.PRT, s.Device)
	if err != nil {
		return false, fmt.Errorf("what session %s stands on: %w", s.ID, err)
	}
	return ok, nil
}

// touchEvery is how old LastSeen may get before a use writes it: one write a
// minute and session, at the price of ending up to a minute early.
const touchEvery = time.Minute

// Touch notes that s was used. It writes at most once a minute.
func (st *Store) Touch(ctx context.Context, s Session) error {
	now := st.now()
	if now.Sub(s.LastSeen) < touchEvery {
		return nil
	}
	return touch(ctx, st.db, s, now)
}

// End ends a session. Ending it again is no error; one that the tenant does
// not have is idp.NotFound.
func (st *Store) End(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, id idp.SessionID) error {
	return end(ctx, tx, tenant, id, st.now())
}

// EndAll ends all live sessions of the user but one (empty: none is spared)
// and says how many.
func (st *Store) EndAll(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, except idp.SessionID) (int, error) {
	return endAll(ctx, tx, tenant, user, except, st.now())
}

// EndDevice ends all sessions that belong to a device which is switched off: they
// do not come back when it is switched on again. It fits device.OnDisable.
func (st *Store) EndDevice(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, d idp.DeviceID) error {
	return endDevice(ctx, tx, tenant, d, st.now())
}

// EndStanding ends the live sessions of the user that stand on a credential
// which is going away, but one (SES03), and says how many.
func (st *Store) EndStanding(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID,
	m idp.MethodID, cred idp.CredentialID, except idp.SessionID) (int, error) {
	on := func(p idp.Proof) bool { return p.Method == m && p.Credential == cred }
	n, now := 0, st.now()
	for last := idp.SessionID(""); ; {
		part, err := after(ctx, tx, tenant, user, last, now)
		if err != nil || len(part) == 0 {
			return n, err
		}
		for _, s := range part {
			last = s.ID
			if s.ID == except || !slices.ContainsFunc(s.Proofs, on) {
				continue
			}
			if err := end(ctx, tx, tenant, s.ID, now); err != nil {
				return n, err
			}
			n++
		}
	}
}

// List gives the live sessions of a user, newest first, 500 at most.
func (st *Store) List(ctx context.Context, tenant idp.TenantID, user idp.UserID) ([]Session, error) {
	all, err := live(ctx, st.db, tenant, user, st.now())
	if err != nil {
		return nil, err
	}
	idle, absolute, err := st.limits(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("session limits: %w", err)
	}
	now, epoch := st.now(), st.epoch()
	var out []Session
	for _, s := range all {
		if !s.alive(now, idle, absolute, epoch) {
			continue
		}
		ok, err := st.standing(ctx, st.db, s)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// Known says whether the user has had another full session in this browser,
// by the digest of its cookie (decisions 2.9).
func (st *Store) Known(ctx context.Context, q sqldb.Querier, s Session, browser []byte) (bool, error) {
	all, err := kept(ctx, q, s.Tenant, s.User)
	if err != nil {
		return false, err
	}
	epoch := st.epoch()
	return slices.ContainsFunc(all, func(o Session) bool {
		return o.ID != s.ID && !o.Restricted && o.epoch == epoch && len(browser) > 0 && bytes.Equal(o.Browser, browser)
	}), nil
}

// A bearer is the session's id, so that it is found by a time-ordered key, and
// 256 random bits, of which the row keeps only a digest.
const (
	idLen     = 16
	secretLen = 32
	bearerLen = (idLen + secretLen) / 3 * 4
)

func newBearer(id idp.SessionID) (bearer string, digest []byte) {
	raw, err := hex.DecodeString(strings.ReplaceAll(string(id), "-", ""))
	if err != nil || len(raw) != idLen {
		panic("session: id is no UUID: " + string(id)) // made by us a line above
	}
	bearer = base64.RawURLEncoding.EncodeToString(append(raw, secret.Bytes(secretLen)...))
	return bearer, secret.Digest(bearer)
}

// parseBearer reads untrusted text. It accepts one spelling of each bearer
// only, since the digest is of the text.
func parseBearer(s string) (idp.SessionID, []byte, bool) {
	if len(s) != bearerLen {
		return "", nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != idLen+secretLen {
		return "", nil, false
	}
	h := hex.EncodeToString(raw[:idLen])
	id := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	return idp.SessionID(id), secret.Digest(s), true
}

// RemoveUser deletes all that is kept of a person who is deleted.
func (st *Store) RemoveUser(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	return removeUser(ctx, tx, tenant, user)
}
