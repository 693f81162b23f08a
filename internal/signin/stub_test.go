package signin_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// Stub rooms try the contract in the four shapes that methods come in
// (decisions 2.1). Their keys are shared secrets and their answers MACs: what
// is tried is the corridor, not the proof.

var stubs = []fs.FS{fstest.MapFS{"migrations/299901010000_stub.sql": {Data: []byte(`-- +goose Up
create table stub (
    tenant_id text not null,
    id text not null,
    user_id text not null,
    room text not null,
    secret bytea not null,
    name text not null,
    used bigint not null,
    created bigint not null,
    primary key (tenant_id, id)
);
create table stub_road (
    tenant_id text not null,
    id bytea not null,
    ceremony bytea not null,
    answer text not null,
    expires bigint not null,
    primary key (tenant_id, id)
);`)}}}

// stub is what the four have in common: credentials, and judging a MAC over
// the challenge.
type stub struct {
	id         idp.MethodID
	h          *signintest.House
	mode       idp.Mode
	properties []idp.Property
	bootstrap  bool
	lives      time.Duration
	facts      idp.Facts         // of every credential
	detail     map[string]string // of every verdict of a handover

	mu       sync.Mutex
	onVerify func() error  // runs in Verify, before it judges
	settle   func() error  // runs in Settle, after the statement
	register func() error  // runs in the Settle of a registration, before the statement
	begins   method.Settle // of the challenge of a registration
}

func newStub(h *signintest.House, id idp.MethodID) *stub {
	return &stub{
		id: id, h: h, mode: idp.Mode(id),
		properties: []idp.Property{idp.Possession, idp.MultiFactor, idp.PhishingResistant},
	}
}

func (s *stub) ID() idp.MethodID { return s.id }

// answer is what a stub key says.
type answer struct {
	Credential idp.CredentialID `json:"credential"`
	MAC        []byte           `json:"mac"`
}

func mac(key, challenge []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(challenge)
	return m.Sum(nil)
}

func (s *stub) judge(ctx context.Context, a method.Answer, raw, challenge []byte) (method.Verdict, error) {
	s.mu.Lock()
	hook, settle := s.onVerify, s.settle
	s.mu.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return method.Verdict{}, err
		}
	}
	var in answer
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return method.Verdict{}, idp.Unprovenf("stub_malformed", "answer: %w", err)
	}
	var user idp.UserID
	var key []byte
	err := s.h.DB.QueryRow(ctx, `select user_id, secret from stub where tenant_id = $1 and id = $2 and room = $3`,
		a.Tenant, in.Credential, s.id).Scan(&user, &key)
	if errors.Is(err, idp.NotFound) {
		return method.Verdict{}, idp.Unprovenf("stub_unknown", "credential %q", in.Credential)
	}
	if err != nil {
		return method.Verdict{}, err
	}
	if !hmac.Equal(in.MAC, mac(key, challenge)) {
		return method.Verdict{Proof: idp.Proof{Tenant: a.Tenant, User: user, Credential: in.Credential}}, idp.Unprovenf("stub_wrong", "wrong MAC")
	}
	v := method.Verdict{
		Proof: idp.Proof{
			Tenant: a.Tenant, User: user, Method: s.id, Mode: s.mode, Credential: in.Credential,
			Properties: s.properties, AMR: []string{string(s.id)}, Time: a.Now, Facts: s.facts,
		},
		Settle: func(ctx context.Context, tx *sqldb.Tx) error {
			n, err := tx.Exec(ctx, `update stub set used = used + 1 where tenant_id = $1 and id = $2`, a.Tenant, in.Credential)
			if err != nil {
				return err
			}
			if n == 0 {
				return idp.Unprovenf("stub_gone", "credential %q", in.Credential)
			}
			if settle != nil {
				return settle()
			}
			return nil
		},
	}
	if s.lives > 0 {
		v.Until = a.Now.Add(s.lives)
	}
	return v, nil
}

// enrol gives u a credential and returns its id and key.
func (s *stub) enrol(t testing.TB, u idp.User) (idp.CredentialID, []byte) {
	t.Helper()
	id, key := idp.CredentialID(secret.NewUUID4()), secret.Bytes(32)
	s.h.Write(t, s.insert(u.Tenant, u.ID, id, key))
	return id, key
}

func (s *stub) insert(tenant idp.TenantID, user idp.UserID, id idp.CredentialID, key []byte) method.Settle {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		if s.register != nil {
			if err := s.register(); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `
			insert into stub (tenant_id, id, user_id, room, secret, name, used, created)
			values ($1, $2, $3, $4, $5, '', 0, $6)`, tenant, id, user, s.id, key, s.h.Now().UnixMilli())
		return err
	}
}

