package phone

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// answer is what a phone says of a request. All that it signed is verified by
// whoever calls; what it says is judged here.
type answer struct {
	phone   phoneRow // active, and who sent this
	request string   // id
	address string   // where the phone asks from
	agent   string
	trace   string
	now     time.Time
	// burn spends the signed message that this came in, in the transaction of
	// its effect; nil: nothing to spend.
	burn method.Settle
	// number is what was typed, and assert what settles the assertion of the
	// passkey over it: of an approval only.
	number string
	assert method.Settle
}

// waitingFor are the sign-ins that wait for a person's phones: one at most.
func (m *Room) waitingFor(ctx context.Context, p phoneRow, now time.Time) ([]request, error) {
	return pendingOf(ctx, m.db, p.tenant, p.user, now)
}

// asking finds a request of the phone's person. NotFound "request_unknown" for
// one of somebody else, one that no phone was asked, and none; Expired
// "request_over" for what is answered, late or withdrawn, with the request.
func (m *Room) asking(ctx context.Context, p phoneRow, id string, now time.Time) (request, error) {
	q, err := requestByID(ctx, m.db, p.tenant, id)
	if errors.Is(err, idp.NotFound) || err == nil && (q.subject != p.user || q.state == silent) {
		return request{}, unknown(id)
	}
	if err == nil && (q.state != pending || !q.expires.After(now)) {
		return q, requestOver(q)
	}
	return q, err
}

func unknown(id string) *idp.Error {
	return idp.NotFoundf("request_unknown", "request %.40q", id).Say("There is no such request.")
}

func requestOver(q request) *idp.Error {
	return idp.Expiredf("request_over", "request %s is %s", q.id, q.state).
		Say("This request is over: it was answered, withdrawn, or came too late.")
}

// approve takes an approval: approved, or wrongNumber, which ends the request as
// well. Errors besides those of asking: Denied "phone_refused" for what the
// rules do not let this phone approve, which leaves the request as it was; what
// the assertion or the signed message has against it.
func (m *Room) approve(ctx context.Context, a answer) (state, error) {
	q, err := m.asking(ctx, a.phone, a.request, a.now)
	if err == nil {
		err = m.mayApprove(ctx, q, a)
	}
	to := wrongNumber
	if secret.Equal([]byte(q.number), []byte(a.number)) {
		to = approved
	}
	return to, m.effect(ctx, a, q, err, func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := answerRequest(ctx, tx, q, a.phone.id, to, a.now)
		if err != nil {
			return fmt.Errorf("approve %s: %w", q.id, err)
		}
		if !ok {
			return m.lost(ctx, tx, q, a)
		}
		if a.assert != nil {
			if err := a.assert(ctx, tx); err != nil {
				return err
			}
		}
		return m.told(ctx, tx, q, to, a)
	})
}

// mayApprove asks the rules as they are now.
func (m *Room) mayApprove(ctx context.Context, q request, a answer) error {
	u, err := m.cfg.User(ctx, a.phone.tenant, a.phone.user)
	if err != nil {
		return fmt.Errorf("user of phone: %w", err)
	}
	refusal, err := m.cfg.May(ctx, u)
	if err != nil {
		return fmt.Errorf("policy on phones: %w", err)
	}
	rules, err := m.cfg.For(ctx, u)
	if err != nil {
		return fmt.Errorf("rules on phones: %w", err)
	}
	switch {
	case !u.Enabled:
		return idp.Deniedf("phone_refused", "%s is disabled", u.ID).Say("This account is switched off.")
	case !refusal.Allowed():
		return idp.Deniedf("phone_refused", "policy: %s", refusal.Reason).Say("Your organisation does not let you sign in by phone.")
	case q.known || rules.From == policy.FromAnywhere:
		return nil
	case rules.From == policy.FromNetwork && sameNetwork(q.address, a.address):
		return nil
	case rules.From == policy.FromNetwork:
		return idp.Deniedf("phone_refused", "asked from %s, approved from %s", q.address, a.address).
			Say("The browser is not one that knows you, and not on the network that this phone is on.")
	}
	return idp.Deniedf("phone_refused", "asked by an unknown browser").Say("The browser is not one that knows you.")
}

