package portal

import (
	"context"
	"errors"
	"html/template"
	"slices"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
)

// sessionRow is one session on the account page.
type sessionRow struct {
	ID         idp.SessionID
	Icon       string
	Name, Meta template.HTML
	Here       bool
}

// sessionRows lists sessions, this browser's first.
func sessionRows(pg *page.Page, list []session.Session, here idp.SessionID, creds []method.Credential) []sessionRow {
	var out []sessionRow
	for _, s := range list {
		row := sessionRow{ID: s.ID, Icon: page.AgentIcon(s.Agent), Name: page.AgentName(pg, s.Agent), Here: s.ID == here}
		var meta []template.HTML
		if s.IP != "" {
			meta = append(meta, template.HTML(template.HTMLEscapeString(s.IP)))
		}
		meta = append(meta, pg.T("meta.since", "when", page.When(s.Opened, "")))
		if n := len(s.Proofs); n > 0 {
			meta = append(meta, pg.T("meta.with", "name", proofName(pg, s.Proofs[n-1].Method, s.Proofs[n-1].Credential, creds)))
		}
		row.Meta = dots(pg, meta)
		out = append(out, row)
	}
	slices.SortStableFunc(out, func(a, b sessionRow) int { return boolInt(b.Here) - boolInt(a.Here) })
	return out
}

// proofName is what somebody proved themselves with.
func proofName(pg *page.Page, m idp.MethodID, id idp.CredentialID, creds []method.Credential) string {
	for _, c := range creds {
		if c.ID == id && c.Method == m {
			return credentialName(pg, c)
		}
	}
	switch m {
	case accessPass:
		return page.Plain(pg.T("kind.accessPass"))
	case policy.Phone:
		return page.Plain(pg.T("phones.unnamed"))
	}
	return page.Plain(pg.T("methods.unnamed"))
}

// eventRow is one line of "Recent activity".
type eventRow struct {
	When, Text, Meta template.HTML
	Bad              bool
}

// mostEvents is how many the page shows.
const mostEvents = 12

func (p *Portal) eventRows(ctx context.Context, pg *page.Page, list []audit.Event, creds []method.Credential) ([]eventRow, error) {
	apps := map[idp.ClientID]string{}
	var out []eventRow
	for _, e := range list {
		if !telling(e) || len(out) == mostEvents {
			continue
		}
		name, seen := apps[e.Client]
		if !seen && e.Client != "" && p.cfg.Clients != nil {
			c, err := p.cfg.Clients.Get(ctx, e.Tenant, e.Client)
			if err != nil && !errors.Is(err, idp.NotFound) {
				return nil, err
			}
			name = c.Name
			apps[e.Client] = name
		}
		out = append(out, eventOf(pg, e, name, creds))
	}
	return out, nil
}

// eventOf tells one record in the words of this page.
func eventOf(pg *page.Page, e audit.Event, app string, creds []method.Credential) eventRow {
	row := eventRow{When: page.When(e.At, "start"), Bad: e.Outcome == audit.Failure || alarming[e.Activity]}
	row.Text = deed(pg, e, app, creds)
	var meta []template.HTML
	if e.Agent != "" {
		meta = append(meta, page.AgentName(pg, e.Agent))
	}
	if e.IP != "" {
		meta = append(meta, template.HTML(template.HTMLEscapeString(e.IP)))
	}
	if asked := e.Detail["asked"]; asked != "" && e.Method == policy.Phone {
		meta = append(meta, pg.T("activity.phone.asked", "ip", asked))
	}
	if row.Bad && e.Rule != "" {
		meta = append(meta, pg.T("activity.rule", "rule", e.Rule))
	}
	row.Meta = dots(pg, meta)
	return row
}

// alarming are what a person should not pass over, although nothing failed.
var alarming = map[string]bool{"phone.denied": true, "phone.reported": true, "phone.wrong_number": true}

