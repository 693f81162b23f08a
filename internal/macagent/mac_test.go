package macagent

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

func TestLife(t *testing.T) {
	s := newServer(t)
	m := standInOf(t, s, Form{})
	ctx := t.Context()
	got, err := m.Login(ctx, LoginOptions{})
	if err != nil || got.User != testUser || got.UniqueID != "3c8b" || got.By != "login" {
		t.Fatalf("%+v, %v", got, err)
	}
	first := m.st.Person.Tokens.Refresh
	if got, err = m.Refresh(ctx); err != nil || got.By != "refresh" || m.st.Person.Tokens.Refresh == first {
		t.Fatalf("%+v, %v", got, err)
	}
	if c := s.last(); c["refresh_token"] != first || c["sub"] != nil || c["username"] != nil || c["assertion"] != nil {
		t.Errorf("a refresh claims %v", c)
	}
	if u, err := m.RequestKey(ctx); err != nil || !u.Context || u.Same {
		t.Errorf("%+v, %v", u, err)
	}
	if x, err := m.ExchangeKeys(ctx, 3); err != nil || !x.Equal {
		t.Errorf("%+v, %v", x, err)
	}
	if c := s.last(); c["aud"] != nil || c["client_id"] != nil || c["scope"] != nil || c["key_context"] != "sealed" || c["key_purpose"] != "user_unlock" {
		t.Errorf("a key exchange claims %v", c)
	}
	before := m.st.Keys
	d, err := m.Rotate(ctx, RotateOptions{Signing: true, Encryption: true})
	if err != nil || d.Rotates.IsZero() || string(before.Signing) == string(m.st.Keys.Signing) || string(before.Encryption) == string(m.st.Keys.Encryption) {
		t.Fatalf("%+v, %v", d, err)
	}
	if st, err := m.Status(); err != nil || st.Rotating.IsZero() || st.User != testUser || !strings.Contains(st.StandIn, "stand-in") {
		t.Errorf("%+v, %v", st, err)
	}
	key := m.st.Person.Key
	if _, err := m.RotateUserKey(ctx); err != nil || string(key) == string(m.st.Person.Key) || m.st.Person.Tokens != nil {
		t.Fatal(err)
	}
	if _, err := m.Refresh(ctx); !errors.Is(err, idp.NotFound) {
		t.Errorf("a refresh without a login: %v", err)
	}
	if _, err := m.Login(ctx, LoginOptions{}); err != nil || !m.st.Rotating.IsZero() {
		t.Fatalf("%v, rotating %v", err, m.st.Rotating)
	}
	if err := m.RemoveUser(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Login(ctx, LoginOptions{}); !errors.Is(err, idp.NotFound) {
		t.Errorf("a login of nobody: %v", err)
	}
	if _, err := m.Remove(ctx, false); err != nil || m.st.Device != "" || m.st.Keys.Signing != nil {
		t.Errorf("%v, %+v", err, m.st)
	}
}

// What is asked of a Mac is asked in its forms.
func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		form  Form
		check func(header, claims map[string]any, q *Request) bool
	}{
		"plain": {Form{}, func(h, c map[string]any, q *Request) bool {
			_, number := c["iat"].(float64)
			return h["typ"] == "platformsso-login-request+jwt" && number && q.form.Has("assertion") && q.form.Get("platform_sso_version") == "1.0" && h["x5c"] == nil
		}},
		"old": {Form{Old: true, TextTime: true}, func(h, c map[string]any, q *Request) bool {
			_, text := c["exp"].(string)
			return h["typ"] == "JWT" && text && q.form.Has("request")
		}},
		"string": {Form{X5C: "string"}, func(h, c map[string]any, _ *Request) bool { _, ok := h["x5c"].(string); return ok }},
		"array":  {Form{X5C: "array"}, func(h, c map[string]any, _ *Request) bool { _, ok := h["x5c"].([]any); return ok }},
		"kid":    {Form{KeyID: "bare", Version: "1"}, func(h, c map[string]any, q *Request) bool { return !strings.HasSuffix(h["kid"].(string), "=") }},
		"url":    {Form{KeyID: "url"}, func(h, c map[string]any, q *Request) bool { return !strings.ContainsAny(h["kid"].(string), "+/=") }},
		"ahead": {Form{Skew: time.Minute}, func(h, c map[string]any, q *Request) bool {
			return c["iat"] == float64(testNow.Add(time.Minute).Unix()) && c["exp"] == float64(testNow.Add(6*time.Minute).Unix())
		}},
	} {
		s := newServer(t)
		m := standInOf(t, s, c.form)
		n, err := m.Nonce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		q, err := m.PrepareLogin(n, LoginOptions{Groups: []string{"Admins"}})
		if err != nil {
			t.Fatal(err)
		}
		msg := q.message()
		var header, claims, inner map[string]any
		for to, raw := range map[*map[string]any]json.RawMessage{&header: msg.Signed.Header, &claims: msg.Signed.Claims, &inner: msg.Inner.Claims} {
			if err := json.Unmarshal(raw, to); err != nil {
				t.Fatal(err)
			}
		}
		if !c.check(header, claims, q) {
			t.Errorf("%s: %s %s %v", name, msg.Signed.Header, msg.Signed.Claims, q.form)
		}
		for _, same := range []string{"nonce", "request_nonce", "scope", "sub"} {
			if inner[same] != claims[same] || inner[same] == "" {
				t.Errorf("%s: inside %s is %v, outside %v", name, same, inner[same], claims[same])
			}
		}
		if inner["iss"] != testUser || inner["aud"] != testAudience || claims["iss"] != claims["client_id"] || q.id != n.RequestID {
			t.Errorf("%s: %v in %v", name, inner, claims)
		}
		if plain, err := m.Send(t.Context(), q); err != nil || len(plain) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each thing that a Mac would refuse, alone.
func TestJudged(t *testing.T) {
	past, future := testNow.Add(-time.Second).Unix(), testNow.Add(time.Second).Unix()
	set := func(name string, v any) func(*server) {
		return func(s *server) { s.idClaims = func(c map[string]any) { c[name] = v } }
	}
	member := func(name string, v any) func(*server) {
		return func(s *server) { s.plain = func(c map[string]any) { c[name] = v } }
	}
	for name, c := range map[string]struct {
		bend func(*server)
		want string
	}{
		"other issuer":           {set("iss", testIssuer+"/"), "id_token_iss"},
		"other client":           {set("aud", "somebody"), "id_token_aud"},
		"list of others":         {set("aud", []string{"somebody"}), "id_token_aud"},
		"list without azp":       {set("aud", []string{"somebody", "29d3d277-acac-4c1e-aee4-49a3e30f46d1"}), "id_token_azp"},
		"other azp":              {set("azp", "somebody"), "id_token_azp"},
		"other nonce":            {set("nonce", "another"), "id_token_nonce"},
		"issued in the future":   {set("iat", future), "id_token_iat"},
		"over":                   {set("exp", past), "id_token_exp"},
		"not yet":                {set("nbf", future), "id_token_nbf"},
		"no name":                {set("name", ""), "id_token_names"},
		"no id":                  {set("oid", nil), "id_token_unique"},
		"groups no list":         {set("groups", "Admins"), "id_token_groups"},
		"group not asked":        {set("groups", []string{"Staff"}), "id_token_groups"},
		"key unknown":            {func(s *server) { s.idHeader = func(h map[string]any) { h["kid"] = "k2" } }, "id_token_key"},
		"signature":              {func(s *server) { s.plain = func(c map[string]any) { c["id_token"] = broken(c["id_token"].(string)) } }, "id_token_signature"},
		"no refresh token":       {member("refresh_token", ""), "reply_tokens"},
		"no id token":            {member("id_token", ""), "reply_tokens"},
		"digits in a string":     {member("refresh_token_expires_in", "1209600"), "reply_number"},
		"an hour":                {member("refresh_token_expires_in", 3600), "reply_lifetime"},
		"typ":                    {func(s *server) { s.envelope = func(a *jose.Agreement) { a.Type = "JWT" } }, "answer_typ"},
		"typ of the key service": {func(s *server) { s.envelope = func(a *jose.Agreement) { a.Type = "platformsso-key-response+jwt" } }, "answer_typ"},
		"apu":                    {func(s *server) { s.envelope = func(a *jose.Agreement) { a.APU = func(p []byte) []byte { return p } } }, "answer_apu"},
		"apv":                    {func(s *server) { s.envelope = func(a *jose.Agreement) { a.APV = []byte("another") } }, "answer_apv"},
		"apv, not told": {func(s *server) {
			s.envelope = func(a *jose.Agreement) { a.APV, a.Echo = []byte("another"), false }
		}, "answer_sealed"},
		"kid":        {func(s *server) { s.envelope = func(a *jose.Agreement) { a.KeyID = keyID(&s.key.PublicKey) } }, "answer_kid"},
		"other key":  {func(s *server) { s.envelope = func(a *jose.Agreement) { a.Recipient = &s.key.PublicKey } }, "answer_sealed"},
		"alg":        {func(s *server) { s.compact = inHeader("A256GCM", "A128GCM") }, "answer_alg"},
		"zip":        {func(s *server) { s.compact = inHeader(`"alg"`, `"zip":"DEF","alg"`) }, "answer_zip"},
		"short epk":  {func(s *server) { s.compact = inHeader(`"x":"`, `"x":"","z":"`) }, "answer_epk"},
		"four parts": {func(s *server) { s.compact = func(c string) string { return strings.Replace(c, "..", ".", 1) } }, "answer_form"},
		"wrapped key": {func(s *server) {
			s.compact = func(c string) string { return strings.Replace(c, "..", ".AAAA.", 1) }
		}, "answer_form"},
		"tag":          {func(s *server) { s.compact = swap(4, func(b []byte) []byte { b[0] ^= 1; return b }) }, "answer_sealed"},
		"content type": {func(s *server) { s.respond = func(h http.Header) { h.Set("Content-Type", "application/jwt") } }, "answer_type"},
		"cached":       {func(s *server) { s.respond = func(h http.Header) { h.Del("Cache-Control") } }, "answer_cached"},
		"nonce cached": {func(s *server) { s.nonce = func(h http.Header, _ map[string]any) { h.Del("Cache-Control") } }, "nonce_cached"},
		"nonce as HTML": {func(s *server) {
			s.nonce = func(h http.Header, _ map[string]any) { h.Set("Content-Type", "text/html") }
		}, "answer_type"},
		"no nonce": {func(s *server) { s.nonce = func(_ http.Header, a map[string]any) { delete(a, "Nonce") } }, "nonce_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			m := standInOf(t, s, Form{})
			if _, err := m.Login(t.Context(), LoginOptions{Groups: []string{"Admins"}}); err != nil {
				t.Fatalf("unbent: %v", err)
			}
			tokens := *m.st.Person.Tokens
			c.bend(s)
			_, err := m.Login(t.Context(), LoginOptions{Groups: []string{"Admins"}})
			if err == nil || idp.AsError(err).Reason != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if *m.st.Person.Tokens != tokens {
				t.Error("what was refused was kept")
			}
		})
	}
}

