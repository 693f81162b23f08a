package phone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

const (
	// maxPhones is the most that any tenant may allow a person (security.md DEV12).
	maxPhones = 50
	// maxOpen is how many enrolments of a person may wait at a time, of
	// different sessions.
	maxOpen = 3
	// topicEnrolment has the id of an enrolment that another phone or page has
	// changed.
	topicEnrolment = "phone.enrolment"
)

// Show is what the page gets of BeginRegister: one code in two forms, and how
// near to the limit the person is.
type Show struct {
	Link      string    `json:"link"`  // to be shown as a QR code
	Typed     string    `json:"typed"` // "K7QF-2M9X"
	Expires   time.Time `json:"expires"`
	Enrolment string    `json:"enrolment"` // for Room.Enrolment
	Held      int       `json:"held"`
	Limit     int       `json:"limit"`
	WarnAt    int       `json:"warnAt"`
	Warn      bool      `json:"warn"` // one more would make WarnAt or beyond
}

// enrolKeep is what the corridor seals of a registration.
type enrolKeep struct {
	Purpose   string     `json:"p"`
	Enrolment string     `json:"e"`
	User      idp.UserID `json:"u"`
}

const purposeEnrol = "enrol"

// BeginRegister makes a code for a phone to enrol with. Its Settle writes the
// enrolment, in the place of one that the same session has begun before;
// Limited "enrolments_open" when the person has too many under way elsewhere.
// Denied "phone_limit" when they hold as many phones as the tenant allows.
func (m *Room) BeginRegister(ctx context.Context, r method.Request) (method.Challenge, error) {
	if !r.User.Known() || r.Session == "" {
		return method.Challenge{}, idp.Invalidf("method_not_registered", "a phone is added by its person, who is signed in").
			Say("A phone is added by its owner, on their own page.")
	}
	rules, err := m.cfg.Rules(ctx, r.Tenant)
	if err != nil {
		return method.Challenge{}, err
	}
	held, err := phonesOf(ctx, m.db, r.Tenant, r.User.ID)
	if err != nil {
		return method.Challenge{}, err
	}
	limit := min(rules.Limit, maxPhones)
	if len(held) >= limit {
		return method.Challenge{}, atLimit(r.User.ID, limit)
	}
	key, err := m.cfg.Code(ctx)
	if err != nil {
		return method.Challenge{}, fmt.Errorf("key of typed codes: %w", err)
	}
	c := newCodes()
	e := enrolment{
		tenant: r.Tenant, id: secret.NewUUID4(), user: r.User.ID, session: r.Session,
		link: secret.Digest(c.link), typed: typedMAC(key, c.typed), created: r.Now, expires: r.Now.Add(codeLives),
	}
	show, err := json.Marshal(Show{
		Link: m.cfg.BaseURL + "/phone/add#" + c.link, Typed: secret.Spell(c.typed), Expires: e.expires.UTC(), Enrolment: e.id,
		Held: len(held), Limit: limit, WarnAt: rules.WarnAt, Warn: rules.WarnAt > 0 && len(held)+1 >= rules.WarnAt,
	})
	if err != nil {
		return method.Challenge{}, err
	}
	kept, err := json.Marshal(enrolKeep{Purpose: purposeEnrol, Enrolment: e.id, User: e.user})
	return method.Challenge{
		Show: show, Keep: kept, Lives: codeLives,
		Settle: func(ctx context.Context, tx *sqldb.Tx) error { return begin(ctx, tx, e) },
	}, err
}

// begin stores a new enrolment.
func begin(ctx context.Context, tx *sqldb.Tx, e enrolment) error {
	if err := lockHolder(ctx, tx, e.tenant, e.user); err != nil {
		return err
	}
	if err := replaceEnrolments(ctx, tx, e); err != nil {
		return err
	}
	n, err := openEnrolments(ctx, tx, e.tenant, e.user, e.created)
	if err != nil {
		return err
	}
	if n >= maxOpen {
		return idp.Limitedf("enrolments_open", "%d enrolments of %s are under way", n, e.user).
			Say("You are adding a phone in other windows already. Finish there, or wait ten minutes.")
	}
	return insertEnrolment(ctx, tx, e)
}

