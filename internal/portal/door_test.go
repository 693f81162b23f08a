package portal

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

func TestFirstDayAndAccount(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	page := b.firstDay(ada, "Blue key")
	page.want(t, 200, "Lose Blue key: the help desk must let you back in.", "One way to prove it is you.",
		"Add a spare to keep at home", "This browser", "Firefox on Linux", "Passkey added: Blue key", "Signed in with Blue key")
	if page.attrOf("data-session") == "" || !strings.Contains(page.body, `"allAcceptedCredentialIds"`) {
		t.Error("no session row, or no signals")
	}

	// Another key, while the proof is fresh: the panel counts again.
	first := b.keys
	b.keys = passkeytest.New("localhost", origin)
	try := b.get(b.register(b.get("/account/register").want(t, 200, "Where should it live?"), "Spare")).want(t, 200, "Try it once now", "Spare", "Not now")
	b.follow(b.usePasskey(try, ada.Name)).want(t, 200, "Spare works. You can sign in with it from now on.")
	b.keys = first
	page = b.get("/account").want(t, 200, "Lose Blue key: Spare still works.", "Lose both: the help desk must let you back in.")

	// Rename, by the page that works without script.
	link := rowLink(page, "Blue key", "rename")
	form := b.get(link).want(t, 200, "Rename Blue key")
	in := url.Values{"session": {form.field("session")}, "method": {"passkey"}, "credential": {form.field("credential")}, "name": {"  "}}
	b.post("/account/rename", in).want(t, 400, "Type a name of at most 64 characters.")
	in.Set("name", strings.Repeat("x", 65))
	b.post("/account/rename", in).want(t, 400, "Type a name of at most 64 characters.")
	in.Set("name", "On my ring")
	page = b.follow(b.post("/account/rename", in)).want(t, 200, "Renamed. It is called On my ring now.", "Method renamed to “On my ring”")

	// Remove: the question names what is left; then it is gone.
	form = b.get(rowLink(page, "On my ring", "remove")).want(t, 200, "Remove On my ring?", "You can still sign in with Spare.")
	in = url.Values{"session": {form.field("session")}, "method": {"passkey"}, "credential": {form.field("credential")}}
	page = b.follow(b.post("/account/remove", in)).want(t, 200, "Removed. It lets nobody in any more.", "Lose Spare: the help desk must let you back in.")
	b.post("/account/remove", in).want(t, 404, "It is not there any more")

	// The last one stays, on the page and behind it.
	form = b.get(rowLink(page, "Spare", "remove")).want(t, 200, "This is your only way in, so it stays.")
	if form.hasAction("confirm") {
		t.Error("the page offers to remove the last way in")
	}
	in.Set("credential", form.field("credential"))
	b.post("/account/remove", in).want(t, 403, "This is your only way in")
	b.get("/account").want(t, 200, "Spare")
}

// rowLink finds the link of a row of methods.
func rowLink(r reply, name, action string) string {
	out := ""
	walk(r.doc, func(n *html.Node) {
		href, _ := attr(n, "href")
		got, _ := attr(n, "data-action")
		label, _ := attr(n, "aria-label")
		if got == action && strings.Contains(label, name) && out == "" {
			out = href
		}
	})
	return out
}

// TestFreshProof: what changes how one signs in wants a proof of the last five
// minutes, asked for when it is pressed, and then goes on where it was.
func TestFreshProof(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	page := b.firstDay(ada, "Blue key")
	first := b.keys
	b.keys = passkeytest.New("localhost", origin)
	b.register(b.get("/account/register"), "Spare")
	b.keys = first
	fresh := b.get("/account/register")
	w.later(6 * time.Minute)

	page = b.get("/account").want(t, 200, "How you sign in")
	if strings.Contains(page.body, "data-remove=") || !strings.Contains(page.body, "data-rename=") {
		t.Error("the dialog that removes is there although the proof is stale, or the one that renames is not")
	}
	r := b.json("/account/register/begin", registration{Session: fresh.field("session"), Method: "passkey"}, nil).want(t, 403)
	var told struct{ Code, Trace, Page any }
	w.must(json.Unmarshal([]byte(r.body), &told))
	if told.Code == nil || told.Trace == "" || told.Page == nil {
		t.Fatalf("the script is told %s", r.body)
	}
	b.get(told.Page.(string)).want(t, 200, "Show that it is still you", "your last proof is 6 minutes old", "Ada Lindqvist", "Not now")

	prove := b.get("/account/register").want(t, 200, "Show that it is still you")
	if prove.hasAction("not-you") {
		t.Error("the page lets somebody else prove that it is still Ada")
	}
	b.follow(b.usePasskey(prove, ada.Name)).want(t, 200, "Where should it live?")

	w.later(6 * time.Minute)
	page = b.get("/account")
	link := rowLink(page, "Spare", "remove")
	form := b.follow(b.usePasskey(b.get(link).want(t, 200, "Show that it is still you"), ada.Name)).want(t, 200, "Remove Spare?")
	in := url.Values{"session": {form.field("session")}, "method": {"passkey"}, "credential": {form.field("credential")}}

	w.later(6 * time.Minute)
	prove = b.post("/account/remove", in).want(t, 200, "Show that it is still you")
	b.follow(b.usePasskey(prove, ada.Name)).want(t, 200, "Remove Spare?")
	b.follow(b.post("/account/remove", in)).want(t, 200, "Removed.")
}

