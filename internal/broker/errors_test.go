package broker_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// Each row of device-protocol.md §3.2 that a request for a PRT can meet: refused
// for that reason alone, in the same world in which the good one is answered.
func TestRefusedRequests(t *testing.T) {
	w := lite(t)
	m, k := w.join(0), helloKey(0)
	w.enrol(m, w.ada, k)
	stranger := w.join(1)
	hello := func(change object) string {
		n := w.nonce()
		p := byHello(n, k.Assertion(w.ada.Name, n, w.clock.now()))
		for name, v := range change {
			if v == nil {
				delete(p, name)
			} else {
				p[name] = v
			}
		}
		return m.sign(p)
	}
	good := func() string { return hello(nil) }
	header := func(change object) string {
		h := m.header()
		for name, v := range change {
			if v == nil {
				delete(h, name)
			} else {
				h[name] = v
			}
		}
		n := w.nonce()
		return sign(m.key, h, byHello(n, k.Assertion(w.ada.Name, n, w.clock.now())))
	}
	late := w.nonce()
	w.advance(nonceLives + time.Second)
	foreign := w.nonceAt(t, string(w.other.ID))
	flow, err := w.box.Seal(t.Context(), w.tenant.ID, "flow", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	registrations, err := w.box.Seal(t.Context(), w.tenant.ID, nonce.RegistrationNonce, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	inner := func(header object, payload any) []byte {
		return []byte(signParts(m.key, encode(header), encode(payload)))
	}
	prtOf := m.receive(t, w.send(good()))
	for name, c := range map[string]struct {
		request string
		form    []string
		word    string
		code    int
		sub     string
	}{
		"no request":               {"", nil, "invalid_request", 900144, ""},
		"no JWT":                   {"abc", nil, "invalid_request", 50027, ""},
		"two parts":                {strings.Join(strings.Split(good(), ".")[:2], "."), nil, "invalid_request", 50027, ""},
		"other protocol":           {good(), []string{"windows_api_version", "1.0"}, "invalid_request", 9002313, ""},
		"no protocol":              {good(), []string{"windows_api_version", ""}, "invalid_request", 9002313, ""},
		"unknown protocol":         {good(), []string{"windows_api_version", "", "prt_protocol_version", "5.0"}, "invalid_request", 9002313, ""},
		"malformed claims":         {good(), []string{"claims", "{"}, "invalid_request", 9002313, ""},
		"no nonce":                 {hello(object{"request_nonce": nil}), nil, "invalid_request", 140000, ""},
		"nonce of nobody":          {hello(object{"request_nonce": "abc"}), nil, "invalid_grant", 140000, "bad_token"},
		"late nonce":               {hello(object{"request_nonce": late}), nil, "invalid_grant", 140000, "bad_token"},
		"nonce of another tenant":  {hello(object{"request_nonce": foreign}), nil, "invalid_grant", 140000, "bad_token"},
		"value of another purpose": {hello(object{"request_nonce": flow}), nil, "invalid_grant", 140000, "bad_token"},
		"nonce of registrations":   {hello(object{"request_nonce": registrations}), nil, "invalid_grant", 140000, "bad_token"},
		"inner without nonce": {m.sign(byHello(w.nonce(), k.Sign(k.Header(), object{
			"iss": w.ada.Name, "aud": "common", "exp": w.clock.now().Add(time.Minute).Unix(),
		}))), nil, "invalid_request", 140000, ""},
		"late inner nonce":      {m.sign(byHello(w.nonce(), k.Assertion(w.ada.Name, late, w.clock.now()))), nil, "invalid_grant", 140000, "bad_token"},
		"no certificate":        {header(object{"x5c": nil}), nil, "invalid_grant", 50155, "device_authentication_failed"},
		"certificate of nobody": {header(object{"x5c": base64.StdEncoding.EncodeToString([]byte("abc"))}), nil, "invalid_grant", 50155, "device_authentication_failed"},
		"another device's certificate": {header(object{"x5c": base64.StdEncoding.EncodeToString(stranger.cert)}), nil,
			"invalid_grant", 50006, "bad_token"},
		"kdf of nobody":    {header(object{"kdf_ver": 3}), nil, "invalid_grant", 5000611, "bad_token"},
		"algorithm none":   {header(object{"alg": "none"}), nil, "invalid_request", 50027, ""},
		"another alg":      {header(object{"alg": "PS256"}), nil, "invalid_request", 50027, ""},
		"critical header":  {header(object{"crit": []string{"exp"}}), nil, "invalid_request", 50027, ""},
		"key in header":    {header(object{"jwk": object{"kty": "RSA"}}), nil, "invalid_request", 50027, ""},
		"over":             {hello(object{"exp": w.clock.now().Add(-2 * time.Minute).Unix()}), nil, "invalid_grant", 50027, "bad_token"},
		"not yet":          {hello(object{"nbf": w.clock.now().Add(2 * time.Minute).Unix()}), nil, "invalid_grant", 50027, "bad_token"},
		"no aza":           {hello(object{"scope": "openid ugs"}), nil, "invalid_scope", 70011, ""},
		"no openid":        {hello(object{"scope": "aza"}), nil, "invalid_scope", 70011, ""},
		"unknown client":   {hello(object{"client_id": "d7b530a4-7680-4c23-a8bf-c52c121d2e88"}), nil, "unauthorized_client", 700016, ""},
		"password":         {hello(object{"grant_type": "password", "username": w.ada.Name, "password": "x"}), nil, "invalid_grant", 50126, ""},
		"SAML":             {hello(object{"grant_type": "urn:ietf:params:oauth:grant-type:saml1_1-bearer"}), nil, "unsupported_grant_type", 70003, ""},
		"device alone":     {hello(object{"grant_type": "device_token", "resource": "https://graph.windows.net"}), nil, "invalid_grant", 221000, ""},
		"P2P certificate":  {hello(object{"grant_type": "device_auth", "cert_token_use": "device_cert"}), nil, "unsupported_grant_type", 70003, ""},
		"user certificate": {hello(object{"assertion": sign(m.key, object{"alg": "RS256", "x5c": base64.StdEncoding.EncodeToString(m.cert)}, object{"request_nonce": w.nonce()})}), nil, "invalid_grant", 130500, ""},
		"no grant":         {hello(object{"grant_type": nil}), nil, "unsupported_grant_type", 70003, ""},
		"no assertion":     {hello(object{"assertion": nil}), nil, "invalid_request", 900144, ""},
		"no passkey":       {hello(object{"grant_type": "urn:ietf:params:oauth:grant-type:webauthn", "assertion": nil}), nil, "invalid_request", 900144, ""},
		"inner no JWT":     {m.sign(byHello(w.nonce(), []byte("abc"))), nil, "invalid_request", 50027, ""},
		"inner alg none":   {m.sign(byHello(w.nonce(), inner(object{"alg": "none"}, object{"request_nonce": w.nonce()}))), nil, "invalid_request", 50027, ""},
		"inner no object":  {m.sign(byHello(w.nonce(), inner(object{"alg": "RS256"}, []string{w.nonce()}))), nil, "invalid_request", 50027, ""},
		"no refresh token": {hello(object{"grant_type": "refresh_token", "assertion": nil}), nil, "invalid_request", 900144, ""},
		"refresh token of nobody": {hello(object{"grant_type": "refresh_token", "refresh_token": "abc"}), nil,
			"invalid_grant", 70000, "bad_token"},
		"PRT as refresh token": {hello(object{"grant_type": "refresh_token", "refresh_token": prtOf.value}), nil, "invalid_grant", 70000, "bad_token"},
		"unknown person":       {m.sign(byHello(w.nonce(), k.Assertion("nobody@nordhafen.example", w.nonce(), w.clock.now()))), nil, "invalid_grant", 130005, "bad_token"},
		"unknown key":          {m.sign(byHello(w.nonce(), helloKey(7).Assertion(w.ada.Name, w.nonce(), w.clock.now()))), nil, "invalid_grant", 130005, "bad_token"},
	} {
		w.send(c.request, c.form...).refused(t, name, c.word, c.code, c.sub)
	}
	m.receive(t, w.send(good()))
}

const nonceLives = 5 * time.Minute

// What a request for a PRT meets when something else has changed.
func TestRefusedByState(t *testing.T) {
	w := lite(t)
	m, k, _ := w.enrolled(0, w.ada)
	hello := func() answer {
		n := w.nonce()
		return w.send(m.sign(byHello(n, k.Assertion(w.ada.Name, n, w.clock.now()))))
	}
	refresh := func(change ...func(*token.Subject)) answer {
		return w.send(m.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker, change...))))
	}
	m.receive(t, hello())
	w.switchOn(m, false)
	hello().refused(t, "device disabled", "invalid_grant", 135011, "device_authentication_failed")
	w.switchOn(m, true)

	w.enable(w.ada, false)
	hello().refused(t, "person disabled", "invalid_grant", 50057, "")
	w.enable(w.ada, true)

	w.policy(func(p *policy.Policy) { p.Switch(policy.Hello, false) })
	if a := hello(); a.status != http.StatusBadRequest || a.json(t)["error"] != "invalid_grant" {
		t.Errorf("method off: %d %s", a.status, a.body)
	}
	w.policy(func(p *policy.Policy) { p.Switch(policy.Hello, true) })

	w.policy(func(p *policy.Policy) { p.Devices.On = false })
	hello().refused(t, "devices off", "unsupported_grant_type", 70003, "")
	w.policy(func(p *policy.Policy) { p.Devices.On = true })
	m.receive(t, hello())

	bare := w.joinWith(w.tenant.ID, w.ada.ID, rsaKey(8), nil)
	w.send(bare.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker)))).refused(t, "no transport key", "invalid_grant", 130006, "")
	curve := w.joinWith(w.tenant.ID, w.ada.ID, rsaKey(9), ecKey())
	w.send(curve.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker)))).refused(t, "P-256 key for a session key", "invalid_grant", 5001210, "")
	w.send(m.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker))), "windows_api_version", "", "prt_protocol_version", "4.0").
		refused(t, "RSA key for a whole answer", "invalid_grant", 5001210, "")

	refresh(func(s *token.Subject) { s.Code = token.ByDeviceCode }).refused(t, "device code", "invalid_grant", 53003, "message_only")
	refresh(func(s *token.Subject) { s.Code, s.Until = token.ByAccessPass, w.clock.now().Add(time.Hour) }).refused(t, "access pass", "invalid_grant", 70008, "token_expired")
	refresh(func(s *token.Subject) { s.Basis = nil }).refused(t, "nothing proven", "invalid_grant", 50058, "")
	registered := w.app(nil)
	w.send(m.sign(byRefresh(w.nonce(), w.signIn(w.ada, registered.ID)))).refused(t, "token of another application", "invalid_grant", 70000, "bad_token")

	other := w.join(3)
	bound := w.signIn(w.ada, client.Broker)
	m.receive(t, w.send(m.sign(byRefresh(w.nonce(), bound))))
	w.send(other.sign(byRefresh(w.nonce(), bound))).refused(t, "token of another device", "invalid_grant", 70000, "bad_token")
	w.advance(token.UnboundLives)
	m.receive(t, w.send(m.sign(byRefresh(w.nonce(), bound)))) // as long as its PRT
	old := w.signIn(w.ada, client.Broker)
	w.advance(token.UnboundLives)
	w.send(m.sign(byRefresh(w.nonce(), old))).refused(t, "token that nobody bound", "invalid_grant", 70008, "token_expired")

	w.policyOf(w.other.ID, func(p *policy.Policy) { p.Devices.On = true })
	w.post("/"+string(w.other.ID)+"/oauth2/token", form(m.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker))))).
		refused(t, "address of another tenant", "invalid_grant", 50155, "device_authentication_failed")
	w.post("/nowhere.example/oauth2/token", form(m.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker))))).
		refused(t, "address of no tenant", "invalid_request", 90002, "")
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, m.Tenant, m.ID) })
	hello().refused(t, "device removed", "invalid_grant", 50155, "device_authentication_failed")
}

