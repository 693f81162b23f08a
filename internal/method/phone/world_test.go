package phone

import (
	"context"
	"encoding/json"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var sources = []fs.FS{Migrations, bus.Migrations}

// passkeys stand for the passkey room: who holds which, and what is known of it.
type passkeys struct {
	Passkeys
	mu   sync.Mutex
	gone map[idp.CredentialID]bool
	fact idp.Facts
}

func (p *passkeys) Held(_ context.Context, _ sqldb.Querier, _ idp.TenantID, _ idp.UserID, id idp.CredentialID) (idp.Facts, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fact, !p.gone[id], nil
}

// post stands for package push.
type post struct {
	Push
	mu   sync.Mutex
	sent []sent
	more chan struct{} // after each
}

type sent struct {
	ref push.Ref
	to  push.Target
	msg push.Message
}

func (p *post) Queue(_ context.Context, tx *sqldb.Tx, ref push.Ref, to push.Target, m push.Message) error {
	tx.OnCommit(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sent = append(p.sent, sent{ref, to, m})
		select {
		case p.more <- struct{}{}:
		default:
		}
	})
	return nil
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

// world is a house with the room in it.
type world struct {
	*signintest.House
	room *Room
	keys *passkeys
	post *post
	// places are where addresses are; not named: unknown.
	places map[string]Where
}

func newRoom(t testing.TB, h *signintest.House, w *world) *Room {
	t.Helper()
	w.keys, w.post, w.places = &passkeys{gone: map[idp.CredentialID]bool{}}, &post{more: make(chan struct{}, 1)}, map[string]Where{}
	return w.node(t, h)
}

// node is one more server on the same database.
func (w *world) node(t testing.TB, h *signintest.House) *Room {
	t.Helper()
	room, err := New(Config{
		DB: h.DB, Now: h.Now, Bus: bus.New(h.DB, nil), BaseURL: "https://id.nordhafen.example",
		Rules: func(ctx context.Context, tenant idp.TenantID) (policy.PhoneRules, error) {
			p, err := h.Policies.Get(ctx, tenant)
			return p.Phone, err
		},
		For: func(ctx context.Context, u idp.User) (policy.PhoneFor, error) {
			p, who, err := h.Policies.For(ctx, u.Tenant, u)
			return p.PhoneFor(who), err
		},
		May: func(ctx context.Context, u idp.User) (policy.Refusal, error) {
			u.Enabled = true
			p, who, err := h.Policies.For(ctx, u.Tenant, u)
			return p.Judge(who, policy.Use, policy.Phone, nil).Refusal, err
		},
		Accepts: func(context.Context, idp.User, idp.Facts) (policy.Refusal, error) { return policy.Refusal{}, nil },
		Fold:    directory.Fold,
		Tenant: func(ctx context.Context, t idp.TenantID) (idp.Tenant, error) {
			return h.Directory.Tenant(ctx, t)
		},
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return h.Directory.User(ctx, h.DB, t, id)
		},
		UserByName: h.UserByName,
		Seal:       func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return h.Key(ctx, t, "phone.push") },
		Code:       func(ctx context.Context) (*secret.Key, error) { return h.Key(ctx, "common", "phone.code") },
		Decoy:      func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return h.Key(ctx, t, "phone.decoy") },
		Passkeys:   w.keys, Push: w.post,
		Place:  func(ip string) Where { return w.places[ip] },
		Remove: func(context.Context, idp.TenantID, idp.UserID, idp.CredentialID) error { return nil },
		Audit:  h.Audit.Write,
	})
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{}
	w.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		w.room = newRoom(t, h, w)
		return []method.Method{w.room}
	})
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, signintest.Sources(sources...), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

func sqliteWorld(t testing.TB) *world {
	return newWorld(t, sqldbtest.Open(t, signintest.Sources(sources...)))
}

