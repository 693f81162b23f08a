package drs_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/drs"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

const base = "https://id.nordhafen.example"

func sources() []fs.FS {
	return signintest.Sources(keyring.Migrations, device.Migrations, token.Migrations, hello.Migrations)
}

// world is a house with the door, and the people's tokens.
type world struct {
	*signintest.House
	t       *testing.T
	devices *device.Registry
	tokens  *token.Service
	server  *drs.Server
	handler http.Handler
	roots   *x509.CertPool
	gone    []idp.DeviceID
	sealing func() // what happens when the registry asks for a key
}

// seal gives the registry its keys.
func (w *world) seal(h *signintest.House) func(context.Context, idp.TenantID, string) (*secret.Key, error) {
	return func(ctx context.Context, t idp.TenantID, purpose string) (*secret.Key, error) {
		if w.sealing != nil {
			w.sealing()
		}
		return h.Key(ctx, t, purpose)
	}
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, sources(), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

func newWorld(t *testing.T, db *sqldb.DB) *world {
	w := &world{t: t, roots: x509.NewCertPool()}
	w.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		keys := keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: h.Now})
		w.devices = device.New(device.Config{DB: db, Keys: w.seal(h), Now: h.Now})
		w.tokens = token.New(token.Config{
			DB: db, Keys: keys, Audit: h.Audit, Now: h.Now, Issuer: issuer, User: h.Directory.User, Epoch: func() int64 { return 1 },
			Stands: func(ctx context.Context, q sqldb.Querier, t idp.TenantID, _ idp.SessionID, id idp.DeviceID) error {
				return nil // the door looks itself
			},
		})
		return []method.Method{newRoom(t, h, w.devices)}
	})
	w.devices.OnRemove(func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, id idp.DeviceID) error {
		w.gone = append(w.gone, id)
		return nil
	})
	for _, tenant := range []idp.Tenant{w.Tenant, w.Other} {
		w.Policy(t, tenant.ID, func(p *policy.Policy) { p.Devices.On = true })
	}
	w.open()
	return w
}

// open makes the door anew, as after a change of its configuration.
func (w *world) open() {
	w.server = drs.New(drs.Config{
		BaseURL: base, TLSBaseURL: "https://tls.nordhafen.example", DB: w.DB, Directory: w.Directory, Devices: w.devices, Policies: w.Policies,
		Tokens: w.tokens, Corridor: w.Corridor, Box: w.Box, Audit: w.Audit, Now: w.Now, Roots: w.roots,
		Limits: drs.Limits{Nonces: 100_000, Asks: 100_000},
	})
	mux := http.NewServeMux()
	w.server.Mount(mux)
	w.handler = web.Chain(mux, web.Identify(nil), web.Spelling(drs.Addresses()...))
}

func newRoom(t testing.TB, h *signintest.House, devices *device.Registry) *hello.Room {
	t.Helper()
	room, err := hello.New(hello.Config{
		DB: h.DB, Now: h.Now, UserByName: h.UserByName, User: h.User, Issuer: issuer,
		Rules: func(ctx context.Context, tenant idp.TenantID) (policy.HelloRules, error) {
			p, err := h.Policies.Get(ctx, tenant)
			return p.Hello, err
		},
		Device: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (hello.Machine, error) {
			q := sqldb.Querier(h.DB)
			if tx != nil {
				q = tx
			}
			d, err := devices.Load(ctx, q, t, id)
			return hello.Machine{Name: d.Name, Enabled: d.Enabled}, err
		},
		Claim: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID, key crypto.PublicKey) error {
			return devices.Claim(ctx, tx, t, d, key, "hello")
		},
		Release: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, key crypto.PublicKey) error {
			return devices.Release(ctx, tx, t, key, "hello")
		},
		Audit: h.Audit.Write,
	})
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func issuer(t idp.TenantID) string { return base + "/" + string(t) + "/v2.0" }

// subject is what a token of a person for this service stands on: a passkey,
// just now.
func (w *world) subject(u idp.User) token.Subject {
	return token.Subject{
		Tenant: u.Tenant, User: u, Session: idp.SessionID(secret.NewUUID7(w.Now())),
		Client: client.Client{ID: client.Broker, Tenant: u.Tenant, Alg: "ES256", Subject: client.SubjectPublic, BuiltIn: true, Enabled: true},
		Scopes: []string{"openid", "profile"}, Audience: token.RegistrationAudience, AuthTime: w.Now(), AMR: []string{"fido", "mfa"},
		Basis: []token.Basis{{
			Method: policy.Passkey, Mode: idp.ModeFIDO2, Properties: []idp.Property{idp.PhishingResistant, idp.MultiFactor}, Time: w.Now().UnixMilli(),
		}},
	}
}

// token mints one, of a grant of its own.
func (w *world) token(u idp.User, change func(*token.Subject)) string {
	w.t.Helper()
	sub := w.subject(u)
	if change != nil {
		change(&sub)
	}
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		sub.Family, err = w.tokens.OpenFamily(ctx, tx, sub, token.CodeID(secret.Bytes(16)))
		return err
	})
	jwt, _, err := w.tokens.Access(w.t.Context(), sub)
	if err != nil {
		w.t.Fatal(err)
	}
	return jwt
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	raw    []byte
}

func (r reply) text(name string) string {
	s, _ := r.body[name].(string)
	return s
}