func TestSessions(t *testing.T) {
	w := newWorld(t)
	ada, kai := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("kai@nordhafen.example", "Kai Ohlsen")
	b, other := w.newBrowser(), w.newBrowser()
	home := "/" + string(w.tenant.ID) + "/signin?to=account"
	b.firstDay(ada, "Blue key")
	other.keys = b.keys
	other.follow(other.usePasskey(other.get(home), "")).want(t, 200, "How you sign in")
	third := w.newBrowser()
	foreign := third.firstDay(kai, "Kai’s key").field("session")

	page := b.get("/account").want(t, 200, "Ends all 2 sessions, this one too")
	end, mine := page.field("end"), page.field("session")
	b.post("/account/sessions/end", url.Values{"session": {mine}, "end": {foreign}}).want(t, 404, "It is not there any more")
	third.get("/account").want(t, 200)
	b.follow(b.post("/account/sessions/end", url.Values{"session": {mine}, "end": {end}})).want(t, 200, "The session is ended.")
	other.get("/account").want(t, 303)

	// A form of a session that is not this browser's does nothing.
	r := b.post("/account/sign-out-everywhere", url.Values{"session": {foreign}}).want(t, 303)
	if r.Header.Get("Location") != "/account" {
		t.Errorf("led to %s", r.Header.Get("Location"))
	}
	b.get("/account").want(t, 200)

	other.follow(other.usePasskey(other.get(home), "")).want(t, 200)
	b.follow(b.post("/account/sign-out-everywhere", url.Values{"session": {mine}})).want(t, 200, "You are signed out")
	b.get("/account").want(t, 303)
	other.get("/account").want(t, 303)

	page = other.follow(other.usePasskey(other.get(home), ada.Name)).want(t, 200)
	page.want(t, 200, "Signed out everywhere", "A session was ended")
	other.follow(other.post("/account/sign-out", url.Values{"session": {page.field("session")}})).want(t, 200, "You are signed out")
	other.get("/account").want(t, 303)
}

