package portal

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/signetid/signet/internal/audit"
	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/method/hello"
	passkeys "github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/web"
)

const origin = "http://localhost:8080"

// world is the portal on real parts, with SQLite below and a clock by hand.
type world struct {
	t       testing.TB
	now     atomic.Int64
	db      *sqldb.DB
	dir     *directory.Directory
	clients *client.Registry
	passes  *accesspass.Method
	keys    *passkeys.Room
	audit   *audit.Log
	rules   *policy.Store
	ring    *keyring.Ring
	portal  *Portal
	server  *httptest.Server
	bus     policy.Bus // nil: nothing is cached
	tenant  idp.Tenant
	holding *Holding // nil: the truth
	flow    signin.Flow
	ended   []signin.Step // what the door "app" was handed
	taken   []string      // "user client" of RevokeGrant
	noTake  error         // what RevokeGrant says

	devices   *device.Registry
	prts      *prt.Service
	hello     *hello.Room
	enclave   enclaveStub
	phone     *phoneStub  // in the place of a real room
	card      *cardStub   // the same of certificates
	approvers *phone.Room // in worlds that are opened with it
	post      post        // what phones are sent
	known     *known.Registry
	stop      chan struct{} // closed when the server stops
	machine   machine       // of the pages for codes of other machines
}

func (w *world) clock() time.Time      { return time.UnixMilli(w.now.Load()).UTC() }
func (w *world) later(d time.Duration) { w.now.Add(d.Milliseconds()) }

// sources are the tables below it.
var sources = []fs.FS{audit.Migrations, directory.Migrations, client.Migrations, policy.Migrations, keyring.Migrations,
	nonce.Migrations, session.Migrations, signin.Migrations, passkeys.Migrations, accesspass.Migrations,
	device.Migrations, prt.Migrations, hello.Migrations, bus.Migrations, phone.Migrations, known.Migrations}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldOn(t, sqldbtest.Open(t, sources), phoneOf)
}

// phoneOf is a stub in the place of the room.
func phoneOf(w *world) method.Method {
	w.phone = newPhone(w)
	return w.phone
}

// worldOn is one with this phone room.
func worldOn(t testing.TB, db *sqldb.DB, phones func(*world) method.Method) *world {
	t.Helper()
	w := &world{t: t, db: db}
	w.open(phones)
	return w
}

func (w *world) open(phones func(*world) method.Method) {
	t := w.t
	t.Helper()
	w.now.Store(noon.UnixMilli())
	w.audit = audit.New(w.clock)
	w.dir = directory.New(directory.Config{DB: w.db, Now: w.clock, Bus: w.bus})
	w.clients = client.New(client.Config{DB: w.db, Now: w.clock, Bus: w.bus})
	w.rules = policy.New(policy.Config{DB: w.db, Now: w.clock, Bus: w.bus})
	w.ring = keyring.New(keyring.Config{DB: w.db, KEK: secret.RandomKey(), Now: w.clock, Bus: w.bus})
	box := nonce.New(nonce.Config{Keys: w.ring.Sealing, Epoch: func() int64 { return 0 }, Now: w.clock})
	sessions := session.New(session.Config{DB: w.db, Now: w.clock, Limits: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
		return 8 * time.Hour, 24 * time.Hour, nil
	}, Stands: w.stands})
	key := func(purpose string) func(context.Context, idp.TenantID) (*secret.Key, error) {
		return func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return w.ring.Sealing(ctx, t, purpose) }
	}
	byName := func(ctx context.Context, t idp.TenantID, name string) (idp.User, error) {
		return w.dir.UserByName(ctx, w.db, t, name)
	}
	var err error
	w.keys, err = passkeys.New(passkeys.Config{
		Models: metadata.New(metadata.Config{Now: w.clock}),
		DB:     w.db, RPID: "localhost", RPName: "Signet", Origins: []string{origin}, Secret: key("decoy"), UserByName: byName, Fold: directory.Fold,
		Mark: func(ctx context.Context) (*secret.Key, error) { return w.ring.Sealing(ctx, nonce.CommonScope, "mark") },
		Rules: func(ctx context.Context, t idp.TenantID) (policy.PasskeyRules, error) {
			p, err := w.rules.Get(ctx, t)
			return p.Passkey, err
		},
		Wishes: func(ctx context.Context, u idp.User) (policy.Wishes, error) {
			p, who, err := w.rules.For(ctx, u.Tenant, u)
			return p.Wishes(who), err
		},
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return w.dir.User(ctx, w.db, t, id)
		},
	})
	w.must(err)
	w.passes = accesspass.New(accesspass.Config{DB: w.db, Now: w.clock, Key: key("pass"), User: byName,
		Rules: func(ctx context.Context, t idp.TenantID) (policy.AccessPassRules, error) {
			p, err := w.rules.Get(ctx, t)
			return p.AccessPass, err
		},
		May: func(ctx context.Context, t idp.TenantID, u idp.UserID) (policy.Refusal, error) {
			p, who, err := w.rules.For(ctx, t, idp.User{ID: u, Tenant: t, Enabled: true})
			return p.Judge(who, policy.Use, policy.AccessPass, nil).Refusal, err
		},
	})
	w.stop = make(chan struct{})
	w.known = known.New(known.Config{DB: w.db, Now: w.clock})
	w.card = newCard()
	corridor, err := signin.New(signin.Config{DB: w.db, Box: box, Directory: w.dir, Clients: w.clients, Policies: w.rules,
		Sessions: sessions, Audit: w.audit, Now: w.clock, Methods: []method.Method{w.keys, w.openHello(), &w.enclave, w.passes, phones(w), w.card, other{w.keys}}})
	w.must(err)
	w.openDevices()
	w.portal, err = New(Config{
		BaseURL: origin, DB: w.db, Corridor: corridor, Directory: w.dir, Clients: w.clients, Sessions: sessions, Audit: w.audit, Now: w.clock,
		Resume: map[string]Resume{"app": func(rw http.ResponseWriter, _ *http.Request, _ signin.Flow, s signin.Step) error {
			w.ended = append(w.ended, s)
			return web.NoContent(rw)
		}},
		Holding: w.held, Remote: w.machine.remote(),
		Devices: &Devices{Registry: w.devices, PRTs: w.prts, OnDevice: w.onDevice, Rules: w.deviceRules, MacKeys: w.macRules, Serials: w.serials},
		Signals: func(ctx context.Context, t idp.TenantID, u idp.UserID) (any, error) { return w.keys.Signal(ctx, t, u) },
		Unknown: w.keys.Unknown, Browsers: w.known, Stopping: w.stop,
		RevokeGrant: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID, c idp.ClientID) error {
			if w.noTake == nil {
				w.taken = append(w.taken, string(u)+" "+string(c))
			}
			return w.noTake
		},
	})
	w.must(err)
	if w.approvers != nil {
		w.portal.cfg.Phones = w.phonePages()
	}
	mux := http.NewServeMux()
	w.portal.Mount(mux)
	if w.approvers != nil {
		w.approvers.Mount(mux)
	}
	// The door "app": begins w.flow and shows what comes next, as oidc does.
	mux.Handle("GET /{t}/app", web.Adapt(w.portal.phrase, w.app))
	w.server = httptest.NewServer(web.Chain(mux, web.Identify(nil)))
	t.Cleanup(w.server.Close)
	w.tenant = w.newTenant("Nordhafen Werft", "nordhafen.example")
}

