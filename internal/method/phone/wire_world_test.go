package phone_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const base = "https://id.nordhafen.example"

// postman stands for package push.
type postman struct {
	mu     sync.Mutex
	queued []push.Ref
	sent   []push.Message
	result push.Result
}

func (p *postman) Queue(_ context.Context, tx *sqldb.Tx, ref push.Ref, _ push.Target, m push.Message) error {
	tx.OnCommit(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queued, p.sent = append(p.queued, ref), append(p.sent, m)
	})
	return nil
}

func (p *postman) Send(_ context.Context, _ push.Target, m push.Message) push.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, m)
	return p.result
}

func (p *postman) Check(to push.Target) error {
	if to.Endpoint == "https://127.0.0.1/" {
		return idp.Invalidf("push_endpoint", "endpoint %s", to.Endpoint).On("push.endpoint").Say("No messages are sent there.")
	}
	return nil
}

func (p *postman) PublicKey(context.Context) (string, error) { return "BPublicKey", nil }
func (p *postman) Kinds() []string                           { return []string{push.WebPush} }

func (p *postman) told() []push.Ref {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.queued)
}

// house has both rooms, and the addresses that phones speak to.
type house struct {
	*signintest.House
	phones *phone.Room
	keys   *passkey.Room
	post   *postman
	mux    http.Handler
	peer   signin.Peer
}

// more is what the rooms store beyond what a house does.
var more = []fs.FS{phone.Migrations, passkey.Migrations, bus.Migrations}

func sources() []fs.FS { return signintest.Sources(more...) }

func newHouse(t testing.TB, db *sqldb.DB) *house {
	w := &house{post: &postman{result: push.Result{Outcome: push.Delivered}}}
	w.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		w.House = h
		w.keys, w.phones = w.passkeys(t, h), nil
		w.phones = w.room(t, h)
		return []method.Method{w.keys, w.phones}
	})
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Attestation = policy.AttestationNone })
	w.Policy(t, w.Other.ID, func(p *policy.Policy) { p.Passkey.Attestation = policy.AttestationNone })
	mux := http.NewServeMux()
	w.phones.Mount(mux)
	w.mux, w.peer = mux, w.Peer("desk")
	return w
}

func (w *house) passkeys(t testing.TB, h *signintest.House) *passkey.Room {
	t.Helper()
	room, err := passkey.New(passkey.Config{
		DB: h.DB, RPID: "id.nordhafen.example", RPName: "Nordhafen", Origins: []string{base},
		Models: metadata.New(metadata.Config{Now: h.Now}),
		Rules: func(ctx context.Context, t idp.TenantID) (policy.PasskeyRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Passkey, err
		},
		Wishes: func(ctx context.Context, u idp.User) (policy.Wishes, error) {
			p, who, err := h.Policies.For(ctx, u.Tenant, u)
			return p.Wishes(who), err
		},
		Secret:     func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return h.Key(ctx, t, "passkey.decoy") },
		Mark:       func(ctx context.Context) (*secret.Key, error) { return h.Key(ctx, "common", "passkey.mark") },
		Fold:       directory.Fold,
		User:       w.user,
		UserByName: h.UserByName,
		Audit:      h.Audit.Write,
	})
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func (w *house) room(t testing.TB, h *signintest.House) *phone.Room {
	t.Helper()
	room, err := phone.New(phone.Config{
		DB: h.DB, Now: h.Now, Bus: bus.New(h.DB, nil), BaseURL: base,
		Rules: func(ctx context.Context, t idp.TenantID) (policy.PhoneRules, error) {
			p, err := h.Policies.Get(ctx, t)
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
		Accepts: func(ctx context.Context, u idp.User, f idp.Facts) (policy.Refusal, error) {
			p, who, err := h.Policies.For(ctx, u.Tenant, u)
			if err != nil || !p.Judge(who, policy.Use, policy.Passkey, nil).Allowed() {
				return policy.Refusal{}, err
			}
			return p.Judge(who, policy.Add, policy.Passkey, &f).Refusal, nil
		},
		Fold: directory.Fold,
		Tenant: func(ctx context.Context, t idp.TenantID) (idp.Tenant, error) {
			return h.Directory.Tenant(ctx, t)
		},
		User:       w.user,
		UserByName: h.UserByName,
		Seal:       func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return h.Key(ctx, t, "phone.push") },
		Code:       func(ctx context.Context) (*secret.Key, error) { return h.Key(ctx, "common", "phone.code") },
		Decoy:      func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return h.Key(ctx, t, "phone.decoy") },
		Passkeys:   w.keys, Push: w.post,
		Place: func(string) phone.Where { return phone.Where{Kind: "unknown"} },
		Remove: func(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
			return h.Corridor.RemoveFor(ctx, t, u, phone.ID, id, string(u), signin.Peer{})
		},
		Audit: h.Audit.Write,
	})
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func (w *house) user(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
	return w.Directory.User(ctx, w.DB, t, id)
}

