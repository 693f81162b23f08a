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
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/macprofile"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
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
	Path     string
	Variable string
	BadVar   template.HTML
	Direct   bool
}

// profileLine is a key of the profile that means something to people.
type profileLine struct {
	Key, Means string
	Values     []string
	Since      template.HTML
}

func (c *Console) macProfile(ctx context.Context, v *visit) error {
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	ask, typed, good := readProfileAsk(v.r.URL.Query())
	made, err := v.macProfile(ctx, p, ask)
	if err != nil {
		return err
	}
	pg := v.page("macsprofile", v.words().T("macs.title"), nil)
	view := macProfileView{
		File: string(made.File), Name: v.profileName(), Size: pg.N("macs.profile.size", len(made.File)), Download: macProfilePath + "/file" + query(ask.values()),
		Path: macProfilePath, Variable: typed, Direct: ask.Direct,
	}
	if !good {
		view.BadVar = pg.T("macs.profile.variable.bad")
	}
	if view.Guide, err = v.guide(ctx, pg, "profile", p); err != nil {
		return err
	}
	view.Guide.Main = false // taking it is
	switch {
	case len(made.File) == 0 && p.Devices.On:
		view.Guide.Alerts = append(view.Guide.Alerts, alertView{"warn", "warn", "", pg.T("macs.alert.app")})
	case made.Demo:
		view.Guide.Alerts = append(view.Guide.Alerts, alertView{"warn", "info", "", pg.T("macs.alert.placeholder")})
	}
	if view.Lines, err = profileLines(pg, made); err != nil {
		return err
	}
	view.Says = c.profileSays(pg, made, ask)
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// macProfile makes the profile. There is none while devices are off.
func (v *visit) macProfile(ctx context.Context, p policy.Policy, ask MacProfileAsk) (MacProfile, error) {
	if !p.Devices.On {
		return MacProfile{}, nil
	}
	return v.cfg.Macs.Profile(ctx, v.tenant.ID, ask)
}

// readProfileAsk reads an address; good is false when what it says is the name of
// a variable is none, which is left out: a token that stood in an address would be
// in logs and histories.
func readProfileAsk(q url.Values) (ask MacProfileAsk, typed string, good bool) {
	typed = page.Clip(strings.TrimSpace(q.Get("variable")), 100)
	ask = MacProfileAsk{Token: typed, Direct: q.Get("direct") != ""}
	if typed != "" && !macprofile.IsVariable(typed) {
		ask.Token = ""
	}
	return ask, typed, typed == ask.Token
}

func (a MacProfileAsk) values() url.Values {
	v := url.Values{}
	if a.Token != "" {
		v.Set("variable", a.Token)
	}
	setTick(v, "direct", a.Direct)
	return v
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
		one := profileLine{Key: l.Path, Values: onLines(l.Value), Means: l.Means}
		if l.Since != "" {
			one.Since = pg.T("macs.profile.since", "version", l.Since)
		}
		out = append(out, one)
	}
	return out, nil
}

// onLines puts the entries of a dictionary, or of a list of words, on lines of
// their own: macprofile has them on one.
func onLines(value string) []string {
	if parts := strings.Split(value, "; "); len(parts) > 1 {
		return parts
	}
	parts := strings.Split(value, ", ")
	for _, p := range parts {
		if strings.Contains(p, " ") {
			return []string{value}
		}
	}
	return parts
}

// profileSays is what stands beside the profile: what is wrong with it first.
func (c *Console) profileSays(pg *page.Page, made MacProfile, ask MacProfileAsk) []effect {
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
		if ask.Token == "" {
			add("off", pg.T("macs.profile.token"))
		} else {
			add("good", pg.T("macs.profile.token.variable", "variable", code(ask.Token)))
		}
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
	ask, _, good := readProfileAsk(v.r.URL.Query())
	if !good {
		return idp.Invalidf("bad_variable", "variable %.80q", v.r.URL.Query().Get("variable")).Say(page.Plain(v.words().T("macs.profile.variable.bad")))
	}
	made, err := v.profileOf(ctx, ask)
	if err != nil {
		return err
	}
	if err := v.exported(ctx, "mac.profile.export", ""); err != nil {
		return err
	}
	return v.giveProfile(made, v.profileName())
}

// profileOf makes the profile, or says that there is none.
func (v *visit) profileOf(ctx context.Context, ask MacProfileAsk) (MacProfile, error) {
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return MacProfile{}, err
	}
	made, err := v.macProfile(ctx, p, ask)
	if err == nil && len(made.File) == 0 {
		err = idp.NotFoundf("profile_missing", "devices on: %t", p.Devices.On).Say("There is no profile: devices are off here, or this installation names no app for Macs.")
	}
	return made, err
}

func (v *visit) giveProfile(made MacProfile, name string) error {
	h := v.w.Header()
	h.Set("Content-Type", profileType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err := v.w.Write(made.File)
	return err
}

// macTestProfile gives a profile for one Mac, with a registration token of its
// own in it: for the visitor, or for a serial number.
func (c *Console) macTestProfile(ctx context.Context, v *visit) error {
	typed := strings.TrimSpace(v.form.Get("serial"))
	serial := mac.CleanSerial(typed)
	if typed != "" && serial == "" {
		return v.testPage(ctx, http.StatusBadRequest, typed, v.words().T("macs.tokens.bad.serial", "text", page.Clip(typed, 40)))
	}
	if _, err := v.profileOf(ctx, MacProfileAsk{}); err != nil {
		return err // before there is a token for it
	}
	_, values, err := v.issueTokens(ctx, []tokenWish{{serial: serial, person: v.user}}, mac.DefaultTokenLife)
	if err != nil {
		return err
	}
	made, err := v.profileOf(ctx, MacProfileAsk{Token: values[0]})
	if err != nil {
		return err
	}
	return v.giveProfile(made, strings.TrimSuffix(v.profileName(), ".mobileconfig")+"-one-mac.mobileconfig")
}