// other is a method that is off and that no page offers.
type other struct{ method.Method }

func (other) ID() idp.MethodID { return "other" }

func (w *world) held(ctx context.Context, t idp.TenantID, u idp.UserID) (Holding, error) {
	if w.holding != nil {
		return *w.holding, nil
	}
	h, err := w.keys.Holding(ctx, t, u)
	return Holding{Held: h.Held, Limit: h.Limit, WarnAt: h.WarnAt}, err
}

func (w *world) app(rw http.ResponseWriter, r *http.Request) error {
	f := w.flow
	f.Door, f.Tenant = "app", w.tenant.ID
	current, err := w.portal.current(r, f)
	if err != nil {
		return err
	}
	step, err := w.portal.cfg.Corridor.Next(r.Context(), f, current, w.portal.peer(rw, r))
	if err != nil {
		return err
	}
	if step.Kind == signin.Done && len(f.Prompt) > 0 {
		step.Kind = signin.StepUp
	}
	return w.portal.SignIn(rw, r, step.Flow, step)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(fn func(context.Context, *sqldb.Tx) error) {
	w.t.Helper()
	w.must(w.db.Write(w.t.Context(), fn))
}

func (w *world) newTenant(name, domain string) (out idp.Tenant) {
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		out, err = w.dir.CreateTenant(ctx, tx, idp.Tenant{Name: name, Domain: domain})
		return err
	})
	_, err := w.ring.Sealing(w.t.Context(), out.ID, "pass")
	w.must(err)
	return out
}

func (w *world) newUser(name, show string) (out idp.User) {
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		out, err = w.dir.CreateUser(ctx, tx, idp.User{Tenant: w.tenant.ID, Name: name, DisplayName: show, Enabled: true, Type: idp.Member})
		return err
	})
	return out
}

func (w *world) newPass(u idp.User) (code string) {
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		code, _, err = w.passes.Issue(ctx, tx, u.Tenant, u.ID, accesspass.Options{Once: true})
		return err
	})
	return code
}

// browser is one browser, without script: what its script would do is done by
// hand.
type browser struct {
	w      *world
	client *http.Client
	keys   *passkeytest.Authenticator
}

