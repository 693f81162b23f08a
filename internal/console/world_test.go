package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/method/hello"
	passkeys "github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/report"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

const origin = "http://localhost:8080"

// world is a console in a house: Ada is its administrator, Hedda its help
// desk, Bob has no role.
type world struct {
	*signintest.House
	t       *testing.T
	console *Console
	mux     *http.ServeMux
	hedda   idp.User
	group   directory.Group
	app     client.Client
	record  idp.EventID // of a sign-in

	mu      sync.Mutex    // of the two below: requests come at once in tests of races
	asked   []signin.Flow // what the sign-in page was asked for
	revoked []idp.UserID

	devices *device.Registry
	prts    *prt.Service
	hello   *hello.Room
	laptop  device.Device // Bob's, with a Hello key and a PRT of his
	carol   idp.User      // made when somebody needs her
	macs    *mac.Registry
	enclave *enclave
	token   mac.Token
	appless bool // the installation names no app for Macs
	before  int  // records of changes that making the world has left
	phones  *pocket
	wallet  *wallet
	pki     *pki
	trust   *trust.Store
	ca      trust.Authority // one of the trust store
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, signintest.Sources(passkeys.Migrations, accesspass.Migrations, report.Migrations, device.Migrations, prt.Migrations, hello.Migrations, keyring.Migrations, trust.Migrations, mac.Migrations), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

func newWorld(t *testing.T, db *sqldb.DB) *world {
	t.Helper()
	w := &world{t: t, phones: &pocket{phones: map[idp.UserID][]phone.Phone{}, blocks: map[idp.UserID][]phone.Block{}}}
	w.enclave = &enclave{}
	w.wallet = &wallet{barred: map[idp.CredentialID]time.Time{}}
	models := metadata.New(metadata.Config{Now: func() time.Time { return w.Now() }})
	var passes *accesspass.Method
	w.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		key := func(purpose string) func(context.Context, idp.TenantID) (*secret.Key, error) {
			return func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return h.Key(ctx, t, purpose) }
		}
		keys, err := passkeys.New(passkeys.Config{
			Models: models, DB: db, RPID: "localhost", RPName: "Signet", Origins: []string{origin}, Secret: key("decoy"), UserByName: h.UserByName, Fold: directory.Fold,
			Mark: func(ctx context.Context) (*secret.Key, error) { return h.Key(ctx, "", "mark") },
			Rules: func(ctx context.Context, t idp.TenantID) (policy.PasskeyRules, error) {
				p, err := h.Policies.Get(ctx, t)
				return p.Passkey, err
			},
			Wishes: func(ctx context.Context, u idp.User) (policy.Wishes, error) {
				p, who, err := h.Policies.For(ctx, u.Tenant, u)
				return p.Wishes(who), err
			},
			User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
				return h.Directory.User(ctx, db, t, id)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		passes = accesspass.New(accesspass.Config{DB: db, Now: h.Now, Key: key("pass"), User: h.UserByName,
			Rules: func(ctx context.Context, t idp.TenantID) (policy.AccessPassRules, error) {
				p, err := h.Policies.Get(ctx, t)
				return p.AccessPass, err
			},
			May: func(context.Context, idp.TenantID, idp.UserID) (policy.Refusal, error) { return policy.Refusal{}, nil },
		})
		return []method.Method{keys, w.phones, w.wallet, w.keysOfDevices(h), w.enclave, passes}
	})
	w.people(t)
	w.openDevices()
	w.pki = newPKI(t, w.Now)
	w.trust = trust.New(trust.Config{DB: db, Now: w.Now, Private: []string{strings.TrimPrefix(w.pki.host.URL, "http://")}})
	var err error
	w.console, err = New(Config{
		BaseURL: origin, DB: db, Corridor: w.Corridor, Directory: w.Directory, Clients: w.Clients, Policies: w.Policies, Sessions: w.Sessions,
		Metadata: models, Audit: w.Audit, Now: w.Now,
		Devices: w.devices, PRTs: w.prts, Hello: machineKeys{w}, Hygiene: w.keeper(), Macs: w.openMacs(), Phones: w.phones, Trust: w.trust, Explain: w.pki.explain,
		Report: report.New(report.Config{DB: db, Sources: w.Corridor, Policy: w.Policies.Get, Tenants: w.Directory.Tenants, Now: w.Now}),
		SignIn: func(rw http.ResponseWriter, _ *http.Request, f signin.Flow, _ signin.Step) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked = append(w.asked, f)
			rw.Header().Set("X-Page", "sign-in")
			return nil
		},
		ErrorPage: func(rw http.ResponseWriter, r *http.Request, err error) {
			e := idp.AsError(err)
			rw.Header().Set("X-Page", "error "+e.Reason)
			rw.WriteHeader(web.Status(e.Kind))
			rw.Write([]byte(e.Public))
			if e.Kind == idp.Internal {
				t.Errorf("%s %s: %v", r.Method, r.URL, err)
			}
		},
		IssuePass: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, life time.Duration, once *bool) (string, method.Credential, error) {
			return passes.Issue(ctx, tx, t, u, accesspass.Options{Lifetime: life, Once: once == nil || *once})
		},
		PreparePass: func(context.Context, idp.TenantID) error { return nil },
		RevokeUser: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.revoked = append(w.revoked, u)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.mux = http.NewServeMux()
	w.console.Mount(w.mux)
	w.before = w.changes()
	return w
}