// FinishRegister takes the word of the page that its person has compared the
// words: {"confirm": true}. The corridor's ceremony is used up in any case, so
// a page asks when a phone has answered. Errors are Unproven, Denied
// "synced_not_allowed" and "phone_limit", Conflict what the passkey room says
// of a new passkey.
func (m *Room) FinishRegister(ctx context.Context, a method.Answer) (method.Registration, error) {
	none := method.Registration{}
	var k enrolKeep
	if err := json.Unmarshal(a.Keep, &k); err != nil || k.Purpose != purposeEnrol {
		return none, idp.Unprovenf("wrong_ceremony", "kept state of %q: %w", k.Purpose, err)
	}
	if !a.User.Known() || a.User.ID != k.User {
		return none, idp.Unprovenf("other_user", "enrolment of %q, confirmed by %q", k.User, a.User.ID)
	}
	var said struct {
		Confirm bool `json:"confirm"`
	}
	if err := web.Strict(a.Payload, &said); err != nil || !said.Confirm {
		return none, idp.Unprovenf("words_not_confirmed", "the page does not say that the words are the same")
	}
	e, err := findEnrolment(ctx, m.db, a.Tenant, k.Enrolment)
	if errors.Is(err, idp.NotFound) {
		return none, idp.Unprovenf("enrolment_over", "enrolment %s is gone", k.Enrolment)
	}
	if err != nil {
		return none, fmt.Errorf("find enrolment: %w", err)
	}
	if e.user != a.User.ID || e.state != enrolAnswered || !a.Now.Before(e.expires) {
		return none, idp.Unprovenf("enrolment_over", "enrolment %s of %s is %s, until %s", e.id, e.user, e.state, e.expires)
	}
	return m.register(ctx, a, e)
}

// register judges again what the phone and its passkey said.
func (m *Room) register(ctx context.Context, a method.Answer, e enrolment) (method.Registration, error) {
	none := method.Registration{}
	rules, err := m.cfg.Rules(ctx, a.Tenant)
	if err != nil {
		return none, err
	}
	p, err := phoneByID(ctx, m.db, a.Tenant, e.phone)
	if errors.Is(err, idp.NotFound) {
		return none, idp.Unprovenf("enrolment_over", "phone of enrolment %s is gone", e.id)
	}
	if err != nil {
		return none, fmt.Errorf("phone of enrolment %s: %w", e.id, err)
	}
	facts, passkey, err := m.passkeyOf(ctx, a, e, p)
	if err != nil {
		return none, err
	}
	if err := admitSynced(rules, facts.Synced); err != nil {
		return none, err
	}
	// Keys are made in transactions of their own.
	seal, err := m.cfg.Seal(ctx, a.Tenant)
	if err != nil {
		return none, fmt.Errorf("key of push targets: %w", err)
	}
	n := entry{e: e, p: p, passkey: passkey, seal: seal, limit: min(rules.Limit, maxPhones), now: a.Now}
	c := p.credential(facts, true)
	c.Created = a.Now
	return method.Registration{
		Credential: c,
		Settle:     func(ctx context.Context, tx *sqldb.Tx) error { return m.add(ctx, tx, n) },
	}, nil
}

// passkeyOf verifies a new passkey again, whose Settle stores it; or asks
// whether the one that was used is still there.
func (m *Room) passkeyOf(ctx context.Context, a method.Answer, e enrolment, p phoneRow) (idp.Facts, method.Settle, error) {
	var said answered
	if err := json.Unmarshal(e.answer, &said); err != nil {
		return idp.Facts{}, nil, fmt.Errorf("answer of enrolment %s: %w", e.id, err)
	}
	if said.Passkey == nil {
		facts, held, err := m.cfg.Passkeys.Held(ctx, m.db, a.Tenant, a.User.ID, p.passkey)
		if err == nil && !held {
			err = idp.Unprovenf("passkey_gone", "passkey %s of phone %s is gone", p.passkey, p.id)
		}
		facts.Synced = facts.Synced || said.Synced
		return facts, nil, err
	}
	payload, err := named(said.Passkey, p.name)
	if err != nil {
		return idp.Facts{}, nil, fmt.Errorf("answer of enrolment %s: %w", e.id, err)
	}
	reg, err := m.cfg.Passkeys.FinishRegister(ctx, method.Answer{Tenant: a.Tenant, User: a.User, Keep: said.Keep, Payload: payload, Now: a.Now})
	if err != nil {
		return idp.Facts{}, nil, fmt.Errorf("passkey of a phone: %w", err)
	}
	if reg.Credential.ID != p.passkey {
		return idp.Facts{}, nil, idp.Unprovenf("other_passkey", "phone %s has passkey %s", p.id, p.passkey)
	}
	return reg.Credential.Facts, reg.Settle, m.accept(ctx, a.User, reg.Credential.Facts)
}

