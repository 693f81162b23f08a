package accesspass

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// maxTries with the right first four characters, then the pass is dead.
const maxTries = 5

// registerWithin is how long a session opened with a one-time pass may take to
// register a method (entra-behaviours §11).
const registerWithin = 10 * time.Minute

// refusal is the one sentence for everything that can be wrong with a pass
// (design §5, text 7).
const refusal = "This pass does not work. It may be mistyped, used or over. Check it, or ask the help desk for a new one."

// maxPayload bounds what is read at all: a user name and a code.
const maxPayload = 4 << 10

// payload is what the sign-in page sends: {"username": …, "access_pass": …}.
type payload struct {
	UserName string `json:"username"`
	Code     string `json:"access_pass"`
}

// Verify checks a code. Whatever is wrong, known person or not, the error is
// Unproven with one sentence, and the same reads, MACs and writes are made.
func (m *Method) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	in, err := parse(a.Payload)
	if err != nil {
		return method.Verdict{}, err
	}
	key, err := m.cfg.Key(ctx, a.Tenant)
	if err != nil {
		return method.Verdict{}, fmt.Errorf("key of access passes: %w", err)
	}
	rules, err := m.cfg.Rules(ctx, a.Tenant)
	if err != nil {
		return method.Verdict{}, fmt.Errorf("rules of access passes: %w", err)
	}
	user, err := m.user(ctx, a, in.UserName)
	if err != nil {
		return method.Verdict{}, err
	}
	p, err := find(ctx, m.cfg.DB, a.Tenant, user)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return method.Verdict{}, fmt.Errorf("find access pass: %w", err)
	}
	p.Tenant, p.User = a.Tenant, user // of the decoy, too: it has the same work

	counts, reason := judge(key, p, rules, in.Code, a.Now)
	if reason != "" {
		return method.Verdict{
			Proof:  idp.Proof{Tenant: a.Tenant, User: known(p), Method: ID, Credential: p.ID},
			Settle: func(ctx context.Context, tx *sqldb.Tx) error { return miss(ctx, tx, p, counts) },
		}, refuse(reason, "pass of %s", p.User)
	}
	until := p.Expires
	if soon := a.Now.Add(registerWithin); p.Once && soon.Before(until) {
		until = soon
	}
	return method.Verdict{
		Proof:  proofOf(p, a.Now),
		Settle: func(ctx context.Context, tx *sqldb.Tx) error { return use(ctx, tx, p, a.Now) },
		Until:  until,
	}, nil
}

// nobody stands for a person that does not exist. No row has it.
const nobody idp.UserID = "-"

func known(p pass) idp.UserID {
	if p.ID == "" {
		return ""
	}
	return p.User
}

// user is who is meant: the person of the flow, else the one named. The name
// is looked up in any case, so that both cost the same.
func (m *Method) user(ctx context.Context, a method.Answer, name string) (idp.UserID, error) {
	u, err := m.cfg.User(ctx, a.Tenant, name)
	// What cannot be a name is nobody's name.
	if err != nil && !errors.Is(err, idp.NotFound) && !errors.Is(err, idp.Invalid) {
		return "", fmt.Errorf("find user: %w", err)
	}
	if err != nil || !u.Known() {
		u.ID = nobody
	}
	if a.User.Known() && name == "" {
		return a.User.ID, nil
	}
	return u.ID, nil
}

// parse reads untrusted bytes.
func parse(raw []byte) (payload, error) {
	var in payload
	if len(raw) > maxPayload {
		return in, refuse("payload_size", "payload of %d bytes", len(raw))
	}
	if err := web.Strict(raw, &in); err != nil {
		return in, refuse("payload_malformed", "payload: %w", err)
	}
	return in, nil
}

// judge is pure. It says what is wrong, "" for nothing, and whether the try
// counts towards maxTries: only one with the right first four characters does
// (decisions 1.5).
func judge(key *secret.Key, p pass, rules policy.AccessPassRules, typed string, now time.Time) (counts bool, reason string) {
	code, ok := normal(typed)
	if !ok {
		code = nothing // the same work for what cannot be a code
	}
	selector, whole := macs(key, p.Tenant, p.User, code)
	rightSelector := secret.Equal(selector, p.Selector)
	right := secret.Equal(whole, p.Code)
	switch {
	case p.ID == "":
		return false, "pass_unknown"
	case !ok:
		return false, "pass_malformed"
	case !rightSelector:
		return false, "pass_other"
	case !right:
		return true, "pass_wrong"
	case p.Tries >= maxTries:
		return false, "pass_dead"
	case p.Once && !p.LastUsed.IsZero():
		return false, "pass_used"
	case now.Before(p.Starts):
		return false, "pass_early"
	case !now.Before(p.Expires):
		return false, "pass_over"
	case rules.Once && !p.Once:
		// The tenant now demands one-time passes: those that were given
		// out before stop working (entra-behaviours §11, "Error text").
		return false, "pass_not_once"
	}
	return false, ""
}

// nothing has a character outside of the alphabet: no code equals it.
const nothing = "????????????"

// macs are what the table keeps of a code. They name tenant and user, so that
// a row moved to another person opens nothing.
func macs(key *secret.Key, tenant idp.TenantID, user idp.UserID, code string) (selector, whole []byte) {
	of := func(part, text string) []byte {
		return key.MAC([]byte("access pass "+part), []byte(tenant), []byte(user), []byte(text))
	}
	return of("selector", code[:selectorLen]), of("code", code)
}

func proofOf(p pass, now time.Time) idp.Proof {
	return idp.Proof{
		Tenant: p.Tenant, User: p.User, Method: ID, Mode: p.mode(), Credential: p.ID,
		Properties: []idp.Property{idp.Possession},
		Time:       now,
	}
}

func refuse(reason, format string, args ...any) *idp.Error {
	return idp.Unprovenf(reason, format, args...).Say(refusal)
}
