package broker_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
)

// The known answers of device-protocol.md §8.2: what we sign with is what
// others do.
func TestKnownAnswers(t *testing.T) {
	key, ctx := make([]byte, 32), make([]byte, 24)
	for n := range key {
		key[n] = byte(n)
	}
	for n := range ctx {
		ctx[n] = byte(0x40 + n)
	}
	payload := b64.EncodeToString([]byte(`{"scope":"openid aza","request_nonce":"n-1"}`))
	for version, c := range map[int]struct{ header, want string }{
		2: {"eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIiwia2RmX3ZlciI6Mn0",
			"eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIiwia2RmX3ZlciI6Mn0.eyJzY29wZSI6Im9wZW5pZCBhemEiLCJyZXF1ZXN0X25vbmNlIjoibi0xIn0.1SQXciR7QuXUYSLygropXOLdaDiPBQAcKPeUe2pdo3k"},
		1: {"eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIn0",
			"eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIn0.eyJzY29wZSI6Im9wZW5pZCBhemEiLCJyZXF1ZXN0X25vbmNlIjoibi0xIn0.tsEgrsKfulPh4gJYG_yRahwR-U7OQWYsH3KlwNiiVS0"},
	} {
		if got := derivedWith(key, version, ctx, c.header, payload); got != c.want {
			t.Errorf("version %d:\n%s\n%s", version, got, c.want)
		}
	}
}

// A second, deliberately different client, written from the specification:
// text for numbers, x5c as one text, the other alphabet of base64, odd case.
func TestOddClient(t *testing.T) {
	w := lite(t)
	m, k := w.join(0), helloKey(0)
	w.enrol(m, w.ada, k)
	odd := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(raw) // padded, with + and /
	}
	header := object{"ALG": "RS256", "Typ": "jwt", "x5c": base64.RawStdEncoding.EncodeToString(m.cert), "kdf_ver": "2", "kid": "0badc0de"}
	inner := func(n string) string {
		now := w.clock.now()
		return string(k.Sign(k.Header(), object{
			"iss": strings.ToUpper(w.ada.Name), "aud": string(w.tenant.ID), "request_nonce": n, "scope": "openid",
			"iat": text(now.Add(-time.Hour).Unix()), "exp": text(now.Add(time.Hour).Unix() - 60),
		}))
	}
	n := w.nonceAt(t, "Common")
	p := outer(n, object{
		"Grant_Type": jwtBearer, "assertion": inner(w.nonce()), "exp": text(w.clock.now().Add(time.Hour).Unix()),
		"win_ver": "10.0.19041.868", "unknown": []any{object{"a": 1}}, "filler": strings.Repeat("?>~", 3),
	})
	request := signParts(m.key, odd(header), odd(p))
	// Without a content type, and without encoding but for what breaks a form.
	body := "windows_api_version=2.0&client_info=1&unknown=x&grant_type=" + jwtBearer + "&request=" + strings.ReplaceAll(request, "+", "%2B")
	r := httptest.NewRequest("POST", base+"/Common//oAuth2/token", strings.NewReader(body))
	h := m.receive(t, w.do(r))

	ctx := secret.Bytes(33)
	head := odd(object{"alg": "HS256", "ctx": b64.EncodeToString(ctx), "kdf_ver": 2, "typ": "JWT", "kid": "x"})
	use := using(h.value, w.nonce(), object{"iat": text(w.clock.now().Unix()), "exp": text(w.clock.now().Add(time.Minute).Unix())})
	h.open(t, w.send(derivedWith(h.key, 2, ctx, head, odd(use))))

	// What is lenient has ends: a member that is there twice is not one.
	twice := base64.RawURLEncoding.EncodeToString([]byte(`{"request_nonce":"` + w.nonce() + `","Request_Nonce":"` + w.nonce() + `"}`))
	w.send(signParts(m.key, encode(m.header()), twice)).refused(t, "a member twice", "invalid_request", 50027, "")
}

// A PRT by an assertion of a passkey: our extension (device-protocol.md §7.2).
func TestPasskeyPRT(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.join(0)
		key := w.register(w.ada, rpID, base)
		ask := func(challenge, nonce string, whole bool) answer {
			t.Helper()
			options, err := json.Marshal(object{"challenge": b64.EncodeToString([]byte(challenge)), "rpId": key.RPID, "userVerification": "required"})
			if err != nil {
				t.Fatal(err)
			}
			credential, err := key.Get(options)
			if err != nil {
				t.Fatal(err)
			}
			p := outer(nonce, object{"grant_type": "urn:ietf:params:oauth:grant-type:webauthn", "assertion": b64.EncodeToString(credential), "client_id": string(client.Agent)})
			if whole {
				p["assertion"] = json.RawMessage(credential)
			}
			return w.send(m.sign(p), "windows_api_version", "", "prt_protocol_version", "3.0")
		}
		n := w.nonce()
		h := m.receive(t, ask(n, n, false))
		n = w.nonce()
		m.receive(t, ask(n, n, true))
		access := claimsOf(t, h.open(t, w.use(h, object{"resource": nil, "client_id": string(client.Broker)}))["access_token"])
		if access["deviceid"] != string(m.ID) || access["acr"] != "phr" {
			t.Errorf("access token %v", access)
		}
		// Protocol 3.0 means version 2, whatever its header said.
		w.policy(func(p *policy.Policy) { p.Devices.Compat.KDFv1 = true })
		derivedOld := derived(h.key, 1, using(h.value, w.nonce(), nil))
		w.send(derivedOld, "windows_api_version", "", "prt_protocol_version", "3.0").refused(t, "version 1", "invalid_grant", 5000611, "bad_token")

		ask(w.nonce(), w.nonce(), false).refused(t, "another challenge", "invalid_grant", 130005, "bad_token")
		key.Flags &^= 0x04
		n = w.nonce()
		if a := ask(n, n, false); a.status != http.StatusBadRequest {
			t.Errorf("without the person verified: %d %s", a.status, a.body)
		}
	})
}

