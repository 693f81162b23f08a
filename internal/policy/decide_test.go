package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

var (
	now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	ada = idp.User{ID: "ada", Tenant: "t1", Name: "ada@nordhafen.example", Enabled: true, Type: idp.Member}
)

// proof makes a proof of ada, the given time ago.
func proof(m idp.MethodID, mode idp.Mode, ago time.Duration, properties ...idp.Property) idp.Proof {
	return idp.Proof{
		Tenant: ada.Tenant, User: ada.ID, Method: m, Mode: mode, Credential: "c", Properties: properties,
		AMR: []string{"word-" + string(mode)}, Time: now.Add(-ago),
	}
}

func hardware(ago time.Duration) idp.Proof {
	return proof(policy.Passkey, idp.ModeFIDO2, ago, idp.PhishingResistant, idp.UserVerified, idp.HardwareBound, idp.Possession, idp.MultiFactor)
}

func synced(ago time.Duration) idp.Proof {
	return proof(policy.Passkey, idp.ModeFIDO2, ago, idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor)
}

func pass(ago time.Duration) idp.Proof {
	return proof(policy.AccessPass, idp.ModeAccessPassOnce, ago, idp.Possession)
}

func passMany(ago time.Duration) idp.Proof {
	return proof(policy.AccessPass, idp.ModeAccessPassMany, ago, idp.Possession)
}

// question is ada signing in with one usable credential and nothing asked.
func question(proofs ...idp.Proof) policy.Question {
	return policy.Question{User: ada, Proofs: proofs, MaxAge: -1, Purpose: policy.SignIn, Usable: 1, Now: now}
}

func with(q policy.Question, change func(*policy.Question)) policy.Question {
	change(&q)
	return q
}

