package portal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/web"
)

// enrolCookie keeps an enrolment between the loads of its page: the server has
// digests of its codes only, and the page must be able to show them again when
// it is loaded anew, as it is every few seconds without script.
const enrolCookie = "signet-phone-add"

// enrolment is what the cookie holds.
type enrolment struct {
	Session  idp.SessionID `json:"s"`
	Ceremony string        `json:"c"`
	shownEnrolment
}

// shownEnrolment is what the phone room has a page show (method.Challenge.Show).
type shownEnrolment struct {
	ID      string    `json:"enrolment"`
	Link    string    `json:"link"`
	Typed   string    `json:"typed"`
	Expires time.Time `json:"expires"`
}

// keepEnrolment sets the cookie; the zero enrolment takes it away.
func (p *Portal) keepEnrolment(w http.ResponseWriter, e enrolment) error {
	c := http.Cookie{
		Name: p.pages.CookieName(enrolCookie), Path: "/", MaxAge: -1, HttpOnly: true,
		Secure: strings.HasPrefix(p.cfg.BaseURL, "https://"), SameSite: http.SameSiteStrictMode,
	}
	if e.ID != "" {
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		c.Value, c.MaxAge = base64.RawURLEncoding.EncodeToString(raw), max(1, int(e.Expires.Sub(p.cfg.Now()).Seconds()))
	}
	http.SetCookie(w, &c)
	return nil
}

// keptEnrolment is the enrolment that this session has begun in this browser;
// Expired for any other.
func (p *Portal) keptEnrolment(r *http.Request, s idp.SessionID, id string) (enrolment, error) {
	over := idp.Expiredf("enrolment_over", "enrolment %.40q of session %s", id, s)
	c, err := r.Cookie(p.pages.CookieName(enrolCookie))
	if err != nil {
		return enrolment{}, over
	}
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return enrolment{}, over
	}
	var e enrolment
	if json.Unmarshal(raw, &e) != nil || e.ID == "" || e.ID != id || e.Session != s || !p.cfg.Now().Before(e.Expires) {
		return enrolment{}, over
	}
	return e, nil
}

// phoneView is the page on which a phone is added, in each of its states.
type phoneView struct {
	State string // "": begin; "code", "words", "over", "stopped"
	phonePlace
	Steps      []stepMark
	Lead, Full template.HTML
	Warn       template.HTML
	Back       string
	BackText   template.HTML
	// While the phone is awaited.
	QR          qrPicture
	Link, Where string // the address that the code stands for; where to type
	Typed       []string
	Left        int           // seconds that it is good for
	Until       template.HTML // the same, to read
	Here, Wait  string        // this page; where it asks for news
	OnPhone     bool          // this browser is on a phone
	// When it has come.
	Words string
	Phone template.HTML // what it is
}

func phoneSteps(pg *page.Page, here int) []stepMark {
	out := []stepMark{
		{Label: pg.T("phone.step.hand")}, {Label: pg.T("phone.step.scan")}, {Label: pg.T("phone.step.words")}, {Label: pg.T("phone.step.done")},
	}
	for n := range out {
		out[n].Done, out[n].Here = n < here, n == here
	}
	return out
}

// phonePlace is what an address of the page says: whose it is, the flow that
// goes on after it, whether a rule requires a phone, and the enrolment.
type phonePlace struct {
	Session  idp.SessionID
	Flow, ID string
	Must     bool
}

// placeOf reads it from an address or a form.
func placeOf(v url.Values, s idp.SessionID) phonePlace {
	return phonePlace{Session: s, Flow: v.Get("flow"), ID: v.Get("enrolment"), Must: v.Get("must") != ""}
}

// at is the address of a page about it.
func (pl phonePlace) at(path string) string {
	q := url.Values{"session": {string(pl.Session)}}
	if pl.Flow != "" {
		q.Set("flow", pl.Flow)
	}
	if pl.ID != "" {
		q.Set("enrolment", pl.ID)
	}
	if pl.Must {
		q.Set("must", "1")
	}
	return path + "?" + q.Encode()
}