var traced = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|value="[A-Za-z0-9_.-]{40,}"|\d+ minutes?`)

// TestWrongPass: one sentence for every reason, and the same limit for known
// and unknown names.
func TestWrongPass(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	code := w.newPass(ada)
	home := "/" + string(w.tenant.ID) + "/signin"
	bodies := map[string]string{}
	for _, name := range []string{"ada@nordhafen.example", "zoe@nordhafen.example"} {
		b := w.newBrowser()
		for n := range 6 {
			r := b.usePass(b.get(home), name, "WRNG-WRNG-WRNG")
			if n < 5 {
				r.want(t, 401, "This pass does not work. It may be mistyped, used or over.")
				if r.attrOf("data-code") != "130005" || r.attrOf("data-trace") == "" || r.attrOf("data-trace") != r.Header.Get("X-Ms-Request-Id") {
					t.Fatalf("code %q, trace %q", r.attrOf("data-code"), r.attrOf("data-trace"))
				}
				continue
			}
			r.want(t, 429, "There were too many tries with this user name")
			if r.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			bodies[name] = strings.ReplaceAll(traced.ReplaceAllString(r.body, "_"), name, "NAME")
		}
	}
	if bodies["ada@nordhafen.example"] != bodies["zoe@nordhafen.example"] {
		t.Errorf("the pages tell who exists:\n%s\n%s", bodies["ada@nordhafen.example"], bodies["zoe@nordhafen.example"])
	}
	b := w.newBrowser()
	b.usePass(b.get(home), ada.Name, code).want(t, 429)
	w.later(16 * time.Minute)
	// Missing fields are no tries.
	for range 7 {
		b.usePass(b.get(home), "", code).want(t, 400, "Type your user name.")
		b.usePass(b.get(home), ada.Name, "").want(t, 400, "Type the pass.")
	}
	b.follow(b.usePass(b.get(home), ada.Name, code)).want(t, 200, "Add a passkey")
}

func TestWrongPasskey(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	b.client.Jar = w.newBrowser().client.Jar
	home := "/" + string(w.tenant.ID) + "/signin"

	b.keys.Signature = func(sig []byte) []byte { sig[len(sig)-1] ^= 1; return sig }
	r := b.usePasskey(b.get(home), "").want(t, 401, "That did not let you in. The name or the proof does not match.")
	if r.attrOf("data-code") != "130005" || !strings.Contains(r.body, "<details class=\"other\" open>") || r.attrOf("data-unknown") != "" {
		t.Errorf("code %q, or the other ways are folded, or the passkey's provider is told to forget it", r.attrOf("data-code"))
	}
	b.keys.Signature = nil
	// The page that says so works: its flow is still good.
	b.follow(b.usePasskey(r, "")).want(t, 200, "How you sign in")

	// A key that nobody here has: the page says which, so that its provider
	// can forget it.
	stranger := w.newBrowser()
	stranger.keys = b.keys.Clone()
	id := b.keys.Held()[0].ID
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.keys.Remove(ctx, tx, w.tenant.ID, ada.ID, idp.CredentialID(id))
	})
	r = stranger.usePasskey(stranger.get(home), "").want(t, 401)
	if r.attrOf("data-unknown") != id {
		t.Errorf("unknown passkey %q, want %q", r.attrOf("data-unknown"), id)
	}

	// Without anything to show: an honest page, no error.
	r = stranger.post(home+"/answer", url.Values{"handle": {r.field("handle")}, "method": {"passkey"}, "username": {"ada"}})
	r.want(t, 200, "The passkey prompt did not open")
}

func TestOtherBrowserAndLateFlow(t *testing.T) {
	w := newWorld(t)
	w.newUser("ada@nordhafen.example", "Ada")
	home := "/" + string(w.tenant.ID) + "/signin"
	mine, theirs := w.newBrowser(), w.newBrowser()
	page := mine.get(home)
	theirs.get(home)
	theirs.usePass(page, "ada@nordhafen.example", "x").want(t, 401, "This began in another browser")
	r := theirs.json(home+"/begin", map[string]string{"handle": page.field("handle"), "method": "passkey"}, nil).want(t, 401)
	if !strings.Contains(r.body, `"code":50089`) || !strings.Contains(r.body, r.Header.Get("X-Ms-Request-Id")) {
		t.Errorf("the script is told %s", r.body)
	}
	w.later(2 * time.Hour)
	mine.usePass(page, "ada@nordhafen.example", "x").want(t, 410, "This page is over", "AADSTS50089")
	mine.json(home+"/begin", map[string]string{"handle": "garbage", "method": "passkey"}, nil).want(t, 410)
	mine.get(home+"?flow=0197b7a0-0000-7000-8000-000000000000").want(t, 410, "This page is over")
}

func TestDisabledUser(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.dir.SetEnabled(ctx, tx, w.tenant.ID, ada.ID, false)
	})
	b.get("/account").want(t, 403, "Your account is switched off", "AADSTS50057")
	other := w.newBrowser()
	other.keys = b.keys
	r := other.usePasskey(other.get("/"+string(w.tenant.ID)+"/signin"), "").want(t, 403, "Your account is switched off")
	if r.attrOf("data-code") != "50057" {
		t.Errorf("code %q", r.attrOf("data-code"))
	}
}

func TestApp(t *testing.T) {
	w := newWorld(t)
	ada, kai := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("kai@nordhafen.example", "Kai Ohlsen")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	at := "/" + string(w.tenant.ID) + "/app"
	tenant := "/" + string(w.tenant.ID) + "/signin/"
	w.flow = signin.Flow{ClientName: "Wiki", LeadsTo: "https://wiki.example"}

	// Signed in already: nothing to see.
	b.get(at).want(t, 204)
	// prompt=login knows the person, and lets somebody else in.
	w.later(time.Minute)
	w.flow.Prompt = []string{"login"}
	page := b.get(at).want(t, 200, "Show that it is still you", "Wiki asks you to sign in again.", "Ada Lindqvist", "Not you?")
	if csp := page.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' https://wiki.example") {
		t.Errorf("the form cannot end at the app: %s", csp)
	}
	page = b.post(tenant+"answer", url.Values{"handle": {page.field("handle")}, "forget": {"1"}}).want(t, 200, "You will continue to Wiki")
	if page.field("username") != "" || strings.Contains(page.body, "Ada Lindqvist") {
		t.Error("the page still knows Ada")
	}
	ended := len(w.ended)
	b.usePasskey(page, ada.Name).want(t, 204)
	if len(w.ended) != ended+1 || w.ended[ended].Session.User != ada.ID || w.ended[ended].Kind != signin.Done {
		t.Fatalf("the app was handed %+v", w.ended[ended:])
	}

	// A second person in the same browser: the picker, for apps and for /account.
	w.later(time.Minute)
	w.flow.Prompt = []string{"login"}
	page = b.get(at)
	page = b.post(tenant+"answer", url.Values{"handle": {page.field("handle")}, "forget": {"1"}})
	page = b.follow(b.usePass(page, kai.Name, w.newPass(kai))).want(t, 200, "Add a passkey")
	page = b.follow(b.get(b.register(page, "Kai’s key"))).want(t, 200, "and you go on to Wiki", "Kai Ohlsen")
	b.usePasskey(page, kai.Name).want(t, 204)
	w.flow.Prompt = []string{"select_account"}
	page = b.get(at).want(t, 200, "Who are you now?", "Ada Lindqvist", "Kai Ohlsen", "Somebody else")
	sessions := map[string]string{}
	walk(page.doc, func(n *html.Node) {
		if name, _ := attr(n, "name"); name == "session" {
			for _, who := range []string{"Ada", "Kai"} {
				if strings.Contains(textOf(n), who) {
					sessions[who], _ = attr(n, "value")
				}
			}
		}
	})
	ended = len(w.ended)
	b.post(tenant+"choose", url.Values{"handle": {page.field("handle")}, "session": {sessions["Ada"]}}).want(t, 204)
	if got := w.ended[ended].Session.User; got != ada.ID {
		t.Errorf("chose Ada, the app got %s", got)
	}
	b.post(tenant+"choose", url.Values{"handle": {page.field("handle")}, "other": {"1"}}).want(t, 200, "User name")
	b.post(tenant+"choose", url.Values{"handle": {page.field("handle")}, "session": {"no-such"}}).want(t, 200, "User name")

	b.get("/account").want(t, 200, "Who are you now?", "Choose whose account to open.")
	b.get("/account?session="+sessions["Kai"]).want(t, 200, "Kai’s key", "Another account")

	// A name that only the application gave is shown as it gave it.
	w.flow = signin.Flow{ClientName: "Wiki", LoginHint: "KAI@nordhafen.example", Prompt: []string{"login"}}
	b.get(at).want(t, 200, "Kai Ohlsen")
	w.newBrowser().get(at).want(t, 200, "KAI@nordhafen.example")
	w.flow.LoginHint = `"><script>alert(1)</script>`
	if body := w.newBrowser().get(at).want(t, 200).body; strings.Contains(body, "<script>alert") {
		t.Error("a login_hint became a script")
	}
}