// The rows that are worth a name. The whole table is TestDecisionTable.
func TestDecide(t *testing.T) {
	standard := policy.Default()
	changed := func(change func(*policy.Policy)) policy.Policy {
		p := policy.Default()
		change(&p)
		return p
	}
	appPass := changed(func(p *policy.Policy) { p.AccessPass.AppSignIn = true })
	noPasskey := changed(func(p *policy.Policy) { p.Switch(policy.Passkey, false) })
	noPass := changed(func(p *policy.Policy) { p.Switch(policy.AccessPass, false) })
	asks := func(q policy.Question, acr ...string) policy.Question { q.ACR = acr; return q }
	maxAge := func(q policy.Question, d time.Duration) policy.Question { q.MaxAge = d; return q }
	login := func(q policy.Question, ago time.Duration) policy.Question { q.Since = now.Add(-ago); return q }
	started := func(q policy.Question, ago time.Duration) policy.Question { q.Started = now.Add(-ago); return q }
	usable := func(q policy.Question, n int) policy.Question { q.Usable = n; return q }
	register := func(q policy.Question) policy.Question { q.Purpose = policy.Register; return q }
	disabled := with(question(hardware(0)), func(q *policy.Question) { q.User.Enabled = false })
	nobody := policy.Question{MaxAge: -1, Purpose: policy.SignIn, Now: now}

	for _, tt := range []struct {
		name    string
		p       policy.Policy
		q       policy.Question
		outcome policy.Outcome
		reason  string
	}{
		{"passkey", standard, question(synced(0)), policy.Allow, "strength_met"},
		{"nothing proven", standard, question(), policy.StepUp, "nothing_proven"},
		{"nobody known", standard, nobody, policy.StepUp, "nothing_proven"},
		{"disabled user with a good proof", standard, disabled, policy.Deny, "user_disabled"},
		{"disabled user with nothing", standard, with(question(), func(q *policy.Question) { q.User.Enabled = false }), policy.Deny, "user_disabled"},
		{"proof of another user", standard, question(with2(synced(0), func(p *idp.Proof) { p.User = "bob" })), policy.Deny, "proof_of_other_user"},
		{"proof of another tenant", standard, question(with2(synced(0), func(p *idp.Proof) { p.Tenant = "t2" })), policy.Deny, "proof_of_other_user"},
		{"one good proof and one of another user", standard, question(synced(0), with2(synced(0), func(p *idp.Proof) { p.User = "bob" })), policy.Deny, "proof_of_other_user"},
		{"proof without a known user", standard, with(nobody, func(q *policy.Question) { q.Proofs = []idp.Proof{synced(0)} }), policy.Deny, "proof_of_other_user"},
		{"purpose unknown", standard, with(question(hardware(0)), func(q *policy.Question) { q.Purpose = "" }), policy.Deny, "purpose_unknown"},
		{"policy without anything", policy.Policy{}, question(hardware(0)), policy.Deny, "no_method_allowed"},

		{"method switched off", noPasskey, question(synced(0)), policy.Deny, "no_method_allowed"},
		{"method unknown to the policy", standard, question(with2(synced(0), func(p *idp.Proof) { p.Method = "carrier-pigeon" })), policy.StepUp, "method_off"},
		{"proof from the future", standard, question(synced(-2 * time.Minute)), policy.StepUp, "nothing_proven"},
		{"proof of a node whose clock is ahead", standard, question(synced(-30 * time.Second)), policy.Allow, "strength_met"},
		{"proof without a time", standard, question(with2(synced(0), func(p *idp.Proof) { p.Time = time.Time{} })), policy.StepUp, "nothing_proven"},

		{"phr by a synced passkey", standard, asks(question(synced(0)), "phr"), policy.Allow, "strength_met"},
		{"phrh by a synced passkey", standard, asks(question(synced(0)), "phrh"), policy.StepUp, "strength_unmet"},
		{"phrh by a security key", standard, asks(question(hardware(0)), "phrh"), policy.Allow, "strength_met"},
		{"phrh or phr by a synced passkey", standard, asks(question(synced(0)), "phrh", "phr"), policy.Allow, "strength_met"},
		{"a strength by its id", standard, asks(question(synced(0)), policy.IDPasswordless), policy.Allow, "strength_met"},
		{"unknown strength", standard, asks(question(hardware(0)), "gold"), policy.Deny, "strength_unknown"},
		{"unknown and known strength", standard, asks(question(hardware(0)), "gold", "phr"), policy.Allow, "strength_met"},
		{"strength asked as an empty word", standard, asks(question(hardware(0)), ""), policy.Deny, "strength_unknown"},
		{"strength that no enabled method reaches", noPasskey, asks(question(pass(0)), "phr"), policy.Deny, "no_method_allowed"},
		{"properties on two proofs are not united", standard,
			asks(question(proof(policy.Passkey, idp.ModeFIDO2, 0, idp.PhishingResistant), proof(policy.Passkey, idp.ModeFIDO2, 0, idp.HardwareBound)), "phrh"),
			policy.StepUp, "strength_unmet"},
		{"right mode without its property", standard, asks(question(proof(policy.Passkey, idp.ModeFIDO2, 0, idp.Possession)), "phr"), policy.StepUp, "strength_unmet"},
		{"right property in the wrong mode", standard, asks(question(proof(policy.Passkey, idp.ModePhone, 0, idp.PhishingResistant)), "phr"), policy.StepUp, "strength_unmet"},

		{"max_age kept", standard, maxAge(question(synced(4*time.Minute)), 5*time.Minute), policy.Allow, "strength_met"},
		{"max_age exactly", standard, maxAge(question(synced(5*time.Minute)), 5*time.Minute), policy.Allow, "strength_met"},
		{"max_age over", standard, maxAge(question(synced(5*time.Minute+time.Millisecond)), 5*time.Minute), policy.StepUp, "proof_too_old"},
		{"max_age 0 and a session", standard, maxAge(question(synced(time.Millisecond)), 0), policy.StepUp, "proof_too_old"},
		{"max_age 0 and a proof of this flow", standard, started(maxAge(question(synced(time.Minute)), 0), 2*time.Minute), policy.Allow, "strength_met"},
		{"max_age 0 and a proof before this flow", standard, started(maxAge(question(synced(3*time.Minute)), 0), 2*time.Minute), policy.StepUp, "proof_too_old"},
		{"max_age with one old and one fresh proof of less", standard, maxAge(asks(question(hardware(time.Hour), synced(0)), "phrh"), time.Minute), policy.StepUp, "proof_too_old"},
		{"prompt=login and a session", standard, login(question(synced(3*time.Minute)), 2*time.Minute), policy.StepUp, "proof_before_prompt"},
		{"prompt=login and a proof since", standard, login(question(synced(time.Minute)), 2*time.Minute), policy.Allow, "strength_met"},
		{"prompt=login and a proof of the same millisecond", standard,
			with(login(question(), 0), func(q *policy.Question) {
				q.Since = now.Add(300 * time.Nanosecond)
				q.Proofs = []idp.Proof{synced(0)}
			}),
			policy.Allow, "strength_met"},
		{"prompt=login and a proof of a moment before", standard,
			with(login(question(), 0), func(q *policy.Question) {
				q.Since = now.Add(300 * time.Microsecond)
				q.Proofs = []idp.Proof{synced(0)}
			}),
			policy.StepUp, "proof_before_prompt"},

		{"pass and nothing else registered", standard, usable(question(pass(0)), 0), policy.MustRegister, "only_a_pass"},
		{"pass and a passkey registered", standard, question(pass(0)), policy.StepUp, "strength_unmet"},
		{"pass where mfa is asked", standard, usable(asks(question(pass(0)), policy.IDMFA), 0), policy.MustRegister, "only_a_pass"},
		{"pass for the account pages", standard, with(usable(question(pass(0)), 0), func(q *policy.Question) { q.Purpose = policy.Account }), policy.MustRegister, "only_a_pass"},
		{"pass switched off", noPass, usable(question(pass(0)), 0), policy.StepUp, "method_off"},
		{"pass and then a passkey", standard, question(pass(time.Minute), synced(0)), policy.Allow, "strength_met"},
		{"pass where passes open apps", appPass, usable(question(pass(0)), 0), policy.Allow, "strength_met"},
		{"pass where passes open apps, mfa asked", appPass, usable(asks(question(pass(0)), policy.IDMFA), 0), policy.Allow, "strength_met"},
		{"pass where passes open apps, phr asked", appPass, usable(asks(question(pass(0)), "phr"), 0), policy.MustRegister, "only_a_pass"},
		{"pass never is passwordless", appPass, asks(question(pass(0)), policy.IDPasswordless), policy.StepUp, "strength_unmet"},
		{"guest with only a pass", standard, with(usable(question(pass(0)), 0), func(q *policy.Question) { q.User.Type = idp.Guest }), policy.StepUp, "strength_unmet"},

		{"register with a fresh passkey", standard, register(maxAge(question(synced(time.Minute)), 5*time.Minute)), policy.Allow, "fresh_proof"},
		{"register with an old passkey", standard, register(maxAge(question(synced(6*time.Minute)), 5*time.Minute)), policy.StepUp, "fresh_proof_needed"},
		{"register with nothing", standard, register(question()), policy.StepUp, "fresh_proof_needed"},
		{"register with a proof that could be phished", standard, register(question(proof(policy.Passkey, idp.ModeFIDO2, 0, idp.Possession))), policy.StepUp, "fresh_proof_needed"},
		{"register with a pass", standard, register(maxAge(question(pass(6*time.Minute)), 5*time.Minute)), policy.Allow, "pass"},
		{"register with a one-time pass at its end", standard, register(maxAge(question(pass(10*time.Minute)), 5*time.Minute)), policy.Allow, "pass"},
		{"register with a one-time pass too late", standard, register(question(pass(10*time.Minute + time.Second))), policy.StepUp, "fresh_proof_needed"},
		{"register with a pass for several uses, late", standard, register(question(passMany(3 * time.Hour))), policy.Allow, "pass"},
		{"register with a pass that is switched off", noPass, register(question(pass(0))), policy.StepUp, "fresh_proof_needed"},
		{"register as a guest", standard, with(register(question(synced(0))), func(q *policy.Question) { q.User.Type = idp.Guest }), policy.Deny, "guest_may_not_register"},
		{"register while disabled", standard, register(disabled), policy.Deny, "user_disabled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := policy.Decide(&tt.p, tt.q)
			if d.Outcome != tt.outcome || d.Reason != tt.reason {
				t.Errorf("got %s (%s, rule %s), want %s (%s)", d.Outcome, d.Reason, d.Rule, tt.outcome, tt.reason)
			}
			if d.Rule == "" || (d.Code == 0) != (d.Outcome == policy.Allow) {
				t.Errorf("outcome %s has rule %q and code %d", d.Outcome, d.Rule, d.Code)
			}
		})
	}
}