func encode(id idp.CredentialID, m []byte) []byte {
	b, _ := json.Marshal(answer{id, m})
	return b
}

// The side of a Manager.

func (s *stub) List(ctx context.Context, tenant idp.TenantID, user idp.UserID) ([]method.Credential, error) {
	rows, err := s.h.DB.Query(ctx, `select id, name, created from stub where tenant_id = $1 and user_id = $2 and room = $3`, tenant, user, s.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []method.Credential
	for rows.Next() {
		c := method.Credential{Tenant: tenant, User: user, Method: s.id, Mode: s.mode, Bootstrap: s.bootstrap, Facts: s.facts}
		var created int64
		if err := rows.Scan(&c.ID, &c.Name, &created); err != nil {
			return nil, err
		}
		c.Created = time.UnixMilli(created)
		out = append(out, c)
	}
	return out, rows.Err()
}

func (s *stub) Rename(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID, name string) error {
	return s.one(tx.Exec(ctx, `update stub set name = $5 where tenant_id = $1 and user_id = $2 and id = $3 and room = $4`, tenant, user, id, s.id, name))
}

func (s *stub) Remove(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID) error {
	return s.one(tx.Exec(ctx, `delete from stub where tenant_id = $1 and user_id = $2 and id = $3 and room = $4`, tenant, user, id, s.id))
}

func (s *stub) one(n int64, err error) error {
	if err == nil && n == 0 {
		return idp.NotFoundf("stub_unknown", "no such credential")
	}
	return err
}

func (s *stub) Count(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) (n int, err error) {
	if s.bootstrap {
		return 0, nil
	}
	err = tx.QueryRow(ctx, `select count(*) from stub where tenant_id = $1 and user_id = $2 and room = $3`, tenant, user, s.id).Scan(&n)
	return n, err
}

func (s *stub) Walk(ctx context.Context, tenant idp.TenantID, fn func(method.Credential) error) error {
	rows, err := s.h.DB.Query(ctx, `select id, user_id from stub where tenant_id = $1 and room = $2`, tenant, s.id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		c := method.Credential{Tenant: tenant, Method: s.id, Mode: s.mode, Bootstrap: s.bootstrap, Facts: s.facts}
		if err := rows.Scan(&c.ID, &c.User); err != nil {
			return err
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pageStub is challenge and answer on a page, as a passkey.
type pageStub struct{ *stub }

type shown struct {
	Challenge []byte `json:"challenge"`
}

func challenge() (method.Challenge, error) {
	c := secret.Bytes(32)
	show, err := json.Marshal(shown{c})
	return method.Challenge{Show: show, Keep: c}, err
}

func challengeIn(show json.RawMessage) []byte {
	var s shown
	if err := json.Unmarshal(show, &s); err != nil {
		panic(err)
	}
	return s.Challenge
}

func (s pageStub) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return challenge()
}

func (s pageStub) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	return s.judge(ctx, a, a.Payload, a.Keep)
}

func (s pageStub) View() method.View { return method.View{Action: "signin-" + string(s.id)} }

// newKey is what a page sends to register: the key, and what it says.
type newKey struct {
	Key []byte `json:"key"`
	MAC []byte `json:"mac"`
}

func (s pageStub) BeginRegister(context.Context, method.Request) (method.Challenge, error) {
	ch, err := challenge()
	ch.Settle = s.begins
	return ch, err
}

func (s pageStub) FinishRegister(_ context.Context, a method.Answer) (method.Registration, error) {
	var in newKey
	if err := json.Unmarshal(a.Payload, &in); err != nil || len(in.Key) != 32 || !hmac.Equal(in.MAC, mac(in.Key, a.Keep)) {
		return method.Registration{}, idp.Unprovenf("stub_wrong", "registration").Say("That key did not answer.")
	}
	id := idp.CredentialID(secret.NewUUID4())
	return method.Registration{
		Credential: method.Credential{ID: id, Tenant: a.Tenant, User: a.User.ID, Method: s.id, Mode: s.mode, Facts: s.facts},
		Settle:     s.insert(a.Tenant, a.User.ID, id, in.Key),
	}, nil
}

func (s pageStub) room(testing.TB) signintest.Room {
	return signintest.Room{
		Method: s,
		Enrol: func(t testing.TB, u idp.User) signintest.Held {
			id, key := s.enrol(t, u)
			return signintest.Held{
				ID:     id,
				Answer: func(_ testing.TB, show json.RawMessage) []byte { return encode(id, mac(key, challengeIn(show))) },
				Wrong:  func(_ testing.TB, show json.RawMessage) []byte { return encode(id, mac(key, []byte("other"))) },
			}
		},
		Unknown: func(testing.TB, json.RawMessage) []byte { return encode("nobody", mac(nil, nil)) },
		NewDevice: func(t testing.TB) signintest.Device {
			key := secret.Bytes(32)
			return signintest.Device{
				Register: func(_ testing.TB, show json.RawMessage) []byte {
					b, _ := json.Marshal(newKey{key, mac(key, challengeIn(show))})
					return b
				},
				Answer: func(t testing.TB, show json.RawMessage) []byte {
					var id idp.CredentialID
					if err := s.h.DB.QueryRow(t.Context(), `select id from stub where tenant_id = $1 and secret = $2`, s.h.Tenant.ID, key).Scan(&id); err != nil {
						t.Fatal(err)
					}
					return encode(id, mac(key, challengeIn(show)))
				},
			}
		},
	}
}

// messageStub is one message that holds everything, as Hello.
type messageStub struct{ *stub }

func (s messageStub) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Invalidf("stub_no_page", "not on a page")
}

func (s messageStub) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	return s.judge(ctx, a, a.Payload, a.Keep)
}