// enrol gives a person an active phone.
func (w *world) enrol(t testing.TB, u idp.User) phoneRow {
	t.Helper()
	p := phoneRow{
		tenant: u.Tenant, id: idp.CredentialID(secret.NewUUID4()), user: u.ID, state: stateActive, name: "Phone", platform: "Android",
		app: "Signet 1.0", spki: secret.Bytes(91), passkey: idp.CredentialID(secret.Token()), pushKind: push.WebPush,
		address: "198.51.100.9", created: w.Now(), seen: w.Now(),
	}
	key, err := w.room.cfg.Seal(t.Context(), u.Tenant)
	if err == nil {
		p.push, err = sealTarget(key, p.tenant, p.id, push.Target{Kind: push.WebPush, Endpoint: "https://push.example/" + string(p.id)})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.store(t, p)
	return p
}

func (w *world) store(t testing.TB, p phoneRow) {
	t.Helper()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := lockHolder(ctx, tx, p.tenant, p.user); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update phone_holder set held = held + 1 where tenant_id = $1 and user_id = $2`, p.tenant, p.user); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into phone (`+phoneColumns+`) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			p.tenant, p.id, p.user, p.state, p.name, p.platform, p.app, p.spki, p.passkey, p.pushKind, p.push, p.address,
			p.created.UnixMilli(), stored(p.lastUsed), stored(p.seen))
		return err
	})
}

// from is a browser: the digest of its cookie, and to whom it is known.
func from(browser string, knows ...idp.User) method.Scene {
	s := method.Scene{
		Client: "app", App: "Payroll", IP: "203.0.113.7", Browser: []byte(browser),
		Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
	}
	for _, u := range knows {
		s.Knows = append(s.Knows, u.ID)
	}
	return s
}

// asked is a request that was made.
type asked struct {
	method.Answer
	Shown
}

func (w *world) challenge(t testing.TB, name string, s method.Scene) method.Challenge {
	t.Helper()
	c, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, UserName: name, Scene: s, Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask asks for the phones of who has the name, and tells them.
func (w *world) ask(t testing.TB, name string, s method.Scene) asked {
	t.Helper()
	c := w.challenge(t, name, s)
	w.Write(t, c.Settle)
	if err := w.room.Tell(t.Context(), w.Now()); err != nil {
		t.Fatal(err)
	}
	return w.shown(t, c)
}

func (w *world) shown(t testing.TB, c method.Challenge) asked {
	t.Helper()
	a := asked{Answer: method.Answer{Tenant: w.Tenant.ID, Keep: c.Keep}}
	if err := json.Unmarshal(c.Show, &a.Shown); err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) ready(t testing.TB, a asked) bool {
	t.Helper()
	a.Now = w.Now()
	ok, err := w.room.Ready(t.Context(), a.Answer)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func (w *world) verify(t testing.TB, a asked) (method.Verdict, error) {
	t.Helper()
	a.Now = w.Now()
	return w.room.Verify(t.Context(), a.Answer)
}

// redeem is what the corridor does with an answer, as far as the room goes.
func (w *world) redeem(t testing.TB, a asked) (idp.Proof, error) {
	t.Helper()
	v, err := w.verify(t, a)
	if err == nil {
		err = w.DB.Write(t.Context(), v.Settle)
	}
	return v.Proof, err
}

func (w *world) answer(p phoneRow, id string) answer {
	return answer{phone: p, request: id, address: "198.51.100.9", now: w.Now()}
}

func (w *world) approve(t testing.TB, p phoneRow, id, number string) (state, error) {
	t.Helper()
	a := w.answer(p, id)
	a.number = number
	return w.room.approve(t.Context(), a)
}

func (w *world) deny(t testing.TB, p phoneRow, id string, report bool) (state, error) {
	t.Helper()
	return w.room.deny(t.Context(), w.answer(p, id), report)
}

func (w *world) state(t testing.TB, a asked) state {
	t.Helper()
	q, err := requestByID(t.Context(), w.DB, w.Tenant.ID, a.Request)
	if err != nil {
		t.Fatal(err)
	}
	return q.state
}

func (w *world) rules(t testing.TB, change func(*policy.PhoneRules)) {
	t.Helper()
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { change(&p.Phone) })
}

// other is another number than this.
func other(number string) string {
	if number == "00" {
		return "01"
	}
	return "00"
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

func wantReason(t testing.TB, what string, err error, kind idp.Kind, want string) {
	t.Helper()
	if e := idp.AsError(err); err == nil || e.Kind != kind || e.Reason != want {
		t.Errorf("%s: %v, want %s %s", what, err, kind, want)
	}
}

func wantState(t testing.TB, what string, got, want state) {
	t.Helper()
	if got != want {
		t.Errorf("%s: request is %s, want %s", what, got, want)
	}
}

const minute = time.Minute

// person is somebody new.
func (w *world) person() idp.User {
	u := idp.User{Tenant: w.Tenant.ID, Name: "p" + secret.Token()[:12] + "@nordhafen.example", Enabled: true}
	err := w.DB.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		u, err = w.Directory.CreateUser(ctx, tx, idp.User{Tenant: u.Tenant, Name: u.Name, Enabled: true})
		return err
	})
	if err != nil {
		panic(err)
	}
	return u
}

func (w *world) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := w.DB.Exec(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// at is the answer as it is asked about then.
func (a asked) at(now time.Time) method.Answer {
	a.Now = now
	return a.Answer
}

func (w *world) again(t testing.TB, a asked) {
	t.Helper()
	settle, err := w.room.Again(t.Context(), a.at(w.Now()))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, settle)
}