// A form that is no message of a device is what it was before.
func TestOtherGrants(t *testing.T) {
	w := lite(t)
	for name, v := range map[string]url.Values{
		"password":            {"grant_type": {"password"}, "username": {"a"}, "password": {"b"}},
		"assertion":           {"grant_type": {jwtBearer}, "assertion": {"abc"}},
		"device with no word": {"grant_type": {"urn:ietf:params:oauth:grant-type:webauthn"}, "request": {"abc"}},
	} {
		w.post(w.at("/oauth2/token"), v).refused(t, name, "unsupported_grant_type", 70003, "")
	}
}

// The uses of a PRT that are refused, each for its reason alone.
func TestRefusedUses(t *testing.T) {
	w := lite(t)
	m, k, h := w.enrolled(0, w.ada)
	_, _, other := w.enrolled(1, w.bob)
	late := w.nonce()
	w.advance(nonceLives + time.Second)
	foreign := w.nonceAt(t, string(w.other.ID))
	registrations, err := w.box.Seal(t.Context(), w.tenant.ID, nonce.RegistrationNonce, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.open(t, w.use(h, nil))
	use := func(more object) string { return h.sign(using(h.value, w.nonce(), more)) }
	confidential := w.app(func(c *client.Client) { c.Auth, c.Kind = client.AuthSecret, client.Web })
	third := w.app(func(c *client.Client) { c.FirstParty = false })
	for name, c := range map[string]struct {
		request string
		word    string
		code    int
		sub     string
	}{
		"no token":                {use(object{"refresh_token": nil}), "invalid_request", 900144, ""},
		"token of nobody":         {use(object{"refresh_token": "1.AAAA"}), "invalid_grant", 70000, "bad_token"},
		"token bent":              {use(object{"refresh_token": h.value[:len(h.value)-4] + "AAAA"}), "invalid_grant", 70000, "bad_token"},
		"session key of another":  {other.sign(using(h.value, w.nonce(), nil)), "invalid_grant", 140001, "bad_token"},
		"no nonce":                {use(object{"request_nonce": nil}), "invalid_request", 140000, ""},
		"late nonce":              {use(object{"request_nonce": late}), "invalid_grant", 140000, "bad_token"},
		"nonce of another tenant": {use(object{"request_nonce": foreign}), "invalid_grant", 140000, "bad_token"},
		"nonce of registrations":  {use(object{"request_nonce": registrations}), "invalid_grant", 140000, "bad_token"},
		"version 1":               {derived(h.key, 1, using(h.value, w.nonce(), nil)), "invalid_grant", 5000611, "bad_token"},
		"over":                    {use(object{"exp": w.clock.now().Add(-time.Hour).Unix()}), "invalid_grant", 50027, "bad_token"},
		"unknown client":          {use(object{"client_id": "nobody"}), "invalid_client", 700016, ""},
		"client with a secret":    {use(object{"client_id": string(confidential.ID), "resource": nil}), "unauthorized_client", 7000218, ""},
		"unknown resource":        {use(object{"resource": "https://evil.example"}), "invalid_scope", 70011, ""},
		"two resources":           {use(object{"scope": "https://graph.windows.net/.default"}), "invalid_target", 500011, ""},
		"other redirect":          {use(object{"redirect_uri": "https://evil.example"}), "invalid_request", 50011, ""},
		"no consent":              {use(object{"client_id": string(third.ID), "resource": nil, "scope": "openid"}), "invalid_grant", 65001, "consent_required"},
		"renewal for an app":      {use(object{"scope": "openid aza", "client_id": string(third.ID)}), "unauthorized_client", 700016, ""},
		"renewal without openid":  {use(object{"scope": "aza"}), "invalid_scope", 70011, ""},
	} {
		w.send(c.request).refused(t, name, c.word, c.code, c.sub)
	}
	w.post("/"+string(w.other.ID)+"/oauth2/token", form(use(nil))).refused(t, "address of another tenant", "invalid_grant", 70000, "bad_token")
	h.open(t, w.use(h, nil))

	// A resource that wants newer proofs, or an application a strength that
	// this PRT does not have (decisions 3.4; POL01).
	challenge := `{"access_token":{"nbf":{"essential":true,"value":"` + text(w.clock.now().Unix()) + `"}}}`
	a := w.send(use(nil), "claims", challenge)
	a.refused(t, "older than the challenge", "invalid_grant", 70043, "token_expired")
	if a.json(t)["claims"] != challenge {
		t.Errorf("claims %v", a.json(t)["claims"])
	}
	a = w.post(w.at("/oauth2/v2.0/token"), form(use(nil), "claims", challenge))
	a.refused(t, "on v2", "interaction_required", 70043, "token_expired")
	strict := w.app(func(c *client.Client) { c.ACR = policy.ACRHardwareBound })
	a = w.post(w.at("/oauth2/v2.0/token"), form(use(object{"client_id": string(strict.ID), "resource": nil})))
	a.refused(t, "strength", "interaction_required", 50074, "basic_action")
	if c, _ := a.json(t)["claims"].(string); !strings.Contains(c, policy.ACRHardwareBound) {
		t.Errorf("claims %q", c)
	}
	got := h.open(t, w.send(use(nil), "claims", `{"access_token":{"xms_cc":{"values":["CP1"]}}}`))
	if cc := claimsOf(t, got["access_token"])["xms_cc"]; cc == nil {
		t.Error("capabilities are not echoed")
	}

	w.enable(w.ada, false)
	w.use(h, nil).refused(t, "person disabled", "invalid_grant", 50057, "")
	w.enable(w.ada, true)
	w.policy(func(p *policy.Policy) { p.Switch(policy.Hello, false) })
	if a := w.use(h, nil); a.status != http.StatusBadRequest {
		t.Errorf("a PRT outlives its method: %d %s", a.status, a.body)
	}
	w.policy(func(p *policy.Policy) { p.Switch(policy.Hello, true) })
	h.open(t, w.use(h, nil))
	w.advance(14*24*time.Hour + time.Minute)
	w.use(h, nil).refused(t, "rested too long", "invalid_grant", 700082, "token_expired")

	h = w.hello1(m, w.ada, k)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.prts.RevokeUser(ctx, tx, w.tenant.ID, w.ada.ID)
	})
	w.use(h, nil).refused(t, "revoked", "invalid_grant", 50173, "bad_token")
}

// app registers a public application.
func (w *world) app(change func(*client.Client)) (out client.Client) {
	w.t.Helper()
	c := client.Client{
		Tenant: w.tenant.ID, Name: "Wiki " + nonceName(), Kind: client.Native, RedirectURIs: []string{"https://wiki.example/cb"},
		Grants: []string{client.GrantCode, client.GrantRefresh}, Auth: client.AuthNone, Alg: "ES256", Subject: "public",
		FirstParty: true, Enabled: true, Scopes: []string{"notes.read"},
	}
	if change != nil {
		change(&c)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		out, _, err = w.clients.Create(ctx, tx, c)
		return err
	})
	return out
}