// deny ends a request without opening anything: denied, or reported when report
// is set and the rules let the person report. What was denied, or not answered
// in time, may still be reported.
func (m *Room) deny(ctx context.Context, a answer, report bool) (state, error) {
	rules, err := m.cfg.For(ctx, idp.User{ID: a.phone.user, Tenant: a.phone.tenant, Enabled: true})
	if err != nil {
		return "", fmt.Errorf("rules on phones: %w", err)
	}
	to := denied
	if report && rules.Report {
		to = reported
	}
	q, err := m.asking(ctx, a.phone, a.request, a.now)
	if to == reported && q.reportable() {
		err = nil
	}
	return to, m.effect(ctx, a, q, err, func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := refuseRequest(ctx, tx, q, a.phone.id, to, a.now, to == reported)
		if err != nil {
			return fmt.Errorf("deny %s: %w", q.id, err)
		}
		if !ok {
			return m.lost(ctx, tx, q, a)
		}
		if to == reported {
			if err := block(ctx, tx, q, rules.Block, a.now); err != nil {
				return fmt.Errorf("close after a report: %w", err)
			}
		}
		return m.told(ctx, tx, q, to, a)
	})
}

// reportable says whether a request that is over may be reported.
func (q request) reportable() bool {
	switch q.state {
	case pending, expired, denied, wrongNumber:
		return true
	}
	return false
}

// effect is the one transaction of an answer, which always commits: it spends
// the message, and does what the answer does unless failed says otherwise.
func (m *Room) effect(ctx context.Context, a answer, q request, failed error, do func(context.Context, *sqldb.Tx) error) error {
	if failed != nil && !refusal(failed) {
		return failed
	}
	var refused error
	err := m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		refused = failed
		if a.burn != nil {
			if err := a.burn(ctx, tx); err != nil {
				return err
			}
		}
		if refused == nil {
			if refused = tx.Nested(ctx, do); refused != nil && !refusal(refused) {
				return refused
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return refused
}

// refusal says that err is an answer, and no trouble of our own.
func refusal(err error) bool {
	switch idp.AsError(err).Kind {
	case idp.Internal, idp.Unavailable:
		return false
	}
	return true
}

// lost says why an answer changed nothing.
func (m *Room) lost(ctx context.Context, tx *sqldb.Tx, q request, a answer) error {
	p, err := phoneByID(ctx, tx, q.tenant, a.phone.id)
	if errors.Is(err, idp.NotFound) || err == nil && (p.user != q.subject || !p.active()) {
		return idp.Unprovenf("phone_unproven", "phone %s was removed meanwhile", a.phone.id)
	}
	if err != nil {
		return fmt.Errorf("phone: %w", err)
	}
	now, err := requestByID(ctx, tx, q.tenant, q.id)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	return requestOver(now)
}

// told records an answer, and wakes the browser that waits for it.
func (m *Room) told(ctx context.Context, tx *sqldb.Tx, q request, to state, a answer) error {
	if err := m.cfg.Bus.Publish(ctx, tx, topicRequest, q.id); err != nil {
		return fmt.Errorf("tell of the answer: %w", err)
	}
	if m.cfg.Audit == nil {
		return nil
	}
	e := audit.Event{
		// A step on the way: how the sign-in ended is a record of its own, and
		// one sign-in is counted once.
		Tenant: q.tenant, At: a.now, Category: audit.SignIn, Activity: "phone." + string(to), Outcome: audit.Interrupted,
		Actor: string(q.subject), User: q.subject, Method: ID, Credential: a.phone.id,
		IP: a.address, Agent: a.agent, Trace: a.trace,
		Detail: map[string]string{"request": q.id, "asked": q.address},
	}
	return m.cfg.Audit(ctx, tx, e)
}
