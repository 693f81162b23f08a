package mac

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// TokenID names a registration token; it is no secret.
type TokenID string

// Bounds of registration tokens (security.md PSO01: short, single use).
const (
	DefaultTokenLife = 24 * time.Hour
	MaxTokenLife     = 7 * 24 * time.Hour
	MaxTokenUses     = 100
)

// tokenShort is the shortest life of a token: below it nobody could use one.
const tokenShort = time.Minute

// tokenPrefix is what the value of each token begins with: who finds one, or
// scans for secrets, knows what it is, and no program takes it for a formula or
// an option.
const tokenPrefix = "smr_"

// Longest texts of a token and of a Mac's hardware, in bytes.
const (
	maxNote   = 120
	maxSerial = 64
)

// Token registers a Mac with nobody at its keyboard: it goes into the profile
// that a Mac gets, and is worth a pending device, no more (decisions 5.4). What
// is kept is the digest of its value, which has 256 random bits.
type Token struct {
	Tenant idp.TenantID
	ID     TokenID
	// By is the person who opened it; empty: an administrator did at the
	// command line.
	By idp.UserID
	// For is the person to whom the Mac will belong, and the only one who may
	// activate it; empty: the first who does.
	For idp.UserID
	// Serial is the one serial number with which it is good, as CleanSerial
	// spells it; empty: any.
	Serial   string
	Note     string // what it is for, as who opened it said
	Uses     int    // Macs that it may register
	Used     int
	Device   idp.DeviceID // the last that it registered
	Created  time.Time
	Expires  time.Time
	LastUsed time.Time // zero: never
	Revoked  time.Time // zero: it was not
}

// Good says whether the token may still be used at that time.
func (t Token) Good(now time.Time) bool {
	return t.Revoked.IsZero() && t.Used < t.Uses && now.Before(t.Expires)
}

// TokenRequest says what a token is to be good for.
type TokenRequest struct {
	Tenant  idp.TenantID
	By, For idp.UserID
	Serial  string
	Note    string
	Uses    int           // 0: one
	Lives   time.Duration // 0: DefaultTokenLife
}

// Tokens are the registration tokens of all tenants.
type Tokens struct{ cfg Config }

// Issue makes a token and gives its value, which is nowhere else and is shown
// once. One for nobody and no serial number is for who opened it; at the command
// line nobody did, and it is Invalid "token_unbound": a token is bound to a
// person or to a Mac. Other Invalid ones name the member: "bad_serial",
// "bad_lives", "bad_uses".
func (s *Tokens) Issue(ctx context.Context, tx *sqldb.Tx, q TokenRequest) (Token, string, error) {
	t, err := s.prepare(q)
	if err != nil {
		return Token{}, "", err
	}
	value := tokenPrefix + secret.Token()
	if err := insertToken(ctx, tx, t, secret.Digest(value)); err != nil {
		return Token{}, "", err
	}
	return t, value, nil
}

func (s *Tokens) prepare(q TokenRequest) (Token, error) {
	now := s.cfg.now()
	t := Token{
		Tenant: q.Tenant, ID: TokenID(secret.NewUUID4()), By: q.By, For: q.For, Serial: CleanSerial(q.Serial),
		Note: strings.TrimSpace(audit.Clean(strings.TrimSpace(q.Note), maxNote)), Uses: q.Uses, Created: now,
	}
	if t.Uses == 0 {
		t.Uses = 1
	}
	if q.Lives == 0 {
		q.Lives = DefaultTokenLife
	}
	t.Expires = now.Add(q.Lives)
	if t.For == "" && t.Serial == "" {
		t.For = t.By
	}
	switch {
	case q.Serial != "" && t.Serial == "":
		return Token{}, idp.Invalidf("bad_serial", "serial number %.80q", q.Serial).On("serial").
			Say("A serial number has at most " + strconv.Itoa(maxSerial) + " letters and digits.")
	case q.Lives < tokenShort || q.Lives > MaxTokenLife:
		return Token{}, idp.Invalidf("bad_lives", "life %s", q.Lives).On("lives").
			Say("A registration token lives for at least a minute and at most " + MaxTokenLife.String() + ".")
	case t.Uses < 1 || t.Uses > MaxTokenUses:
		return Token{}, idp.Invalidf("bad_uses", "%d uses", q.Uses).On("uses").
			Say("A registration token is good for 1 to " + strconv.Itoa(MaxTokenUses) + " Macs.")
	case t.Serial != "" && t.Uses > 1:
		return Token{}, idp.Invalidf("bad_uses", "%d uses of one serial number", q.Uses).On("uses").
			Say("A registration token for one serial number is good for one Mac.")
	case t.For == "" && t.Serial == "":
		return Token{}, idp.Invalidf("token_unbound", "a token for nobody and no Mac").On("serial").
			Say("A registration token is for a person or for a serial number. Name one.")
	}
	return t, nil
}

