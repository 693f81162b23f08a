package console

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// askPerson asks before something is taken from a person.
func (c *Console) askPerson(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	q, ws := v.r.URL.Query(), v.words()
	what := q.Get("what")
	a := askView{Action: s.path() + "/" + what, Keep: s.path(), No: ws.T("ask.no"), Harm: true}
	switch what {
	case "sign-out":
		sessions, err := c.cfg.Sessions.List(ctx, v.tenant.ID, s.ID)
		if err != nil {
			return err
		}
		a.Text, a.Yes = []template.HTML{ws.N("ask.sign-out.text", len(sessions))}, ws.T("ask.sign-out.yes")
	case "disable":
		a.Text, a.Yes = []template.HTML{ws.T("ask.disable.text")}, ws.T("ask.disable.yes")
	case "delete":
		a.Text, a.Yes = []template.HTML{ws.N("ask.delete.text", len(s.creds)), ws.T("ask.delete.also")}, ws.T("ask.delete.yes")
	case "unblock":
		a.Text, a.Yes, a.Harm = []template.HTML{ws.T("ask.unblock.text"), ws.T("ask.unblock.check")}, ws.T("ask.unblock.yes"), false
	case "remove-method":
		m, id := idp.MethodID(q.Get("method")), idp.CredentialID(q.Get("credential"))
		at := slices.IndexFunc(s.creds, func(c method.Credential) bool { return c.ID == id && c.Method == m })
		if at < 0 {
			return idp.NotFoundf("credential_gone", "credential %.40q", id)
		}
		pg := v.page("ask", "", nil)
		left := 0
		for _, c := range s.usable() {
			if c.ID != id {
				left++
			}
		}
		key := "ask.remove-method.text"
		if left == 0 {
			key = "ask.remove-method.last"
		}
		a.Fields = []field{{"method", string(m)}, {"credential", string(id)}}
		a.Text, a.Yes = []template.HTML{ws.N(key, left)}, ws.T("ask.remove-method.yes")
		if m == policy.Certificate {
			a.Text = append(a.Text, ws.T("ask.bar.text"))
		}
		return v.ask(ws.T("ask.remove-method.title", "name", s.DisplayName, "key", nameOf(pg, s.creds[at])), a)
	default:
		return idp.NotFoundf("page_unknown", "question %.40q", what)
	}
	return v.ask(ws.T("ask."+what+".title", "name", s.DisplayName), a)
}

func (c *Console) endSessions(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	err = v.change(ctx, "session.revokeUser", s.User, func(ctx context.Context, tx *sqldb.Tx, _ *audit.Event) error {
		return c.cfg.RevokeUser(ctx, tx, v.tenant.ID, s.ID)
	})
	if err != nil {
		return err
	}
	return v.leave(s.path(), "ended")
}

func (c *Console) removeMethod(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	m, id := idp.MethodID(v.form.Get("method")), idp.CredentialID(v.form.Get("credential"))
	if err := c.cfg.Corridor.RemoveFor(ctx, v.tenant.ID, s.ID, m, id, string(v.user.ID), v.peer); err != nil {
		return err
	}
	return v.leave(s.path(), "removed")
}

func (c *Console) disable(ctx context.Context, v *visit) error { return v.setEnabled(ctx, false) }
func (c *Console) enable(ctx context.Context, v *visit) error  { return v.setEnabled(ctx, true) }

func (v *visit) setEnabled(ctx context.Context, on bool) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	activity, done := "user.disable", "disabled"
	if on {
		activity, done = "user.enable", "enabled"
	}
	err = v.change(ctx, activity, s.User, func(ctx context.Context, tx *sqldb.Tx, _ *audit.Event) error {
		if err := v.cfg.Directory.SetEnabled(ctx, tx, v.tenant.ID, s.ID, on); err != nil || on {
			return err
		}
		return v.cfg.RevokeUser(ctx, tx, v.tenant.ID, s.ID) // SES03
	})
	if err != nil {
		return err
	}
	return v.leave(s.path(), done)
}

func (c *Console) deletePerson(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	err = v.change(ctx, "user.delete", s.User, func(ctx context.Context, tx *sqldb.Tx, _ *audit.Event) error {
		if err := c.cfg.RevokeUser(ctx, tx, v.tenant.ID, s.ID); err != nil {
			return err
		}
		return c.cfg.Directory.DeleteUser(ctx, tx, v.tenant.ID, s.ID)
	})
	if err != nil {
		return err
	}
	return v.leave("/admin/people", "deleted")
}

func (c *Console) setRole(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	role := v.form.Get("role")
	err = v.change(ctx, "user.setRole", s.User, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["role"] = role
		return c.cfg.Directory.SetRole(ctx, tx, v.tenant.ID, s.ID, role)
	})
	if err != nil {
		return err
	}
	if s.ID == v.user.ID && role != directory.Administrator {
		return v.leave("/admin", "role") // what they may see here has changed
	}
	return v.leave(s.path(), "role")
}

func (c *Console) rename(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	name := v.form.Get("name")
	err = v.change(ctx, "user.update", s.User, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["displayName"] = name
		_, err := c.cfg.Directory.Update(ctx, tx, v.tenant.ID, s.ID, directory.Changes{DisplayName: &name})
		return err
	})
	if e := told400(err); e != nil {
		s.DisplayName = name
		return v.personPage(ctx, web.Status(e.Kind), s, personSays{badName: say(e)})
	}
	if err != nil {
		return err
	}
	return v.leave(s.path(), "renamed")
}

// passView shows a pass, once.
type passView struct {
	Code, Name, User string
	Until            template.HTML
	Once             bool
	Back             string
	SignIn           string
}

func (c *Console) issuePass(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	if s.ID == v.user.ID {
		return idp.Deniedf("pass_for_oneself", "by %s", s.ID).
			Say("Nobody can give a pass to themselves. Add a method on your account page, or ask another administrator.")
	}
	minutes, err := strconv.Atoi(v.form.Get("minutes"))
	if err != nil || minutes < 1 || minutes > 60*24*60 {
		return idp.Invalidf("bad_lifetime", "lifetime %.20q", v.form.Get("minutes")).Say("Choose how long the pass shall live.")
	}
	var once *bool
	if many := v.form.Get("many") != ""; many {
		no := false
		once = &no
	}
	if err := c.cfg.PreparePass(ctx, v.tenant.ID); err != nil {
		return err
	}
	var code string
	var made method.Credential
	err = v.change(ctx, "tap.issue", s.User, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		code, made, err = c.cfg.IssuePass(ctx, tx, v.tenant.ID, s.ID, time.Duration(minutes)*time.Minute, once)
		e.Method, e.Credential = policy.AccessPass, made.ID
		e.Detail["lifetime"] = strconv.Itoa(minutes) + " minutes"
		return err
	})
	if err != nil {
		return err
	}
	pg := v.page("pass", "", nil)
	pg.Title = pg.T("pass.title", "name", s.DisplayName)
	pg.V = passView{
		Code: code, Name: s.DisplayName, User: s.Name, Until: page.When(made.Expires, ""), Once: made.Mode == idp.ModeAccessPassOnce,
		Back: s.path(), SignIn: c.cfg.BaseURL + "/account",
	}
	return v.show(http.StatusOK, pg)
}
