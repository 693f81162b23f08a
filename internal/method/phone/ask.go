package phone

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

const (
	// lives is how long a request waits for its phone (passkeys-and-phone.md
	// §6.4; five minutes are allowed, PHN02).
	lives = 120 * time.Second
	// grace is how long after that an approval of the last moment may still
	// come to the browser, and what became of the others is told.
	grace = 15 * time.Second

	// askMost unknown browsers may ask a person's phones in askWithin; known
	// ones may all the same (§6.4 step 6, decisions 5.3).
	askMost   = 3
	askWithin = 15 * time.Minute
	// backOffAt requests of unknown browsers that nobody approved within
	// backOffWithin, and none is told any more (PHN04).
	backOffAt     = 10
	backOffWithin = 24 * time.Hour

	// tellMost is how often phones are told of one request: at once, and twice
	// when somebody says that nothing has come (§6.5).
	tellMost = 3
)

// Shown is what a page shows of a request.
type Shown struct {
	Number  string    `json:"number"` // two digits
	Expires time.Time `json:"expires"`
	// Request is the id, for a link that opens the app on it. It opens nothing
	// without a phone of the person's, and the number.
	Request string `json:"request"`
}

// Challenge implements method.Method: it makes a request for the phones of the
// person who is known, or whose name was typed. Its Settle stores it. Names that
// nobody has, people without phones, and what may not be asked now get all the
// same, and nobody hears of it (T34). Invalid when nobody is named.
func (m *Room) Challenge(ctx context.Context, r method.Request) (method.Challenge, error) {
	who, there, err := m.asked(ctx, r)
	if err != nil {
		return method.Challenge{}, err
	}
	rules, err := m.cfg.For(ctx, who)
	if err != nil {
		return method.Challenge{}, fmt.Errorf("rules on phones: %w", err)
	}
	refusal, err := m.cfg.May(ctx, who)
	if err != nil {
		return method.Challenge{}, fmt.Errorf("policy on phones: %w", err)
	}
	phones, err := phonesOf(ctx, m.db, r.Tenant, who.ID)
	if err != nil {
		return method.Challenge{}, fmt.Errorf("phones to ask: %w", err)
	}
	known := slices.Contains(r.Scene.Knows, who.ID)
	may := there && who.Enabled && refusal.Allowed() && (known || rules.From != policy.FromKnown)
	now := r.Now.UTC().Truncate(time.Millisecond)
	text, err := json.Marshal(m.scene(r.Scene, rules, phones, known, now))
	if err != nil {
		return method.Challenge{}, fmt.Errorf("encode context: %w", err)
	}
	q := request{
		tenant: r.Tenant, id: base64.RawURLEncoding.EncodeToString(secret.Bytes(16)), subject: who.ID,
		browser: notNil(r.Scene.Browser), known: known, address: r.Scene.IP,
		number: number(), nonce: secret.Bytes(32), context: string(text), created: now, expires: now.Add(lives),
	}
	show, err := json.Marshal(Shown{Number: q.number, Expires: q.expires, Request: q.id})
	if err != nil {
		return method.Challenge{}, fmt.Errorf("encode request: %w", err)
	}
	return method.Challenge{
		Show: show, Keep: waitKeep{ID: q.id, Subject: q.subject}.bytes(), Lives: lives + grace,
		Settle: func(ctx context.Context, tx *sqldb.Tx) error { return m.ask(ctx, tx, q, may) },
	}, nil
}

// asked is whom a request is for: somebody, or what stands for a name that
// nobody has, always the same for the spellings of one.
func (m *Room) asked(ctx context.Context, r method.Request) (who idp.User, there bool, err error) {
	if r.User.Known() {
		return r.User, true, nil
	}
	if strings.TrimSpace(r.UserName) == "" {
		return who, false, idp.Invalidf("user_name_missing", "nobody is named whose phone to ask").On("userName").
			Say("Type your user name first.")
	}
	key, err := m.cfg.Decoy(ctx, r.Tenant)
	if err != nil {
		return who, false, err
	}
	who, err = m.cfg.UserByName(ctx, r.Tenant, r.UserName)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return who, false, fmt.Errorf("user by name: %w", err)
	}
	mac := key.MAC([]byte("phone subject"), []byte(m.cfg.Fold(r.UserName)))
	if err != nil {
		// No id of a person has this shape.
		return idp.User{ID: idp.UserID("~" + base64.RawURLEncoding.EncodeToString(mac)), Tenant: r.Tenant, Enabled: true}, false, nil
	}
	return who, true, nil
}

// ask stores a request: the same statements whoever is asked, and whether or
// not phones hear of it.
func (m *Room) ask(ctx context.Context, tx *sqldb.Tx, q request, may bool) error {
	if err := own(ctx, tx, q); err != nil {
		return fmt.Errorf("ask a phone: %w", err)
	}
	if err := displace(ctx, tx, q); err != nil {
		return fmt.Errorf("displace requests: %w", err)
	}
	if err := insertRequest(ctx, tx, q, may); err != nil {
		return fmt.Errorf("store request: %w", err)
	}
	tx.OnCommit(m.kick)
	return nil
}

// number is two random digits, each pair as likely as any other.
func number() string {
	for {
		// 200 is the largest multiple of 100 that a byte holds.
		if n := secret.Bytes(1)[0]; n < 200 {
			return fmt.Sprintf("%02d", n%100)
		}
	}
}

// notNil is b for a column that is never null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
