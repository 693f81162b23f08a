package console

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// certPerson is what a person's page has about certificates: what says that one
// is theirs, and those that were taken from them.
type certPerson struct {
	Path, Name string
	IDs        []string
	Room       bool   // there is room for another id
	Typed      string // an id that was not taken
	BadID      template.HTML
	OnPremises string
	BadName    template.HTML
	Barred     []barredRow
	Admin      bool
	Open       bool // it is about something that was just tried
}

type barredRow struct {
	ID   idp.CredentialID
	Name string
	Meta template.HTML
}

// certSays is what the page says of a change about certificates that was not
// made.
type certSays struct {
	typed, name    string
	badID, badName template.HTML
}

// personCertificates fills in what is to be said of a person's certificates.
func (v *visit) personCertificates(ctx context.Context, pg *page.Page, s *someone, view *personView, says *certSays) error {
	if v.cfg.Trust == nil {
		return nil
	}
	ids, err := v.cfg.Directory.CertificateIDs(ctx, v.cfg.DB, v.tenant.ID, s.ID)
	if err != nil {
		return err
	}
	person, err := v.cfg.Directory.Person(ctx, v.cfg.DB, v.tenant.ID, s.ID)
	if err != nil {
		return err
	}
	c := &certPerson{Path: s.path(), Name: s.DisplayName, IDs: ids, Room: len(ids) < directory.MaxCertificateIDs, OnPremises: person.OnPremises, Admin: v.admin()}
	if says != nil {
		c.Open, c.Typed, c.BadID, c.BadName = true, says.typed, says.badID, says.badName
		if says.badName != "" {
			c.OnPremises = says.name
		}
	}
	err = v.cfg.Corridor.Removed(ctx, v.tenant.ID, func(b method.Credential, at time.Time) error {
		if b.Method == policy.Certificate && b.User == s.ID {
			c.Barred = append(c.Barred, barredRow{b.ID, nameOf(pg, b), pg.T("person.barred.meta", "when", page.When(at, ""), "until", page.When(b.Expires, ""))})
		}
		return nil
	})
	if err != nil {
		return err
	}
	view.Certificate = c
	return nil
}

// setCertificateID adds an id of certificates, or takes one away.
func (c *Console) setCertificateID(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	add, drop := strings.TrimSpace(v.form.Get("add")), v.form.Get("drop")
	if add == "" && drop == "" {
		return v.personPage(ctx, http.StatusBadRequest, s, personSays{cert: &certSays{badID: v.words().T("person.certid.empty")}})
	}
	if err := directory.CheckCertificateID(add); add != "" && err != nil {
		return v.notTaken(ctx, s, err, add)
	}
	err = v.change(ctx, "user.update", s.User, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		ids, err := c.cfg.Directory.CertificateIDs(ctx, tx, v.tenant.ID, s.ID)
		if err != nil {
			return err
		}
		if drop != "" {
			n := len(ids)
			if ids = slices.DeleteFunc(ids, func(id string) bool { return id == drop }); len(ids) == n {
				return idp.NotFoundf("certificate_id_missing", "id of %s", s.ID).Say("They have no such certificate id any more.")
			}
		}
		if add != "" {
			ids = append(ids, add)
		}
		e.Method = policy.Certificate
		return c.cfg.Directory.Map(ctx, tx, s.User, ids, e)
	})
	if err != nil {
		return v.notTaken(ctx, s, err, add)
	}
	return v.leave(s.path()+"#b-cert", "certids")
}

// notTaken shows the person's page again with why an id was not taken.
func (v *visit) notTaken(ctx context.Context, s *someone, err error, typed string) error {
	e := told400(err)
	if e == nil {
		return err
	}
	text := strings.TrimPrefix(e.Public, "certificateUserIds: ")
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return v.personPage(ctx, web.Status(e.Kind), s, personSays{cert: &certSays{typed: typed, badID: escaped(text)}})
}

// setOnPremises changes the name of a person on premises; empty takes it away.
func (c *Console) setOnPremises(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(v.form.Get("onPremises"))
	err = v.change(ctx, "user.update", s.User, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["onPremisesUserPrincipalName"] = name
		_, err := c.cfg.Directory.Update(ctx, tx, v.tenant.ID, s.ID, directory.Changes{OnPremises: &name})
		return err
	})
	if e := told400(err); e != nil {
		return v.personPage(ctx, web.Status(e.Kind), s, personSays{cert: &certSays{name: name, badName: escaped(strings.TrimPrefix(e.Public, "onPremisesUserPrincipalName: "))}})
	}
	if err != nil {
		return err
	}
	return v.leave(s.path()+"#b-cert", "onpremises")
}

// liftBar lets a person sign in again with a certificate that was taken from
// them.
func (c *Console) liftBar(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	named := signin.Named{User: s.ID, Method: policy.Certificate, Credential: idp.CredentialID(v.form.Get("credential"))}
	refused, err := c.cfg.Corridor.Restore(ctx, v.tenant.ID, []signin.Named{named}, signin.Cleaning{Actor: string(v.user.ID), Peer: v.peer})
	if err != nil {
		return err
	}
	if len(refused) > 0 && refused[0] != nil {
		return refused[0]
	}
	return v.leave(s.path(), "lifted")
}
