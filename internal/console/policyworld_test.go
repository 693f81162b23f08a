package console

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"crypto/x509"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/metadata/metadatatest"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/web"
)

// keyRoom is a room whose passkeys are what a test says they are.
type keyRoom struct {
	mu   sync.Mutex
	keys []method.Credential
}

func (*keyRoom) ID() idp.MethodID { return policy.Passkey }
func (*keyRoom) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Unprovenf("stub", "no challenge here")
}
func (*keyRoom) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, idp.Unprovenf("stub", "no proof here")
}
func (k *keyRoom) List(_ context.Context, _ idp.TenantID, u idp.UserID) (out []method.Credential, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.keys {
		if c.User == u {
			out = append(out, c)
		}
	}
	return out, nil
}
func (*keyRoom) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return idp.NotFoundf("stub", "none")
}
func (*keyRoom) Remove(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) error {
	return idp.NotFoundf("stub", "none")
}
func (k *keyRoom) Count(ctx context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	all, err := k.List(ctx, t, u)
	return len(all), err
}
func (k *keyRoom) Walk(_ context.Context, _ idp.TenantID, fn func(method.Credential) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.keys {
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

// yard is the console on real parts with SQLite below, and an administrator
// who is signed in.
type yard struct {
	t       *testing.T
	now     time.Time
	db      *sqldb.DB
	dir     *directory.Directory
	clients *client.Registry
	rules   *policy.Store
	audit   *audit.Log
	keys    *keyRoom
	console *Console
	server  *httptest.Server
	http    *http.Client
	tenant  idp.Tenant
	ada     idp.User // the administrator
	proof   time.Time
	store   *session.Store
	asked   int // times that a sign-in was asked for
}

// yards runs a test on both databases.
func yards(t *testing.T, fn func(t *testing.T, d *yard)) {
	sqldbtest.Each(t, []fs.FS{audit.Migrations, directory.Migrations, client.Migrations, policy.Migrations, keyring.Migrations,
		nonce.Migrations, session.Migrations, signin.Migrations, metadata.Migrations}, func(t *testing.T, db *sqldb.DB) { fn(t, newYard(t, db)) })
}

func newYard(t *testing.T, db *sqldb.DB) *yard {
	t.Helper()
	d := &yard{t: t, now: time.Date(2026, 3, 12, 9, 0, 0, 0, time.UTC), keys: &keyRoom{}, db: db}
	clock := func() time.Time { return d.now }
	d.audit = audit.New(clock)
	d.dir = directory.New(directory.Config{DB: d.db, Now: clock})
	d.clients = client.New(client.Config{DB: d.db, Now: clock})
	d.rules = policy.New(policy.Config{DB: d.db, Now: clock, Groups: func(ctx context.Context, t idp.TenantID, u idp.UserID) ([]idp.GroupID, error) {
		return d.dir.GroupsOf(ctx, t, u)
	}})
	ring := keyring.New(keyring.Config{DB: d.db, KEK: secret.RandomKey(), Now: clock})
	box := nonce.New(nonce.Config{Keys: ring.Sealing, Epoch: func() int64 { return 0 }, Now: clock})
	d.store = session.New(session.Config{DB: d.db, Now: clock, Limits: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
		return 8 * time.Hour, 24 * time.Hour, nil
	}})
	corridor, err := signin.New(signin.Config{DB: d.db, Box: box, Directory: d.dir, Clients: d.clients, Policies: d.rules,
		Sessions: d.store, Audit: d.audit, Now: clock, Methods: []method.Method{d.keys}})
	d.must(err)
	d.console, err = New(Config{
		BaseURL: origin, DB: d.db, Corridor: corridor, Directory: d.dir, Clients: d.clients, Policies: d.rules, Sessions: d.store,
		Metadata: d.models(clock), Audit: d.audit, Now: clock,
		SignIn: func(w http.ResponseWriter, _ *http.Request, _ signin.Flow, _ signin.Step) error {
			d.asked++
			return web.NoContent(w)
		},
		ErrorPage: func(w http.ResponseWriter, _ *http.Request, err error) {
			e := idp.AsError(err)
			if e == nil {
				e = &idp.Error{}
			}
			http.Error(w, e.Reason+": "+e.Public+": "+err.Error(), web.Status(e.Kind))
		},
	})
	d.must(err)
	mux := http.NewServeMux()
	d.console.Mount(mux)
	d.server = httptest.NewServer(web.Chain(mux, web.Identify(nil)))
	t.Cleanup(d.server.Close)
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		d.tenant, err = d.dir.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen Werft", Domain: "nordhafen.example"})
		return err
	})
	d.ada = d.person("Ada Lindqvist", directory.Administrator, key(nfc57, true))
	d.proof = d.now
	d.signIn(d.ada)
	return d
}

func (d *yard) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *yard) write(fn func(context.Context, *sqldb.Tx) error) {
	d.t.Helper()
	d.must(d.db.Write(d.t.Context(), fn))
}

