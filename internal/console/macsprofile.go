package console

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/signetid/signet/internal/page"
)

// macProfileView is the second step: the profile, to be read and taken.
type macProfileView struct {
	Guide    *guideView
	Parts    []profilePartView
	File     string
	Name     string
	Size     template.HTML
	Download string
	Says     []effect
}

type profilePartView struct {
	ID, Title, Type string
	Lines           []ProfileLine
}

func (c *Console) macProfile(ctx context.Context, v *visit) error {
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	made, err := c.cfg.Macs.Profile(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	pg := v.page("macsprofile", v.words().T("macs.title"), nil)
	view := macProfileView{File: string(made.File), Name: made.Name, Size: pg.N("macs.profile.size", len(made.File)), Download: macProfilePath + "/file"}
	if view.Guide, err = v.guide(ctx, pg, "profile", p); err != nil {
		return err
	}
	view.Guide.Main = false // taking it is
	switch {
	case made.App == "":
		view.Guide.Alerts = append(view.Guide.Alerts, alertView{"warn", "warn", "", pg.T("macs.alert.app")})
	case made.Made:
		view.Guide.Alerts = append(view.Guide.Alerts, alertView{"warn", "info", "", pg.T("macs.alert.placeholder")})
	}
	for i, part := range made.Parts {
		view.Parts = append(view.Parts, profilePartView{"part-" + strconv.Itoa(i), part.Title, part.Type, part.Lines})
	}
	view.Says = c.profileSays(pg, made)
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// profileSays is what stands beside the profile: what is wrong with it first.
func (c *Console) profileSays(pg *page.Page, made MacProfile) []effect {
	host := c.cfg.BaseURL
	if u, err := url.Parse(c.cfg.BaseURL); err == nil {
		host = u.Host
	}
	var out []effect
	for _, w := range made.Wrong {
		out = append(out, effect{"bad", pg.T("macs.profile.wrong", "what", w)})
	}
	if len(made.Wrong) == 0 {
		out = append(out, effect{"good", pg.T("macs.profile.checked")})
	}
	out = append(out, effect{"off", pg.T("macs.profile.token")}, effect{"warn", pg.T("macs.profile.tls", "host", host)})
	if made.App == "" {
		return append(out, effect{"bad", pg.T("macs.profile.site.none", "host", host)})
	}
	return append(out, effect{"off", pg.T("macs.profile.site", "host", host, "app", made.App)})
}

// profileType is the media type of configuration profiles [I].
const profileType = "application/x-apple-aspen-config"

// plainName are file names that need no quoting in a header.
var plainName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,100}$`)

// macProfileFile gives the profile as a file, and puts on record who took it:
// the steps tell by it that it was.
func (c *Console) macProfileFile(ctx context.Context, v *visit) error {
	made, err := c.cfg.Macs.Profile(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	if !plainName.MatchString(made.Name) {
		return fmt.Errorf("profile of tenant %s has the file name %q", v.tenant.ID, made.Name)
	}
	if err := v.exported(ctx, "mac.profile.export", ""); err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", profileType)
	h.Set("Content-Disposition", `attachment; filename="`+made.Name+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err = v.w.Write(made.File)
	return err
}
