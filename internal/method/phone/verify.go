package phone

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

// Ready implements method.Waiter: one read. What displaced or silenced requests
// are is not told before they are late: a name that nobody has never gets an
// answer either.
func (m *Room) Ready(ctx context.Context, a method.Answer) (bool, error) {
	k, fault := parseWait(a.Keep)
	if fault != nil {
		return true, nil // which Verify says
	}
	q, err := requestByID(ctx, m.db, a.Tenant, k.ID)
	if errors.Is(err, idp.NotFound) {
		return true, nil // it was never asked, or long ago
	}
	if err != nil {
		return false, fmt.Errorf("request: %w", err)
	}
	return q.over(a.Now), nil
}

// over says that there is something to tell whoever asked.
func (q request) over(now time.Time) bool {
	switch q.state {
	case approved, denied, reported, wrongNumber, consumed:
		return true
	}
	return !q.expires.After(now)
}

// Changed implements method.Waiter. It is closed when a phone has answered, on
// whatever node. That a request is late it does not say: Shown.Expires does.
func (m *Room) Changed(a method.Answer) (<-chan struct{}, func()) {
	k, _ := parseWait(a.Keep)
	return m.hub.wait(k.ID)
}

// Again implements method.Waiter: twice, whoever was asked, and whatever has
// become of it.
func (m *Room) Again(_ context.Context, a method.Answer) (method.Settle, error) {
	k, fault := parseWait(a.Keep)
	if fault != nil {
		return nil, fault
	}
	return func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := tellAgain(ctx, tx, a.Tenant, k.ID, tellMost, a.Now)
		if err != nil {
			return fmt.Errorf("tell again: %w", err)
		}
		if !ok {
			return idp.Limitedf("phone_told", "phones were told %d times of %s", tellMost, k.ID).
				Say("It was sent as often as it can be. Open the app on your phone, or choose another way.")
		}
		tx.OnCommit(m.kick)
		return nil
	}, nil
}

// Reasons of what is not approved.
var ends = map[state]string{
	denied: "phone_denied", reported: "phone_reported", wrongNumber: "phone_wrong_number", consumed: "phone_spent",
}

// Verify implements method.Method. The page sends nothing: what counts is what
// a phone has said of this ceremony's request. An answer that was not given
// says whose phone was asked, and not that it was its person who asked.
func (m *Room) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	k, fault := parseWait(a.Keep)
	if fault != nil {
		return method.Verdict{}, fault
	}
	q, err := requestByID(ctx, m.db, a.Tenant, k.ID)
	if errors.Is(err, idp.NotFound) {
		return method.Verdict{}, idp.Unprovenf("phone_late", "request %.40s is gone", k.ID)
	}
	if err != nil {
		return method.Verdict{}, fmt.Errorf("request: %w", err)
	}
	if q.subject != k.Subject || a.User.Known() && a.User.ID != q.subject {
		return method.Verdict{}, idp.Unprovenf("other_user", "request for %.60s, ceremony of %.60s", q.subject, k.Subject)
	}
	if q.state != approved {
		return m.refused(q, a.Now)
	}
	v := method.Verdict{Proof: idp.Proof{Tenant: q.tenant, User: q.subject, Method: ID, Credential: q.phone}}
	p, facts, err := m.standing(ctx, m.db, q)
	if err != nil {
		return v, err
	}
	if q.expires.Add(grace).Before(a.Now) {
		return v, idp.Unprovenf("phone_late", "request %s was approved too long ago", q.id)
	}
	v.Proof = proof(q, p, facts)
	v.Settle = m.spend(q, a.Now)
	return v, nil
}

// refused says why a request opens nothing.
func (m *Room) refused(q request, now time.Time) (method.Verdict, error) {
	var v method.Verdict
	reason, answered := ends[q.state]
	if answered {
		v.Proof = idp.Proof{Tenant: q.tenant, User: q.subject, Method: ID, Credential: q.phone}
	} else if reason = "phone_waiting"; q.over(now) {
		reason = "phone_late"
	}
	return v, idp.Unprovenf(reason, "request %s is %s", q.id, q.state)
}

// standing is the phone that approved, if it and its passkey still stand.
func (m *Room) standing(ctx context.Context, r sqldb.Querier, q request) (phoneRow, idp.Facts, error) {
	p, err := phoneByID(ctx, r, q.tenant, q.phone)
	if errors.Is(err, idp.NotFound) || err == nil && (p.user != q.subject || !p.active()) {
		return p, idp.Facts{}, idp.Unprovenf("credential_gone", "phone %s was removed", q.phone)
	}
	if err != nil {
		return p, idp.Facts{}, fmt.Errorf("phone: %w", err)
	}
	facts, held, err := m.cfg.Passkeys.Held(ctx, r, p.tenant, p.user, p.passkey)
	if err == nil && !held {
		err = idp.Unprovenf("credential_gone", "passkey of phone %s is gone", p.id)
	}
	return p, p.facts(facts), err
}

// proof states what an approval proves.
func proof(q request, p phoneRow, f idp.Facts) idp.Proof {
	return idp.Proof{
		Tenant: q.tenant, User: q.subject, Method: ID, Mode: idp.ModePhone, Credential: p.id,
		Properties: properties(), AMR: []string{"swk", "user", "mfa"}, Facts: f, Time: q.answered,
	}
}

// properties are what an approval claims. It names no origin, so whoever shows
// its person the number of their own page gets what it opens: it is not
// phishing-resistant, and nothing makes it so (PHN10).
func properties() []idp.Property {
	return []idp.Property{idp.UserVerified, idp.Possession, idp.MultiFactor}
}

// spend uses an approval up, if its phone is still there.
func (m *Room) spend(q request, now time.Time) method.Settle {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := consume(ctx, tx, q.tenant, q.id, q.phone, now)
		if err != nil {
			return fmt.Errorf("use approval: %w", err)
		}
		if !ok {
			return idp.Unprovenf("phone_spent", "the approval of %s was used", q.id)
		}
		if ok, err = touchPhone(ctx, tx, q.tenant, q.subject, q.phone, now); err != nil {
			return fmt.Errorf("note use of phone: %w", err)
		}
		if !ok {
			return idp.Unprovenf("credential_gone", "phone %s was removed meanwhile", q.phone)
		}
		return nil
	}
}

// Withdraw implements method.Withdrawer: phones do not show what nobody waits
// for. What was answered meanwhile stays as it is.
func (m *Room) Withdraw(a method.Answer) method.Settle {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		k, fault := parseWait(a.Keep)
		if fault != nil {
			return nil // nothing was asked
		}
		if err := withdraw(ctx, tx, a.Tenant, k.ID, a.Now); err != nil {
			return fmt.Errorf("withdraw request: %w", err)
		}
		return nil
	}
}