// CleanSerial is the one spelling of a serial number or hardware UUID: upper
// case, without what is around it; empty when it cannot be one.
func CleanSerial(s string) string {
	s = strings.TrimSpace(s)
	odd := func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-'
	}
	if len(s) > maxSerial || strings.ContainsFunc(s, odd) { // before: some letters of others become these
		return ""
	}
	return strings.ToUpper(s)
}

// Find reads a token by its value, before anything is verified. Every refusal is
// Unproven, told in the one same sentence: "token_unknown" (none of the tenant's,
// or bent), "token_over", "token_spent", "token_revoked", "token_serial" (another
// Mac's). That it is good now does not say that it is when it is used: only Use
// does. serial is what the Mac says, or shows.
func (s *Tokens) Find(ctx context.Context, t idp.TenantID, value, serial string) (Token, error) {
	found, err := findToken(ctx, s.cfg.DB, t, secret.Digest(value))
	if errors.Is(err, idp.NotFound) {
		return Token{}, badToken("token_unknown", "value of %d bytes", len(value))
	}
	if err != nil {
		return Token{}, fmt.Errorf("find a registration token: %w", err)
	}
	return found, s.judge(found, serial)
}

func (s *Tokens) judge(t Token, serial string) error {
	switch {
	case !t.Revoked.IsZero():
		return badToken("token_revoked", "token %s", t.ID)
	case !s.cfg.now().Before(t.Expires):
		return badToken("token_over", "token %s", t.ID)
	case t.Used >= t.Uses:
		return badToken("token_spent", "token %s, used %d times", t.ID, t.Used)
	case t.Serial != "" && t.Serial != CleanSerial(serial):
		return badToken("token_serial", "token %s is for %s, not %.80q", t.ID, t.Serial, serial)
	}
	return nil
}

// Use takes one use of a token that Find gave, in the transaction of the
// registration: one conditional statement, so of many registrations with one
// token as many commit as it has uses. Refusals are those of Find.
func (s *Tokens) Use(ctx context.Context, tx *sqldb.Tx, t Token, d idp.DeviceID, serial string) error {
	now := s.cfg.now()
	n, err := tx.Exec(ctx, `
		update mac_token set used = used + 1, device_id = $3, last_used = $4
		where tenant_id = $1 and id = $2 and revoked = 0 and used < uses and expires > $4 and (serial = '' or serial = $5)`,
		t.Tenant, t.ID, d, now.UnixMilli(), CleanSerial(serial))
	if err != nil {
		return fmt.Errorf("use registration token %s: %w", t.ID, err)
	}
	if n == 1 {
		return nil
	}
	// Which of the reasons it is, for the record.
	t, err = getToken(ctx, tx, t.Tenant, t.ID)
	if errors.Is(err, idp.NotFound) {
		return badToken("token_unknown", "token %s is gone", t.ID)
	}
	if err != nil {
		return fmt.Errorf("use registration token %s: %w", t.ID, err)
	}
	if err := s.judge(t, serial); err != nil {
		return err
	}
	return badToken("token_spent", "token %s", t.ID)
}

func badToken(reason, format string, args ...any) error {
	return idp.Unprovenf(reason, format, args...).Say("The registration token is not good here. Get a new one.")
}

// Get reads a token by its id. NotFound when the tenant has none such.
func (s *Tokens) Get(ctx context.Context, q sqldb.Querier, t idp.TenantID, id TokenID) (Token, error) {
	found, err := getToken(ctx, q, t, id)
	if errors.Is(err, idp.NotFound) {
		return Token{}, noToken(id)
	}
	return found, err
}

func noToken(id TokenID) error {
	return idp.NotFoundf("token_unknown", "registration token %.40q", string(id)).Say("There is no such registration token.")
}

// Revoke takes a token back. Doing so again changes nothing; NotFound when the
// tenant has none such.
func (s *Tokens) Revoke(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id TokenID) (Token, error) {
	_, err := tx.Exec(ctx, `update mac_token set revoked = $3 where tenant_id = $1 and id = $2 and revoked = 0`, t, id, s.cfg.now().UnixMilli())
	if err != nil {
		return Token{}, fmt.Errorf("revoke registration token %s: %w", id, err)
	}
	return s.Get(ctx, tx, t, id)
}

// TokenPage asks for a part of the list of tokens.
type TokenPage struct {
	After string // the cursor that came with the part before; empty: from the start
	Limit int    // 100 when 0, at most 999 (decisions 3.7)
	// Good lists only those that may still be used.
	Good bool
	// By lists only those that this person opened; empty: all.
	By idp.UserID
}

// List lists tokens in the order in which they were opened, and the cursor of
// the next part; an empty one at the end. Those that are over stay for 30 days.
func (s *Tokens) List(ctx context.Context, t idp.TenantID, p TokenPage) ([]Token, string, error) {
	return listTokens(ctx, s.cfg.DB, t, p, s.cfg.now())
}