func TestConsent(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	var c client.Client
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		c, _, err = w.clients.Create(ctx, tx, client.Client{Tenant: w.tenant.ID, Name: "Drawings", Kind: "web", Auth: "none", Alg: "ES256", Subject: "public",
			Grants: []string{"authorization_code"}, RedirectURIs: []string{"https://drawings.example/cb"}, Scopes: []string{"openid", "profile", "email"}, Enabled: true})
		return err
	})
	w.flow = signin.Flow{Client: c.ID, ClientName: c.Name, LeadsTo: "https://drawings.example", Scopes: []string{"openid", "profile"}}
	at, consent := "/"+string(w.tenant.ID)+"/app", "/"+string(w.tenant.ID)+"/signin/consent"

	page := b.get(at).want(t, 200, "Drawings asks to:", "See your name and your user name", "You are Ada Lindqvist, ada@nordhafen.example.")
	b.post(consent, url.Values{"handle": {page.field("handle")}, "decision": {"maybe"}}).want(t, 400)
	b.post(consent, url.Values{"handle": {page.field("handle")}, "decision": {"deny"}}).want(t, 204)
	if s := w.ended[len(w.ended)-1]; s.Kind != signin.Deny || s.Decision.Reason != "consent_denied" {
		t.Fatalf("the app was handed %+v", s)
	}
	page = b.get(at).want(t, 200, "Drawings asks to:")
	b.post(consent, url.Values{"handle": {page.field("handle")}, "decision": {"allow"}}).want(t, 204)
	if s := w.ended[len(w.ended)-1]; s.Kind != signin.Done {
		t.Fatalf("the app was handed %+v", s)
	}
	b.get(at).want(t, 204)
	b.get("/account").want(t, 200, "Allowed Drawings", "Did not allow Drawings")

	// Somebody who is not signed in cannot answer for her.
	w.flow.Prompt = []string{"consent"}
	page = b.get(at).want(t, 200)
	jar := b.client.Jar
	u, _ := url.Parse(w.server.URL)
	thief := w.newBrowser()
	for _, c := range jar.Cookies(u) {
		if strings.Contains(c.Name, "browser") {
			thief.client.Jar.SetCookies(u, []*http.Cookie{c})
		}
	}
	thief.post(consent, url.Values{"handle": {page.field("handle")}, "decision": {"allow"}}).want(t, 200, "Sign in with a passkey")
}

