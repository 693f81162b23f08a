package console

import (
	"context"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// Macs is what the console knows of Macs besides their being devices.
type Macs struct {
	Registry *mac.Registry
	// Profile is what an MDM gives to the tenant's Macs, as its rules are now. It
	// is not asked for while devices are off.
	Profile func(context.Context, idp.TenantID, MacProfileAsk) (MacProfile, error)
}

// MacProfileAsk is what may differ from one profile of a tenant to the next.
type MacProfileAsk struct {
	// Token is a registration token, or the name of an MDM's variable in whose
	// place it puts one; empty: people register by signing in.
	Token string
	// Direct has Macs ask this server itself whose app may speak for it, and not
	// by way of Apple.
	Direct bool
}

// MacProfile is a configuration profile, and whose app it names.
type MacProfile struct {
	// File is a property list in XML that nobody has signed; empty: the
	// installation names no app, and there is no profile.
	File []byte
	// App is the extension that it names, "TEAMID.bundle"; Demo says that it is a
	// made-up one.
	App  string
	Demo bool
}

// The pages about Macs.
const (
	macsPath       = "/admin/macs"
	macProfilePath = macsPath + "/profile"
	macTestPath    = macsPath + "/test"
	macTokensPath  = macsPath + "/everybody"
	macWeekPath    = macsPath + "/week"
	macTokenPath   = macsPath + "/tokens"
)

// macSteps are the steps of setting up, in their order.
var macSteps = []struct{ word, path string }{
	{"method", macsPath}, {"profile", macProfilePath}, {"test", macTestPath}, {"everybody", macTokensPath}, {"week", macWeekPath},
}

func (c *Console) macRoutes() []route {
	const admin = directory.Administrator
	return join(settingsRoutes(macsPath, c.macForm), settingsRoutes("/admin/methods/platform", c.platformForm), []route{
		{"GET " + macProfilePath, admin, c.macProfile, ""},
		{"GET " + macProfilePath + "/file", admin, c.macProfileFile, ""},
		{"GET " + macTestPath, admin, c.macTest, ""},
		{"POST " + macTestPath + "/profile", admin, c.macTestProfile, "says.macs.profile"},
		{"GET " + macTestPath + "/list", admin, c.macList, ""},
		{"GET " + macTokensPath, admin, c.macTokens, ""},
		{"POST " + macTokenPath, admin, c.makeMacTokens, "says.macs.tokens"},
		{"GET " + macTokenPath + "/{id}/ask", admin, c.askMacToken, ""},
		{"POST " + macTokenPath + "/{id}/revoke", admin, c.revokeMacToken, "says.macs.revoke"},
		{"GET " + macWeekPath, admin, c.macWeek, ""},
	})
}

// macPage is a page of the steps.
func macPage() page.View {
	v := scripted(frame("people.css", "devices.css", "policy.css", "macs.css"), "macs.js")
	v.Files = []string{"macparts"}
	return v
}

// macRulesPage is the first step, which is a form about policy.
func macRulesPage() page.View {
	v := scripted(frame("people.css", "devices.css", "policy.css", "macs.css"), "policy.js")
	v.Files = []string{"macparts", "policyparts"}
	return v
}

// guideView is the frame around each step.
type guideView struct {
	Name, Hand    template.HTML
	Steps         []guideStep
	Alerts        []alertView
	Before, After *guideStep
	Main          bool // going on is the thing to do here
}

type guideStep struct {
	Number     int
	Href       string
	Name       template.HTML
	Here, Done bool
}

type alertView struct {
	State, Icon, Href string
	Text              template.HTML
}

// guide begins a step: where one is, and what is done.
func (v *visit) guide(ctx context.Context, pg *page.Page, word string, p policy.Policy) (*guideView, error) {
	done, err := v.macsDone(ctx, p)
	if err != nil {
		return nil, err
	}
	g := &guideView{Name: pg.T("macs.step." + word), Hand: pg.T("macs.step." + word + ".hand"), Main: true}
	at := 0
	for i, s := range macSteps {
		step := guideStep{Number: i + 1, Href: s.path, Name: pg.T("macs.step." + s.word), Here: s.word == word, Done: done[s.word]}
		if step.Here {
			at = i
		}
		g.Steps = append(g.Steps, step)
	}
	if at > 0 {
		g.Before = &g.Steps[at-1]
	}
	if at+1 < len(g.Steps) {
		g.After = &g.Steps[at+1]
	}
	if at > 0 { // the first step says it where it is put right
		g.Alerts = macAlerts(pg, p)
	}
	return g, nil
}

// macMethod is the method by which people sign in on Macs.
func macMethod(p policy.Policy) idp.MethodID {
	if p.Macs.Method == policy.MacCard {
		return policy.Certificate
	}
	return policy.Platform
}

// macAlerts are what keeps every Mac out.
func macAlerts(pg *page.Page, p policy.Policy) (out []alertView) {
	if !p.Devices.On {
		out = append(out, alertView{"bad", "warn", macsPath, pg.T("macs.alert.off")})
	}
	if m := macMethod(p); !p.Methods[m].On {
		out = append(out, alertView{"warn", "warn", "/admin/methods/" + string(m), pg.T("macs.alert.method.off", "method", policyMethod(pg, m))})
	}
	return out
}

// ofMacs is the condition that a device is a Mac, with more.
func ofMacs(more ...string) (filter.Expr, error) {
	return filter.Parse(strings.Join(append([]string{"operatingSystem eq '" + mac.OS + "'"}, more...), " and "), device.Fields)
}

// countMacs counts the Macs that conditions fit.
func (v *visit) countMacs(ctx context.Context, more ...string) (int, error) {
	where, err := ofMacs(more...)
	if err != nil {
		return 0, err
	}
	n, err := v.cfg.Devices.Count(ctx, v.tenant.ID, where)
	return int(n), err
}

const everSeen = "lastSeen gt " + never

// macsDone says which steps need no more.
func (v *visit) macsDone(ctx context.Context, p policy.Policy) (map[string]bool, error) {
	all, err := v.countMacs(ctx)
	if err != nil {
		return nil, err
	}
	in, err := v.countMacs(ctx, everSeen)
	if err != nil {
		return nil, err
	}
	taken := audit.Part{}
	if all == 0 {
		ask := audit.Query{Of: audit.Changes, Activities: []string{"mac.profile.export"}, Limit: 1, Look: 2000}
		if taken, err = v.cfg.Audit.Search(ctx, v.cfg.DB, v.tenant.ID, ask); err != nil {
			return nil, err
		}
	}
	return map[string]bool{
		"method": p.Devices.On && p.Methods[macMethod(p)].On, "profile": all > 0 || len(taken.Events) > 0, "test": in > 0, "everybody": in > 1,
	}, nil
}

// macView is one Mac with what stands on it.
type macView struct {
	device.Device
	mac    mac.Mac
	people []idp.UserID // who have a key on it, or sign in with it
	in     bool         // somebody has signed in on it
}

// lookAt reads what stands on some Macs. Those that are gone meanwhile are left
// out.
func (v *visit) lookAt(ctx context.Context, devices []device.Device) ([]macView, error) {
	ids := make([]idp.DeviceID, len(devices))
	for i, d := range devices {
		ids[i] = d.ID
	}
	known, err := v.cfg.Macs.Registry.List(ctx, v.tenant.ID, ids)
	if err != nil {
		return nil, err
	}
	out := make([]macView, 0, len(devices))
	for _, d := range devices {
		m, ok := known[d.ID]
		if !ok {
			continue
		}
		one := macView{Device: d, mac: m, in: !d.LastSeen.IsZero()}
		add := func(u idp.UserID) {
			if !slices.Contains(one.people, u) {
				one.people = append(one.people, u)
			}
		}
		keys, err := v.cfg.Hello.OnDevice(ctx, v.tenant.ID, d.ID)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			add(k.User)
		}
		prts, err := v.cfg.PRTs.OfDevice(ctx, v.tenant.ID, d.ID)
		if err != nil {
			return nil, err
		}
		for _, p := range prts {
			add(p.User)
			one.in = true
		}
		out = append(out, one)
	}
	return out, nil
}

// weekAgo is since when the pages look back.
func (v *visit) weekAgo() time.Time { return v.cfg.Now().UTC().Add(-7 * day) }

// macLog is the address of what was refused on Macs, in the log.
func macLog() string {
	return "/admin/log?" + url.Values{"method": {string(policy.Platform)}, "result": {audit.Failure}, "last": {"week"}}.Encode()
}
