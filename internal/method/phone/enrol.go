package phone

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// challengeLives is how long a phone may take from open to finish (security.md
// NON01); it may open again while its code lives.
const challengeLives = 5 * time.Minute

// challengeSize is how many random bytes a challenge has.
const challengeSize = 32

// opened is what a phone was asked: kept in the enrolment's phoneRow.
type opened struct {
	Keep      []byte `json:"k,omitempty"` // of the passkey room; nil: no passkey can be made
	Challenge []byte `json:"c"`
	At        int64  `json:"t"` // ms
}

// answered is what a phone's passkey said, for FinishRegister to judge again.
type answered struct {
	Keep    []byte          `json:"k,omitempty"`
	Passkey json.RawMessage `json:"p,omitempty"` // nil: one that the person had
	Synced  bool            `json:"s"`
}

// postOpen answers a code with whose account it is, and asks for a passkey.
func (m *Room) postOpen(w http.ResponseWriter, r *http.Request) error {
	var in phonewire.Open
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	ctx, now := r.Context(), m.cfg.Now()
	e, _, err := m.coded(r, in.Code, now)
	if err != nil {
		return err
	}
	user, tenant, err := m.enrolling(ctx, e)
	if err != nil {
		return err
	}
	out := phonewire.Opened{Tenant: wireTenant(tenant), User: wireUser(user), Expires: e.expires.UTC()}
	if out.Push, err = m.offer(ctx); err != nil {
		return err
	}
	var o opened
	if o, out.Options, out.Reuse, err = m.askPasskey(ctx, user, now); err != nil {
		return err
	}
	kept, err := json.Marshal(o)
	if err != nil {
		return err
	}
	err = m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := keepOpened(ctx, tx, e, kept, now)
		if err == nil && !ok {
			err = codeUnknown("enrolment %s was answered meanwhile", e.id)
		}
		return err
	})
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, out)
}

// coded finds the enrolment of a code, and counts wrong ones by their source:
// typed codes have 40 bits, ten minutes and so many guesses (decisions 1.5, 3.7).
func (m *Room) coded(r *http.Request, code string, now time.Time) (enrolment, string, error) {
	source, guesses := web.Source(r), m.door.codes
	if _, link, _ := readCode(code); link {
		guesses = m.door.failures // 128 bits: nobody guesses one
	}
	if full, wait := guesses.Full(source); full {
		return enrolment{}, "", tooMany(wait, "wrong codes from %s", source)
	}
	e, text, err := m.byCode(r.Context(), code, now)
	if errors.Is(err, idp.NotFound) {
		guesses.Allow(source)
	}
	if err != nil {
		return e, "", err
	}
	if ok, wait := m.door.opens.Allow(e.id); !ok {
		return e, "", tooMany(wait, "enrolment %s is opened and answered over and over", e.id)
	}
	return e, text, nil
}

// enrolling is whose enrolment it is, as long as they may have phones.
func (m *Room) enrolling(ctx context.Context, e enrolment) (idp.User, idp.Tenant, error) {
	user, err := m.cfg.User(ctx, e.tenant, e.user)
	if errors.Is(err, idp.NotFound) || err == nil && !user.Enabled {
		return user, idp.Tenant{}, codeUnknown("enrolment of %s, who is gone or disabled", e.user)
	}
	if err != nil {
		return user, idp.Tenant{}, fmt.Errorf("user of an enrolment: %w", err)
	}
	tenant, err := m.cfg.Tenant(ctx, e.tenant)
	if err != nil {
		return user, tenant, fmt.Errorf("tenant of an enrolment: %w", err)
	}
	return user, tenant, nil
}