// TestSec_WAN02_CompatRPID: an assertion for another RP ID than ours is refused,
// unless the tenant has switched on that one, and then only with its own origin
// and in a message of a device.
func TestSec_WAN02_CompatRPID(t *testing.T) {
	w := lite(t)
	m := w.join(0)
	const desktop = "login.desktop.example"
	key := w.register(w.ada, desktop, "https://"+desktop)
	ask := func() answer {
		t.Helper()
		n := w.nonce()
		options, err := json.Marshal(object{"challenge": b64.EncodeToString([]byte(n)), "rpId": key.RPID})
		if err != nil {
			t.Fatal(err)
		}
		credential, err := key.Get(options)
		if err != nil {
			t.Fatal(err)
		}
		return w.send(m.sign(outer(n, object{"grant_type": "urn:ietf:params:oauth:grant-type:webauthn", "assertion": string(credential)})))
	}
	ask().refused(t, "off", "invalid_grant", 130005, "bad_token")
	w.policy(func(p *policy.Policy) { p.Devices.Compat.ExtraRelyingPartyID = "login.other.example" })
	ask().refused(t, "another one", "invalid_grant", 130005, "bad_token")
	w.policy(func(p *policy.Policy) { p.Devices.Compat.ExtraRelyingPartyID = desktop })
	m.receive(t, ask())
	key.Origin = base
	ask().refused(t, "its RP ID from our origin", "invalid_grant", 130005, "bad_token")
	key.RPID, key.Origin = rpID, "https://"+desktop
	ask().refused(t, "our RP ID from its origin", "invalid_grant", 130005, "bad_token")
	key.Origin = base
	m.receive(t, ask())
}

// Protocol 4.0: no session key, each use is signed by the device, each answer
// encrypted to it (device-protocol.md §7.3).
func TestProtocol4(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		stk := ecKey()
		m := w.joinWith(w.tenant.ID, w.ada.ID, ecKey(), stk)
		other := w.joinWith(w.tenant.ID, w.ada.ID, ecKey(), ecKey())
		apv := secret.Bytes(40)
		crypto := object{"apv": b64.EncodeToString(apv), "alg": "ECDH-ES", "enc": "A256GCM"}
		v4 := []string{"windows_api_version", "", "prt_protocol_version", "4.0"}
		send := func(m *machine, p object) answer { return w.post("/common/oauth2/v2.0/token", form(m.sign(p), v4...)) }
		p := byRefresh(w.nonce(), w.signIn(w.ada, client.Broker))
		p["jwe_crypto"] = crypto
		a := send(m, p)
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		out := openAgreed(t, stk, apv, a.body)
		if out["session_key_jwe"] != nil || out["id_token"] == nil || out["refresh_token"] == nil {
			t.Errorf("answer %v", out)
		}
		value := out["refresh_token"].(string)
		use := func(m *machine, more object) answer {
			p := using(value, w.nonce(), object{"purpose": "prt_usage", "jwe_crypto": crypto, "resource": nil, "scope": "https://graph.microsoft.com/.default"})
			for k, v := range more {
				p[k] = v
			}
			return send(m, p)
		}
		got := openAgreed(t, stk, apv, use(m, nil).body)
		if got["expires_in"] != float64(3600) || claimsOf(t, got["access_token"])["deviceid"] != string(m.ID) {
			t.Errorf("use %v", got)
		}
		next := openAgreed(t, stk, apv, use(m, object{"scope": "openid aza"}).body)
		if next["refresh_token"] == nil || next["refresh_token"] == value || next["session_key_jwe"] != nil {
			t.Errorf("renewal %v", next)
		}
		use(other, nil).refused(t, "another device", "invalid_grant", 140001, "bad_token")
		use(m, object{"refresh_token": "1.AAAA"}).refused(t, "token of nobody", "invalid_grant", 70000, "bad_token")
		use(m, object{"jwe_crypto": object{"apv": "!"}}).refused(t, "malformed apv", "invalid_request", 9002313, "")
		// Nothing but the device's key signs for it, and it is no PRT of 2.x.
		w.send(derived(secret.Bytes(32), 2, using(value, w.nonce(), nil))).refused(t, "a derived key", "invalid_grant", 140001, "bad_token")
		classic := w.join(1)
		w.enrol(classic, w.ada, helloKey(1))
		h := w.hello1(classic, w.ada, helloKey(1))
		stolen := using(h.value, w.nonce(), object{"purpose": "prt_usage", "jwe_crypto": crypto})
		send(m, stolen).refused(t, "a PRT that has a session key", "invalid_grant", 140001, "bad_token")
	})
}