func with2(p idp.Proof, change func(*idp.Proof)) idp.Proof {
	change(&p)
	return p
}

// Decisions tell tokens the truth about the proofs that counted, and only
// about them.
func TestDecideFacts(t *testing.T) {
	for _, tt := range []struct {
		name string
		q    policy.Question
		want policy.Decision
	}{
		{"security key", question(hardware(time.Minute)), policy.Decision{
			ACR: "phrh", AMR: []string{"word-fido2"}, ProofTime: now.Add(-time.Minute), MFATime: now.Add(-time.Minute)}},
		{"synced passkey", question(synced(time.Minute)), policy.Decision{
			ACR: "phr", AMR: []string{"word-fido2"}, ProofTime: now.Add(-time.Minute), MFATime: now.Add(-time.Minute)}},
		{"weaker than asked", with(question(synced(0)), func(q *policy.Question) { q.ACR = []string{"phrh"} }), policy.Decision{
			ACR: "phr", AMR: []string{"word-fido2"}, ProofTime: now, MFATime: now}},
		{"stronger than asked", with(question(hardware(0)), func(q *policy.Question) { q.ACR = []string{"phr"} }), policy.Decision{
			ACR: "phrh", AMR: []string{"word-fido2"}, ProofTime: now, MFATime: now}},
		{"halves of a strength", question(
			proof(policy.Passkey, idp.ModeFIDO2, time.Minute, idp.PhishingResistant),
			proof(policy.Passkey, idp.ModeFIDO2, 2*time.Minute, idp.HardwareBound)), policy.Decision{
			ACR: "phr", AMR: []string{"word-fido2"}, ProofTime: now.Add(-time.Minute)}},
		{"a pass says nothing for apps", question(synced(time.Hour), pass(0)), policy.Decision{
			ACR: "phr", AMR: []string{"word-fido2"}, ProofTime: now.Add(-time.Hour), MFATime: now.Add(-time.Hour)}},
		{"a stale proof says nothing", with(question(hardware(time.Hour), synced(time.Minute)), func(q *policy.Question) { q.MaxAge = 5 * time.Minute }), policy.Decision{
			ACR: "phr", AMR: []string{"word-fido2"}, ProofTime: now.Add(-time.Minute), MFATime: now.Add(-time.Minute)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := policy.Decide(new(policy.Default()), tt.q)
			got := policy.Decision{ACR: d.ACR, AMR: d.AMR, ProofTime: d.ProofTime, MFATime: d.MFATime}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// Missing names only what enabled methods can prove.
func TestDecideMissing(t *testing.T) {
	q := question()
	q.ACR = []string{"phr"}
	if d := policy.Decide(new(policy.Default()), q); !cmp.Equal(d.Missing, [][]idp.Mode{{idp.ModeFIDO2}}) {
		t.Errorf("with passkeys only, phr misses %v", d.Missing)
	}
	p := policy.Default()
	p.Switch("hello", true)
	if d := policy.Decide(&p, q); !cmp.Equal(d.Missing, [][]idp.Mode{{idp.ModeHello}, {idp.ModeFIDO2}}) {
		t.Errorf("with Hello too, phr misses %v", d.Missing)
	}
	p.Strengths = append(p.Strengths, policy.Strength{ID: "two", Name: "two", Combinations: [][]idp.Mode{{idp.ModeFIDO2, idp.ModeHello}}})
	q.ACR, q.Proofs = []string{"two"}, []idp.Proof{synced(0)}
	if d := policy.Decide(&p, q); d.Outcome != policy.StepUp || !cmp.Equal(d.Missing, [][]idp.Mode{{idp.ModeHello}}) {
		t.Errorf("half of a combination: %s, missing %v", d.Outcome, d.Missing)
	}
	q.Proofs = append(q.Proofs, proof("hello", idp.ModeHello, 0))
	if d := policy.Decide(&p, q); d.Outcome != policy.Allow {
		t.Errorf("both of a combination: %s, %s", d.Outcome, d.Reason)
	}
}

func TestDecideLostKey(t *testing.T) {
	if d := policy.Decide(new(policy.Default()), question(pass(0))); !d.MayRegister {
		t.Error("somebody with a pass whose key is lost may not register another")
	}
	for name, q := range map[string]policy.Question{
		"no pass": question(), "passkey": question(synced(0)), "pass and passkey": question(pass(0), synced(0)),
		"disabled": with(question(pass(0)), func(q *policy.Question) { q.User.Enabled = false }),
	} {
		if d := policy.Decide(new(policy.Default()), q); d.MayRegister {
			t.Errorf("%s: MayRegister", name)
		}
	}
}

// TestDecisionTable walks every combination of method × enabled × user state ×
// proof × asked strength × max_age × prompt=login × purpose × setting against
// a second, naive reading of the rules (security.md POL03).
func TestDecisionTable(t *testing.T) {
	proofs := map[string]func(time.Duration) idp.Proof{"none": nil, "hardware": hardware, "synced": synced, "pass": pass, "passMany": passMany}
	rows, seen := 0, make(map[policy.Outcome]int)
	for kind, make := range proofs {
		for _, ago := range []time.Duration{0, 3 * time.Minute, time.Hour} {
			for _, bits := range combinations(6) {
				for _, acr := range []string{"", "phr", "phrh", policy.IDMFA, "gold"} {
					for _, purpose := range []policy.Purpose{policy.SignIn, policy.Account, policy.Register} {
						passkeyOn, passOn, userOn, appSignIn, aged, login := bits[0], bits[1], bits[2], bits[3], bits[4], bits[5]
						p := policy.Default()
						p.Switch(policy.Passkey, passkeyOn)
						p.Switch(policy.AccessPass, passOn)
						p.AccessPass.AppSignIn = appSignIn
						q := question()
						q.User.Enabled, q.Purpose, q.Usable = userOn, purpose, 0
						if make != nil {
							q.Proofs = []idp.Proof{make(ago)}
						}
						if acr != "" {
							q.ACR = []string{acr}
						}
						if aged {
							q.MaxAge = 5 * time.Minute
						}
						if login {
							q.Since = now.Add(-time.Minute)
						}
						want := naive(kind, ago, passkeyOn, passOn, userOn, appSignIn, aged, login, acr, purpose)
						if d := policy.Decide(&p, q); d.Outcome != want {
							t.Fatalf("%s %s ago, passkey %v pass %v user %v appSignIn %v maxAge %v login %v acr %q for %s: got %s (%s), want %s",
								kind, ago, passkeyOn, passOn, userOn, appSignIn, aged, login, acr, purpose, d.Outcome, d.Reason, want)
						}
						rows++
						seen[want]++
					}
				}
			}
		}
	}
	for _, o := range []policy.Outcome{policy.Allow, policy.StepUp, policy.MustRegister, policy.Deny} {
		if seen[o] < 50 {
			t.Errorf("outcome %s comes in %d of %d rows only", o, seen[o], rows)
		}
	}
}

func combinations(n int) [][]bool {
	var out [][]bool
	for i := range 1 << n {
		row := make([]bool, n)
		for b := range n {
			row[b] = i>>b&1 == 1
		}
		out = append(out, row)
	}
	return out
}

// naive says in the plainest way what a person with no registered method and
// at most one proof may do.
func naive(kind string, ago time.Duration, passkeyOn, passOn, userOn, appSignIn, aged, login bool, acr string, purpose policy.Purpose) policy.Outcome {
	if !userOn {
		return policy.Deny
	}
	isPass := strings.HasPrefix(kind, "pass")
	alive := kind != "none" && (isPass && passOn || !isPass && passkeyOn)
	since := alive && (!login || ago <= time.Minute)
	young := since && (!aged || ago <= 5*time.Minute)
	if purpose == policy.Register {
		switch {
		case kind == "pass" && since && ago <= 10*time.Minute, kind == "passMany" && since, !isPass && young:
			return policy.Allow
		}
		return policy.StepUp
	}
	if acr == "gold" {
		return policy.Deny
	}
	good := map[string][]string{
		"": {"hardware", "synced", "pass", "passMany"}, policy.IDMFA: {"hardware", "synced", "pass", "passMany"},
		"phr": {"hardware", "synced"}, "phrh": {"hardware"},
	}[acr]
	if young && slices.Contains(good, kind) && (!isPass || appSignIn) {
		return policy.Allow
	}
	passHelps := passOn && appSignIn && (acr == "" || acr == policy.IDMFA)
	if !passkeyOn && !passHelps {
		return policy.Deny
	}
	if isPass && young {
		return policy.MustRegister
	}
	return policy.StepUp
}

func ExampleDecide() {
	key := idp.Proof{
		Tenant: "t1", User: "ada", Method: policy.Passkey, Mode: idp.ModeFIDO2,
		Properties: []idp.Property{idp.PhishingResistant}, Time: now,
	}
	d := policy.Decide(new(policy.Default()), policy.Question{
		User: ada, Proofs: []idp.Proof{key}, ACR: []string{"phrh"}, MaxAge: -1, Purpose: policy.SignIn, Usable: 1, Now: now,
	})
	fmt.Println(d.Outcome, d.Reason, d.Missing, d.ACR)
	// Output: step-up strength_unmet [[fido2]] phr
}