func each(t *testing.T, fn func(t *testing.T, w *house)) {
	t.Helper()
	sqldbtest.Each(t, sources(), func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db)) })
}

func onSQLite(t testing.TB) *house { return newHouse(t, sqldbtest.Open(t, sources())) }

// device is a phone with the app that knows nobody yet.
func (w *house) device() *phonetest.Phone { return phonetest.New(base, w.mux, w.Now) }

// begun is an enrolment on its page.
type begun struct {
	signin.Begun
	phone.Show
	session session.Session
}

func (w *house) begin(t testing.TB, s session.Session) begun {
	t.Helper()
	b, err := w.tryBegin(t, s)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return b
}

func (w *house) tryBegin(t testing.TB, s session.Session) (begun, error) {
	t.Helper()
	b, err := w.Corridor.BeginRegister(t.Context(), s, phone.ID, w.peer)
	out := begun{Begun: b, session: s}
	if err == nil {
		err = json.Unmarshal(b.Show, &out.Show)
	}
	return out, err
}

func (w *house) confirm(t testing.TB, b begun) (method.Credential, error) {
	t.Helper()
	return w.Corridor.FinishRegister(t.Context(), b.session, b.Ceremony, []byte(`{"confirm":true}`), w.peer)
}

func (w *house) state(t testing.TB, u idp.User, b begun) phone.Enrolment {
	t.Helper()
	e, err := w.phones.Enrolment(t.Context(), u.Tenant, u.ID, b.Enrolment)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// enrol gives a person a phone that may answer.
func (w *house) enrol(t testing.TB, u idp.User) *phonetest.Phone {
	t.Helper()
	p := w.device()
	p.Push = &phonewire.Push{Kind: push.WebPush, Endpoint: "https://push.example/1", P256DH: "AA", Auth: "AA"}
	w.enrolWith(t, u, p)
	return p
}

func (w *house) enrolWith(t testing.TB, u idp.User, p *phonetest.Phone) {
	t.Helper()
	b := w.begin(t, w.Session(t, u))
	if _, err := p.Enrol(b.Link); err != nil {
		t.Fatalf("enrol: %v", err)
	}
	if c, err := w.confirm(t, b); err != nil || string(c.ID) != p.ID {
		t.Fatalf("confirm: %+v, %v", c, err)
	}
}

// ask begins a sign-in by phone and gives what the page shows.
func (w *house) ask(t testing.TB, u idp.User) (phone.Shown, method.Challenge) {
	t.Helper()
	c, err := w.phones.Challenge(t.Context(), method.Request{
		Tenant: u.Tenant, UserName: u.Name, Now: w.Now(),
		Scene: method.Scene{App: "Payroll", IP: "203.0.113.7", Browser: []byte("desk"), Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, c.Settle)
	var shown phone.Shown
	if err := json.Unmarshal(c.Show, &shown); err != nil {
		t.Fatal(err)
	}
	return shown, c
}

// waiting is the one request that a phone sees.
func waiting(t testing.TB, p *phonetest.Phone) phonewire.Request {
	t.Helper()
	all, err := p.Requests()
	if err != nil || len(all) != 1 {
		t.Fatalf("requests: %+v, %v", all, err)
	}
	return all[0]
}

// redeem is what the corridor does for the browser that waits.
func (w *house) redeem(t testing.TB, u idp.User, c method.Challenge) (idp.Proof, error) {
	t.Helper()
	v, err := w.phones.Verify(t.Context(), method.Answer{Tenant: u.Tenant, Keep: c.Keep, Now: w.Now()})
	if err == nil {
		err = w.DB.Write(t.Context(), v.Settle)
	}
	return v.Proof, err
}

func (w *house) phoneRules(t testing.TB, change func(*policy.PhoneRules)) {
	t.Helper()
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { change(&p.Phone) })
}

// wantWord checks the word and the status that a phone was refused with.
func wantWord(t testing.TB, what string, err error, status int, word string) {
	t.Helper()
	var r *phonetest.Refusal
	if !errors.As(err, &r) || r.Status != status || r.Fault.Error != word {
		t.Errorf("%s: %v, want %d %s", what, err, status, word)
		return
	}
	if r.Text == "" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: sentence %q, Cache-Control %q", what, r.Text, r.Header.Get("Cache-Control"))
	}
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// other is another number than this.
func other(number string) string {
	if number == "00" {
		return "01"
	}
	return "00"
}

const minute = time.Minute