// send sends a request; a body that is no bytes is sent as JSON.
func (w *world) send(method, path, bearer string, content any, change func(*http.Request)) reply {
	w.t.Helper()
	var in io.Reader
	switch b := content.(type) {
	case nil:
	case []byte:
		in = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Error(err)
		}
		in = bytes.NewReader(raw)
	}
	r := httptest.NewRequest(method, base+path, in).WithContext(w.t.Context())
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	out := reply{status: rec.Code, header: rec.Header(), raw: rec.Body.Bytes()}
	if err := json.Unmarshal(out.raw, &out.body); err != nil && rec.Code < 500 {
		w.t.Errorf("%s %s: %d, no JSON: %s", method, path, rec.Code, out.raw)
	}
	return out
}

const joinPath = "/EnrollmentServer/device/?api-version=3.0"

// fresh keys, made ahead: RSA takes long.
var rsaKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	out := make([]*rsa.PrivateKey, 4)
	for n := range out {
		out[n], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return out
})

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// request is a PKCS#10 request as published clients make one.
func request(t testing.TB, key crypto.Signer, change func(*x509.CertificateRequest)) string {
	t.Helper()
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "7E980AD9-B86D-4306-9425-9AC066FB014A"}}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// jwk is a P-256 public key as Apple silicon sends it, in standard base64.
func jwk(k crypto.PublicKey) string {
	p := k.(*ecdsa.PublicKey)
	raw, err := p.Bytes()
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(map[string]string{
		"kty": "EC", "crv": "P-256", "kid": "0B1F6A0E-7A5C-4F1C-8D55-2F3A4B5C6D7E",
		"x": base64.StdEncoding.EncodeToString(raw[1:33]), "y": base64.StdEncoding.EncodeToString(raw[33:]),
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// rsaJWK is an RSA public key as one published client sends it.
func rsaJWK(p *rsa.PublicKey) string {
	text, err := json.Marshal(map[string]string{
		"kty": "RSA", "e": "AQAB", "n": base64.StdEncoding.EncodeToString(p.N.Bytes()), "alg": "RS256", "kid": "0B1F6A0E-7A5C-4F1C-8D55-2F3A4B5C6D7E",
	})
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

// joinBody is a join with two keys of P-256, which are quick to make.
func (w *world) joinBody(key, transport crypto.Signer) map[string]any {
	return map[string]any{
		"CertificateRequest": map[string]any{"Type": "pkcs10", "Data": request(w.t, key, nil), "KeyType": "ECC", "KeySecurity": "SecureEnclave"},
		"DeviceKeys":         []any{map[string]any{"Usage": "STK", "Type": "ECC", "Encoding": "JWK", "Data": jwk(transport.Public())}},
		"TargetDomain":       "nordhafen.example", "DeviceType": "Linux", "OSVersion": "Debian 12", "DeviceDisplayName": "ws-17", "JoinType": 0,
		"Attributes": map[string]any{"ReuseDevice": "true", "ReturnClientSid": "true", "SharedDevice": "false"},
	}
}

// joined is a machine that joined.
type joined struct {
	key  crypto.Signer
	der  []byte
	cert *x509.Certificate
	device.Device
}

// join joins a machine of u, as it must work.
func (w *world) join(u idp.User) joined {
	w.t.Helper()
	key := ecKey(w.t)
	return w.accepted(w.send("POST", joinPath, w.token(u, nil), w.joinBody(key, ecKey(w.t)), nil), u, key)
}

// accepted reads the answer to a join.
func (w *world) accepted(r reply, u idp.User, key crypto.Signer) joined {
	w.t.Helper()
	if r.status != http.StatusOK {
		w.t.Fatalf("join: %d %s", r.status, r.raw)
	}
	raw := r.body["Certificate"].(map[string]any)["RawBody"].(string)
	der, err := base64.StdEncoding.DecodeString(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := w.devices.Get(w.t.Context(), u.Tenant, idp.DeviceID(cert.Subject.CommonName))
	if err != nil {
		w.t.Fatal(err)
	}
	return joined{key, der, cert, d}
}

// connected gives a request the TLS connection of a device.
func connected(cert *x509.Certificate) func(*http.Request) {
	return func(r *http.Request) {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}}
	}
}

// refused checks how a request was refused, and that it left nothing behind.
func (w *world) refused(name string, r reply, status int, reason string) {
	w.t.Helper()
	if r.status != status || r.text("Reason") != reason {
		w.t.Errorf("%s: %d %s, want %d %s", name, r.status, r.raw, status, reason)
	}
}

// held counts the devices of a tenant.
func (w *world) held(t idp.TenantID) int64 {
	w.t.Helper()
	n, err := w.devices.Count(w.t.Context(), t, device.Page{}.Where)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// events lists the changes of a tenant, newest first.
func (w *world) events(t idp.TenantID) []audit.Event {
	w.t.Helper()
	all, err := w.Audit.List(w.t.Context(), w.DB, t, audit.Filter{Of: audit.Changes})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func blob(p *rsa.PublicKey) string { return base64.StdEncoding.EncodeToString(jose.RSA1(p)) }

// ago moves the gesture behind a token back.
func ago(d time.Duration) func(*token.Subject) {
	return func(s *token.Subject) {
		s.AuthTime = s.AuthTime.Add(-d)
		for n := range s.Basis {
			s.Basis[n].Time -= d.Milliseconds()
		}
	}
}

// newWorldOn is a world on SQLite, for what is the same on either database.
func newWorldOn(t *testing.T) *world {
	return newWorld(t, sqldbtest.Open(t, sources()))
}