func broken(compact string) string {
	return swap(2, func(b []byte) []byte { b[0] ^= 1; return b })(compact)
}

// The key service's answers, each fault alone.
func TestUnlockJudged(t *testing.T) {
	member := func(name string, v any) func(*server) {
		return func(s *server) { s.plain = func(c map[string]any) { c[name] = v } }
	}
	cert := func(change func(*x509.Certificate)) func(*server) { return func(s *server) { s.cert = change } }
	for name, c := range map[string]struct {
		bend func(*server)
		want string
	}{
		"padded": {func(s *server) {
			s.plain = func(c map[string]any) { c["certificate"] = c["certificate"].(string) + "=" }
		}, "key_certificate"},
		"identifier":     {cert(func(c *x509.Certificate) { c.SubjectKeyId = []byte{1} }), "key_certificate"},
		"usage":          {cert(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "key_certificate"},
		"authority":      {cert(func(c *x509.Certificate) { c.IsCA = true }), "key_certificate"},
		"over":           {cert(func(c *x509.Certificate) { c.NotAfter = testNow.Add(-time.Second) }), "key_certificate"},
		"future":         {member("iat", testNow.Add(time.Second).Unix()), "key_iat"},
		"long":           {member("exp", testNow.Add(time.Hour).Unix()), "key_exp"},
		"typ of a login": {func(s *server) { s.envelope = func(a *jose.Agreement) { a.Type = "platformsso-login-response+jwt" } }, "answer_typ"},
		"type of a login": {func(s *server) {
			s.respond = func(h http.Header) { h.Set("Content-Type", "application/platformsso-login-response+jwt") }
		}, "answer_type"},
	} {
		s := newServer(t)
		m := standInOf(t, s, Form{})
		if _, err := m.Login(t.Context(), LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		c.bend(s)
		if _, err := m.RequestKey(t.Context()); err == nil || idp.AsError(err).Reason != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	for name, key := range map[string]string{"other": base64.StdEncoding.EncodeToString(make([]byte, 32)), "short": base64.StdEncoding.EncodeToString(make([]byte, 31)), "unpadded": raw64(make([]byte, 32))} {
		s := newServer(t)
		m := standInOf(t, s, Form{})
		if _, err := m.Login(t.Context(), LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.RequestKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.plain = func(c map[string]any) { c["key"] = key }
		if _, err := m.ExchangeKeys(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "key_secret") {
			t.Errorf("a secret that is %s: %v", name, err)
		}
	}
}

// A registration that is not of the keys that were sent is none.
func TestRegistrationJudged(t *testing.T) {
	for _, name := range []string{"key_id", "encryption_key_id", "device_id", "configuration"} {
		s := newServer(t)
		s.device200 = func(a map[string]any) { delete(a, name) }
		m, err := New(Config{Folder: t.TempDir() + "/mac", Now: func() time.Time { return testNow }})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Configure(t.Context(), s.URL, "8d1c", nil); err != nil {
			t.Fatal(err)
		}
		if d, err := m.Register(t.Context(), RegisterOptions{Name: "one", AccessToken: "at"}); err == nil {
			t.Errorf("without %s: %+v", name, d)
		}
	}
}

// An answer that was lost is asked for again with the same keys.
func TestSameKeysAgain(t *testing.T) {
	s := newServer(t)
	m := standInOf(t, s, Form{})
	if _, err := m.Login(t.Context(), LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	s.device200 = func(a map[string]any) { clear(a) }
	if _, err := m.Rotate(t.Context(), RotateOptions{Signing: true, Encryption: true}); err == nil {
		t.Fatal("an empty answer is taken")
	}
	sent := *m.st.Next
	s.device200 = nil
	if _, err := m.Rotate(t.Context(), RotateOptions{Signing: true, Encryption: true}); err != nil || string(m.st.Keys.Signing) != string(sent.Signing) || m.st.Next != nil {
		t.Errorf("other keys, or %v", err)
	}
}

// What the server refuses is told apart as macOS does.
func TestRefused(t *testing.T) {
	for status, kind := range map[int]idp.Kind{400: idp.Invalid, 401: idp.Unproven, 403: idp.Denied, 429: idp.Limited, 503: idp.Unavailable} {
		s := newServer(t)
		m := standInOf(t, s, Form{})
		s.refusal = func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			w.Write([]byte(`{"error":"invalid_grant","suberror":"nonce","error_description":"No."}`))
			return true
		}
		_, err := m.Login(t.Context(), LoginOptions{})
		said := AsRefusal(err)
		if !errors.Is(err, kind) || said.Status != status || said.Word != "invalid_grant" || said.Suberror != "nonce" || !said.JSON || said.Wait != 7*time.Second {
			t.Errorf("%d: %v, %+v", status, err, said)
		}
	}
}

func TestFolder(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Folder: open}); idp.AsError(err).Reason != "state_open" {
		t.Errorf("a folder that is open: %v", err)
	}
	own := filepath.Join(t.TempDir(), "own")
	m, err := New(Config{Folder: own})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(own); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := New(Config{Folder: own}); idp.AsError(err).Reason != "state_busy" {
		t.Errorf("a folder in use: %v", err)
	}
	m.Close()
	s := newServer(t)
	m = standInOf(t, s, Form{})
	m.Close()
	if info, err := os.Stat(m.store.path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	again, err := New(Config{Folder: m.store.folder, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Login(t.Context(), LoginOptions{}); err != nil {
		t.Errorf("opened again: %v", err)
	}
}