// Models of these tests.
const (
	nfc57   = "a25342c0-3cdc-4414-8e46-f4807fca511c"
	usbc57  = "fa2b99dc-9e39-4257-8f92-4a30d23c4118"
	nfc52   = "2fc0579f-8113-47ea-b116-bb5a8db9202a"
	t2f2    = "eabb46cc-e241-80bf-ae9e-96fa6d2975cf"
	feitian = "12ded745-4bed-47d4-abaa-e713f51d6393"
	google  = "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4"
)

// picture is a small icon as data URI.
func picture(c color.Color) string {
	m := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for x := range 32 {
		for y := range 32 {
			if (x-16)*(x-16)+(y-16)*(y-16) < 200 {
				m.Set(x, y, c)
			}
		}
	}
	var b bytes.Buffer
	png.Encode(&b, m)
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

func (d *yard) models(clock func() time.Time) *metadata.Registry {
	svc := metadatatest.New(d.now)
	entry := func(id, name string, c color.Color, change func(statement map[string]any), reports ...metadatatest.Report) any {
		e := metadatatest.Entry(id, name, []*x509.Certificate{svc.Root.Cert}, reports...)
		s := e["metadataStatement"].(map[string]any)
		s["icon"] = picture(c)
		if change != nil {
			change(s)
		}
		return e
	}
	nfc := func(s map[string]any) { s["attachmentHint"] = []string{"external", "wired", "nfc"} }
	green, blue, red := color.RGBA{90, 160, 40, 255}, color.RGBA{40, 90, 180, 255}, color.RGBA{180, 60, 40, 255}
	list := svc.List(7, d.now,
		entry(nfc57, "YubiKey 5 NFC 5.7", green, nfc, metadatatest.Report{Status: "FIDO_CERTIFIED_L2", Effective: "2024-05-01"}),
		entry(usbc57, "YubiKey 5C NFC 5.7", green, nfc, metadatatest.Report{Status: "FIDO_CERTIFIED_L2", Effective: "2024-05-01"}),
		entry(nfc52, "YubiKey 5 NFC 5.2", green, nfc, metadatatest.Report{Status: "FIDO_CERTIFIED_L1", Effective: "2019-05-01"}),
		entry(t2f2, "Token2 T2F2", blue, nil),
		entry(feitian, "Feitian K40", red, func(s map[string]any) {
			s["userVerificationDetails"] = []any{[]any{map[string]any{"userVerificationMethod": "fingerprint_internal"}}}
		}, metadatatest.Report{Status: "REVOKED", Effective: "2025-01-01"}),
	)
	file := filepath.Join(d.t.TempDir(), "blob.jwt")
	d.must(os.WriteFile(file, list, 0o600))
	r := metadata.New(metadata.Config{DB: d.db, Now: clock, Roots: []*x509.Certificate{svc.Root.Cert}})
	_, err := r.LoadFile(d.t.Context(), file, nil)
	d.must(err)
	return r
}

func key(aaguid string, attested bool) idp.Facts {
	return idp.Facts{AAGUID: aaguid, Attested: attested}
}

func synced() idp.Facts { return idp.Facts{AAGUID: google, Synced: true} }

// person is somebody with keys.
func (d *yard) person(name, role string, keys ...idp.Facts) idp.User {
	d.t.Helper()
	var u idp.User
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		upn := strings.NewReplacer(" ", ".", "ö", "o", "í", "i").Replace(strings.ToLower(name)) + "@nordhafen.example"
		if u, err = d.dir.CreateUser(ctx, tx, idp.User{Tenant: d.tenant.ID, Name: upn, DisplayName: name, Enabled: true, Type: idp.Member}); err != nil || role == "" {
			return err
		}
		return d.dir.SetRole(ctx, tx, d.tenant.ID, u.ID, role)
	})
	d.keys.mu.Lock()
	defer d.keys.mu.Unlock()
	for _, f := range keys {
		d.keys.keys = append(d.keys.keys, method.Credential{
			ID: idp.CredentialID(secret.NewUUID4()), Tenant: d.tenant.ID, User: u.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Facts: f, Created: d.now,
		})
	}
	return u
}

func (d *yard) group(name string, members ...idp.User) idp.GroupID {
	d.t.Helper()
	var id idp.GroupID
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		g, err := d.dir.CreateGroup(ctx, tx, directory.Group{Tenant: d.tenant.ID, Name: name})
		id = g.ID
		for _, m := range members {
			if err == nil {
				_, err = d.dir.AddMember(ctx, tx, d.tenant.ID, id, m.ID)
			}
		}
		return err
	})
	return id
}