// askPasskey makes the options for a new passkey and for one that the person
// has, over one challenge. Somebody who holds as many as the tenant allows can
// only use one.
func (m *Room) askPasskey(ctx context.Context, user idp.User, now time.Time) (o opened, create, reuse json.RawMessage, err error) {
	o.At = now.UnixMilli()
	c, err := m.cfg.Passkeys.BeginRegister(ctx, method.Request{Tenant: user.Tenant, User: user, UserName: user.Name, Now: now})
	full := err
	switch {
	case errors.Is(err, idp.Denied):
		o.Challenge = secret.Bytes(challengeSize)
	case err != nil:
		return o, nil, nil, fmt.Errorf("ask for a passkey: %w", err)
	default:
		text, err := method.ChallengeShown(c.Show)
		if err == nil {
			o.Challenge, err = base64.RawURLEncoding.DecodeString(text)
		}
		if err != nil {
			return o, nil, nil, fmt.Errorf("challenge of a passkey: %w", err)
		}
		o.Keep, create = c.Keep, c.Show
	}
	reuse, err = m.cfg.Passkeys.Assertion(ctx, user.Tenant, user.ID, "", o.Challenge)
	switch {
	case errors.Is(err, idp.NotFound) && create == nil:
		return o, nil, nil, full
	case errors.Is(err, idp.NotFound):
		reuse = nil
	case err != nil:
		return o, nil, nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	return o, create, reuse, nil
}

// offer is by what roads messages can come.
func (m *Room) offer(ctx context.Context) (phonewire.PushOffer, error) {
	out := phonewire.PushOffer{Kinds: []string{}}
	if m.cfg.Push == nil {
		return out, nil
	}
	out.Kinds = append(out.Kinds, m.cfg.Push.Kinds()...)
	if !slices.Contains(out.Kinds, push.WebPush) {
		return out, nil
	}
	key, err := m.cfg.Push.PublicKey(ctx)
	if err != nil {
		return out, fmt.Errorf("key of Web Push: %w", err)
	}
	out.VAPID = key
	return out, nil
}

func wireTenant(t idp.Tenant) phonewire.Tenant {
	return phonewire.Tenant{ID: string(t.ID), Name: t.Name, Domain: t.Domain}
}

func wireUser(u idp.User) phonewire.User {
	return phonewire.User{ID: string(u.ID), Name: u.Name, Full: u.DisplayName}
}

// postFinish takes a new phone: its key, and what its passkey said. Nothing of it
// is good before its person has compared the words.
func (m *Room) postFinish(w http.ResponseWriter, r *http.Request) error {
	var in phonewire.Finish
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	ctx, now := r.Context(), m.cfg.Now()
	e, text, err := m.coded(r, in.Code, now)
	if err != nil {
		return err
	}
	user, _, err := m.enrolling(ctx, e)
	if err != nil {
		return err
	}
	var o opened
	if len(e.keep) == 0 {
		return codeUnknown("enrolment %s was not opened", e.id)
	}
	if err := json.Unmarshal(e.keep, &o); err != nil {
		return fmt.Errorf("what enrolment %s was asked: %w", e.id, err)
	}
	if !now.Before(at(o.At).Add(challengeLives)) {
		return codeUnknown("enrolment %s was opened at %s", e.id, at(o.At))
	}
	f, err := m.judgeFinish(ctx, in, text, e, o, user, now)
	if err == nil {
		f.phone.address = web.ClientIP(r)
		err = m.settleFinish(ctx, e, f, now)
	}
	if err != nil {
		return m.failFinish(ctx, e, f, err)
	}
	return web.JSON(w, http.StatusOK, phonewire.Finished{Phone: string(f.phone.id), Words: f.words, Until: e.expires.UTC()})
}

// finished is a verified new phone.
type finished struct {
	phone  phoneRow
	words  []string
	answer answered
	settle method.Settle // of a passkey that was used; beside an error: of its failure
}

// judgeFinish verifies both signatures and that they are of one another, of
// this code and of what was asked.
func (m *Room) judgeFinish(ctx context.Context, in phonewire.Finish, code string, e enrolment, o opened, user idp.User, now time.Time) (f finished, err error) {
	key, err := parseKey(in.Key)
	if err != nil {
		return f, err
	}
	f.phone = phoneRow{
		tenant: e.tenant, id: idp.CredentialID(secret.NewUUID4()), user: e.user, spki: key.spki, created: now,
		platform: cleanName(in.Platform), app: cleanName(in.App),
	}
	f.phone.name = cmp.Or(cleanName(in.Name), f.phone.platform, "Phone")
	if err := m.setTarget(ctx, &f.phone, in.Push); err != nil {
		return f, err
	}
	if err := m.judgePasskey(ctx, &f, in, o, user, now); err != nil {
		return f, err
	}
	id, err := base64.RawURLEncoding.DecodeString(string(f.phone.passkey))
	if err != nil {
		return f, fmt.Errorf("id of a passkey: %w", err)
	}
	message := phonewire.EnrolMessage(code, o.Challenge, key.thumbprint, id)
	if !key.verify(message, in.Signature) {
		return f, answerUnproven("signature of a new phone")
	}
	f.words = phonewire.Words(message)
	rules, err := m.cfg.Rules(ctx, e.tenant)
	if err != nil {
		return f, err
	}
	return f, admitSynced(rules, f.answer.Synced)
}

// judgePasskey verifies the passkey that the phone made or used.
func (m *Room) judgePasskey(ctx context.Context, f *finished, in phonewire.Finish, o opened, user idp.User, now time.Time) error {
	switch {
	case (present(in.Passkey)) == (present(in.Reuse)):
		return malformed("passkey", "one of passkey and reuse is wanted")
	case present(in.Passkey) && o.Keep == nil:
		return malformed("passkey", "no passkey was asked for")
	case present(in.Passkey):
		reg, err := m.cfg.Passkeys.FinishRegister(ctx, method.Answer{Tenant: user.Tenant, User: user, Keep: o.Keep, Payload: in.Passkey, Now: now})
		if err != nil {
			return unprovenBy(err)
		}
		if err := m.accept(ctx, user, reg.Credential.Facts); err != nil {
			return err
		}
		f.phone.passkey = reg.Credential.ID
		f.answer = answered{Keep: o.Keep, Passkey: in.Passkey, Synced: reg.Credential.Facts.Synced}
		return nil
	}
	said, err := m.cfg.Passkeys.VerifyAssertion(ctx, user.Tenant, user.ID, "", o.Challenge, in.Reuse, now)
	f.settle = said.Settle
	if err != nil {
		return unprovenBy(err)
	}
	f.phone.passkey, f.answer = said.Credential, answered{Synced: said.Synced}
	return nil
}

// accept asks policy about a passkey that a phone has made: it is one more of
// the person's, and adding a phone is no way around the rules on those.
func (m *Room) accept(ctx context.Context, user idp.User, facts idp.Facts) error {
	refusal, err := m.cfg.Accepts(ctx, user, facts)
	if err != nil {
		return fmt.Errorf("policy on passkeys: %w", err)
	}
	if !refusal.Allowed() {
		return idp.Deniedf(refusal.Reason, "rule %s", refusal.Rule).Coded(refusal.Code).
			Say("Your organisation does not accept the passkey that this phone makes.")
	}
	return nil
}

// present says whether a member of a body is there.
func present(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

// settleFinish writes the phone, waiting. Of two phones with one code one gets
// it.
func (m *Room) settleFinish(ctx context.Context, e enrolment, f finished, now time.Time) error {
	said, err := json.Marshal(f.answer)
	if err != nil {
		return err
	}
	e.phone, e.answer, e.words = f.phone.id, said, strings.Join(f.words, " ")
	return m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := answerEnrolment(ctx, tx, e, now)
		if err == nil && !ok {
			err = codeUnknown("enrolment %s was answered or opened meanwhile", e.id)
		}
		if err != nil {
			return err
		}
		if f.settle != nil {
			if err := f.settle(ctx, tx); err != nil {
				return unprovenBy(err)
			}
		}
		if ok, err = insertWaiting(ctx, tx, f.phone); err == nil && !ok {
			err = idp.Conflictf("phone_exists", "key of a new phone of %s is known", e.user).
				Say("This phone is registered already.")
		}
		if err != nil {
			return err
		}
		return m.cfg.Bus.Publish(ctx, tx, topicEnrolment, e.id)
	})
}

