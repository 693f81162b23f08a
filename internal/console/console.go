package console

import (
	"context"
	"crypto/x509"
	"embed"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

//go:embed view/*.html static words/*.json
var files embed.FS

// Door is the word by which flows of the console are known to the corridor.
const Door = "admin"

// Config is what app hands to the console.
type Config struct {
	BaseURL   string // https://id.example, without a slash at the end
	DB        *sqldb.DB
	Corridor  *signin.Corridor
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Sessions  *session.Store
	Metadata  *metadata.Registry
	Audit     *audit.Log
	Report    Report
	Now       func() time.Time
	// Devices, with the three below, are the machines of the tenant and what
	// stands on them; nil: the console has no pages for them.
	Devices *device.Registry
	PRTs    *prt.Service
	Hello   HelloKeys
	Hygiene *hygiene.Keeper
	// Macs are what devices are not; nil: there are no pages about them.
	Macs *Macs
	// Phones are those that approve sign-ins; nil: there are none.
	Phones Phones
	// Trust, with the one below, is what certificates are judged by; nil: there
	// are no pages about them.
	Trust *trust.Store
	// Explain tries a certificate, the first of chain, as a sign-in would.
	Explain func(ctx context.Context, t idp.TenantID, chain []*x509.Certificate) (certificate.Explained, error)

	// SignIn shows what a flow needs next; ErrorPage tells an error on a page.
	SignIn    func(http.ResponseWriter, *http.Request, signin.Flow, signin.Step) error
	ErrorPage func(http.ResponseWriter, *http.Request, error)
	// IssuePass makes an access pass; once nil leaves it to the policy.
	// PreparePass readies what it needs outside of a transaction.
	IssuePass   func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, lifetime time.Duration, once *bool) (code string, c method.Credential, err error)
	PreparePass func(context.Context, idp.TenantID) error
	// RevokeUser ends all sessions and tokens of a person.
	RevokeUser func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
}

// Console is the door for administrators.
type Console struct {
	cfg     Config
	pages   *page.Set
	exports *web.Limiter // of whole lists, by person (security.md ADM06)
	// phoneTests are messages that are sent for a test.
	phoneTests *web.Limiter
	// listFetches are revocation lists that are fetched by hand.
	listFetches *web.Limiter
	badgesSeen  counts[badges]
	// counted are the keys in use of tenants in which counting takes long.
	counted     counts[usage]
	keysTallied counts[keyTally] // Hello keys, as counted
}

// exportsWithin is how many whole lists a person may take in ten minutes.
const exportsWithin = 10

func newExports(now func() time.Time) *web.Limiter {
	return web.NewLimiter(exportsWithin, 10*time.Minute, 10_000, now)
}

const assetPrefix = "/admin/assets/"

// New makes the console. A broken catalogue is an error.
func New(cfg Config) (*Console, error) {
	pages, err := page.New(page.Config{
		BaseURL: cfg.BaseURL, Prefix: assetPrefix, Views: views, Parts: []string{"layout", "parts"}, Files: files,
	})
	if err != nil {
		return nil, err
	}
	return &Console{cfg: cfg, pages: pages, exports: newExports(cfg.Now),
		phoneTests: web.NewLimiter(phoneTests, 10*time.Minute, 10_000, cfg.Now), listFetches: web.NewLimiter(listFetches, 10*time.Minute, 10_000, cfg.Now)}, nil
}