func (s messageStub) KeepFrom(nonce []byte) []byte { return append([]byte("message "), nonce...) }

func (s messageStub) RegisterOnce(ctx context.Context, a method.Answer) (method.Registration, error) {
	return pageStub(s).FinishRegister(ctx, a)
}

func (s messageStub) room(testing.TB) signintest.Room {
	return signintest.Room{
		Method: s,
		Enrol: func(t testing.TB, u idp.User) signintest.Held {
			id, key := s.enrol(t, u)
			return signintest.Held{
				ID:        id,
				Once:      func(_ testing.TB, nonce []byte) []byte { return encode(id, mac(key, s.KeepFrom(nonce))) },
				OnceWrong: func(_ testing.TB, nonce []byte) []byte { return encode(id, mac([]byte("other"), s.KeepFrom(nonce))) },
			}
		},
	}
}

// waitStub waits for another road, as the phone: what comes by it is kept
// until the page asks.
type waitStub struct {
	*stub
	hub *hub
}

func newWait(h *signintest.House, id idp.MethodID) waitStub {
	return waitStub{newStub(h, id), &hub{waits: map[string][]chan struct{}{}}}
}

// hub wakes who waits.
type hub struct {
	mu    sync.Mutex
	waits map[string][]chan struct{}
	asked []method.Request
	again int
}

func (s waitStub) Challenge(_ context.Context, r method.Request) (method.Challenge, error) {
	s.hub.mu.Lock()
	s.hub.asked = append(s.hub.asked, r)
	s.hub.mu.Unlock()
	ch, err := challenge()
	ch.Lives = 2 * time.Minute
	ch.Settle = func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `insert into stub_road (tenant_id, id, ceremony, answer, expires) values ($1, $2, $2, '', $3)`,
			r.Tenant, ch.Keep, r.Now.Add(2*time.Minute).UnixMilli())
		if err != nil {
			return err
		}
		if s.settle != nil {
			return s.settle()
		}
		return nil
	}
	return ch, err
}

