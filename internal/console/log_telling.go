package console

import (
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// wording is one story on its way into words.
type wording struct {
	pg            *page.Page
	p             *policy.Policy
	f             facts
	s             story
	who, app, key template.HTML
}

// byPhone says that it is an answer of a phone, and no sign-in.
func (w wording) byPhone() bool { return w.s.verdict == saidYes || w.s.verdict == saidNo }

// phoneSays is what a phone's answer means, in the words of one step.
func (w wording) phoneSays(step string) template.HTML {
	what := strings.TrimPrefix(w.f.event.Activity, phoneAnswers)
	text, ok := known(w.pg, "log.phone."+step+"."+what)
	if !ok { // an answer that has no words yet
		return w.pg.T("log.phone." + step + ".denied")
	}
	return text
}

func (w wording) own() bool { return w.f.event.Client == "" }

// title is the verdict.
func (w wording) title() template.HTML {
	e := w.f.event
	if text, ok := known(w.pg, "log.title."+e.Activity+"."+e.Outcome, "who", w.who, "app", w.app); ok {
		return text
	}
	key := "log.title." + string(w.s.verdict)
	switch {
	case e.Reason == "consent_needed":
		key = "log.title.consent"
	case e.Reason == "only_a_pass":
		key = "log.title.pass"
	case e.Times > 1:
		key = "log.title.many"
	}
	if w.own() && (w.s.verdict == letIn || w.s.verdict == refused || w.s.verdict == halfway) && e.Times <= 1 && key == "log.title."+string(w.s.verdict) {
		key += ".own"
	}
	return w.pg.T(key, "who", w.who, "app", w.app, "ip", e.IP)
}

// verdict is the sentence that names the rule.
func (w wording) verdict() template.HTML {
	e := w.f.event
	rule := ruleName(w.pg, w.p, e.Rule)
	with := w.key
	switch {
	case w.byPhone():
		return w.phoneSays("says")
	case w.s.verdict == left:
		return w.pg.T("log.says.left")
	case w.s.verdict == letIn && e.Category == audit.Token:
		return w.pg.T("log.says.token")
	case w.s.verdict == letIn && e.Rule != "":
		return w.pg.T("log.says.in", "key", with, "rule", rule)
	case w.s.verdict == letIn:
		return w.pg.T("log.says.in.plain", "key", with)
	case e.Times > 1:
		return w.pg.N("log.says.many", e.Times, "ip", e.IP)
	case w.s.verdict == unproven:
		return w.pg.T("log.says.nobody", "reason", w.reasonSentence())
	case e.Reason == "consent_needed":
		return w.pg.T("log.says.consent", "app", w.app)
	case e.Reason == "only_a_pass":
		return w.pg.T("log.says.pass")
	case w.key == "":
		return w.pg.T("log.says.refused.plain", "rule", rule, "because", because(w.pg, policy.Check{Reason: e.Reason}))
	}
	return w.pg.T("log.says.refused", "key", with, "rule", rule, "because", because(w.pg, policy.Check{Reason: e.Reason}))
}

func (w wording) reasonSentence() template.HTML {
	if text, ok := known(w.pg, "log.because."+w.f.event.Reason); ok {
		return text
	}
	return w.pg.T("log.reason.is", "reason", reasonShort(w.pg, w.f.event.Reason))
}

// asked is what the application wanted.
func (w wording) asked() step {
	e, t := w.f.event, w.f.told
	out := step{At: stampOf(w.s.asked)}
	switch {
	case w.byPhone() && e.Detail["asked"] != "":
		out.Text = append(out.Text, w.pg.T("log.phone.asked", "address", e.Detail["asked"]))
		return out
	case w.byPhone():
		out.Text = append(out.Text, w.pg.T("log.phone.asked.somewhere"))
		return out
	case e.Category == audit.Token:
		out.Text = append(out.Text, w.pg.T("log.asked.token", "app", w.app))
	case w.own():
		out.Text = append(out.Text, w.pg.T("log.asked.own"))
	default:
		out.Text = append(out.Text, w.pg.T("log.asked.app", "app", w.app))
	}
	fact := func(key string, value template.HTML) {
		if value != "" {
			out.Facts = append(out.Facts, pair{w.pg.T(key), value})
		}
	}
	if e.Agent != "" {
		fact("log.fact.from", page.AgentName(w.pg, e.Agent))
	}
	fact("log.fact.place", escaped(e.IP))
	fact("log.fact.demands", w.strengthName(t.Required))
	var asks []string
	for _, a := range t.ACR {
		if name := w.strengthName(a); name != w.strengthName(t.Required) { // the door asks for what the app demands
			asks = append(asks, string(name))
		}
	}
	fact("log.fact.asks", template.HTML(strings.Join(asks, ", ")))
	if t.Login {
		fact("log.fact.new", w.pg.T("log.fact.new.login"))
	}
	if t.MaxAge >= 0 && t.Judged {
		fact("log.fact.age", w.pg.N("log.fact.age.seconds", int(t.MaxAge/time.Second)))
	}
	return out
}

func (w wording) strengthName(ask string) template.HTML {
	if ask == "" {
		return ""
	}
	if s, ok := w.p.Strength(ask); ok {
		return escaped(s.Name)
	}
	return code(ask)
}

// proved is what came back.
func (w wording) proved() step {
	e := w.f.event
	out := step{At: stampOf(e.At)}
	say := func(text template.HTML) { out.Text = append(out.Text, text) }
	switch {
	case e.Activity == phoneUnanswered:
		say(w.pg.T("log.phone.unanswered"))
	case w.byPhone():
		say(w.pg.T("log.phone.answered", "key", w.key))
		if e.IP != "" {
			out.Facts = append(out.Facts, pair{w.pg.T("log.phone.place"), escaped(e.IP)})
		}
	case e.Times > 1:
		say(w.pg.N("log.proved.many", e.Times))
	case w.s.verdict == unproven:
		if e.Method != "" {
			say(w.pg.T("log.proved.tried", "method", methodName(w.pg, e.Method)))
		}
		say(w.reasonSentence())
	case w.s.verdict == left:
		say(w.pg.T("log.proved.left"))
	case w.s.proven:
		say(w.pg.T("log.proved.with", "key", w.key))
		say(countsAs(w.pg, w.s.proof))
	case e.Method != "":
		say(w.pg.T("log.proved.with", "key", w.key))
	default:
		say(w.pg.T("log.proved.before"))
	}
	if k := w.s.key; k != nil && k.Model != "" {
		label := "log.fact.model"
		if k.Method == policy.Phone {
			label = "log.phone.app"
		}
		if k.Method != policy.Certificate { // its issuer stands below
			out.Facts = append(out.Facts, pair{w.pg.T(label), escaped(k.Model)})
		}
	}
	out.Facts = append(out.Facts, certificateTold(w.pg, w.p, e)...)
	return out
}

// weighed is the table of rules; nil when none was asked.
func (w wording) weighed() *weighed {
	if len(w.s.checks) == 0 {
		return nil
	}
	out := &weighed{step: step{At: stampOf(w.f.event.At)}, Title: w.pg.N("log.weighed", len(w.s.checks))}
	switch {
	case w.s.changed:
		out.Notice = w.pg.T("log.weighed.changed")
	case w.s.rebuilt:
		out.Notice = w.pg.T("log.weighed.rebuilt")
	}
	out.Rows = ruleRows(w.pg, w.p, w.s.checks, w.s.deciding, w.s.verdict == letIn)
	return out
}

// ruleRows puts checks into words: the deciding rule first, then those that
// had something to say.
func ruleRows(pg *page.Page, p *policy.Policy, checks []policy.Check, deciding int, good bool) []ruleRow {
	rows := make([]ruleRow, 0, len(checks))
	for i, c := range checks {
		row := ruleRow{Name: ruleName(pg, p, c.Rule), About: ruleAbout(pg, c.Rule), Because: because(pg, c), Deciding: i == deciding}
		row.State, row.Result = shapes[c.Result], pg.T("log.check."+string(c.Result))
		rows = append(rows, row)
	}
	order := map[string]int{"bad": 1, "warn": 2, "good": 3, "off": 4}
	rank := func(r ruleRow) int {
		if r.Deciding {
			return 0
		}
		return order[r.State]
	}
	slices.SortStableFunc(rows, func(a, b ruleRow) int { return rank(a) - rank(b) })
	return rows
}

var shapes = map[policy.Result]string{policy.Met: "good", policy.Refused: "bad", policy.OnTrial: "warn", policy.NotAsked: "off"}

// answered is what the person and the application got.
func (w wording) answered() step {
	e := w.f.event
	out := step{At: stampOf(e.At)}
	say := func(text template.HTML) { out.Text = append(out.Text, text) }
	switch {
	case w.byPhone():
		say(w.phoneSays("then"))
		return out
	case w.s.verdict == left:
		say(w.pg.T("log.answered.left"))
		return out
	case w.s.verdict == letIn && e.Category == audit.Token:
		say(w.pg.T("log.answered.token", "app", w.app))
		return out
	case w.s.verdict == letIn:
		say(w.pg.T("log.answered.in"))
	case e.Reason == "consent_needed":
		say(w.pg.T("log.answered.consent", "app", w.app))
	case e.Reason == "only_a_pass":
		say(w.pg.T("log.answered.pass"))
	case w.s.verdict == halfway:
		say(w.pg.T("log.answered.halfway"))
	default:
		say(w.pg.T("log.answered.refused"))
	}
	if e.Code != 0 {
		say(w.pg.T("log.answered.code", "code", code("AADSTS"+strconv.Itoa(e.Code))))
	}
	if rule := e.Detail["wouldRefuse"]; rule != "" {
		say(w.pg.T("log.answered.trial", "rule", ruleName(w.pg, w.p, rule), "because", because(w.pg, policy.Check{Reason: e.Detail["wouldReason"]})))
	}
	return out
}
