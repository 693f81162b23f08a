package phone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// seenEvery is how often at most it is noted that a phone asked, and from where.
const seenEvery = time.Minute

// getSelf tells a phone what it is here.
func (m *Room) getSelf(w http.ResponseWriter, r *http.Request, s signed) error {
	ctx := r.Context()
	if s.now.Sub(s.phone.seen) >= seenEvery {
		err := m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			return noteSeen(ctx, tx, s.phone, s.ip, s.now)
		})
		if err != nil {
			return fmt.Errorf("note that a phone asked: %w", err)
		}
	}
	out, err := m.selfOf(ctx, s.phone, s.now)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, out)
}

// selfOf is what a phone is here.
func (m *Room) selfOf(ctx context.Context, p phoneRow, now time.Time) (phonewire.Self, error) {
	out := phonewire.Self{
		State: p.state, Name: p.name, Push: p.pushKind, RPID: m.door.rpID, Passkey: string(p.passkey), Now: now.UTC(),
	}
	user, err := m.cfg.User(ctx, p.tenant, p.user)
	if errors.Is(err, idp.NotFound) {
		return out, unproven("user_gone", "user %s of phone %s", p.user, p.id)
	}
	if err != nil {
		return out, fmt.Errorf("user of phone: %w", err)
	}
	tenant, err := m.cfg.Tenant(ctx, p.tenant)
	if err != nil {
		return out, fmt.Errorf("tenant of phone: %w", err)
	}
	out.Tenant, out.User = wireTenant(tenant), wireUser(user)
	if out.Offer, err = m.offer(ctx); err != nil {
		return out, err
	}
	rules, err := m.cfg.For(ctx, user)
	if err != nil {
		return out, fmt.Errorf("rules on phones: %w", err)
	}
	out.Report = rules.Report
	refusal, err := m.cfg.May(ctx, user)
	if err != nil {
		return out, fmt.Errorf("policy on phones: %w", err)
	}
	_, held, err := m.cfg.Passkeys.Held(ctx, m.db, p.tenant, p.user, p.passkey)
	if err != nil {
		return out, fmt.Errorf("passkey of phone: %w", err)
	}
	out.Usable = p.active() && held && user.Enabled && refusal.Allowed()
	return out, nil
}

// putSelf changes a phone's name, app and subscription.
func (m *Room) putSelf(w http.ResponseWriter, r *http.Request, s signed) error {
	var in phonewire.Change
	if err := web.Strict(s.body, &in); err != nil {
		return malformed("", "%w", err)
	}
	if in.Push != nil && in.NoPush {
		return malformed("noPush", "push and noPush at once")
	}
	p := s.phone
	if in.Name != nil {
		if p.name = cleanName(*in.Name); p.name == "" {
			return malformed("name", "name %.100q", *in.Name)
		}
	}
	if in.App != nil {
		p.app = cleanName(*in.App)
	}
	if in.Push != nil || in.NoPush {
		if err := m.setTarget(r.Context(), &p, in.Push); err != nil {
			return err
		}
	}
	err := m.cfg.DB.Write(r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.burn(ctx, tx); err != nil {
			return err
		}
		ok, err := changePhone(ctx, tx, p, changed{name: in.Name != nil, app: in.App != nil, target: in.Push != nil || in.NoPush})
		if err == nil && !ok {
			err = unproven("phone_gone", "phone %s was removed meanwhile", p.id)
		}
		if err == nil && p.name != s.phone.name {
			err = m.noteChange(ctx, tx, "phone.rename", p, s, r)
		}
		return err
	})
	if err != nil {
		return err
	}
	out, err := m.selfOf(r.Context(), p, s.now)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, out)
}

// noteChange writes to the audit what a phone did to itself.
func (m *Room) noteChange(ctx context.Context, tx *sqldb.Tx, activity string, p phoneRow, s signed, r *http.Request) error {
	if m.cfg.Audit == nil {
		return nil
	}
	return m.cfg.Audit(ctx, tx, audit.Event{
		Tenant: p.tenant, At: s.now, Category: audit.Change, Activity: activity, Outcome: audit.Success,
		Actor: string(p.user), User: p.user, Method: ID, Credential: p.id,
		IP: s.ip, Agent: r.UserAgent(), Trace: web.Trace(ctx),
	})
}

