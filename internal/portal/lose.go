package portal

import (
	"cmp"
	"html/template"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
)

// loss is one line of "If you lost one tomorrow".
type loss struct {
	Text template.HTML
	Bad  bool // it would need the help desk
}

// mostLosses keeps the panel short for somebody with many keys.
const mostLosses = 4

// usable are the credentials that let somebody in today, and again tomorrow: a
// pass is no way in of its own.
func usable(creds []method.Credential) []method.Credential {
	var out []method.Credential
	for _, c := range creds {
		if c.Usable() {
			out = append(out, c)
		}
	}
	return out
}

// losses says what each loss would mean, by what is really there.
func losses(pg *page.Page, works []method.Credential, phones []Phone) []loss {
	if len(works) == 0 {
		return []loss{{pg.T("lose.none"), true}}
	}
	lost := things(works, phones)
	var out []loss
	for _, c := range lost[:min(len(lost), mostLosses)] {
		out = append(out, lossOf(pg, c, left(c, works, phones)))
	}
	switch len(lost) {
	case 1:
	case 2:
		out = append(out, loss{pg.T("lose.both"), true})
	default:
		out = append(out, loss{pg.T("lose.all", "n", len(lost)), true})
	}
	return out
}

// things are what can be lost by itself: a passkey that is kept by a phone
// alone, which approves with it, is lost with that phone.
func things(works []method.Credential, phones []Phone) []method.Credential {
	var out []method.Credential
	for _, c := range works {
		alone := slices.ContainsFunc(phones, func(ph Phone) bool {
			return c.Method == passkey && !c.Facts.Synced && ph.Passkey == c.ID && holds(works, ph.ID)
		})
		if !alone {
			out = append(out, c)
		}
	}
	return out
}

func holds(list []method.Credential, phone idp.CredentialID) bool {
	return slices.ContainsFunc(list, func(c method.Credential) bool { return c.Method == policy.Phone && c.ID == phone })
}

// left is what still works once c is lost. Whatever the same device keeps goes
// with it, a phone with the passkey that it approves with, and that passkey
// with the phone unless its provider has a copy.
func left(c method.Credential, works []method.Credential, phones []Phone) []method.Credential {
	var out []method.Credential
	for _, r := range works {
		same := r.ID == c.ID && r.Method == c.Method
		kept := r.Facts.Device != "" && r.Facts.Device == c.Facts.Device
		needs := c.Method == passkey && needsPasskey(r, c.ID, phones)
		keeps := r.Method == passkey && !r.Facts.Synced && needsPasskey(c, r.ID, phones)
		if !same && !kept && !needs && !keeps {
			out = append(out, r)
		}
	}
	return out
}

// needsPasskey says whether c is a phone that approves with the passkey.
func needsPasskey(c method.Credential, id idp.CredentialID, phones []Phone) bool {
	return c.Method == policy.Phone && slices.ContainsFunc(phones, func(ph Phone) bool { return ph.ID == c.ID && ph.Passkey == id })
}

// lossOf is the loss of what keeps c, when rest is what remains. What is synced
// comes back from its provider; the key of a phone's app does not.
func lossOf(pg *page.Page, c method.Credential, rest []method.Credential) loss {
	name := credentialName(pg, c)
	switch {
	case len(rest) == 1:
		return loss{pg.T("lose.one", "name", name, "rest", credentialName(pg, rest[0])), false}
	case len(rest) > 1:
		return loss{pg.T("lose.many", "name", name, "rest", nameList(pg, rest)), false}
	case c.Facts.Synced && c.Method != policy.Phone:
		return loss{pg.T("lose.synced", "name", name), false}
	}
	return loss{pg.T("lose.only", "name", name), true}
}

// nameList is "a and b", "a, b and c", "a, b and 3 others".
func nameList(pg *page.Page, creds []method.Credential) template.HTML {
	var names []template.HTML
	for n, c := range creds {
		if n == 2 && len(creds) > 3 {
			names = append(names, pg.N("lose.more", len(creds)-2))
			return pg.T("list.and_more", "a", pg.T("list.comma", "a", names[0], "b", names[1]), "b", names[2])
		}
		names = append(names, template.HTML(template.HTMLEscapeString(credentialName(pg, c))))
	}
	out := names[0]
	for n, name := range names[1:] {
		key := "list.comma"
		if n == len(names)-2 {
			key = "list.and"
		}
		out = joined(pg, key, out, name)
	}
	return out
}

func joined(pg *page.Page, key string, a, b template.HTML) template.HTML {
	if key == "list.and" {
		return pg.T("list.and", "a", a, "b", b)
	}
	return pg.T("list.comma", "a", a, "b", b)
}

// credentialName is what its owner calls it, or what it is.
func credentialName(pg *page.Page, c method.Credential) string {
	switch {
	case c.Name != "" && c.Method == certificate:
		// It is called as its subject is, which is its owner.
		return page.Plain(pg.T("badge.called", "name", c.Name))
	case c.Name != "":
		return c.Name
	case c.Method == accessPass:
		return page.Plain(pg.T("kind.accessPass"))
	case c.Model != "":
		return c.Model
	}
	return page.Plain(pg.T("methods.unnamed"))
}