// approve is the road of the phone.
func (s waitStub) approve(t testing.TB, tenant idp.TenantID, ceremony, answer []byte) {
	t.Helper()
	s.h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into stub_road (tenant_id, id, ceremony, answer, expires) values ($1, $2, $2, $3, $4)
			on conflict (tenant_id, id) do update set answer = excluded.answer`,
			tenant, ceremony, string(answer), s.h.Now().Add(2*time.Minute).UnixMilli())
		return err
	})
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, c := range s.hub.waits[string(ceremony)] {
		close(c)
	}
	delete(s.hub.waits, string(ceremony))
}

func (s waitStub) come(ctx context.Context, a method.Answer) (answer string, err error) {
	err = s.h.DB.QueryRow(ctx, `select answer from stub_road where tenant_id = $1 and id = $2 and answer <> '' and expires > $3`,
		a.Tenant, a.Keep, a.Now.UnixMilli()).Scan(&answer)
	return answer, err
}

func (s waitStub) Ready(ctx context.Context, a method.Answer) (bool, error) {
	_, err := s.come(ctx, a)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s waitStub) Changed(a method.Answer) (<-chan struct{}, func()) {
	c := make(chan struct{})
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	key := string(a.Keep)
	s.hub.waits[key] = append(s.hub.waits[key], c)
	return c, func() {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		s.hub.waits[key] = slices.DeleteFunc(s.hub.waits[key], func(o chan struct{}) bool { return o == c })
	}
}

func (s waitStub) Again(_ context.Context, a method.Answer) (method.Settle, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.again++; s.hub.again > 2 {
		return nil, idp.Limitedf("stub_again", "told twice").Say("It was sent twice.")
	}
	return func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `update stub_road set expires = expires where tenant_id = $1 and id = $2`, a.Tenant, a.Keep)
		return err
	}, nil
}

func (s waitStub) Withdraw(a method.Answer) method.Settle {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `delete from stub_road where tenant_id = $1 and id = $2 and answer = ''`, a.Tenant, a.Keep)
		return err
	}
}

func (s waitStub) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	raw, err := s.come(ctx, a)
	if err != nil {
		return method.Verdict{}, err
	}
	return s.judge(ctx, a, []byte(raw), a.Keep)
}

func (s waitStub) room(testing.TB) signintest.Room {
	return signintest.Room{
		Method: s,
		Enrol: func(t testing.TB, u idp.User) signintest.Held {
			id, key := s.enrol(t, u)
			return signintest.Held{
				ID: id,
				Answer: func(t testing.TB, show json.RawMessage) []byte {
					c := challengeIn(show)
					s.approve(t, u.Tenant, c, encode(id, mac(key, c)))
					// Ada's phone may be asked by either tenant's page.
					if u.Tenant != s.h.Other.ID {
						s.approve(t, s.h.Other.ID, c, encode(id, mac(key, c)))
					}
					return nil
				},
				Spoil: func(t testing.TB, show json.RawMessage, n int) []byte {
					c := challengeIn(show)
					m := mac(key, c)
					m[n%len(m)] ^= 1
					s.approve(t, u.Tenant, c, encode(id, m))
					return nil
				},
			}
		},
	}
}

// handoverStub is proven on another host, as a certificate: that host never
// touches the flow, it leaves a code with the browser, which the flow's own
// page redeems (decisions 5.6).
type handoverStub struct{ *stub }

// Away says that it is asked as a wait is, with the flow stored.
func (s handoverStub) Away() {}

func (s handoverStub) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return challenge()
}

// arrive is the other host: it gets the ceremony and the proof, and gives a
// code.
func (s handoverStub) arrive(t testing.TB, tenant idp.TenantID, ceremony, answer []byte) (code string) {
	t.Helper()
	code = secret.Token()
	s.h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `insert into stub_road (tenant_id, id, ceremony, answer, expires) values ($1, $2, $3, $4, $5)`,
			tenant, secret.Digest(code), ceremony, string(answer), s.h.Now().Add(time.Minute).UnixMilli())
		return err
	})
	return code
}

func (s handoverStub) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	var ceremony []byte
	var raw string
	err := s.h.DB.QueryRow(ctx, `select ceremony, answer from stub_road where tenant_id = $1 and id = $2 and expires > $3`,
		a.Tenant, secret.Digest(string(a.Payload)), a.Now.UnixMilli()).Scan(&ceremony, &raw)
	if errors.Is(err, idp.NotFound) {
		return method.Verdict{}, idp.Unprovenf("stub_code", "unknown code")
	}
	if err != nil {
		return method.Verdict{}, err
	}
	if !bytes.Equal(ceremony, a.Keep) {
		return method.Verdict{}, idp.Unprovenf("stub_code", "code of another ceremony")
	}
	v, err := s.judge(ctx, a, []byte(raw), a.Keep)
	v.Detail = s.detail
	return v, err
}

func (s handoverStub) room(testing.TB) signintest.Room {
	return signintest.Room{
		Method: s,
		Enrol: func(t testing.TB, u idp.User) signintest.Held {
			id, key := s.enrol(t, u)
			return signintest.Held{
				ID: id,
				Answer: func(t testing.TB, show json.RawMessage) []byte {
					c := challengeIn(show)
					return []byte(s.arrive(t, u.Tenant, c, encode(id, mac(key, c))))
				},
				Wrong: func(t testing.TB, show json.RawMessage) []byte {
					c := challengeIn(show)
					return []byte(s.arrive(t, u.Tenant, c, encode(id, mac([]byte("other"), c))))
				},
			}
		},
		Unknown: func(t testing.TB, show json.RawMessage) []byte {
			return []byte(s.arrive(t, s.h.Tenant.ID, challengeIn(show), encode("nobody", mac(nil, nil))))
		},
	}
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