// plainDeeds are the events that one sentence tells.
var plainDeeds = map[string]string{
	"tap.issue":           "activity.pass.issued",
	"passkey.counter":     "activity.counter",
	"passkey.synced":      "activity.synced",
	"token.refresh_reuse": "activity.reuse",
	"session.revokeUser":  "activity.session.revoked",
	"user.create":         "activity.user.created",
	"user.import":         "activity.user.created",
	"user.update":         "activity.user",
	"user.setRole":        "activity.user",
	"user.enable":         "activity.user",
	"user.disable":        "activity.user",
	"group.addMember":     "activity.groups",
	"group.removeMember":  "activity.groups",
	"signin.interrupted":  "activity.signin.interrupted",
	"passkey.later":       "activity.later",
	"signout.done":        "activity.signout",
	"signout.everywhere":  "activity.signout.everywhere",
	"session.end":         "activity.session.ended",
	"device.join":         "activity.device.joined",
	"device.enable":       "activity.device.on",
	"device.rename":       "activity.device.renamed",
	"device.signOut":      "activity.device.out",
	"hello.restore":       "activity.hello.back",
	"hello.expire":        "activity.hello.expired",
	"platform.restore":    "activity.mackey.back",
	"platform.expire":     "activity.mackey.expired",
	"platform.rotate":     "activity.mackey.rotated",
	"mac.rotate":          "activity.mac.rotated",
	"prt.reuse":           "activity.prt.reuse",
	"phone.later":         "activity.phone.later",
	"phone.unblock":       "activity.phone.unblocked",
	"browser.forget":      "activity.browser.forgotten",
}

// telling says whether an event belongs on the page: tokens that apps fetch
// every hour do not, one that was stolen does.
func telling(e audit.Event) bool {
	// What a phone said to a request is told by the event of the phone.
	if e.Activity == "signin.refused" && slices.Contains([]string{"phone_denied", "phone_reported", "phone_wrong_number"}, e.Reason) {
		return false
	}
	return e.Category != audit.Token || plainDeeds[e.Activity] != ""
}

// deed is the sentence of an event.
func deed(pg *page.Page, e audit.Event, app string, creds []method.Credential) template.HTML {
	name := proofName(pg, e.Method, e.Credential, creds)
	failed := e.Outcome == audit.Failure
	switch e.Activity {
	case "signin.done":
		if app != "" {
			return pg.T("activity.signin.app", "app", app, "name", name)
		}
		return pg.T("activity.signin", "name", name)
	case "signin.refused":
		if e.Reason == "phone_late" {
			return pg.T("activity.phone.late")
		}
		if e.Rule != "" {
			return pg.T("activity.signin.denied")
		}
		return pg.T("activity.signin.failed")
	case "consent.allow":
		return pg.T("activity.consent", "app", app)
	case "consent.deny":
		return pg.T("activity.consent.denied", "app", app)
	case "consent.revoke":
		return pg.T("activity.consent.revoked", "app", app)
	case "user.revokeConsent":
		return pg.T("activity.consent.revoked.desk", "app", app)
	case "device_code.allow":
		return pg.T("activity.device.allowed", "app", app)
	case "device_code.deny":
		return pg.T("activity.device.denied", "app", app)
	case "device_code.claim":
		return pg.T("activity.device.codes")
	case "passkey.register":
		if failed {
			return pg.T("activity.register.failed")
		}
		return pg.T("activity.passkey.added", "name", name)
	case "hello.register":
		if failed {
			return pg.T("activity.hello.failed")
		}
		return pg.T("activity.hello.added", "name", name)
	case "platform.register":
		if failed {
			return pg.T("activity.mackey.failed")
		}
		return pg.T("activity.mackey.added", "name", name)
	case "device.disable", "device.remove":
		if failed {
			return pg.T("activity.device.failed")
		}
		return pg.T("activity."+e.Activity, "device", e.Detail["displayName"])
	case "phone.register":
		if failed {
			return pg.T("activity.phone.failed")
		}
		return pg.T("activity.phone.added", "name", name)
	case "phone.approved", "phone.denied", "phone.reported", "phone.wrong_number", "phone.expired":
		return phoneDeed(pg, e, name)
	case "passkey.rename", "hello.rename", "platform.rename", "phone.rename":
		if failed {
			return pg.T("activity.rename.failed")
		}
		return pg.T("activity.renamed", "name", name)
	case "passkey.remove", "accessPass.remove", "hello.remove", "platform.remove", "phone.remove":
		if failed {
			return pg.T("activity.remove.failed")
		}
		return pg.T("activity.removed")
	}
	if key, ok := plainDeeds[e.Activity]; ok {
		return pg.T(key, "name", name)
	}
	return pg.T("activity.other", "activity", e.Activity)
}
