package console

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Phones are the phones of the tenant, beyond what any credential says.
type Phones interface {
	Phones(context.Context, idp.TenantID, idp.UserID) ([]phone.Phone, error)
	// Test sends a phone a message, and says in words what became of it.
	Test(context.Context, idp.TenantID, idp.UserID, idp.CredentialID) (phonewire.Tested, error)
	Blocks(context.Context, idp.TenantID, idp.UserID) ([]phone.Block, error)
	// Blocked are the people whose phones may not be asked at all.
	Blocked(context.Context, idp.TenantID) ([]idp.UserID, error)
	Unblock(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
}

// phoneTests is how many messages a person of the console may send in ten
// minutes: each is one on somebody's lock screen.
const phoneTests = 20

// testedView is what became of a message that was sent for a test.
type testedView struct {
	State string
	Text  template.HTML
}

// blockView tells what a report has closed, and how to open it again.
type blockView struct {
	Text  []template.HTML
	Lift  string // empty: not by this visitor
	Other template.HTML
}

// testStates are the shapes of the results of a test.
var testStates = map[string]string{"sent": "good", "later": "warn", "none": "warn", "gone": "bad", "config": "bad"}

// testPhone sends a phone a message and shows on the person's page what became
// of it. It changes nothing.
func (c *Console) testPhone(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	if c.cfg.Phones == nil {
		return idp.NotFoundf("phone_missing", "there are no phones here")
	}
	if ok, _ := c.phoneTests.Allow(string(v.tenant.ID) + " " + string(v.user.ID)); !ok {
		return idp.Limitedf("phone_tests", "%d tests by %s", phoneTests, v.user.ID).Say("That were many messages. Wait ten minutes.")
	}
	id := idp.CredentialID(v.form.Get("credential"))
	tested, err := c.cfg.Phones.Test(ctx, v.tenant.ID, s.ID, id)
	if err != nil {
		return err
	}
	return v.personPage(ctx, http.StatusOK, s, personSays{tested: &tested, phone: id})
}

// unblock lifts what reports have closed for a person.
func (c *Console) unblock(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	if c.cfg.Phones == nil {
		return idp.NotFoundf("phone_not_blocked", "there are no phones here")
	}
	err = v.change(ctx, "phone.unblock", s.User, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Method = policy.Phone
		return c.cfg.Phones.Unblock(ctx, tx, v.tenant.ID, s.ID)
	})
	if err != nil {
		return err
	}
	return v.leave(s.path(), "unblocked")
}

// personPhones fills in what is to be said of a person's phones.
func (v *visit) personPhones(ctx context.Context, pg *page.Page, s *someone, view *personView, says personSays) error {
	if v.cfg.Phones == nil {
		return nil
	}
	phones, err := v.cfg.Phones.Phones(ctx, v.tenant.ID, s.ID)
	if err != nil {
		return err
	}
	for i := range view.Methods {
		row := &view.Methods[i]
		if row.Method != policy.Phone {
			continue
		}
		at := slices.IndexFunc(phones, func(p phone.Phone) bool { return p.ID == row.ID })
		if at < 0 {
			continue
		}
		phoneRow(pg, row, phones[at])
		if v.mayHelp(s) {
			row.Test = s.path() + "/test-phone"
		}
		if says.tested != nil && says.phone == row.ID {
			row.Tested = &testedView{testStates[says.tested.Result], escaped(says.tested.Text)}
		}
	}
	if n := len(phones); n > 0 {
		p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
		if err != nil {
			return err
		}
		if n >= p.Phone.WarnAt {
			view.ManyPhones = pg.T("person.phones.many", "n", n, "limit", p.Phone.Limit)
		}
	}
	blocks, err := v.cfg.Phones.Blocks(ctx, v.tenant.ID, s.ID)
	if err != nil || len(blocks) == 0 {
		return err
	}
	view.Block = blockOf(pg, s, blocks)
	if v.mayHelp(s) {
		view.Block.Lift = s.path() + "/ask?what=unblock"
	}
	return nil
}

