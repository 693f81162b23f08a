package console

import (
	"bytes"
	"html/template"
	"net/http"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/web"
)

// impactInto fills in what saving would do, and with it what the save bar
// offers.
func (e *editor) impactInto(pg *page.Page, view *passkeyView, work bool, progress func(int)) error {
	view.Impact = &impactView{Over: pg.T("policy.impact.over"), Calm: true}
	view.Bar = &saveBar{Drop: e.path}
	p := parts{pg: pg, changed: view.Changed}
	view.Bar.Count = p.count()
	onTrial := e.saved.Passkey.Restrictions != policy.Enforce
	switch {
	case len(e.wrongs) > 0:
		view.Impact.Title = pg.T("policy.impact.wrong")
		view.Impact.Problem = template.HTML(template.HTMLEscapeString(e.wrongs[0].Say))
	case !work && len(view.Changed) > 0:
		view.Impact.Title, view.Impact.Stale = pg.T("policy.impact.stale"), true
	case len(view.Changed) == 0 && !onTrial:
		view.Impact.Title, view.Impact.Same = pg.T("policy.impact.same"), true
		view.Bar.Drop = ""
		return nil
	default:
		im, at, err := e.v.impact(e.ctx, enforced(e.next), progress)
		if err != nil {
			return err
		}
		w := e.words(pg)
		w.at = at
		shown := w.view(im)
		if onTrial {
			shown.Over = pg.T("policy.impact.over.enforced")
		}
		view.Impact = &shown
		view.Bar.Say = shown.Bar
		if now, err := e.atOnce(pg); err != nil {
			return err
		} else if now != "" {
			view.Bar.Note = now
		}
	}
	e.buttons(pg, view)
	return nil
}

// atOnce tells whom saving on trial would refuse all the same: who may use
// passkeys at all is never on trial.
func (e *editor) atOnce(pg *page.Page) (template.HTML, error) {
	trial := e.next.Clone()
	trial.Passkey.Restrictions = policy.EnforceAudit
	diff, err := policy.Differences(policy.Policy{Methods: e.saved.Methods}, policy.Policy{Methods: trial.Methods})
	if err != nil {
		return "", err
	}
	if len(diff) > 0 {
		im, _, err := e.v.impact(e.ctx, trial, nil)
		if err != nil {
			return "", err
		}
		if im.Stops > 0 {
			return pg.N("policy.bar.atonce", im.Affected), nil
		}
	}
	if e.saved.Passkey.Restrictions == policy.Enforce && len(e.wrongs) == 0 {
		return pg.T("policy.bar.trial"), nil
	}
	return "", nil
}

// buttons are what the save bar offers: on trial first when somebody would
// lose a key, or when all is on trial already.
func (e *editor) buttons(pg *page.Page, view *passkeyView) {
	now := e.saved.Passkey.Restrictions
	harmless := view.Impact.Calm && !view.Impact.Stale
	trial := buttonView{"trial", "main", pg.T("policy.save.trial")}
	enforce := buttonView{"enforce", "harm", pg.T("policy.save.enforce")}
	switch {
	case now == policy.EnforceAudit && len(view.Changed) == 0:
		enforce.Class, enforce.Label = "main", pg.T("policy.save.now")
		if !harmless {
			enforce.Class, enforce.Label = "harm", pg.T("policy.save.enforce.now")
		}
		view.Bar.Buttons, view.Bar.Drop, view.Bar.Count = []buttonView{enforce}, "", pg.T("policy.bar.trialnow")
	case now == policy.Enforce && harmless:
		trial.Class = ""
		view.Bar.Buttons = []buttonView{trial, {"save", "main", pg.T("policy.save")}}
	case now == policy.EnforceAudit && harmless:
		enforce.Class, enforce.Label = "", pg.T("policy.save.now")
		view.Bar.Buttons = []buttonView{enforce, trial}
	default:
		view.Bar.Buttons = []buttonView{enforce, trial}
	}
}

// confirmView asks again before somebody is refused, and names them.
type confirmView struct {
	Path, Back, Do       string
	Hidden               []field
	Text                 []template.HTML
	LostTitle, KeptTitle template.HTML
	Lost, Kept           []lostView
	MoreLost, MoreKept   template.HTML
	Yes, No              template.HTML
}

// confirm asks whether to save what would refuse people. yes is the button's
// value then.
func (v *visit) confirm(path string, hidden []field, yes string, w *impactWords, im policy.Impact) error {
	pg := v.page("policyconfirm", "", nil)
	w.pg = pg
	shown := w.view(im)
	view := confirmView{
		Path: path + savePart, Back: path, Do: yes, Hidden: hidden, LostTitle: shown.LostTitle, KeptTitle: shown.KeptTitle,
		Lost: shown.Lost, Kept: shown.Kept, MoreLost: shown.MoreLost, MoreKept: shown.MoreKept,
		Yes: pg.T("policy.confirm.yes"), No: pg.T("policy.confirm.no"),
	}
	pg.Title = pg.T("policy.confirm.title", "people", pg.N("policy.people", im.Affected))
	view.Text = []template.HTML{pg.T("policy.confirm.text", "people", pg.N("policy.people", im.Affected), "keys", pg.N("policy.keys", im.Stops))}
	if im.OnlyPhone > 0 {
		only := pg.N("policy.phone.tell.only", im.OnlyPhone, "names", firstNames(im.Narrow[:min(im.OnlyPhone, len(im.Narrow))], im.OnlyPhone, pg))
		if view.Text = append(view.Text, only); im.Stops == 0 {
			pg.Title, view.Text, view.Yes = pg.T("policy.phone.confirm.title"), []template.HTML{only}, pg.T("policy.phone.confirm.yes")
		}
	}
	if yes == "remove"+sure {
		view.Yes = pg.T("policy.remove.yes")
		pg.Title = pg.T("policy.remove.title")
		if im.Stops == 0 {
			view.Text = []template.HTML{pg.T("policy.remove.calm")}
		}
	}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// slowTenant is from how many people on a preview tells how far it is.
const slowTenant = 2000

// fragment is the impact and the save bar alone, for the script that puts them
// in their places. In a large tenant a space goes ahead of them for each
// percent that is done: the script counts what came.
func (e *editor) fragment() error {
	v := e.v
	pg, view, _ := e.frame()
	pg.Frame = "fragment"
	people, err := v.cfg.Directory.CountUsers(e.ctx, v.tenant.ID, filter.Expr{})
	if err != nil {
		return err
	}
	if people < slowTenant {
		if err := e.impactInto(pg, view, true, nil); err != nil {
			return err
		}
		return v.show(http.StatusOK, pg)
	}
	out := http.NewResponseController(v.w)
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'",
	} {
		v.w.Header().Set(name, value)
	}
	sent := int64(0)
	err = e.impactInto(pg, view, true, func(done int) {
		percent := min(99, int64(done)*100/people)
		if percent > sent {
			v.w.Write(bytes.Repeat([]byte(" "), int(percent-sent)))
			out.Flush() // a proxy that keeps it back costs the progress, not the answer
			sent = percent
		}
	})
	if err != nil && sent == 0 {
		return err
	}
	if err != nil { // too late for another status
		view.Impact = &impactView{Over: pg.T("policy.impact.over"), Title: pg.T("policy.impact.failed"), Stale: true}
		web.Note(v.r, err, 0)
	}
	var b bytes.Buffer
	if err := v.pages.Render(&b, pg); err != nil {
		return err
	}
	v.w.Write(b.Bytes())
	return nil
}