// views are all pages: each has its own file in view/.
var views = map[string]page.View{
	"overview": frame("overview.css"),
	"people":   frame("people.css"),
	"person":   frame("people.css"),
	"pass":     frame("people.css"),
	"newone":   frame(),
	"key":      scripted(frame("people.css"), "key.js"),
	"groups":   frame(),
	"group":    frame(),
	"apps":     frame(),
	"app":      frame(),
	"ask":      frame(),

	"devices":     devicePage(),
	"device":      devicePage(),
	"deviceask":   devicePage(),
	"keys":        devicePage(),
	"keysclean":   devicePage(),
	"keystry":     devicePage(),
	"keysremoved": devicePage(),

	"carry": {Frame: "bare", Styles: []string{"parts.css", "console.css"}, Apart: true},

	"certificates": certView(),
	"certificate":  certView(),
	"certadd":      certView("certificates.js"),
	"certtest":     certView("certificates.js"),
	"certask":      viewOf("deviceask", devicePage()),

	"policymethods":     frame("policy.css"),
	"policypasskey":     policyView(),
	"policymethod":      policyView(),
	"policycertificate": policyView(),
	"policyconfirm":     policyView(),
	"picker":            policyView(),
	"strength":          policyView(),
	"strengthedit":      policyView(),
	"macsrules":         macRulesPage(),
	"macsprofile":       macPage(),
	"macstest":          macPage(),
	"macstokens":        macPage(),
	"macsmade":          macPage(),
	"macsweek":          macPage(),
	"log":               logPage("log.js"),
	"logone":            logPage("log.js"),
	"logtry":            logPage(),
	"logchanges":        logPage(),
	"report":            frame("log.css"),
}

// viewOf is a view whose template has another name.
func viewOf(name string, v page.View) page.View {
	v.Name = name
	return v
}

// devicePage is a page about devices or the keys on them: they share parts of
// their own.
func devicePage() page.View {
	v := frame("people.css", "devices.css")
	v.Files = []string{"deviceparts"}
	return v
}

// frame is a view in the console's frame, with more styles.
func frame(styles ...string) page.View {
	return page.View{
		Frame: "console", Styles: append([]string{"parts.css", "console.css"}, styles...), Scripts: []string{"page.js", "console.js"}, Apart: true,
	}
}

// route is one address: the least role, what answers, and for a change the
// words that say what it does.
type route struct {
	pattern string // "GET /admin/people"
	role    string // Helpdesk: either role
	do      handler
	// says is the key of what is about to be done, when a gesture is asked
	// for first. A POST without it changes nothing and asks for none.
	says string
}

type handler func(context.Context, *visit) error

func (c *Console) routes() []route {
	all := join(c.overviewRoutes(), c.peopleRoutes(), c.groupRoutes(), c.appRoutes(), c.policyRoutes(), c.logRoutes(), c.reportRoutes())
	if c.cfg.Devices != nil {
		all = join(all, c.deviceRoutes(), c.keyRoutes())
	}
	if c.cfg.Devices != nil && c.cfg.Macs != nil {
		all = join(all, c.macRoutes())
	}
	if c.cfg.Trust != nil {
		all = join(all, c.certificateRoutes())
	}
	return all
}

func join(lists ...[]route) []route {
	var out []route
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// Mount adds the pages and what they load.
func (c *Console) Mount(mux *http.ServeMux) {
	same := http.NewCrossOriginProtection()
	same.SetDenyHandler(web.Adapt(c.phrase, func(http.ResponseWriter, *http.Request) error {
		return idp.Deniedf("other_origin", "request from another origin")
	}))
	allowed := map[string][]string{}
	for _, rt := range c.routes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		allowed[path] = append(allowed[path], method)
		mux.Handle(rt.pattern, same.Handler(web.Adapt(c.phrase, c.gate(rt))))
	}
	// Only the two methods that forms have: a pattern for all of them would
	// meet another with a wildcard half-way.
	for path, methods := range allowed {
		for _, other := range []string{http.MethodGet, http.MethodPost} {
			if !slices.Contains(methods, other) {
				mux.Handle(other+" "+path, web.Adapt(c.phrase, wrongMethod(methods[0])))
			}
		}
	}
	c.pages.MountAssets(mux)
}

// wrongMethod answers 405 and says what would do (RFC 9110, Section 15.5.6).
func wrongMethod(allowed string) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allowed)
		return idp.Invalidf("wrong_method", "method %.20q, allowed is %s", r.Method, allowed)
	}
}

// phrase tells an error on a page of its own.
func (c *Console) phrase(w http.ResponseWriter, r *http.Request, e *idp.Error) {
	c.cfg.ErrorPage(w, r, e)
}

func scripted(v page.View, scripts ...string) page.View {
	v.Scripts = append(v.Scripts, scripts...)
	return v
}