// failFinish has the challenge used up by an answer that did not prove itself
// (security.md NON06): the phone may open its code again.
func (m *Room) failFinish(ctx context.Context, e enrolment, f finished, cause error) error {
	if !errors.Is(cause, idp.Unproven) {
		return cause
	}
	err := m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if f.phone.passkey == "" && f.settle != nil { // a counter that went back is remembered
			if err := f.settle(ctx, tx); err != nil {
				return err
			}
		}
		return burnOpened(ctx, tx, e)
	})
	return errors.Join(cause, err)
}

// setTarget seals where messages for a phone go, after asking whether any would
// be sent there.
func (m *Room) setTarget(ctx context.Context, p *phoneRow, in *phonewire.Push) error {
	p.pushKind, p.push = "", []byte{}
	if in == nil {
		return nil
	}
	to := push.Target(*in)
	if m.cfg.Push == nil {
		return malformed("push", "no messages are sent from here")
	}
	if err := m.cfg.Push.Check(to); err != nil {
		return err
	}
	key, err := m.cfg.Seal(ctx, p.tenant)
	if err != nil {
		return fmt.Errorf("key of push targets: %w", err)
	}
	p.pushKind = to.Kind
	p.push, err = sealTarget(key, p.tenant, p.id, to)
	return err
}
