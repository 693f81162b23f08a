package portal

import (
	"html/template"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

// showSignIn renders the sign-in page: v holds what the caller knows already.
func (p *Portal) showSignIn(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step, v signInView) error {
	offers, err := p.cfg.Corridor.Offers(r.Context(), f)
	if err != nil {
		return err
	}
	if v.template == "" {
		v.template = "signin"
	}
	pg := p.newPage(r, v.template, p.tenantOf(r.Context(), f.Tenant), "", nil)
	pg.LeadsTo = f.LeadsTo
	if v.hushed {
		pg.Hush()
	}
	if offers, err = p.reachable(r, pg, f, offers); err != nil {
		return err
	}
	if err := p.recognise(r, pg, f, step, &v); err != nil {
		return err
	}
	if v.Handle, err = p.handle(w, r, f, step); err != nil {
		return err
	}
	last := p.lastWay(r)
	if proved(f, last) || v.shy == last {
		last = "" // once more the same brings nothing
	}
	v.arrange(pg, offers, last)
	if v.title == "" {
		v.title, v.Lead = p.heading(pg, f, step)
	}
	if added := r.URL.Query().Get("added"); added != "" && step.Session.Restricted {
		if err := p.tryInFlow(r.Context(), pg, f, step, idp.CredentialID(added), &v); err != nil {
			return err
		}
	}
	pg.Title, pg.V = v.title, &v
	if v.status == 0 {
		v.status = http.StatusOK
	}
	return p.show(w, v.status, pg)
}

// heading says what is asked, and why.
func (p *Portal) heading(pg *page.Page, f signin.Flow, step signin.Step) (title, lead template.HTML) {
	title, lead = pg.T("signin.title"), pg.T("signin.lead.account")
	if proved(f, certificate) {
		if f.ClientName == "" {
			return title, pg.T("badge.more")
		}
		return title, pg.T("badge.more.app", "app", f.ClientName)
	}
	if f.ClientName == "" {
		return title, lead
	}
	switch step.Decision.Reason {
	case "strength_unmet":
		if step.Session.ID != "" && !step.Session.Restricted {
			return title, pg.T("signin.lead.stronger", "app", f.ClientName)
		}
	case "proof_before_prompt", "proof_too_old":
		return pg.T("signin.title.again"), pg.T("signin.lead.again", "app", f.ClientName)
	}
	return title, pg.T("signin.lead.app", "app", f.ClientName)
}

// recognise puts in who is signing in, when this browser or the application
// has named them. A name that only the application gave is shown as it gave
// it: looking it up would tell who exists (decisions 2.7).
func (p *Portal) recognise(r *http.Request, pg *page.Page, f signin.Flow, step signin.Step, v *signInView) error {
	if v.anyone || v.UserName != "" && f.LoginHint == "" {
		return nil
	}
	current := step.Session
	if current.ID == "" {
		s, err := p.current(r, f)
		if err != nil {
			return err
		}
		if s != nil {
			current = *s
		}
	}
	sub := page.Plain(pg.T("signin.known.sub", "org", pg.OrgName()))
	if current.ID != "" {
		u, err := p.user(r.Context(), current)
		if err != nil || !u.Known() {
			return err
		}
		v.Known = &person{Name: shownName(u), Sub: u.Name, User: u.Name, Fixed: f.HintUser != "" || f.User != ""}
	} else if f.LoginHint != "" {
		hint := page.Clip(f.LoginHint, 256)
		v.Known = &person{Name: hint, Sub: sub, User: hint}
	}
	if v.Known != nil {
		v.Known.Initials = page.Initials(v.Known.Name, 2)
	}
	return nil
}

func shownName(u idp.User) string {
	if u.DisplayName != "" {
		return u.DisplayName
	}
	return u.Name
}

// arrange sorts the offers into buttons and rows; the way used last in this
// browser comes first.
func (v *signInView) arrange(pg *page.Page, offers []signin.Offer, last idp.MethodID) {
	slices.SortStableFunc(offers, func(a, b signin.Offer) int {
		return boolInt(b.ID == last) - boolInt(a.ID == last)
	})
	for _, o := range offers {
		if v.only != "" && o.ID != v.only {
			continue
		}
		if o.ID == accessPass {
			v.Pass = true
			continue
		}
		if o.ID == passkey {
			v.Another = passkey
		}
		shown := offer{Method: o.ID, Action: o.View.Action, Icon: o.View.Icon, Label: pg.T(o.View.Label), Note: pg.T(o.View.Note), Waits: o.Waits, Away: o.Away}
		if o.Waits {
			v.Shows = string(pg.Tenant.ID)
		}
		// What this browser used last has a button of its own in any case.
		if o.View.Primary || o.ID == last {
			shown.Main = len(v.Primary) == 0
			v.Primary = append(v.Primary, shown)
		} else {
			v.Others = append(v.Others, shown)
		}
	}
	v.Nothing = len(offers) == 0
	if len(v.Primary) == 0 {
		v.Open = true
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// proved says whether a method has given a proof to a flow that needs more.
func proved(f signin.Flow, m idp.MethodID) bool {
	return m != "" && slices.ContainsFunc(f.Proofs, func(p idp.Proof) bool { return p.Method == m })
}

// lastWay is the method that this browser used last. It is a convenience and
// worth nothing else: it only orders what is offered anyway.
func (p *Portal) lastWay(r *http.Request) idp.MethodID {
	c, err := r.Cookie(p.pages.CookieName(wayCookie))
	if err != nil {
		return ""
	}
	return idp.MethodID(page.Clip(c.Value, 32))
}