func TestOrganisations(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	if to := b.get("/account").want(t, 303).Header.Get("Location"); to != "/"+string(w.tenant.ID)+"/signin?to=account" {
		t.Errorf("the only organisation: led to %s", to)
	}
	second := w.newTenant("Süderhof", "suederhof.example")
	b.get("/account").want(t, 200, "Which organisation?")
	b.post("/account/organisation", url.Values{"organisation": {"x@nowhere.example"}}).want(t, 404, "No organisation of that name is here.", "x@nowhere.example")
	for _, typed := range []string{"suederhof.example", "kai@SUEDERHOF.example", " suederhof.example "} {
		if to := b.post("/account/organisation", url.Values{"organisation": {typed}}).want(t, 303).Header.Get("Location"); to != "/"+string(second.ID)+"/signin?to=account" {
			t.Errorf("%q led to %s", typed, to)
		}
	}
	b.get("/suederhof.example/signin").want(t, 200, "Süderhof")
	b.get("/nowhere.example/signin").want(t, 404, "No such organisation", "AADSTS90002")
	b.get("/common/signin").want(t, 303)
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	w.holding = &Holding{Held: 15, Limit: 20, WarnAt: 15}
	b.get("/account").want(t, 200, "You hold 15 of 20 passkeys.")
	b.get("/account/register").want(t, 200, "You hold 15 of 20 passkeys.")
	w.holding = &Holding{Held: 20, Limit: 20, WarnAt: 15}
	if r := b.get("/account").want(t, 200, "You hold 20 passkeys, the most Nordhafen Werft allows."); r.hasAction("register-passkey") {
		t.Error("the page offers to add one more than is allowed")
	}
	if r := b.get("/account/register").want(t, 200, "You hold 20 passkeys, the most Nordhafen Werft allows. Remove one you no longer use, then add this one."); r.hasAction("register-passkey") {
		t.Error("the page adds one more than is allowed")
	}

	// Who came by a pass cannot remove one, and is not told to.
	w.later(time.Second)
	third := w.newBrowser()
	page := third.follow(third.get("/" + string(w.tenant.ID) + "/signin?to=account"))
	page = third.follow(third.usePass(page, ada.Name, w.newPass(ada))).want(t, 200, "with a pass you cannot remove one. Ask the help desk to raise the limit.")
	if page.hasAction("cancel") || page.hasAction("register-passkey") {
		t.Error("the page offers a way that leads nowhere")
	}
}

// TestPassSession: who came by a pass can add a passkey and nothing else.
func TestPassSession(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	home := "/" + string(w.tenant.ID) + "/signin"
	page := b.follow(b.usePass(b.get(home), ada.Name, w.newPass(ada))).want(t, 200, "Add a passkey", "You came in with a Temporary Access Pass")
	if to := b.get("/account").want(t, 303).Header.Get("Location"); !strings.HasPrefix(to, "/account/register?") {
		t.Errorf("the account led to %s", to)
	}
	v := url.Values{"session": {page.field("session")}, "method": {"passkey"}, "credential": {"x"}, "name": {"x"}}
	b.post("/account/rename", v).want(t, 403, "A pass opens only this")
	b.post("/account/remove", v).want(t, 403, "A pass opens only this")
}

