package console

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// tryForm are the facts of a sign-in that is only thought of. They live in the
// address, and nothing of them is stored.
type tryForm struct {
	Person   string // user name
	App      idp.ClientID
	Key      string // id of something they hold, or a word of tryKeys
	Strength string // acr value, id or name, besides what the app demands
}

func readTryForm(q url.Values) tryForm {
	text := func(name string) string { return page.Clip(strings.TrimSpace(q.Get(name)), 1024) }
	return tryForm{Person: text("person"), App: idp.ClientID(text("app")), Key: text("key"), Strength: text("strength")}
}

func (f tryForm) values() url.Values {
	out := url.Values{}
	for _, one := range []field{{"person", f.Person}, {"app", string(f.App)}, {"key", f.Key}, {"strength", f.Strength}} {
		if one.Value != "" {
			out.Set(one.Name, one.Value)
		}
	}
	return out
}

// tryKeys are kinds of credentials that the person need not hold.
var tryKeys = []struct {
	word string
	made method.Credential
}{
	{"hardware", method.Credential{Method: policy.Passkey, Mode: idp.ModeFIDO2, Facts: idp.Facts{Attested: true},
		Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor, idp.HardwareBound}}},
	{"bound", method.Credential{Method: policy.Passkey, Mode: idp.ModeFIDO2,
		Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor}}},
	{"synced", method.Credential{Method: policy.Passkey, Mode: idp.ModeFIDO2, Facts: idp.Facts{Synced: true},
		Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor}}},
	{"pass", method.Credential{Method: policy.AccessPass, Mode: idp.ModeAccessPassOnce, Bootstrap: true, Properties: []idp.Property{idp.Possession}}},
}

type tryView struct {
	Form      tryForm
	Apps      []option
	Keys      []option
	Kinds     []option
	Strengths []option
	BadPerson template.HTML
	Answer    *tryAnswer
}

// tryAnswer is what policy says.
type tryAnswer struct {
	State   string
	Title   template.HTML
	Text    template.HTML
	More    bool // something else would do
	Missing []template.HTML
	Rows    []ruleRow
}

func (c *Console) tryIt(ctx context.Context, v *visit) error {
	form := readTryForm(v.r.URL.Query())
	pg := v.page("logtry", "", nil)
	pg.Title = pg.T("log.try.title")
	view := tryView{Form: form}
	rules, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	apps, _, err := c.cfg.Clients.List(ctx, v.tenant.ID, "", mostApps)
	if err != nil {
		return err
	}
	view.Apps = appOptions(pg, apps, form.App)
	view.Apps[0].Label = pg.T("log.try.app.own")
	view.Strengths = []option{{"", pg.T("log.try.strength.any"), form.Strength == ""}}
	for _, s := range rules.Strengths {
		view.Strengths = append(view.Strengths, option{s.ID, escaped(s.Name), chosenStrength(rules, form.Strength) == s.ID})
	}
	status := http.StatusOK
	if form.Person != "" {
		u, err := v.personTyped(ctx, form.Person)
		switch {
		case gone(err):
			view.BadPerson, status = pg.T("log.try.nobody", "q", form.Person), http.StatusNotFound
		case err != nil:
			return err
		default:
			if err := v.answerTry(ctx, pg, &view, rules, u); err != nil {
				return err
			}
		}
	}
	for _, k := range tryKeys {
		view.Kinds = append(view.Kinds, option{k.word, pg.T("log.try.key." + k.word), form.Key == k.word})
	}
	pg.V = view
	return v.show(status, pg)
}

func chosenStrength(p policy.Policy, ask string) string {
	s, _ := p.Strength(ask)
	return s.ID
}

// personTyped finds a person by user name, with or without the domain.
func (v *visit) personTyped(ctx context.Context, name string) (idp.User, error) {
	u, err := v.cfg.Directory.UserByName(ctx, v.cfg.DB, v.tenant.ID, name)
	if gone(err) && !strings.Contains(name, "@") {
		return v.cfg.Directory.UserByName(ctx, v.cfg.DB, v.tenant.ID, name+"@"+v.tenant.Domain)
	}
	return u, err
}