func (w *world) newBrowser() *browser {
	jar, err := cookiejar.New(nil)
	w.must(err)
	return &browser{w: w, keys: passkeytest.New("localhost", origin), client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a reply, read.
type reply struct {
	*http.Response
	body string
	doc  *html.Node
}

func (b *browser) do(method, path, kind, body string, change ...func(*http.Request)) reply {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(b.w.t.Context(), method, b.w.server.URL+path, strings.NewReader(body))
	b.w.must(err)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("User-Agent", firefox)
	for _, fn := range change {
		fn(req)
	}
	res, err := b.client.Do(req)
	b.w.must(err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	b.w.must(err)
	doc, err := html.ParseWithOptions(bytes.NewReader(raw), html.ParseOptionEnableScripting(false))
	b.w.must(err)
	return reply{res, string(raw), doc}
}

func (b *browser) get(path string) reply { b.w.t.Helper(); return b.do("GET", path, "", "") }

func (b *browser) post(path string, v url.Values) reply {
	b.w.t.Helper()
	return b.do("POST", path, "application/x-www-form-urlencoded", v.Encode())
}

// follow follows redirects until a page comes to rest.
func (b *browser) follow(r reply) reply {
	b.w.t.Helper()
	for n := 0; r.StatusCode/100 == 3; n++ {
		if n == 8 {
			b.w.t.Fatal("redirects go round")
		}
		if r.StatusCode != http.StatusSeeOther {
			b.w.t.Fatalf("redirect by %d", r.StatusCode)
		}
		r = b.get(r.Header.Get("Location"))
	}
	return r
}

func (b *browser) json(path string, in, out any) reply {
	b.w.t.Helper()
	raw, err := json.Marshal(in)
	b.w.must(err)
	r := b.do("POST", path, "application/json", string(raw))
	if out != nil && r.StatusCode == http.StatusOK {
		b.w.must(json.Unmarshal([]byte(r.body), out))
	}
	return r
}

// want fails unless the reply has the status and contains the words.
func (r reply) want(t testing.TB, status int, words ...string) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s %s: got %d %s, want %d\n%s", r.Request.Method, r.Request.URL, r.StatusCode, r.Header.Get("Location"), status, r.text())
	}
	for _, word := range words {
		if !strings.Contains(r.body, word) && !strings.Contains(r.text(), word) {
			t.Fatalf("%s %s lacks %q\n%s", r.Request.Method, r.Request.URL, word, r.text())
		}
	}
	return r
}

func (r reply) text() string { return strings.Join(strings.Fields(textOf(r.doc)), " ") }

// field is the value of a hidden field.
func (r reply) field(name string) string {
	out := ""
	walk(r.doc, func(n *html.Node) {
		if got, _ := attr(n, "name"); n.Data == "input" && got == name && out == "" {
			out, _ = attr(n, "value")
		}
	})
	return out
}

// attrOf is an attribute of the first element that has it.
func (r reply) attrOf(name string) string {
	out := ""
	walk(r.doc, func(n *html.Node) {
		if v, ok := attr(n, name); ok && out == "" {
			out = v
		}
	})
	return out
}

func (r reply) hasAction(action string) bool {
	found := false
	walk(r.doc, func(n *html.Node) {
		if v, _ := attr(n, "data-action"); v == action && !inTemplate(n) {
			found = true
		}
	})
	return found
}

// usePass posts the access pass form of a sign-in page.
func (b *browser) usePass(page reply, name, code string) reply {
	b.w.t.Helper()
	return b.post("/"+string(b.w.tenant.ID)+"/signin/answer", url.Values{
		"handle": {page.field("handle")}, "username": {name}, "access_pass": {code}, "method": {"accessPass"}})
}

// usePasskey does what the script of a sign-in page does.
func (b *browser) usePasskey(page reply, name string) reply {
	b.w.t.Helper()
	var begun struct {
		Ceremony string
		Show     json.RawMessage
	}
	at := "/" + string(b.w.tenant.ID) + "/signin/"
	b.json(at+"begin", map[string]string{"handle": page.field("handle"), "method": "passkey", "username": name}, &begun).want(b.w.t, 200)
	payload, err := b.keys.Get(begun.Show)
	b.w.must(err)
	return b.post(at+"answer", url.Values{"handle": {page.field("handle")}, "method": {"passkey"}, "ceremony": {begun.Ceremony},
		"payload": {string(payload)}, "username": {name}})
}

// register does what the script of the register page does.
func (b *browser) register(page reply, name string) (next string) {
	b.w.t.Helper()
	in := registration{Session: page.field("session"), Flow: page.field("flow"), Method: "passkey"}
	var begun struct {
		Ceremony string
		Show     json.RawMessage
	}
	b.json("/account/register/begin", in, &begun).want(b.w.t, 200)
	b.keys.Name = name
	made, err := b.keys.Create(begun.Show)
	b.w.must(err)
	in.Ceremony, in.Payload = begun.Ceremony, made
	var done struct{ Next string }
	b.json("/account/register/finish", in, &done).want(b.w.t, 200)
	return done.Next
}

// firstDay takes a new person from a pass to the account page.
func (b *browser) firstDay(u idp.User, key string) reply {
	b.w.t.Helper()
	page := b.follow(b.get("/"+string(b.w.tenant.ID)+"/signin?to=account")).want(b.w.t, 200, "Sign in")
	page = b.follow(b.usePass(page, u.Name, b.w.newPass(u))).want(b.w.t, 200, "Add a passkey")
	page = b.follow(b.get(b.register(page, key))).want(b.w.t, 200, "Try it once now", key)
	return b.follow(b.usePasskey(page, u.Name)).want(b.w.t, 200, "How you sign in", key)
}