// named is a new passkey with the name that its person knows it by, unless the
// app has given it one. What the passkey room would suggest, "This device", is
// read on another one.
func named(passkey json.RawMessage, phone string) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(passkey, &members); err != nil {
		return nil, err
	}
	if has := string(members["name"]); has != "" && has != `""` && has != "null" {
		return passkey, nil
	}
	name, err := json.Marshal(cleanName("Passkey on " + phone))
	if err != nil {
		return nil, err
	}
	members["name"] = name
	return json.Marshal(members)
}

// admitSynced refuses a passkey that may be on other devices where the tenant
// wants none.
func admitSynced(rules policy.PhoneRules, synced bool) error {
	if rules.Synced == policy.SyncedDeny && synced {
		return idp.Deniedf("synced_not_allowed", "the passkey may exist on other devices").
			Say("Your organisation allows only phones whose passkey cannot leave them. This one may be copied to other devices.")
	}
	return nil
}

// entry is a phone that its person has compared.
type entry struct {
	e       enrolment
	p       phoneRow
	passkey method.Settle // of a new passkey
	seal    *secret.Key
	limit   int
	now     time.Time
}

// add makes the phone active. The enrolment decides; what stands in the way of
// the phone or its passkey undoes all of it.
func (m *Room) add(ctx context.Context, tx *sqldb.Tx, n entry) error {
	return tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if ok, err := finishEnrolment(ctx, tx, n.e, n.now); err != nil || !ok {
			return ended(err, n.e)
		}
		older, err := phonesOf(ctx, tx, n.p.tenant, n.p.user)
		if err != nil {
			return err
		}
		if err := takeHolder(ctx, tx, n.p.tenant, n.p.user, n.limit); err != nil {
			return err
		}
		if ok, err := activate(ctx, tx, n.p, n.now); err != nil || !ok {
			return ended(err, n.e)
		}
		if n.passkey != nil {
			if err := n.passkey(ctx, tx); err != nil {
				return err
			}
		}
		if err := m.tellOlder(ctx, tx, n.seal, older); err != nil {
			return err
		}
		return m.cfg.Bus.Publish(ctx, tx, topicEnrolment, n.e.id)
	})
}

// ended says why an enrolment did not become a phone.
func ended(err error, e enrolment) error {
	if err != nil {
		return err
	}
	return idp.Unprovenf("enrolment_over", "enrolment %s was used or ended meanwhile", e.id)
}

// tellOlder has a person's other phones told that one was added (security.md
// PHN08).
func (m *Room) tellOlder(ctx context.Context, tx *sqldb.Tx, key *secret.Key, older []phoneRow) error {
	if m.cfg.Push == nil {
		return nil
	}
	for _, p := range older {
		to, ok, err := p.target(key)
		if err != nil && m.cfg.Failed != nil {
			m.cfg.Failed(err) // which is nothing against the new one
		}
		if err != nil || !ok {
			continue
		}
		err = m.cfg.Push.Queue(ctx, tx, p.ref(), to, push.Message{
			ID: secret.NewUUID4(), Title: "A phone was added to your account",
			Body: "If that was not you, tell your help desk.", Navigate: m.cfg.BaseURL + "/phone/",
			Topic: topicOf(key, "added", p), Lives: 24 * time.Hour,
		})
		if err != nil {
			return fmt.Errorf("tell phone %s: %w", p.id, err)
		}
	}
	return nil
}