// signIn gives the browser a session of somebody, on a proof of d.proof.
func (d *yard) signIn(u idp.User) string {
	d.t.Helper()
	proof := idp.Proof{Tenant: d.tenant.ID, User: u.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "c", Time: d.proof, Facts: key(nfc57, true),
		Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.MultiFactor}}
	var bearer string
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		_, bearer, err = d.store.Open(ctx, tx, session.Session{Tenant: d.tenant.ID, User: u.ID, Proofs: []idp.Proof{proof}, ProofTime: d.proof, MFATime: d.proof})
		return err
	})
	rec := httptest.NewRecorder()
	d.store.Set(rec, httptest.NewRequest("GET", origin, nil), bearer, "")
	jar, _ := cookiejar.New(nil)
	at, _ := url.Parse(d.server.URL)
	cookies := rec.Result().Cookies()
	for _, c := range cookies {
		c.Secure = false
	}
	jar.SetCookies(at, cookies)
	d.http = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return bearer
}

// yardReply is a page as a test reads it.
type yardReply struct {
	t      *testing.T
	status int
	to     string
	body   string
	doc    *html.Node
}

func (d *yard) get(path string) *yardReply {
	d.t.Helper()
	return d.read(d.http.Get(d.server.URL + path))
}

func (d *yard) post(path string, v url.Values) *yardReply {
	d.t.Helper()
	if word := strings.TrimSuffix(v.Get("do"), sure); slices.Contains([]string{"trial", "save", "enforce", "remove"}, word) {
		path += savePart // as formaction of those buttons says
	}
	return d.read(d.http.PostForm(d.server.URL+path, v))
}

func (d *yard) read(res *http.Response, err error) *yardReply {
	d.t.Helper()
	d.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	d.must(err)
	doc, err := html.Parse(bytes.NewReader(b))
	d.must(err)
	return &yardReply{d.t, res.StatusCode, res.Header.Get("Location"), string(b), doc}
}

// all are the elements for which keep holds.
func (r *yardReply) all(keep func(*html.Node) bool) []*html.Node {
	var out []*html.Node
	for n := range r.doc.Descendants() {
		if n.Type == html.ElementNode && keep(n) {
			out = append(out, n)
		}
	}
	return out
}

func at(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// form are the fields of the form with an id as a browser would send them.
func (r *yardReply) form(id string) url.Values {
	r.t.Helper()
	forms := r.all(func(n *html.Node) bool { got, _ := at(n, "id"); return n.Data == "form" && got == id })
	if len(forms) != 1 {
		r.t.Fatalf("%d forms %q on the page with status %d: %s", len(forms), id, r.status, r.text())
	}
	v := url.Values{}
	for n := range forms[0].Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		name, _ := at(n, "name")
		if name == "" {
			continue
		}
		value, _ := at(n, "value")
		kind, _ := at(n, "type")
		_, on := at(n, "checked")
		switch {
		case n.Data == "textarea":
			v.Add(name, textOf(n))
		case n.Data == "select":
			for o := range n.Descendants() {
				if _, chosen := at(o, "selected"); o.Data == "option" && chosen {
					value, _ := at(o, "value")
					v.Add(name, value)
				}
			}
		case n.Data != "input" || (kind == "checkbox" || kind == "radio") && !on:
		default:
			v.Add(name, value)
		}
	}
	return v
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// text is what stands on the page, in one line.
func (r *yardReply) text() string {
	var b strings.Builder
	for n := range r.doc.Descendants() {
		if n.Type == html.TextNode && (n.Parent == nil || n.Parent.Data != "script" && n.Parent.Data != "style") {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func (r *yardReply) says(want ...string) {
	r.t.Helper()
	text := r.text()
	for _, w := range want {
		if !strings.Contains(text, w) {
			r.t.Errorf("the page (%d) does not say %q: %s", r.status, w, text)
		}
	}
}

// buttons are the values of the buttons named "do".
func (r *yardReply) buttons() []string {
	var out []string
	for _, b := range r.all(func(n *html.Node) bool { name, _ := at(n, "name"); return n.Data == "button" && name == "do" }) {
		value, _ := at(b, "value")
		out = append(out, value)
	}
	return out
}

func (r *yardReply) offers(button string, want bool) {
	r.t.Helper()
	if got := slices.Contains(r.buttons(), button); got != want {
		r.t.Errorf("button %q: %v, there are %q", button, got, r.buttons())
	}
}

func (d *yard) policy() policy.Policy {
	d.t.Helper()
	p, err := d.rules.Get(d.t.Context(), d.tenant.ID)
	d.must(err)
	return p
}

// with sets one field of a form and presses a button.
func with(v url.Values, do string, pairs ...string) url.Values {
	out := url.Values{}
	for k, all := range v {
		out[k] = slices.Clone(all)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	out.Set("do", do)
	return out
}

// crowd makes a yard of people: most with an attested YubiKey.
func (d *yard) crowd(n int) {
	d.t.Helper()
	models := []string{nfc57, nfc57, usbc57, usbc57, nfc57, t2f2}
	for i := range n {
		d.person(fmt.Sprintf("Person %03d", i), "", key(models[i%len(models)], true))
	}
}
