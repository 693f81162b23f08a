package macagent

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// server answers as a server has to, unless a test bends it.
type server struct {
	*httptest.Server
	t      *testing.T
	key    *ecdsa.PrivateKey // signs ID tokens
	unlock *ecdsa.PrivateKey
	now    time.Time

	mu   sync.Mutex
	seen []map[string]any // claims of the messages of macOS
	typ  string           // that of the last one

	// What tests bend, each nil: nothing.
	nonce     func(http.Header, map[string]any)
	idClaims  func(map[string]any)
	idHeader  func(map[string]any)
	plain     func(map[string]any)
	envelope  func(*jose.Agreement)
	compact   func(string) string
	respond   func(http.Header)
	cert      func(*x509.Certificate)
	refusal   func(w http.ResponseWriter) bool
	device200 func(map[string]any)
}

const (
	testIssuer   = "https://id.example/8d1c/v2.0"
	testAudience = "https://id.example/8d1c/psso"
	testUser     = "ada@corp.example"
)

// testNow is a whole second, as times of messages are.
var testNow = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, now: testNow, key: p256(t), unlock: p256(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{t}/psso/configuration", func(w http.ResponseWriter, r *http.Request) { s.json(w, s.configuration()) })
	mux.HandleFunc("GET /{t}/keys", func(w http.ResponseWriter, r *http.Request) {
		s.json(w, gojose.JSONWebKeySet{Keys: []gojose.JSONWebKey{{Key: s.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /{t}/psso/nonce", s.giveNonce)
	mux.HandleFunc("POST /{t}/psso/token", s.token)
	mux.HandleFunc("POST /{t}/psso/key", s.keyService)
	mux.HandleFunc("POST /{t}/psso/device", s.registerDevice)
	mux.HandleFunc("DELETE /{t}/psso/device", s.removed)
	mux.HandleFunc("POST /{t}/psso/user", s.registerUser)
	mux.HandleFunc("DELETE /{t}/psso/user", s.removed)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *server) configuration() pssowire.Configuration {
	at := s.URL + "/8d1c/psso"
	return pssowire.Configuration{
		ClientID: pssowire.ClientID, Issuer: testIssuer, Audience: testAudience, TokenEndpoint: at + "/token", NonceEndpoint: at + "/nonce",
		KeyEndpoint: at + "/key", DeviceEndpoint: at + "/device", UserEndpoint: at + "/user", JWKSURI: s.URL + "/8d1c/keys",
		AdditionalScopes: pssowire.ScopeMac, UniqueClaim: "oid", Method: pssowire.MethodKey,
	}
}

func (s *server) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

func (s *server) giveNonce(w http.ResponseWriter, r *http.Request) {
	answer := map[string]any{"Nonce": rand.Text()}
	if r.FormValue("purpose") == "registration" {
		answer["exchange_key"] = pssowire.EncodePoint(&s.unlock.PublicKey)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	if s.nonce != nil {
		s.nonce(w.Header(), answer)
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.t.Error(err)
	}
}

// read reads a message of macOS, whichever field it is in.
func (s *server) read(r *http.Request) map[string]any {
	compact := r.FormValue("assertion")
	if compact == "" {
		compact = r.FormValue("request")
	}
	signed := takenApart(compact)
	if signed == nil {
		s.t.Errorf("no message in %v", r.Form)
		return nil
	}
	var header struct{ Typ string }
	var claims map[string]any
	if json.Unmarshal(signed.Header, &header) != nil || json.Unmarshal(signed.Claims, &claims) != nil {
		s.t.Errorf("message %s %s", signed.Header, signed.Claims)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typ, s.seen = header.Typ, append(s.seen, claims)
	return claims
}

// seal answers with a JWE.
func (s *server) seal(w http.ResponseWriter, claims map[string]any, typ string, plain map[string]any) {
	media := typ
	s.mu.Lock()
	old := s.typ == "JWT" // as all messages of one stand-in
	s.mu.Unlock()
	if old {
		typ = "JWT"
	}
	crypto, _ := claims["jwe_crypto"].(map[string]any)
	text, _ := crypto["apv"].(string)
	to, err := pssowire.ParsePartyV(text)
	if err != nil {
		s.t.Error(err)
		return
	}
	if s.plain != nil {
		s.plain(plain)
	}
	raw, err := json.Marshal(plain)
	if err != nil {
		s.t.Error(err)
		return
	}
	a := jose.Agreement{Recipient: to.Key, Type: typ, KeyID: to.ID.String(), APU: pssowire.PartyU, APV: to.Raw, Echo: true}
	if s.envelope != nil {
		s.envelope(&a)
	}
	compact, err := jose.SealAgreed(a, raw)
	if err != nil {
		s.t.Error(err)
		return
	}
	if s.compact != nil {
		compact = s.compact(compact)
	}
	w.Header().Set("Content-Type", "application/"+media)
	w.Header().Set("Cache-Control", "no-store")
	if s.respond != nil {
		s.respond(w.Header())
	}
	w.Write([]byte(compact))
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	if s.refusal != nil && s.refusal(w) {
		return
	}
	claims := s.read(r)
	id := map[string]any{
		"iss": testIssuer, "aud": pssowire.ClientID, "nonce": claims["nonce"], "iat": s.now.Add(-5 * time.Second).Unix(), "exp": s.now.Add(time.Hour).Unix(),
		"nbf": s.now.Add(-5 * time.Second).Unix(), "preferred_username": testUser, "name": "Ada", "oid": "3c8b",
	}
	if s.idClaims != nil {
		s.idClaims(id)
	}
	header := map[string]any{"typ": "JWT", "kid": "k1"}
	if s.idHeader != nil {
		s.idHeader(header)
	}
	payload, err := json.Marshal(id)
	if err != nil {
		s.t.Error(err)
		return
	}
	token, err := jose.SignAs("ES256", s.key, header, payload)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.seal(w, claims, pssowire.TypeLoginReply, map[string]any{
		"id_token": token, "refresh_token": "r" + rand.Text(), "refresh_token_expires_in": 1209600, "expires_in": 3600, "token_type": "Bearer",
	})
}

func (s *server) keyService(w http.ResponseWriter, r *http.Request) {
	claims := s.read(r)
	plain := map[string]any{"iat": s.now.Unix(), "exp": s.now.Add(5 * time.Minute).Unix(), "key_context": "sealed"}
	switch claims["request_type"] {
	case "key_request":
		plain["certificate"] = raw64(s.certificate())
	case "key_exchange":
		text, _ := claims["other_publickey"].(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			s.t.Error(err)
		}
		other, err := ecdh.P256().NewPublicKey(raw)
		if err != nil {
			s.t.Error(err)
			return
		}
		own, err := s.unlock.ECDH()
		if err != nil {
			s.t.Error(err)
		}
		z, err := own.ECDH(other)
		if err != nil {
			s.t.Error(err)
		}
		plain["key"] = base64.StdEncoding.EncodeToString(z)
	}
	s.seal(w, claims, pssowire.TypeKeyReply, plain)
}

func (s *server) certificate() []byte {
	hash := sha1.Sum(pssowire.Point(&s.unlock.PublicKey))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "unlock"}, NotBefore: s.now.Add(-time.Minute), NotAfter: s.now.AddDate(1, 0, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageKeyAgreement, SubjectKeyId: hash[:],
	}
	if s.cert != nil {
		s.cert(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &s.unlock.PublicKey, s.unlock)
	if err != nil {
		s.t.Error(err)
	}
	return der
}

// request reads the claims of a request of ours.
func (s *server) request(r *http.Request, v any) {
	var e pssowire.Envelope
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		s.t.Error(err)
	}
	signed := takenApart(e.Request)
	if signed == nil || json.Unmarshal(signed.Claims, v) != nil {
		s.t.Errorf("request %q", e.Request)
	}
}

func (s *server) registerDevice(w http.ResponseWriter, r *http.Request) {
	var c struct {
		Signing    string `json:"signing_key"`
		Encryption string `json:"encryption_key"`
		NewSigning string `json:"new_signing_key"`
		NewEnc     string `json:"new_encryption_key"`
	}
	s.request(r, &c)
	answer := map[string]any{"device_id": "d1", "assurance": "unattested", "configuration": s.configuration()}
	for name, text := range map[string]string{"key_id": c.Signing + c.NewSigning, "encryption_key_id": c.Encryption + c.NewEnc} {
		key, err := pssowire.ParsePoint(text)
		if err != nil {
			s.t.Errorf("%s: %v", name, err)
			return
		}
		answer[name] = keyID(key)
	}
	if c.NewSigning != "" {
		answer["rotates_until"] = s.now.Add(24 * time.Hour).Unix()
	}
	if s.device200 != nil {
		s.device200(answer)
	}
	s.json(w, answer)
}

func (s *server) registerUser(w http.ResponseWriter, r *http.Request) {
	var c pssowire.User
	s.request(r, &c)
	s.json(w, map[string]any{"login_user_name": testUser, "credential_id": "c1", "device_id": "d1", "configuration": s.configuration()})
}

func (s *server) removed(w http.ResponseWriter, r *http.Request) {
	s.request(r, new(map[string]any))
	s.json(w, map[string]any{"device_id": "d1"})
}

// last is what the last message claimed.
func (s *server) last() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[len(s.seen)-1]
}

// standInOf is a registered stand-in with a person.
func standInOf(t *testing.T, s *server, form Form) *Mac {
	t.Helper()
	m, err := New(Config{Folder: t.TempDir() + "/mac", Now: func() time.Time { return s.now }, Form: form})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	ctx := t.Context()
	if err := m.Configure(ctx, s.URL, "8d1c", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Register(ctx, RegisterOptions{Name: "one", OS: "none", AccessToken: "at"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.RegisterUser(ctx, "at"); err != nil {
		t.Fatal(err)
	}
	return m
}

// swap replaces one part of a compact text.
func swap(n int, with func([]byte) []byte) func(string) string {
	return func(compact string) string {
		parts := strings.Split(compact, ".")
		raw, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil {
			panic(err)
		}
		parts[n] = raw64(with(raw))
		return strings.Join(parts, ".")
	}
}

// inHeader replaces text in the header of a JWE.
func inHeader(old, next string) func(string) string {
	return swap(0, func(raw []byte) []byte { return bytes.Replace(raw, []byte(old), []byte(next), 1) })
}