// phoneRow says of a phone what its credential does not.
func phoneRow(pg *page.Page, row *methodRow, p phone.Phone) {
	var meta []template.HTML
	if p.Platform != "" {
		meta = append(meta, escaped(page.Clip(p.Platform, 60)))
	}
	if p.App != "" && p.App != p.Platform {
		meta = append(meta, escaped(page.Clip(p.App, 60)))
	}
	road := p.Push
	if !slices.Contains([]string{"webpush", "apns", "fcm"}, road) {
		road = "none"
	}
	meta = append(meta, pg.T("phone.road."+road))
	if !p.Seen.IsZero() {
		meta = append(meta, pg.T("meta.seen", "when", page.When(p.Seen, "")))
	}
	row.Meta = append(meta, row.Meta...)
	if p.Gone {
		row.State, row.StateText = "bad", pg.T("phone.gone")
	}
}

// blockOf tells in sentences what is closed: all first.
func blockOf(pg *page.Page, s *someone, blocks []phone.Block) *blockView {
	b := &blockView{}
	for _, one := range blocks {
		since, until := page.When(one.Since, ""), page.When(one.Until, "")
		switch {
		case one.Address == "" && one.Until.IsZero():
			b.Text = append([]template.HTML{pg.T("phone.block.all", "since", since, "name", s.DisplayName)}, b.Text...)
		case one.Address == "":
			b.Text = append([]template.HTML{pg.T("phone.block.day", "since", since, "until", until, "name", s.DisplayName)}, b.Text...)
		case one.Until.IsZero():
			b.Text = append(b.Text, pg.T("phone.block.address", "address", one.Address))
		default:
			b.Text = append(b.Text, pg.T("phone.block.address.day", "address", one.Address, "until", until))
		}
	}
	b.Other = pg.T("phone.block.other")
	return b
}

// suspicious is how far back a report needs somebody when nobody has lifted
// anything since, and mostSuspicious how many people are named.
const (
	suspicious     = 3 * day
	mostSuspicious = 5
)

// phoneNeeds are the reports of requests that were not the person's own, which
// nobody has looked at.
func (v *visit) phoneNeeds(ctx context.Context, pg *page.Page) ([]need, error) {
	if v.cfg.Phones == nil {
		return nil, nil
	}
	reported, lifted, err := v.reports(ctx)
	if err != nil {
		return nil, err
	}
	blocked, err := v.cfg.Phones.Blocked(ctx, v.tenant.ID)
	if err != nil {
		return nil, err
	}
	who := slices.Clone(blocked)
	for _, e := range reported {
		if !slices.Contains(who, e.User) && !lifted[e.User].After(e.At) {
			who = append(who, e.User)
		}
	}
	names := &names{visit: v}
	var out []need
	for _, u := range who[:min(len(who), mostSuspicious)] {
		name, err := names.of(ctx, u)
		if err != nil {
			return nil, err
		}
		key := "need.phone.text"
		if slices.Contains(blocked, u) {
			key = "need.phone.blocked"
		}
		since := template.HTML("")
		if i := slices.IndexFunc(reported, func(e audit.Event) bool { return e.User == u }); i >= 0 {
			since = page.When(reported[i].At, "")
		}
		out = append(out, need{"bad", "phone", pg.T("need.phone", "name", name), pg.T(key), since, "/admin/people/" + string(u), pg.T("need.phone.verb")})
	}
	if rest := len(who) - len(out); rest > 0 {
		out = append(out, need{"bad", "phone", pg.N("need.phone.more", rest), pg.T("need.phone.text"), "",
			"/admin/log" + query(logFilter{Method: policy.Phone, Last: "week"}.values()), pg.T("need.refused.verb")})
	}
	return out, nil
}

// reports are the newest reports, and when what they close was last lifted.
func (v *visit) reports(ctx context.Context) (out []audit.Event, lifted map[idp.UserID]time.Time, err error) {
	since := v.cfg.Now().Add(-suspicious).UTC().Format(time.RFC3339)
	where, err := filter.Parse("createdDateTime ge "+since+" and (activityDisplayName eq 'phone.reported' or activityDisplayName eq 'phone.unblock')", audit.Fields)
	if err != nil {
		return nil, nil, err
	}
	events, err := v.cfg.Audit.List(ctx, v.cfg.DB, v.tenant.ID, audit.Filter{Where: where, Limit: 200})
	if err != nil {
		return nil, nil, err
	}
	lifted = map[idp.UserID]time.Time{}
	for _, e := range events {
		switch {
		case e.Activity == "phone.reported":
			out = append(out, e)
		case e.At.After(lifted[e.User]):
			lifted[e.User] = e.At
		}
	}
	return out, lifted, nil
}