// deleteSelf takes a phone out of the account, as its owner would on a page; or
// ends the enrolment that it waits in.
func (m *Room) deleteSelf(w http.ResponseWriter, r *http.Request, s signed) error {
	var err error
	if s.phone.active() {
		// A removed phone signs nothing any more: there is nothing to replay.
		err = m.cfg.Remove(r.Context(), s.phone.tenant, s.phone.user, s.phone.id)
	} else {
		err = m.cfg.DB.Write(r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return m.dropWaiting(ctx, tx, s.phone)
		})
	}
	if err != nil {
		return err
	}
	return web.NoContent(w)
}

// postTest sends the phone a message, and says what became of it.
func (m *Room) postTest(w http.ResponseWriter, r *http.Request, s signed) error {
	if ok, wait := m.door.tests.Allow(string(s.phone.id)); !ok {
		return tooMany(wait, "tests of phone %s", s.phone.id)
	}
	err := m.cfg.DB.Write(r.Context(), s.burn)
	if err != nil {
		return err
	}
	out, err := m.test(r.Context(), s.phone)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, out)
}

// Test sends a message to a phone of the person, and says in words what became
// of it. NotFound when there is no such phone.
func (m *Room) Test(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) (phonewire.Tested, error) {
	p, err := phoneByID(ctx, m.db, t, id)
	if errors.Is(err, idp.NotFound) || err == nil && (p.user != u || !p.active()) {
		return phonewire.Tested{}, missing(false, nil, id)
	}
	if err != nil {
		return phonewire.Tested{}, fmt.Errorf("find phone: %w", err)
	}
	return m.test(ctx, p)
}

func (m *Room) test(ctx context.Context, p phoneRow) (phonewire.Tested, error) {
	switch {
	case m.cfg.Push == nil:
		return phonewire.Tested{Result: "none", Text: "This server sends no messages. Open the app when you sign in, and it asks by itself."}, nil
	case p.pushKind == "":
		return phonewire.Tested{Result: "none", Text: "This phone has not allowed messages. Allow them in the app, or open the app when you sign in."}, nil
	}
	key, err := m.cfg.Seal(ctx, p.tenant)
	if err != nil {
		return phonewire.Tested{}, fmt.Errorf("key of push targets: %w", err)
	}
	to, _, err := p.target(key)
	if err != nil {
		return phonewire.Tested{}, err
	}
	got := m.cfg.Push.Send(ctx, to, push.Message{
		ID: secret.NewUUID4(), Title: "This is a test", Body: "Messages come through to this phone.",
		Navigate: m.cfg.BaseURL + "/phone/", Topic: topicOf(key, "test", p), Lives: time.Minute,
	})
	out := tested(got)
	if got.Outcome == push.Gone {
		err = m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return dropPush(ctx, tx, p) })
	}
	return out, err
}

// tested says what became of a message, and what to do: in the words of the
// road it took where that has some.
func tested(r push.Result) phonewire.Tested {
	var out phonewire.Tested
	switch r.Outcome {
	case push.Delivered:
		return phonewire.Tested{Result: "sent", Text: "The message was handed over and should be on the phone now. If it is not, look whether the phone lets this app show messages."}
	case push.Gone:
		out = phonewire.Tested{Result: "gone", Text: "The phone does not take messages any more. Open the app there and allow them again."}
	case push.Later:
		out = phonewire.Tested{Result: "later", Text: "The service that brings messages to this phone is busy or cannot be reached. Try again in a few minutes."}
	default:
		out = phonewire.Tested{Result: "config", Text: "The service that brings messages to this phone refuses those of this server. Its administrator must look at the settings."}
	}
	if e := idp.AsError(r.Err); e != nil && e.Public != "" {
		out.Text = e.Public
	}
	return out
}
