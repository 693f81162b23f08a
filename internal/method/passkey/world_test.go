package passkey

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const (
	tenant = idp.TenantID("0b0e5d0c-6d0c-4f1c-9a57-7a3b1f0f1a01")
	rpID   = "id.nordhafen.example"
	origin = "https://id.nordhafen.example"

	noModel = "00000000-0000-0000-0000-000000000000" // what a key says that does not tell its model
)

var (
	sources = []fs.FS{Migrations}
	ada     = idp.User{ID: "a0000000-0000-4000-8000-000000000001", Tenant: tenant, Name: "ada@nordhafen.example", DisplayName: "Ada Holm", Enabled: true}
	bo      = idp.User{ID: "b0000000-0000-4000-8000-000000000002", Tenant: tenant, Name: "bo@nordhafen.example", DisplayName: "Bo Lind", Enabled: true}
)

// world is a room with a directory of two and rules that a test may change
// between calls.
type world struct {
	*Room
	store *sqldb.DB
	rules policy.PasskeyRules
	now   time.Time

	mu     sync.Mutex
	events []audit.Event
}

func openRules() policy.PasskeyRules {
	r := policy.Default().Passkey
	r.Attestation = policy.AttestationNone
	return r
}

func newWorld(t testing.TB, db *sqldb.DB, roots *x509.CertPool) *world {
	t.Helper()
	w := &world{store: db, rules: openRules(), now: time.Now().Truncate(time.Millisecond).UTC()}
	key := secret.RandomKey()
	room, err := New(Config{
		DB: db, RPID: rpID, RPName: "Nordhafen", Origins: []string{origin}, Models: modelsOf(roots),
		Rules: func(context.Context, idp.TenantID) (policy.PasskeyRules, error) { return w.rules, nil },
		Wishes: func(_ context.Context, u idp.User) (policy.Wishes, error) {
			p := w.policy()
			return p.Wishes(policy.Who{User: u}), nil
		},
		Secret: func(_ context.Context, t idp.TenantID) (*secret.Key, error) {
			return key.Derive(string(t)), nil
		},
		Mark: func(context.Context) (*secret.Key, error) { return key.Derive("mark"), nil },
		Fold: directory.Fold,
		User: func(_ context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			for _, u := range []idp.User{ada, bo} {
				if u.ID == id && u.Tenant == t {
					return u, nil
				}
			}
			return idp.User{}, idp.NotFoundf("user_missing", "%s", id)
		},
		UserByName: func(_ context.Context, t idp.TenantID, name string) (idp.User, error) {
			for _, u := range []idp.User{ada, bo} {
				if directory.Fold(u.Name) == directory.Fold(name) && u.Tenant == t {
					return u, nil
				}
			}
			return idp.User{}, idp.NotFoundf("user_missing", "%s", name)
		},
		Audit: func(_ context.Context, _ *sqldb.Tx, e audit.Event) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Room = room
	return w
}

// bare is a registry without a list: bundled names, and Apple's root.
func bare() *metadata.Registry { return metadata.New(metadata.Config{Now: time.Now}) }

// oneMaker is a registry in which every model has the same roots.
type oneMaker struct {
	*metadata.Registry
	roots *x509.CertPool
}

func (m oneMaker) Judge(e metadata.Evidence, at time.Time) metadata.Trust {
	t := m.Registry.Judge(e, at)
	if len(e.Chain) == 0 || e.Self {
		return t
	}
	leaf, err := x509.ParseCertificate(e.Chain[0])
	if err != nil {
		return t
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: m.roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return t
	}
	return metadata.Trust{Attested: true}
}

// modelsOf is a registry of models with these roots; nil: of none.
func modelsOf(roots *x509.CertPool) Models {
	if roots == nil {
		return bare()
	}
	return oneMaker{bare(), roots}
}

func sqliteWorld(t testing.TB) *world { return newWorld(t, sqldbtest.Open(t, sources), nil) }

func device() *passkeytest.Authenticator { return passkeytest.New(rpID, origin) }

// asked is a challenge with the request that asked for it.
type asked struct {
	method.Challenge
	user idp.User
}

func (w *world) beginRegister(t testing.TB, u idp.User) asked {
	t.Helper()
	c, err := w.BeginRegister(context.Background(), method.Request{Tenant: tenant, User: u, Now: w.now})
	if err != nil {
		t.Fatalf("BeginRegister: %v", err)
	}
	return asked{c, u}
}

func (w *world) begin(t testing.TB, r method.Request) asked {
	t.Helper()
	r.Tenant, r.Now = tenant, w.now
	c, err := w.Challenge(context.Background(), r)
	if err != nil {
		t.Fatalf("Challenge: %v", err)
	}
	return asked{c, r.User}
}

// policy is a tenant's whose rules on passkeys are those of the world.
func (w *world) policy() *policy.Policy {
	p := policy.Default()
	p.Passkey = w.rules
	return &p
}

// judge asks policy about the facts that the room states, as the corridor does.
func (w *world) judge(act policy.Act, u idp.UserID, facts idp.Facts) error {
	who := policy.Who{User: idp.User{ID: u, Tenant: tenant, Enabled: true, Type: idp.Member}}
	if r := w.policy().Judge(who, act, ID, &facts); !r.Allowed() {
		return idp.Deniedf(r.Reason, "rule %s", r.Rule)
	}
	return nil
}

func (w *world) finish(a asked, payload []byte) (method.Registration, error) {
	reg, err := w.FinishRegister(context.Background(), method.Answer{
		Tenant: tenant, User: a.user, Keep: a.Keep, Payload: payload, Now: w.now,
	})
	if err == nil {
		err = w.judge(policy.Add, a.user.ID, reg.Credential.Facts)
	}
	return reg, err
}

func (w *world) verify(a asked, payload []byte) (method.Verdict, error) {
	v, err := w.Verify(context.Background(), method.Answer{
		Tenant: tenant, User: a.user, Keep: a.Keep, Payload: payload, Now: w.now,
	})
	if err == nil {
		if err = w.judge(policy.Use, v.Proof.User, v.Proof.Facts); err != nil {
			return method.Verdict{}, err
		}
	}
	return v, err
}

// settle runs one Settle as the corridor does.
func (w *world) settle(s method.Settle) error {
	return w.store.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error { return s(ctx, tx) })
}

// register takes a registration from begin to settled.
func (w *world) register(t testing.TB, u idp.User, d *passkeytest.Authenticator) method.Credential {
	t.Helper()
	c, err := w.tryRegister(t, u, d)
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	return c
}

func (w *world) tryRegister(t testing.TB, u idp.User, d *passkeytest.Authenticator) (method.Credential, error) {
	t.Helper()
	a := w.beginRegister(t, u)
	payload, err := d.Create(a.Show)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	reg, err := w.finish(a, payload)
	if err != nil {
		return method.Credential{}, err
	}
	return reg.Credential, w.settle(reg.Settle)
}

// signIn takes a sign-in by one button from begin to settled. As in the
// corridor, a Settle that comes with an error is run, too.
func (w *world) signIn(t testing.TB, d *passkeytest.Authenticator) (idp.Proof, error) {
	t.Helper()
	a := w.begin(t, method.Request{})
	payload, err := d.Get(a.Show)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	v, err := w.verify(a, payload)
	if v.Settle != nil {
		err = errors.Join(err, w.settle(v.Settle))
	}
	return v.Proof, err
}

// wantReason checks kind and reason of an error.
func wantReason(t testing.TB, err error, kind idp.Kind, reason string) {
	t.Helper()
	e := idp.AsError(err)
	if e == nil {
		t.Fatalf("got success, want %s %q", kind, reason)
	}
	if e.Kind != kind || e.Reason != reason {
		t.Fatalf("got %s %q (%v), want %s %q", e.Kind, e.Reason, err, kind, reason)
	}
}

func TestRegisterAndSignIn(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w, d := newWorld(t, db, nil), device()
		d.Name = "  Blue\tkey "
		c := w.register(t, ada, d)
		if c.Name != "Blue key" || c.User != ada.ID || c.Tenant != tenant || c.Method != ID || c.Mode != idp.ModeFIDO2 {
			t.Errorf("credential %+v", c)
		}
		p, err := w.signIn(t, d)
		if err != nil {
			t.Fatal(err)
		}
		if p.User != ada.ID || p.Tenant != tenant || p.Credential != c.ID || !p.Time.Equal(w.now) || p.Facts.Name != "Blue key" {
			t.Errorf("proof %+v", p)
		}
		for _, want := range []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor} {
			if !p.Has(want) {
				t.Errorf("proof lacks %s", want)
			}
		}
		if p.Has(idp.HardwareBound) || strings.Join(p.AMR, " ") != "fido mfa user" {
			t.Errorf("an unattested key claims hardware: %v %v", p.Properties, p.AMR)
		}
		list, err := w.List(t.Context(), tenant, ada.ID)
		if err != nil || len(list) != 1 || !list[0].LastUsed.Equal(w.now) || !list[0].Created.Equal(w.now) {
			t.Errorf("list %+v, %v", list, err)
		}
	})
}