// answerTry asks policy as the corridor would.
func (v *visit) answerTry(ctx context.Context, pg *page.Page, view *tryView, rules policy.Policy, u idp.User) error {
	form, now := view.Form, v.cfg.Now()
	held, err := v.cfg.Corridor.Credentials(ctx, v.tenant.ID, u.ID)
	if err != nil {
		return err
	}
	key, found := method.Credential{}, false
	for _, c := range held {
		if c.Bootstrap && c.Disabled {
			continue
		}
		view.Keys = append(view.Keys, option{string(c.ID), credentialLabel(pg, c), string(c.ID) == form.Key})
		if string(c.ID) == form.Key {
			key, found = c, true
		}
	}
	for _, k := range tryKeys {
		if k.word == form.Key {
			key, found = k.made, true
		}
	}
	if !found {
		if len(view.Keys) == 0 || form.Key != "" {
			return nil // nothing is chosen yet, or it is theirs no more
		}
		for _, c := range held {
			if string(c.ID) == view.Keys[0].Value {
				key = c
			}
		}
		view.Keys[0].Chosen = true
	}
	demand := ""
	if form.App != "" {
		app, err := v.cfg.Clients.Get(ctx, v.tenant.ID, form.App)
		if err != nil {
			return err
		}
		demand = app.ACR
	}
	_, who, err := v.cfg.Policies.For(ctx, v.tenant.ID, u)
	if err != nil {
		return err
	}
	t := trial{user: u, groups: who.Groups, held: held, key: key, app: form.App, demand: demand, strength: form.Strength, now: now}
	view.Answer = answerOf(pg, rules, t)
	if view.Answer.More {
		for _, one := range t.would(rules) {
			view.Answer.Missing = append(view.Answer.Missing, v.wouldName(pg, one))
		}
	}
	return nil
}

// trial is a sign-in that is only thought of.
type trial struct {
	user             idp.User
	groups           policy.Groups
	held             []method.Credential
	key              method.Credential
	app              idp.ClientID
	demand, strength string
	now              time.Time
}

// question is what the corridor would ask.
func (t trial) question() policy.Question {
	p := proofBy(t.key, t.now)
	p.Tenant, p.User = t.user.Tenant, t.user.ID
	q := policy.Question{
		User: t.user, Groups: t.groups, Proofs: []idp.Proof{p}, App: t.app, Required: t.demand, MaxAge: -1, Started: t.now,
		Purpose: policy.SignIn, Usable: usable(t.held), Now: t.now,
	}
	if t.app == "" {
		q.Purpose = policy.Account
	}
	if t.strength != "" {
		q.ACR = []string{t.strength}
	}
	return q
}

// would is what would do instead.
func (t trial) would(rules policy.Policy) []wouldDo {
	f := facts{
		event: audit.Event{Client: t.app, At: t.now}, user: t.user, groups: t.groups, rules: rules,
		told: signin.Told{Required: t.demand, MaxAge: -1, Judged: true},
	}
	if t.strength != "" {
		f.told.ACR = []string{t.strength}
	}
	_, would := f.ways()
	return would
}

func answerOf(pg *page.Page, rules policy.Policy, t trial) *tryAnswer {
	q := t.question()
	d, checks := policy.Decide(&rules, q), once(policy.Explain(rules, q))
	why := d.Refusal
	for _, r := range d.Refused {
		why = r.Refusal
	}
	dead := t.key.Disabled || t.key.Orphaned
	out := &tryAnswer{State: "bad", Title: pg.T("log.try.no", "who", t.user.DisplayName)}
	out.Text = pg.T("log.try.by", "rule", ruleName(pg, &rules, why.Rule), "because", because(pg, policy.Check{Reason: why.Reason}))
	good := false
	switch {
	case dead:
		out.Text = pg.T("log.try.dead")
	case d.Outcome == policy.Allow && len(d.Refused) == 0:
		good = true
		out.State, out.Title = "good", pg.T("log.try.yes", "who", t.user.DisplayName)
		out.Text = pg.T("log.try.met", "rule", ruleName(pg, &rules, d.Rule), "counts", countsAs(pg, q.Proofs[0]))
	case d.Outcome == policy.MustRegister:
		out.State, out.Title = "warn", pg.T("log.try.register", "who", t.user.DisplayName)
	case d.Outcome == policy.StepUp && len(d.Refused) == 0:
		out.State, out.Title = "warn", pg.T("log.try.more", "who", t.user.DisplayName)
		out.More = true
	}
	rule := d.Rule
	if !good {
		rule = why.Rule
	}
	deciding := slices.IndexFunc(checks, func(c policy.Check) bool { return c.Covers(rule) && (good || c.Result != policy.Met) })
	out.Rows = ruleRows(pg, &rules, checks, deciding, good)
	return out
}