func (w *world) people(t *testing.T) {
	t.Helper()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		w.hedda, err = w.Directory.CreateUser(ctx, tx, idp.User{Tenant: w.Tenant.ID, Name: "hedda@nordhafen.example", DisplayName: "Hedda", Enabled: true})
		if err == nil {
			err = w.Directory.SetRole(ctx, tx, w.Tenant.ID, w.Ada.ID, directory.Administrator)
		}
		if err == nil {
			err = w.Directory.SetRole(ctx, tx, w.Tenant.ID, w.hedda.ID, directory.Helpdesk)
		}
		if err == nil {
			w.group, err = w.Directory.CreateGroup(ctx, tx, directory.Group{Tenant: w.Tenant.ID, Name: "Night shift"})
		}
		if err == nil {
			w.app, _, err = w.Clients.Create(ctx, tx, client.Client{Tenant: w.Tenant.ID, Name: "Wiki", Kind: client.Web, Enabled: true, RedirectURIs: []string{"https://wiki.example/cb"}})
		}
		if err == nil {
			err = w.Audit.Write(ctx, tx, audit.Event{Tenant: w.Tenant.ID, Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, User: w.Bob.ID})
		}
		return err
	})
	list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.SignIns, Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatal(err, len(list))
	}
	w.record = list[0].ID
}

// browser is somebody's browser, with the cookies of one session.
type browser struct {
	w       *world
	cookies []*http.Cookie
	session session.Session
}

// signedIn opens a session of u on a passkey that was touched just now.
func (w *world) signedIn(u idp.User, properties ...idp.Property) *browser {
	w.t.Helper()
	if properties == nil {
		properties = []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.MultiFactor}
	}
	b := &browser{w: w}
	proof := idp.Proof{Tenant: u.Tenant, User: u.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "c", Properties: properties, Time: w.Now()}
	return b.open(u, session.Session{Proofs: []idp.Proof{proof}})
}

func (b *browser) open(u idp.User, s session.Session) *browser {
	b.w.t.Helper()
	s.Tenant, s.User = u.Tenant, u.ID
	bearer := ""
	b.w.Write(b.w.t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		b.session, bearer, err = b.w.Sessions.Open(ctx, tx, s)
		return err
	})
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, origin+"/", nil)
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	b.w.Sessions.Set(rec, r, bearer, "")
	for _, c := range rec.Result().Cookies() {
		b.cookies = slices.DeleteFunc(b.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		b.cookies = append(b.cookies, c)
	}
	return b
}

// reply is what came back.
type reply struct {
	t      *testing.T
	status int
	page   string // X-Page: which of the other door's pages
	to     string
	body   string
	header http.Header
}

func (b *browser) do(method, path string, form url.Values) reply {
	b.w.t.Helper()
	r := httptest.NewRequest(method, origin+path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	web.Chain(b.w.mux, web.Identify(nil)).ServeHTTP(rec, r)
	return reply{b.w.t, rec.Code, rec.Header().Get("X-Page"), rec.Header().Get("Location"), rec.Body.String(), rec.Header()}
}

func (b *browser) get(path string) reply                   { return b.do(http.MethodGet, path, nil) }
func (b *browser) post(path string, form url.Values) reply { return b.do(http.MethodPost, path, form) }

func (r reply) want(status int, texts ...string) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d %q, want %d\n%.2000s", r.status, r.page, status, r.body)
	}
	for _, text := range texts {
		if !strings.Contains(r.body, text) {
			r.t.Errorf("the page lacks %q:\n%.4000s", text, r.body)
		}
	}
	return r
}

// changes counts the records of changes since the world was made.
func (w *world) changes() int {
	w.t.Helper()
	var n int64
	if err := w.DB.QueryRow(w.t.Context(), `select count(*) from audit_event where tenant_id = $1 and category = 'change'`, w.Tenant.ID).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return int(n) - w.before
}