func TestAddressesAndMethods(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	for _, c := range []struct {
		method, path string
		status       int
		words        string
	}{
		{"GET", "/", 200, "Your account"},
		{"GET", "/no/such/page", 404, "There is no such page"},
		{"POST", "/no/such/page", 404, "There is no such page"},
		{"GET", "/account/remove/x", 404, "There is no such page"},
		{"POST", "/account", 405, "This address does not take that"},
		{"GET", "/account/sign-out", 405, "This address does not take that"},
		{"DELETE", "/" + string(w.tenant.ID) + "/signin", 405, "This address does not take that"},
		{"GET", "/signed-out", 200, "You are signed out"},
		{"GET", "/assets/none.css", 404, "There is no such page"},
	} {
		r := b.do(c.method, c.path, "", "").want(t, c.status, c.words)
		if c.status == 405 && r.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
		if r.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s: no policy", c.method, c.path)
		}
	}
	if to := b.get("/.well-known/change-password").want(t, 303).Header.Get("Location"); to != "/account" {
		t.Errorf("change-password leads to %s", to)
	}
	r := b.get(w.portal.pages.Assets().URL("door.css")).want(t, 200)
	if !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Error("an asset is not kept")
	}
}

// TestCrossSite: no form or script of another origin changes anything
// (security.md WEB04), and JSON comes as JSON only.
func TestCrossSite(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	form := "application/x-www-form-urlencoded"
	posts := 0
	for _, rt := range w.portal.routes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		if method != "POST" {
			continue
		}
		posts++
		path = strings.ReplaceAll(path, "{t}", string(w.tenant.ID))
		for name, change := range map[string]func(*http.Request){
			"fetch site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"same site":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"origin":     func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
			"null":       func(r *http.Request) { r.Header.Set("Origin", "null") },
		} {
			r := b.do("POST", path, form, "", change)
			if r.StatusCode != 403 || !strings.Contains(r.text(), "This came from another site") {
				t.Errorf("%s by %s: %d %s", path, name, r.StatusCode, r.text())
			}
		}
	}
	if posts < 8 {
		t.Errorf("looked at %d addresses only", posts)
	}
	for _, path := range []string{"/account/register/begin", "/account/register/finish", "/" + string(w.tenant.ID) + "/signin/begin"} {
		b.do("POST", path, form, "{}").want(t, 400)
		b.do("POST", path, "text/plain", "{}").want(t, 400)
		r := b.do("POST", path, "application/json", "{").want(t, 400)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || !strings.Contains(r.body, `"trace"`) {
			t.Errorf("%s told a script %s", path, r.body)
		}
	}
	b.post("/appearance", url.Values{"theme": {"dark", "light"}}).want(t, 400)
}

func TestAppearance(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	home := "/" + string(w.tenant.ID) + "/signin?to=account"
	page := b.get(home)
	if got := page.field("back"); got != home {
		t.Errorf("back is %q", got)
	}
	b.follow(b.post("/appearance", url.Values{"theme": {"dark"}, "back": {home}})).want(t, 200, `data-theme="dark"`)
	b.follow(b.post("/appearance", url.Values{"theme": {"light"}, "back": {home}})).want(t, 200, `data-theme="light"`)
	page = b.follow(b.post("/appearance", url.Values{"theme": {"auto"}, "back": {home}})).want(t, 200)
	if strings.Contains(page.body, "data-theme") {
		t.Error("automatic did not take the choice back")
	}
	for _, back := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "", "javascript:alert(1)"} {
		if to := b.post("/appearance", url.Values{"theme": {"dark"}, "back": {back}}).want(t, 303).Header.Get("Location"); to != "/" {
			t.Errorf("back %q led to %q", back, to)
		}
	}
	if r := b.post("/appearance", url.Values{"theme": {"\"><script>"}, "back": {"/"}}); strings.Contains(strings.Join(r.Header.Values("Set-Cookie"), ""), "script") {
		t.Error("a theme was kept that is none")
	}
}

