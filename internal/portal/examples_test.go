package portal

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bare is a portal without anything behind it: enough to render pages.
func bare(t *testing.T) *Portal {
	t.Helper()
	p, err := New(Config{BaseURL: "https://id.example", Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15"
const pixel = "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"

// text gives a string for a place of a page; tests for hostile input give all
// places a hostile one.
type text func(plain string) string

func credential(id, name, model string, x text) method.Credential {
	return method.Credential{
		ID: idp.CredentialID(id + x("")), Method: passkey, Name: x(name), Model: x(model),
		Created: noon.AddDate(0, -8, 0), LastUsed: noon.Add(-4 * time.Hour),
	}
}

var offers = []signin.Offer{
	{ID: passkey, View: method.View{Action: "signin-passkey", Icon: "passkey", Label: "method.passkey", Note: "method.passkey.note", Primary: true}},
	{ID: accessPass, View: method.View{Action: "signin-access-pass", Icon: "ticket", Label: "method.accessPass.label", Note: "method.accessPass.note"}},
	{ID: "phone", View: method.View{Action: "signin-phone", Icon: "phone", Label: "method.phone", Note: "method.phone.note", Primary: true}, Waits: true},
}

// examples gives every page in the states that matter.
func examples(p *Portal, x text) map[string]*page.Page {
	out := map[string]*page.Page{}
	tenant := idp.Tenant{ID: idp.TenantID(x("8f0c1f0e-54c5-4a52-8c1c-6f3c3cf1a111")), Name: x("Nordhafen Werft"), Domain: x("nordhafen.example")}
	r := httptest.NewRequest(http.MethodGet, "/account", nil)
	add := func(key, tmpl string, title template.HTML, v any) *page.Page {
		pg := p.newPage(r, tmpl, tenant, title, v)
		out[key] = pg
		return pg
	}
	pg := p.newPage(r, "signin", tenant, "", nil)
	lead := pg.T("signin.lead.app", "app", x("Wiki"))
	sign := func(key, tmpl string, v signInView) {
		v.arrange(pg, append([]signin.Offer{}, offers...), "")
		v.Handle = x("sealed")
		if v.title == "" {
			v.title, v.Lead = pg.T("signin.title"), lead
		}
		add(key, tmpl, v.title, &v).LeadsTo = "https://wiki.example"
	}
	ada := person{Name: x("Ada Lindqvist"), Sub: x("ada@nordhafen.example"), User: x("ada@nordhafen.example"), Initials: page.Initials(x("Ada Lindqvist"), 2), Session: idp.SessionID(x("s1"))}
	kai := person{Name: x("Kai Ohlsen"), Sub: x("kai@nordhafen.example"), User: x("kai@nordhafen.example"), Initials: "KO", Session: idp.SessionID(x("s2"))}
	sign("signin", "signin", signInView{})
	sign("signin-open", "signin", signInView{Open: true, UserName: x("ada@nordhafen.example"), Said: pg.T("signin.said.cancelled"), Unknown: x("id")})
	sign("signin-known", "signin", signInView{Known: &ada})
	sign("signin-wrong", "signin", signInView{Open: true, UserName: x("ada@nordhafen.example"), Problem: &problem{Code: 130005, Trace: x("3c1e0a35-43a2-4e1a-9d2c-cf6f61a2f1aa"), Text: pg.T("signin.problem.pass_wrong")}})
	sign("signin-fields", "signin", signInView{Open: true, BadName: pg.T("signin.problem.username"), BadPass: pg.T("signin.problem.pass")})
	sign("signin-prove", "signin", signInView{Known: &person{Name: ada.Name, Sub: ada.Sub, User: ada.User, Initials: ada.Initials, Fixed: true},
		title: pg.T("signin.title.again"), Lead: pg.N("signin.lead.fresh", 6), Skip: x("/account")})
	sign("try", "try", signInView{only: passkey, Known: &person{Name: ada.Name, Sub: ada.Sub, User: ada.User, Initials: ada.Initials, Fixed: true},
		title: pg.T("signin.title.try"), Lead: pg.T("signin.lead.try", "name", x("Blue YubiKey")), Steps: steps(pg, 3), Skip: x("/account")})
	number := func(key, title string, v numberView) {
		v.Handle, v.UserName, v.Method = x("f1"), x("ada@nordhafen.example"), "phone"
		v.Wait, v.Others, v.OtherWays, v.Known = x("/t/signin/wait?flow=f1"), x("/t/signin?flow=f1&other=1"), pg.T("wait.passkey"), string(tenant.ID)
		add(key, "wait", pg.T(title), &v).Refresh = refreshAfter
	}
	code, err := qrOf("https://id.example/phone#r=4f6a1c0e2b7d4e8f9a3c5d7e1f2a4b6c")
	if err != nil {
		panic(err)
	}
	number("wait", "wait.title", numberView{Number: x("47"), Spelled: x("4, 7"), Left: 94, Clock: "1:34", QR: code, Late: true, Again: pg.T("wait.sent")})
	number("wait-ready", "wait.title.ready", numberView{Number: x("47"), Spelled: x("4, 7"), Left: 94, Clock: "1:34", Ready: true})
	number("wait-over", "wait.title.over", numberView{Over: true, Clock: "0:00"})
	sign("signin-phone", "signin", signInView{BadName: pg.T("wait.problem.username"), Shows: string(tenant.ID)})
	add("pick", "pick", pg.T("pick.title"), pickView{Lead: pg.T("pick.lead.app", "app", x("Wiki")), Verb: "post", Action: "/t/signin/choose", Handle: x("h"), People: []person{ada, kai}})
	add("org", "org", pg.T("org.title"), orgView{Typed: x("ada@nowhere.example"), Bad: pg.T("org.problem")})
	grants := []grant{}
	for _, s := range []string{"openid", "profile", "email", "offline_access", x("api://drawings/read")} {
		grants = append(grants, grantOf(pg, s))
	}
	add("consent", "consent", pg.T("consent.page", "app", x("Drawings")), consentView{App: x("Drawings"), Handle: x("h"),
		Lead: pg.T("consent.lead", "name", x("Ada Lindqvist"), "user", x("ada@nordhafen.example")), Grants: grants})
	nudge := func(key string, n policy.Nudge, app string) {
		v := nudgeView{Handle: x("h"), Add: x("/t/signin?flow=f&add=1"), Forced: n.Forced}
		title := v.say(pg, n, app)
		add(key, "nudge", title, v).LeadsTo = "https://wiki.example"
	}
	nudge("nudge", policy.Nudge{Method: passkey, Days: 3, Left: 2}, x("Wiki"))
	nudge("nudge-last", policy.Nudge{Method: passkey, Left: 1}, "")
	nudge("nudge-forced", policy.Nudge{Method: passkey, Forced: true}, x("Wiki"))
	nudge("nudge-phone", policy.Nudge{Method: policy.Phone, Days: 3, Left: 2}, x("Wiki"))
	nudge("nudge-phone-page", policy.Nudge{Method: policy.Phone}, "")
	add("register", "register", pg.T("register.title"), registerView{Session: idp.SessionID(x("s1")), Flow: x("f"), Steps: steps(pg, 0),
		Lead: pg.T("register.lead"), Unable: pg.T("register.unsupported"), Back: x("/account"), BackText: pg.T("register.not_now"), Here: x("Passkey on Linux"), Key: x("Security key"), Phone: x("Passkey on my phone")})
	add("register-full", "register", pg.T("register.title"), registerView{Session: "s1", Steps: steps(pg, 0), Lead: pg.T("register.lead"),
		Back: "/account", Full: pg.T("register.limit", "n", 20, "org", x("Nordhafen Werft"))})
	device := func(key string, title template.HTML, v deviceView) {
		if v.Lead == "" {
			v.Lead = pg.T("consent.lead", "name", x("Ada Lindqvist"), "user", x("ada@nordhafen.example"))
		}
		v.Session, v.ID = idp.SessionID(x("s1")), x("id")
		add(key, "device", title, v)
	}
	device("device", pg.T("device.title"), deviceView{})
	device("device-bad", pg.T("device.title"), deviceView{Typed: x("BCD-FGH"), Bad: pg.T("device.problem.code")})
	device("device-wait", pg.T("device.wait.title"), deviceView{State: AskingNobody, Look: x("/device?id=1"), Late: true})
	device("device-nobody", pg.T("device.wait.title"), deviceView{State: AskingNobody})
	far, near := deviceView{State: AskingMet}, deviceView{State: AskingMet}
	far.met(pg, Asking{Agent: x("himmelblau/1.0 (Linux)"), IP: x("203.0.113.9"), Since: noon, Registers: true, Scopes: []string{"openid", "profile", "offline_access", "urn:x/user_impersonation"}}, false)
	near.met(pg, Asking{Agent: x(firefox), IP: x("192.0.2.10"), Since: noon, Scopes: []string{"openid", x("api://drawings/read")}}, true)
	device("device-far", pg.T("device.ask.title", "app", x("Linux desktop sign-in")), far)
	device("device-near", pg.T("device.ask.title", "app", x("Television")), near)
	device("device-done", pg.T("device.done.title"), deviceView{State: AskingAllowed, Lead: pg.T("device.done.lead", "app", x("Television"))})
	device("device-denied", pg.T("device.denied.title"), deviceView{State: AskingDenied, Lead: pg.T("device.denied.lead")})
	add("home", "home", pg.T("home.title"), nil)
	add("out", "out", pg.T("out.title"), nil)
	add("logout", "logout", pg.T("logout.title"), struct {
		Lead   template.HTML
		Action string
		Fields []Field
	}{pg.T("logout.app", "app", x("Wiki"), "name", x("Ada Lindqvist"), "org", x("Nordhafen Werft")), x("/t/logout"), []Field{{x("state"), x("s")}}})
	accountExamples(p, pg, add, ada, x)
	phoneExamples(p, pg, add, ada, x)
	for key, e := range map[string]*idp.Error{
		"error":          idp.Deniedf("strength_unknown", "x").Coded(53003),
		"error-internal": idp.AsError(http.ErrBodyNotAllowed),
		"error-said":     idp.Invalidf("redirect_unknown", "x").Coded(50011).Say(x("Wiki sent a request that Signet cannot accept: its return address is not registered. Tell the people who run Wiki; the slip below helps them.")),
		"error-404":      idp.NotFoundf("page_unknown", "x"),
	} {
		a := app{x("Payroll"), ""}
		if key == "error" {
			a.leadsTo = x("https://payroll.example")
		}
		v := p.tell(r, pg.Words, e, x("Payroll: phishing-resistant only"), a)
		v.Trace = x("8f1c2a7e-4b90-4d2e-9a51-c07e63d1b4f2")
		add(key, "error", v.Title, v)
	}
	return out
}

func accountExamples(p *Portal, pg *page.Page, add func(string, string, template.HTML, any) *page.Page, ada person, x text) {
	blue, phone := credential("blue", "Blue YubiKey", "YubiKey 5C NFC", x), credential("phone", "Ada’s Pixel", "Google Password Manager", x)
	blue.Facts.Attested, phone.Facts.Synced = true, true
	spare := credential("spare", "Spare in the drawer", "Token2", x)
	spare.LastUsed, spare.Disabled = time.Time{}, true
	pass := method.Credential{ID: "pass", Method: accessPass, Bootstrap: true, Created: noon.Add(-time.Hour)}
	third := credential("third", "Work laptop", "Windows Hello", x)
	proofs := []idp.Proof{{Method: passkey, Credential: blue.ID}}
	view := func(creds []method.Credential, h Holding) *accountView {
		v := &accountView{Session: ada.Session, Person: ada, Several: true, Fresh: true}
		v.fill(pg, creds, h)
		v.Sessions = sessionRows(pg, []session.Session{
			{ID: "a", Agent: pixel, IP: x("198.51.100.7"), Opened: noon.AddDate(0, 0, -3), Proofs: proofs},
			{ID: ada.Session, Agent: firefox, IP: "192.0.2.10", Opened: noon.Add(-4 * time.Hour), Proofs: proofs},
			{ID: "c", Agent: mac, IP: "203.0.113.80", Opened: noon.AddDate(0, 0, -20)},
			{ID: "d", Agent: x("weird"), Opened: noon.AddDate(0, 0, -25)},
		}, ada.Session, creds)
		v.Everywhere = pg.N("sessions.all.note", 4)
		v.fillApps(pg, []client.Grant{
			{Client: idp.ClientID(x("a1")), Name: x("Drawings"), Scopes: []string{"openid", "profile", "offline_access"}, Since: noon.AddDate(0, -2, 0)},
			{Client: "a2", Name: x("Ærø ferry times"), Scopes: []string{"openid", x("api://ferries/read")}, Since: noon.AddDate(-1, 0, 0)},
		})
		for _, e := range []audit.Event{
			{Activity: "signin.done", Outcome: audit.Success, At: noon.Add(-4 * time.Hour), Method: passkey, Credential: blue.ID, Agent: firefox, IP: "192.0.2.10"},
			{Activity: "signin.refused", Outcome: audit.Failure, At: noon.Add(-13 * time.Hour), Agent: pixel, IP: x("203.0.113.4")},
			{Activity: "signin.refused", Outcome: audit.Failure, Rule: x("Payroll: phishing-resistant only"), At: noon.Add(-18 * time.Hour), Agent: mac, IP: "203.0.113.80"},
			{Activity: "passkey.rename", Outcome: audit.Success, At: noon.AddDate(0, 0, -9), Method: passkey, Credential: blue.ID, Agent: firefox},
			{Activity: "passkey.register", Outcome: audit.Success, At: noon.AddDate(0, 0, -12), Method: passkey, Credential: phone.ID, Agent: x(firefox)},
			{Activity: x("later.thing"), Outcome: audit.Success, At: noon.AddDate(-1, 0, 0)},
		} {
			v.Events = append(v.Events, eventOf(pg, e, x("Wiki"), creds))
		}
		return v
	}
	full := view([]method.Credential{blue, phone, third, spare, pass}, Holding{Held: 15, Limit: 20, WarnAt: 15})
	full.HelloWarn = pg.T("devices.hello.many", "n", 15, "limit", 20)
	full.OfDevices = true
	key := credential("hello", "ws-17", "", x)
	key.Method = policy.Hello
	for i, m := range []ownDevice{
		{Device: device.Device{ID: idp.DeviceID(x("d1")), Name: x("ws-17"), OS: x("Linux"), OSVersion: x("Debian 13"), Assurance: device.Attested, Enabled: true, Created: noon.AddDate(0, -3, 0), LastSeen: noon},
			mine: true, keys: []method.Credential{key}, prts: []prt.PRT{{Expires: noon.AddDate(0, 0, 14)}}},
		{Device: device.Device{ID: "d2", Name: "lent", OS: "iOS", Enabled: true, Software: true, Created: noon.AddDate(-1, 0, 0)}, prts: []prt.PRT{{Expires: noon}}},
		{Device: device.Device{ID: "d3", Name: x("old"), Assurance: device.Unattested, Created: noon.AddDate(-2, 0, 0)}, mine: true, keys: []method.Credential{{}}},
		{Device: device.Device{ID: "d4", Name: "new", Created: noon, Pending: noon.Add(time.Hour)}, mine: true},
	} {
		full.Devices = append(full.Devices, deviceRowOf(pg, m, idp.SessionID(x("s1")), idp.DeviceID([]string{x("d1"), "", "", ""}[i])))
	}
	full.Notice = pg.T("done.added", "name", x("Blue YubiKey"))
	full.Signals = map[string]string{"rpId": x("id.example"), "name": x("</script><b>")}
	add("account", "account", pg.T("account.title"), full)
	one := view([]method.Credential{blue}, Holding{Held: 1, Limit: 20, WarnAt: 15})
	one.Events, one.Several = nil, false
	one.fillApps(pg, nil)
	add("account-one", "account", pg.T("account.title"), one)
	add("account-full", "account", pg.T("account.title"), view([]method.Credential{blue, phone}, Holding{Held: 20, Limit: 20, WarnAt: 15}))
	none := view(nil, Holding{})
	none.fillApps(pg, nil)
	add("account-none", "account", pg.T("account.title"), none)
	desk := view([]method.Credential{blue}, Holding{Held: 1, Limit: 20, WarnAt: 15})
	desk.only(notAddable(pg, policy.Refusal{Reason: "self_service_off"}))
	add("account-desk", "account", pg.T("account.title"), desk)
	none.OfDevices = true
	effects := []deviceEffect{{"bad", pg.T("machine.effect.out")}, {"warn", pg.T("machine.effect.disable.back")}}
	for _, q := range []deviceQuestion{
		{What: "disable", Effects: effects, Harm: true}, {What: "sign-out", Effects: effects}, {What: "remove", Last: pg.T("machine.last"), Add: true}, {What: "remove", Last: pg.T("machine.last")},
	} {
		q.Session, q.Device, q.Yes = ada.Session, idp.DeviceID(x("d1")), pg.T("machine."+q.What+".go")
		key := "machine-" + q.What
		if q.Last != "" && !q.Add {
			key += "-desk"
		}
		add(key, "machine", pg.T("machine."+q.What+".title", "name", x("ws-17")), &q)
	}
	add("takeback", "takeback", pg.T("takeback.title", "app", x("Drawings")), &takeBackView{Session: ada.Session, App: "a1", Name: x("Drawings")})
	a := askOf(pg, blue, []method.Credential{blue, phone, third}, nil, ada.Session)
	a.BadName = pg.T("register.problem.name")
	add("rename", "rename", pg.T("rename.title", "name", x("Blue YubiKey")), a)
	add("remove", "remove", pg.T("remove.title", "name", x("Blue YubiKey")), a)
	add("remove-last", "remove", pg.T("remove.title", "name", x("Blue YubiKey")), askOf(pg, blue, []method.Credential{blue}, nil, ada.Session))
}

func same(s string) string { return s }