// phoneVisitor is visitor for pages that add a phone, which a session on a
// pass may do.
func (p *Portal) phoneVisitor(w http.ResponseWriter, r *http.Request) (*visit, web.HandlerFunc, error) {
	return p.visitor(w, r, r.URL.Query().Get("session"))
}

// phoneAddPage is GET /account/phone/add.
func (p *Portal) phoneAddPage(w http.ResponseWriter, r *http.Request) error {
	v, instead, err := p.phoneVisitor(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	q := r.URL.Query()
	view := &phoneView{phonePlace: placeOf(q, v.session.ID)}
	switch {
	case view.ID != "":
		return p.showEnrolment(w, r, v, view)
	case q.Get("stopped") != "":
		view.State = "stopped"
	case !v.session.Restricted && !p.fresh(v.session):
		return p.prove(w, r, v, ask{Then: "phone"})
	}
	return p.showPhone(w, r, v, view)
}

// showPhone shows the page in the state that the view says.
func (p *Portal) showPhone(w http.ResponseWriter, r *http.Request, v *visit, view *phoneView) error {
	pg := p.newPage(r, "phoneadd", v.tenant, "", nil)
	pg.Title = pg.T("phone.title")
	switch view.State {
	case "over":
		pg.Title, view.Lead = pg.T("phone.over.title"), pg.T("phone.over.lead")
	case "stopped":
		pg.Title, view.Lead = pg.T("phone.stopped.title"), pg.T("phone.stopped.lead")
	case "code":
		pg.Title, view.Lead, view.Steps = pg.T("phone.code.title"), pg.T("phone.code.lead"), phoneSteps(pg, 1)
		pg.Refresh = 5
	case "words":
		pg.Title, view.Steps = pg.T("phone.words.title", "words", view.Words), phoneSteps(pg, 2)
		view.Lead = pg.T("phone.words.lead", "name", shownName(v.user), "user", v.user.Name)
	default:
		view.Lead, view.Steps = pg.T("phone.lead"), phoneSteps(pg, 0)
		if err := p.phoneLimits(r.Context(), pg, v, view); err != nil {
			return err
		}
	}
	view.back(pg, v)
	pg.V = view
	return p.show(w, http.StatusOK, pg)
}

// phoneLimits says why no phone can be added, or that there are many.
func (p *Portal) phoneLimits(ctx context.Context, pg *page.Page, v *visit, view *phoneView) error {
	if view.must(v) {
		view.Lead = pg.T("phone.lead.required", "org", pg.OrgName())
	}
	may, err := p.mayAddPhone(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	hold, err := p.cfg.Phones.Holding(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	switch {
	case !may:
		view.Full = pg.T("phones.not_yours", "org", pg.OrgName())
	case hold.Full():
		view.Full = pg.T("phones.limit", "n", hold.Held, "org", pg.OrgName())
	case hold.Near():
		view.Warn = pg.T("phones.warn", "n", hold.Held, "limit", hold.Limit)
	}
	return nil
}

// must says that the session serves nothing else until a phone was added.
func (view *phoneView) must(v *visit) bool {
	return v.session.Restricted && (view.Must || !byPass(v.session))
}

// back says where "not now" leads. Who must add a phone has no such way; who
// came by a pass may add a passkey in its place.
func (view *phoneView) back(pg *page.Page, v *visit) {
	flow := ""
	if view.Flow != "" {
		flow = "/" + string(v.tenant.ID) + "/signin?" + url.Values{"flow": {view.Flow}}.Encode()
	}
	switch {
	case view.must(v):
	case v.session.Restricted:
		view.BackText, view.Back = pg.T("phone.passkey"), flow
		if flow == "" {
			view.Back = "/account/register?session=" + url.QueryEscape(string(v.session.ID))
		}
	case flow != "":
		view.Back, view.BackText = flow, pg.T("register.back.flow")
	default:
		view.Back, view.BackText = "/account?session="+url.QueryEscape(string(v.session.ID)), pg.T("register.not_now")
	}
}

// showEnrolment shows how far an enrolment is.
func (p *Portal) showEnrolment(w http.ResponseWriter, r *http.Request, v *visit, view *phoneView) error {
	kept, err := p.keptEnrolment(r, v.session.ID, view.ID)
	if err != nil {
		view.State = "over"
		return p.showPhone(w, r, v, view)
	}
	e, err := p.cfg.Phones.Enrolment(r.Context(), v.tenant.ID, v.user.ID, view.ID)
	if errors.Is(err, idp.NotFound) {
		view.State = "over"
		return p.showPhone(w, r, v, view)
	}
	if err != nil {
		return err
	}
	if e.Answered {
		view.came(p.pages.Pick(r), e)
		return p.showPhone(w, r, v, view)
	}
	if err := view.code(kept, p.cfg.Now()); err != nil {
		return err
	}
	view.OnPhone = page.AgentIcon(r.UserAgent()) == "phone"
	return p.showPhone(w, r, v, view)
}

// came fills in the phone that has come.
func (view *phoneView) came(ws *page.Words, e PhoneEnrolment) {
	view.State, view.Words = "words", strings.Join(e.Words, " ")
	view.Phone = ws.T("phone.is", "name", e.Name, "system", e.Platform)
	if e.Platform == "" {
		view.Phone = ws.T("phone.is.only", "name", e.Name)
	}
}

// code fills in what the phone is to be shown, or told.
func (view *phoneView) code(kept enrolment, now time.Time) (err error) {
	view.State, view.Link, view.Typed = "code", kept.Link, groups(kept.Typed)
	view.Left, view.Until = int(kept.Expires.Sub(now).Seconds()), page.When(kept.Expires, "")
	view.Where, _, _ = strings.Cut(kept.Link, "#")
	_, view.Where, _ = strings.Cut(view.Where, "://")
	view.Here, view.Wait = view.at(phonePath), view.at(phonePath+"/wait")
	view.QR, err = qrOf(kept.Link)
	return err
}

// groups are the eight characters in two, with or without what parted them.
func groups(typed string) []string {
	typed = strings.NewReplacer("-", "", " ", "").Replace(typed)
	if len(typed) < 4 {
		return []string{typed}
	}
	return []string{typed[:len(typed)/2], typed[len(typed)/2:]}
}

// phoneBegin is POST /account/phone/add: an enrolment begins, with a new code.
func (p *Portal) phoneBegin(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.anyForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	begun, err := p.cfg.Corridor.BeginRegister(r.Context(), v.session, policy.Phone, v.peer)
	if e := idp.AsError(err); e != nil && e.Reason == "fresh_proof_needed" && !v.session.Restricted && !p.fresh(v.session) {
		return p.prove(w, r, v, ask{Then: "phone"})
	}
	if err != nil {
		return err
	}
	kept := enrolment{Session: v.session.ID, Ceremony: begun.Ceremony}
	if err := json.Unmarshal(begun.Show, &kept.shownEnrolment); err != nil {
		return err
	}
	if err := p.keepEnrolment(w, kept); err != nil {
		return err
	}
	next := placeOf(form, v.session.ID)
	next.ID = kept.ID
	return web.SeeOther(w, r, next.at(phonePath))
}

// phoneWait is GET /account/phone/add/wait: how far it is, once that is
// another than the page says, or after a while.
func (p *Portal) phoneWait(w http.ResponseWriter, r *http.Request) error {
	v, instead, err := p.phoneVisitor(w, r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if instead != nil || string(v.session.ID) != q.Get("session") {
		return idp.Expiredf("session_over", "no session %.40q", q.Get("session"))
	}
	kept, err := p.keptEnrolment(r, v.session.ID, q.Get("enrolment"))
	if err != nil {
		return err
	}
	chair := p.waiters.enter(idp.FlowID(kept.ID), false)
	if chair == nil {
		return idp.Limitedf("waits_throttled", "%d connections wait for enrolment %s", tabs, kept.ID)
	}
	defer p.waiters.leave(chair)
	// A request may last longer than what its body may take.
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
		return fmt.Errorf("let a request wait: %w", err)
	}
	state, err := p.enrolled(r.Context(), v, kept)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, struct {
		State string `json:"state"`
	}{state})
}

// enrolled gives the state of an enrolment's page, once it is another than
// "code", or after a while.
func (p *Portal) enrolled(ctx context.Context, v *visit, kept enrolment) (string, error) {
	changed, stop := p.cfg.Phones.Enrolled(ctx, v.tenant.ID, v.user.ID, kept.ID)
	defer stop()
	late := time.NewTimer(min(pollFor, kept.Expires.Sub(p.cfg.Now())))
	defer late.Stop()
	for again := true; ; again = false {
		e, err := p.cfg.Phones.Enrolment(ctx, v.tenant.ID, v.user.ID, kept.ID)
		switch {
		case errors.Is(err, idp.NotFound):
			return "over", nil
		case err != nil:
			return "", err
		case e.Answered:
			return "words", nil
		case !again:
			return "code", nil
		}
		select {
		case <-changed:
		case <-late.C:
		case <-p.cfg.Stopping: // the browser asks again, perhaps another node
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// phoneAnswer is POST /account/phone/answer: what the person says of the
// words, or that they stop.
func (p *Portal) phoneAnswer(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.anyForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	here := placeOf(form, v.session.ID)
	kept, err := p.keptEnrolment(r, v.session.ID, here.ID)
	if err != nil {
		return web.SeeOther(w, r, here.at(phonePath)) // which says that it is over
	}
	switch form.Get("decision") {
	case "confirm":
	case "cancel":
		return p.phoneStop(w, r, v, kept, here)
	default:
		return idp.Invalidf("decision_unknown", "decision %.20q", form.Get("decision")).On("decision")
	}
	// Whoever says yes before a phone is there would spend the ceremony.
	e, err := p.cfg.Phones.Enrolment(r.Context(), v.tenant.ID, v.user.ID, here.ID)
	if errors.Is(err, idp.NotFound) || err == nil && !e.Answered {
		return web.SeeOther(w, r, here.at(phonePath))
	}
	if err != nil {
		return err
	}
	cred, err := p.cfg.Corridor.FinishRegister(r.Context(), v.session, kept.Ceremony, []byte(`{"confirm":true}`), v.peer)
	if err != nil {
		return err
	}
	if err := p.keepEnrolment(w, enrolment{}); err != nil {
		return err
	}
	if v.session.Restricted || here.Flow != "" {
		return web.SeeOther(w, r, "/"+string(v.tenant.ID)+"/signin?"+url.Values{"flow": {here.Flow}, "added": {string(cred.ID)}}.Encode())
	}
	return web.SeeOther(w, r, "/account/phone/added?"+url.Values{"session": {string(v.session.ID)}, "credential": {string(cred.ID)}}.Encode())
}

// phoneStop ends an enrolment whose words differ: nobody can say yes any more,
// which is on record as a refusal, and the phone that came is gone.
func (p *Portal) phoneStop(w http.ResponseWriter, r *http.Request, v *visit, kept enrolment, here phonePlace) error {
	_, err := p.cfg.Corridor.FinishRegister(r.Context(), v.session, kept.Ceremony, []byte(`{"confirm":false}`), v.peer)
	switch e := idp.AsError(err); {
	case e == nil:
		return fmt.Errorf("phone of enrolment %s: added in spite of a no", kept.ID)
	case e.Kind == idp.Internal, e.Kind == idp.Unavailable:
		return err
	}
	if err := p.cfg.Phones.Withdraw(r.Context(), v.tenant.ID, v.user.ID, kept.ID); err != nil {
		return err
	}
	if err := p.keepEnrolment(w, enrolment{}); err != nil {
		return err
	}
	here.ID = ""
	return web.SeeOther(w, r, here.at(phonePath)+"&stopped=1")
}