// TestLastWayFirst: the way used last in this browser leads, and a forged
// cookie can do no more than that.
func TestLastWayFirst(t *testing.T) {
	p := bare(t)
	pg := examples(p, same)["signin"]
	two := append([]signin.Offer{}, offers[0])
	phone := offers[0]
	phone.ID, phone.View.Action = "phone", "signin-phone"
	two = append(two, phone)
	for last, want := range map[idp.MethodID]idp.MethodID{"": passkey, "phone": "phone", passkey: passkey, "nonsense": passkey} {
		var v signInView
		v.arrange(pg, append([]signin.Offer{}, two...), last)
		if v.Primary[0].Method != want || !v.Primary[0].Main || v.Primary[1].Main || len(v.Primary) != 2 {
			t.Errorf("last %q: %+v", last, v.Primary)
		}
	}
}

func TestSuggestedNames(t *testing.T) {
	p := bare(t)
	pg := examples(p, same)["register"]
	have := []method.Credential{{Name: "Passkey on Linux"}, {Name: "Passkey on Linux 2"}, {Name: "Security key 7"}, {Name: "Blue"}}
	var v registerView
	v.suggest(pg, firefox, have)
	if v.Here != "Passkey on Linux 3" || v.Key != "Security key" || v.Phone != "Passkey on my phone" {
		t.Errorf("suggested %q, %q, %q", v.Here, v.Key, v.Phone)
	}
}

// TestLosses: the panel is computed from what is there.
func TestLosses(t *testing.T) {
	pg := examples(bare(t), same)["account"]
	cred := func(name string, change ...func(*method.Credential)) method.Credential {
		c := method.Credential{ID: idp.CredentialID(name), Method: passkey, Name: name}
		for _, fn := range change {
			fn(&c)
		}
		return c
	}
	synced := func(c *method.Credential) { c.Facts.Synced = true }
	on := func(d idp.DeviceID) func(*method.Credential) {
		return func(c *method.Credential) { c.Facts.Device = d }
	}
	off := func(c *method.Credential) { c.Disabled = true }
	orphan := func(c *method.Credential) { c.Orphaned = true }
	pass := func(c *method.Credential) { c.Bootstrap = true }
	for _, c := range []struct {
		name  string
		creds []method.Credential
		want  []string
		bad   int
	}{
		{"nothing", nil, []string{"You hold nothing yet that lets you in again. Add a passkey before you sign out."}, 1},
		{"a pass is no way in", []method.Credential{cred("P", pass)}, []string{"You hold nothing yet that lets you in again. Add a passkey before you sign out."}, 1},
		{"one", []method.Credential{cred("A")}, []string{"Lose A: the help desk must let you back in."}, 1},
		{"one synced", []method.Credential{cred("A", synced)}, []string{"Lose the device with A: your passkey provider keeps a copy."}, 0},
		{"two", []method.Credential{cred("A"), cred("B")}, []string{"Lose A: B still works.", "Lose B: A still works.", "Lose both: the help desk must let you back in."}, 1},
		{"what is off does not count", []method.Credential{cred("A"), cred("B", off), cred("C", orphan)}, []string{"Lose A: the help desk must let you back in."}, 1},
		{"two on one device", []method.Credential{cred("A", on("d")), cred("B", on("d"))},
			[]string{"Lose A: the help desk must let you back in.", "Lose B: the help desk must let you back in.", "Lose both: the help desk must let you back in."}, 3},
		{"three", []method.Credential{cred("A"), cred("B"), cred("C")},
			[]string{"Lose A: B and C still work.", "Lose B: A and C still work.", "Lose C: A and B still work.", "Lose all 3: the help desk must let you back in."}, 1},
		{"six", []method.Credential{cred("A"), cred("B"), cred("C"), cred("D"), cred("E"), cred("F")},
			[]string{"Lose A: B, C and 3 others still work.", "Lose B: A, C and 3 others still work.", "Lose C: A, B and 3 others still work.", "Lose D: A, B and 3 others still work.", "Lose all 6: the help desk must let you back in."}, 1},
	} {
		got, bad := []string{}, 0
		for _, l := range losses(pg, usable(c.creds), nil) {
			got = append(got, page.Plain(l.Text))
			bad += boolInt(l.Bad)
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") || bad != c.bad {
			t.Errorf("%s: got %q with %d bad, want %q with %d", c.name, got, bad, c.want, c.bad)
		}
	}
}