func TestShowShapes(t *testing.T) {
	w, d := sqliteWorld(t), device()
	first := w.register(t, ada, d)
	var reg struct {
		PublicKey struct {
			RP   struct{ ID, Name string }
			User struct{ ID, Name, DisplayName string }

			Challenge              string
			PubKeyCredParams       []struct{ Alg int }
			Timeout                int
			ExcludeCredentials     []struct{ ID string }
			AuthenticatorSelection struct {
				ResidentKey, UserVerification string
			}
			Hints       []string
			Attestation string
			Extensions  map[string]bool
		}
		Held, Limit, WarnAt int
		Warn                bool
		Signal              struct {
			RPID, UserID, Name, DisplayName string
			AllAcceptedCredentialIDs        []string
		}
	}
	a := w.beginRegister(t, ada)
	if err := json.Unmarshal(a.Show, &reg); err != nil {
		t.Fatal(err)
	}
	pk := reg.PublicKey
	if pk.RP.ID != rpID || pk.User.Name != ada.Name || pk.User.DisplayName != ada.DisplayName || len(pk.User.ID) != 86 ||
		len(pk.Challenge) != 43 || pk.Timeout != 300000 || pk.Attestation != "none" || !pk.Extensions["credProps"] ||
		pk.AuthenticatorSelection.ResidentKey != "required" || pk.AuthenticatorSelection.UserVerification != "required" ||
		len(pk.Hints) == 0 {
		t.Errorf("creation options %s", a.Show)
	}
	if len(pk.PubKeyCredParams) != 3 || pk.PubKeyCredParams[0].Alg != -8 || pk.PubKeyCredParams[1].Alg != -7 || pk.PubKeyCredParams[2].Alg != -257 {
		t.Errorf("algorithms %v", pk.PubKeyCredParams)
	}
	if len(pk.ExcludeCredentials) != 1 || pk.ExcludeCredentials[0].ID != string(first.ID) {
		t.Errorf("excludeCredentials %v", pk.ExcludeCredentials)
	}
	if reg.Held != 1 || reg.Limit != 20 || reg.WarnAt != 15 || reg.Warn {
		t.Errorf("holding in %s", a.Show)
	}
	if reg.Signal.RPID != rpID || reg.Signal.UserID != pk.User.ID || len(reg.Signal.AllAcceptedCredentialIDs) != 1 {
		t.Errorf("signal in %s", a.Show)
	}

	var get struct {
		PublicKey struct {
			Challenge, RPID, UserVerification string
			Timeout                           int
			AllowCredentials                  []any
		}
		Mediation string
	}
	s := w.begin(t, method.Request{})
	if err := json.Unmarshal(s.Show, &get); err != nil {
		t.Fatal(err)
	}
	if get.PublicKey.RPID != rpID || get.PublicKey.UserVerification != "required" || len(get.PublicKey.Challenge) != 43 ||
		get.PublicKey.Timeout != 300000 || len(get.PublicKey.AllowCredentials) != 0 || get.Mediation != "optional" {
		t.Errorf("request options %s", s.Show)
	}
}

func answerOf(w *world, u idp.User, keep, payload []byte) method.Answer {
	return method.Answer{Tenant: tenant, User: u, Keep: keep, Payload: payload, Now: w.now}
}