// methodRow is one credential on the account page.
type methodRow struct {
	ID         idp.CredentialID
	Method     idp.MethodID
	Name, Icon string
	Kind, Meta template.HTML
	State      template.HTML
	Mine       bool // its owner may rename and remove it
	Ask        *askView
	// The rest is of phones.
	Phone  bool
	Stands []stand
	Test   bool   // a message can be sent to it
	Lost   string // address of the question that begins "I lost it"
}

// askView is the question before a credential is renamed or removed.
type askView struct {
	Session idp.SessionID
	Flow    string
	Cred    struct {
		ID     idp.CredentialID
		Method idp.MethodID
		Name   string
		Given  string // what its owner calls it
	}
	BadName template.HTML
	Last    bool
	Stuck   bool // no other can be added here
	Left    template.HTML
	Also    template.HTML // what else follows
}

func rowOf(pg *page.Page, c method.Credential, works []method.Credential, phones []Phone, s idp.SessionID) methodRow {
	row := methodRow{ID: c.ID, Method: c.Method, Name: credentialName(pg, c), Icon: "key", Kind: pg.T("kind.passkey"), Mine: !c.Bootstrap}
	switch {
	case c.Method == accessPass:
		row.Icon, row.Kind = "ticket", "" // its name says it
	case c.Method == certificate:
		row.Icon, row.Kind, row.Name = "badge", pg.T("kind.certificate"), cmp.Or(c.Name, row.Name)
	case c.Method == policy.Hello:
		row.Icon, row.Kind = "laptop", pg.T("kind.hello")
	case c.Method == policy.Platform:
		row.Icon, row.Kind = "laptop", pg.T("kind.platform")
	case c.Facts.Synced:
		row.Icon, row.Kind = "cloud", pg.T("kind.synced")
	case c.Facts.Attested:
		row.Icon = "usb"
	}
	var meta []template.HTML
	for _, o := range works {
		if c.Method == passkey && needsPasskey(o, c.ID, phones) && !strings.Contains(row.Name, credentialName(pg, o)) {
			meta = append(meta, pg.T("meta.on", "device", credentialName(pg, o)))
		}
	}
	if c.Method == certificate {
		if c.Model != "" {
			meta = append(meta, pg.T("meta.certificate.by", "issuer", c.Model))
		}
		meta = append(meta, pg.T("meta.certificate.first", "when", page.When(c.Created, "")))
	} else if c.Model != "" && c.Model != row.Name {
		meta = append(meta, template.HTML(template.HTMLEscapeString(c.Model)))
	}
	if c.Method != certificate {
		meta = append(meta, pg.T("meta.added", "when", page.When(c.Created, "")))
	}
	if c.Bootstrap && !c.Expires.IsZero() {
		meta = append(meta, pg.T("meta.until", "when", page.When(c.Expires, "")))
	} else if c.LastUsed.IsZero() {
		meta = append(meta, pg.T("meta.never"))
	} else {
		meta = append(meta, pg.T("meta.used", "when", page.When(c.LastUsed, "")))
	}
	if c.Method == certificate && !c.Expires.IsZero() {
		meta = append(meta, pg.T("meta.until", "when", page.When(c.Expires, "")))
	}
	row.Meta = dots(pg, meta)
	switch {
	case c.Orphaned:
		row.State = pg.T("state.orphaned")
	case c.Weak:
		row.State = pg.T("state.weak")
	case c.Disabled && c.Method == certificate:
		row.State = pg.T("state.certificate")
	case c.Disabled && ofMachine(c.Method):
		row.State = pg.T("state.device")
	case c.Disabled:
		row.State = pg.T("state.disabled")
	case c.Refusal.Help.OtherModel:
		row.State = pg.T("state.withdrawn")
	case !c.Refusal.Allowed():
		row.State = pg.T("state.refused")
	}
	row.Ask = askOf(pg, c, works, phones, s)
	if c.Method == policy.Phone {
		row.ofPhone(pg, c, phones, s)
	}
	return row
}

// askOf says what is left after c is gone.
func askOf(pg *page.Page, c method.Credential, works []method.Credential, phones []Phone, s idp.SessionID) *askView {
	a := &askView{Session: s, Also: pg.T("remove.also")}
	a.Cred.ID, a.Cred.Method, a.Cred.Name = c.ID, c.Method, credentialName(pg, c)
	a.Cred.Given = cmp.Or(c.Name, a.Cred.Name)
	switch c.Method {
	case policy.Phone:
		a.Also = pg.T("remove.also.phone")
	case certificate:
		a.Also = pg.T("remove.also.certificate")
	}
	var rest []method.Credential
	counts := false
	for _, o := range works {
		switch {
		case o.ID == c.ID && o.Method == c.Method:
			counts = true
		case c.Method == passkey && needsPasskey(o, c.ID, phones):
			a.Also = pg.T("remove.also.with", "phone", credentialName(pg, o), "also", a.Also)
		default:
			rest = append(rest, o)
		}
	}
	a.Last = counts && len(rest) == 0
	if len(rest) > 0 {
		a.Left = pg.T("remove.left", "rest", nameList(pg, rest))
	}
	return a
}

// dots sets facts in a row.
func dots(pg *page.Page, list []template.HTML) template.HTML {
	if len(list) == 0 {
		return ""
	}
	out := list[0]
	for _, next := range list[1:] {
		out = pg.T("meta.join", "a", out, "b", next)
	}
	return out
}
