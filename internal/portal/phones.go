package portal

import (
	"context"
	"html/template"
	"net/url"
	"time"

	"github.com/signetid/signet/internal/audit"
	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// Phones is what the account pages know of phones that approve sign-ins, and
// of the enrolment of more. All of it is of one person; what is
// another's is idp.NotFound.
type Phones struct {
	// Enrolment says how far an enrolment is; NotFound once it is over.
	Enrolment func(context.Context, idp.TenantID, idp.UserID, string) (PhoneEnrolment, error)
	// Enrolled gives a channel that is closed when Enrolment may have something
	// else to say. stop gives it back.
	Enrolled func(context.Context, idp.TenantID, idp.UserID, string) (changed <-chan struct{}, stop func())
	// Withdraw ends one that its person does not want any more.
	Withdraw func(context.Context, idp.TenantID, idp.UserID, string) error
	// List has what Corridor.Credentials does not tell of phones.
	List func(context.Context, idp.TenantID, idp.UserID) ([]Phone, error)
	// Holding says how many phones the person has of how many.
	Holding func(context.Context, idp.TenantID, idp.UserID) (Holding, error)
	// Blocks are what a report of the person has closed, and is still closed.
	Blocks func(context.Context, idp.TenantID, idp.UserID) ([]PhoneBlock, error)
	// Test sends a message to a phone and says what became of it: a result of
	// phonewire.Tested.
	Test func(context.Context, idp.TenantID, idp.UserID, idp.CredentialID) (result string, err error)
}

// PhoneEnrolment is a phone on its way into an account.
type PhoneEnrolment struct {
	// Answered says that a phone has come, and shows Words.
	Answered       bool
	Words          []string
	Name, Platform string // as the phone calls itself
	Expires        time.Time
}

// Phone is what is known of one besides its method.Credential.
type Phone struct {
	ID          idp.CredentialID
	Passkey     idp.CredentialID // that it approves with
	PasskeyGone bool             // it was taken away, and the phone approves nothing
	Platform    string           // "Android"; its app is the Model of the credential
	Push        string           // by which road messages come, as in phonewire.Push; empty: by none
}

// PhoneBlock is a way to ask the person's phones that a report has closed.
type PhoneBlock struct {
	Address        string    // only requests from here; empty: all
	Since, Expires time.Time // Expires zero: until an administrator has looked
}

// phonePath is where phones are added.
const phonePath = "/account/phone/add"

// phoneRoutes are the addresses that are about phones.
func (p *Portal) phoneRoutes() []route {
	return []route{
		{"GET " + phonePath, p.phoneAddPage},
		{"POST " + phonePath, p.phoneBegin},
		{"GET " + phonePath + "/wait", p.phoneWait},
		{"POST /account/phone/answer", p.phoneAnswer},
		{"GET /account/phone/added", p.phoneAdded},
		{"POST /account/phone/test", p.phoneTest},
		{"GET /account/phone/lost", p.lostPage},
		{"POST /account/phone/lost", p.lost},
		{"GET /account/phone/lost/after", p.lostAfter},
		{"POST /account/browser/forget", p.forget},
	}
}

// phonesOf reads the phones of somebody; none where there is no such method.
func (p *Portal) phonesOf(ctx context.Context, t idp.TenantID, u idp.UserID) ([]Phone, error) {
	if p.cfg.Phones == nil {
		return nil, nil
	}
	return p.cfg.Phones.List(ctx, t, u)
}

// mayAddPhone says whether a page may lead to adding a phone.
func (p *Portal) mayAddPhone(ctx context.Context, t idp.TenantID, u idp.UserID) (bool, error) {
	if p.cfg.Phones == nil || !p.cfg.Corridor.Has(policy.Phone) {
		return false, nil
	}
	refusal, err := p.cfg.Corridor.MayAdd(ctx, t, u, policy.Phone)
	return refusal.Allowed(), err
}

// phonePart is what the account page says of phones.
type phonePart struct {
	Add     bool // another can be added
	Full    template.HTML
	Blocked template.HTML
	// OfBrowsers says that the page has a part about browsers.
	OfBrowsers bool
	Browsers   []browserRow
}

// browserRow is one of "Browsers that know you".
type browserRow struct {
	ID, Icon   string
	Name, Meta template.HTML
	Here       bool
}

// fillPhones fills in what the account page says of phones, but for their rows.
func (p *Portal) fillPhones(ctx context.Context, pg *page.Page, v *visit, view *accountView) error {
	if p.cfg.Phones == nil {
		return nil
	}
	may, err := p.mayAddPhone(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	hold, err := p.cfg.Phones.Holding(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	blocks, err := p.cfg.Phones.Blocks(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	view.Phone.Blocked = blocked(pg, blocks)
	view.phonesHeld(pg, hold, may)
	if p.cfg.Browsers == nil {
		return nil
	}
	list, err := p.cfg.Browsers.List(ctx, v.tenant.ID, v.user.ID, signin.BrowserDigest(v.peer.Browser))
	if err != nil {
		return err
	}
	view.Phone.OfBrowsers = len(list) > 0 || may || hold.Held > 0
	for _, b := range list {
		view.Phone.Browsers = append(view.Phone.Browsers, browserRowOf(pg, b))
	}
	return nil
}

// phonesHeld says how many phones are many.
func (v *accountView) phonesHeld(pg *page.Page, h Holding, may bool) {
	v.Phone.Add = may && !h.Full()
	switch {
	case h.Full():
		v.Phone.Full = pg.T("phones.full", "n", h.Held, "org", pg.OrgName())
	case h.Near():
		v.Phone.Full = pg.T("phones.warn", "n", h.Held, "limit", h.Limit)
	}
}

// blocked tells somebody what their report has closed: the widest of it.
func blocked(pg *page.Page, blocks []PhoneBlock) template.HTML {
	var all, some *PhoneBlock
	for n, b := range blocks {
		switch {
		case b.Address != "":
			some = &blocks[n]
		case all == nil || b.Expires.IsZero() || !all.Expires.IsZero() && b.Expires.After(all.Expires):
			all = &blocks[n]
		}
	}
	switch {
	case all != nil && all.Expires.IsZero():
		return pg.T("phones.blocked.desk", "when", page.When(all.Since, ""))
	case all != nil:
		return pg.T("phones.blocked", "when", page.When(all.Since, ""), "until", page.When(all.Expires, "exact"))
	case some != nil && some.Expires.IsZero():
		return pg.T("phones.blocked.from.desk", "when", page.When(some.Since, ""), "ip", some.Address)
	case some != nil:
		return pg.T("phones.blocked.from", "when", page.When(some.Since, ""), "ip", some.Address, "until", page.When(some.Expires, "exact"))
	}
	return ""
}

func browserRowOf(pg *page.Page, b known.Browser) browserRow {
	row := browserRow{ID: b.ID, Icon: page.AgentIcon(b.Agent), Name: page.AgentName(pg, b.Agent), Here: b.Here}
	meta := []template.HTML{pg.T("browsers.since", "when", page.When(b.Created, "")), pg.T("meta.used", "when", page.When(b.LastUsed, ""))}
	row.Meta = dots(pg, meta)
	return row
}

// stand is one thing that a row says about how it stands.
type stand struct {
	State string
	Text  template.HTML
}

// ofPhone turns the row of a credential into one of a phone.
func (row *methodRow) ofPhone(pg *page.Page, c method.Credential, phones []Phone, s idp.SessionID) {
	row.Icon, row.Kind, row.Phone = "phone", pg.T("kind.phone"), true
	row.Lost = "/account/phone/lost?" + url.Values{"session": {string(s)}, "credential": {string(c.ID)}}.Encode()
	gone := false
	for _, ph := range phones {
		if ph.ID != c.ID {
			continue
		}
		gone = ph.PasskeyGone
		if ph.Platform != "" {
			row.Meta = dots(pg, []template.HTML{template.HTML(template.HTMLEscapeString(ph.Platform)), row.Meta})
		}
		row.Test = ph.Push != "" && !gone
		if !gone {
			row.Stands = append(row.Stands, messages(pg, ph.Push))
		}
	}
	if gone {
		row.State = pg.T("state.phone.passkey")
	}
}

// messages says how messages reach a phone.
func messages(pg *page.Page, push string) stand {
	if push == "" {
		return stand{"warn", pg.T("phones.push.none")}
	}
	return stand{"good", pg.T("phones.push")}
}

// phoneDeed tells what was answered on a phone.
func phoneDeed(pg *page.Page, e audit.Event, name string) template.HTML {
	switch e.Activity {
	case "phone.denied":
		return pg.T("activity.phone.no", "name", name)
	case "phone.reported":
		return pg.T("activity.phone.reported", "name", name)
	case "phone.expired":
		return pg.T("activity.phone.late")
	case "phone.wrong_number":
		return pg.T("activity.phone.number", "name", name)
	}
	return pg.T("activity.phone.approved", "name", name)
}
