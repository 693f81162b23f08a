package console

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/macprofile"
	"github.com/signetid/signet/internal/page"
)

// macProfileView is the second step: the profile, to be read and taken.
type macProfileView struct {
	Guide    *guideView
	Lines    []profileLine
	File     string // empty: there is none
	Name     string
	Size     template.HTML
	Download string
	Says     []effect
}

// profileLine is a key of the profile that means something to people.
type profileLine struct {
	Key, Value, Means string
	Since             template.HTML
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
	view := macProfileView{File: string(made.File), Name: v.profileName(), Size: pg.N("macs.profile.size", len(made.File)), Download: macProfilePath + "/file"}
	if view.Guide, err = v.guide(ctx, pg, "profile", p); err != nil {
		return err
	}
	view.Guide.Main = false // taking it is
	switch {
	case len(made.File) == 0:
		view.Guide.Alerts = append(view.Guide.Alerts, alertView{"warn", "warn", "", pg.T("macs.alert.app")})
	case made.Demo:
		view.Guide.Alerts = append(view.Guide.Alerts, alertView{"warn", "info", "", pg.T("macs.alert.placeholder")})
	}
	if view.Lines, err = profileLines(pg, made); err != nil {
		return err
	}
	view.Says = c.profileSays(pg, made)
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// profileLines are what stands in the profile, in words.
func profileLines(pg *page.Page, made MacProfile) (out []profileLine, err error) {
	if len(made.File) == 0 {
		return nil, nil
	}
	lines, err := macprofile.Explain(made.File)
	if err != nil {
		return nil, fmt.Errorf("read our own profile: %w", err)
	}
	for _, l := range lines {
		one := profileLine{Key: l.Path, Value: l.Value, Means: l.Means}
		if l.Since != "" {
			one.Since = pg.T("macs.profile.since", "version", l.Since)
		}
		out = append(out, one)
	}
	return out, nil
}

// profileSays is what stands beside the profile: what is wrong with it first.
func (c *Console) profileSays(pg *page.Page, made MacProfile) []effect {
	host := c.cfg.BaseURL
	if u, err := url.Parse(c.cfg.BaseURL); err == nil {
		host = u.Host
	}
	var out []effect
	add := func(state string, text template.HTML) { out = append(out, effect{state, text}) }
	if len(made.File) > 0 {
		found := macprofile.Lint(made.File)
		for _, f := range found {
			add("bad", pg.T("macs.profile.wrong", "what", f.String()))
		}
		if len(found) == 0 {
			add("good", pg.T("macs.profile.checked"))
		}
		add("off", pg.T("macs.profile.token"))
	}
	add("warn", pg.T("macs.profile.tls", "host", host))
	if made.App == "" {
		add("bad", pg.T("macs.profile.site.none", "host", host))
	} else {
		add("off", pg.T("macs.profile.site", "host", host, "app", code(made.App)))
	}
	return out
}

// profileName is the name of the file. Of a domain only what needs no quoting
// stands in a header.
func (v *visit) profileName() string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return -1
	}, strings.ToLower(v.tenant.Domain))
	return cmp.Or(strings.Trim(page.Clip(name, 80), ".-"), string(v.tenant.ID)) + ".mobileconfig"
}

// profileType is the media type of configuration profiles [I].
const profileType = "application/x-apple-aspen-config"

// macProfileFile gives the profile as a file, and puts on record who took it:
// the steps tell by it that it was.
func (c *Console) macProfileFile(ctx context.Context, v *visit) error {
	made, err := c.cfg.Macs.Profile(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	if len(made.File) == 0 {
		return idp.NotFoundf("profile_missing", "no app is named").Say("There is no profile: this installation names no app for Macs.")
	}
	if err := v.exported(ctx, "mac.profile.export", ""); err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", profileType)
	h.Set("Content-Disposition", `attachment; filename="`+v.profileName()+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err = v.w.Write(made.File)
	return err
}
