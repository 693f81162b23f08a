package broker_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/secret"
)

// This file is a client of the device protocols, written from the
// specification: device-protocol.md §7 to §9.

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

type object = map[string]any

var b64 = base64.RawURLEncoding

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b64.EncodeToString(raw)
}

// sign makes a compact message under a private key.
func sign(key crypto.Signer, header, payload object) string {
	return signParts(key, encode(header), encode(payload))
}

func signParts(key crypto.Signer, header, payload string) string {
	input := header + "." + payload
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, sum[:])
		sig, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), e
	}
	if err != nil {
		panic(err)
	}
	return input + "." + b64.EncodeToString(sig)
}

// header is that of a message that the device signs.
func (m *machine) header() object {
	alg := "RS256"
	if _, ok := m.key.(*ecdsa.PrivateKey); ok {
		alg = "ES256"
	}
	return object{"alg": alg, "typ": "JWT", "x5c": []string{base64.StdEncoding.EncodeToString(m.cert)}, "kdf_ver": 2}
}

func (m *machine) sign(payload object) string { return sign(m.key, m.header(), payload) }

// outer is the payload of a request for a PRT, but for the user's part.
func outer(nonce string, more object) object {
	p := object{"client_id": string(client.BrokerInPRT), "request_nonce": nonce, "scope": "openid aza ugs", "win_ver": nil, "group_sids": []string{}}
	for k, v := range more {
		if v == nil {
			delete(p, k)
		} else {
			p[k] = v
		}
	}
	return p
}

func byHello(nonce string, assertion []byte) object {
	return outer(nonce, object{"grant_type": jwtBearer, "assertion": string(assertion)})
}

func byRefresh(nonce, refresh string) object {
	return outer(nonce, object{"grant_type": "refresh_token", "refresh_token": refresh})
}

// form is the request around a signed message.
func form(request string, more ...string) url.Values {
	v := url.Values{"windows_api_version": {"2.2"}, "grant_type": {jwtBearer}, "request": {request}, "client_info": {"1"}}
	for n := 0; n < len(more); n += 2 {
		if more[n+1] == "" {
			v.Del(more[n])
		} else {
			v.Set(more[n], more[n+1])
		}
	}
	return v
}

func (w *world) send(request string, more ...string) answer {
	w.t.Helper()
	return w.post(w.at("/oauth2/token"), form(request, more...))
}

// held is a PRT in the hands of its device.
type held struct {
	value string
	key   []byte // the session key; nil for protocol 4.0
	at    *machine
}

// receive opens the answer to a request for a PRT.
func (m *machine) receive(t testing.TB, a answer) held {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("no PRT: %d %s", a.status, a.body)
	}
	out := a.json(t)
	key, err := jose.OpenSessionKey(out["session_key_jwe"].(string), jose.UnwrapWith(m.transport.(crypto.Decrypter)))
	if err != nil {
		t.Fatalf("session key: %v", err)
	}
	return held{value: out["refresh_token"].(string), key: key, at: m}
}

// enrolled is a device with a Hello key of the person, and a PRT by it.
func (w *world) enrolled(n int, u idp.User) (*machine, *hellotest.Key, held) {
	w.t.Helper()
	m, k := w.join(n), helloKey(n)
	w.enrol(m, u, k)
	return m, k, w.hello1(m, u, k)
}

// hello1 gets a PRT by a Hello assertion.
func (w *world) hello1(m *machine, u idp.User, k *hellotest.Key) held {
	w.t.Helper()
	return m.receive(w.t, w.send(m.sign(byHello(w.nonce(), k.Assertion(u.Name, w.nonce(), w.clock.now())))))
}

// using is the payload of a use of the PRT.
func using(prt, nonce string, more object) object {
	p := object{
		"client_id": string(client.Broker), "refresh_token": prt, "request_nonce": nonce, "grant_type": "refresh_token",
		"scope": "openid", "resource": "https://graph.microsoft.com", "iss": "aad:brokerplugin", "aud": "login.microsoftonline.com",
	}
	for k, v := range more {
		if v == nil {
			delete(p, k)
		} else {
			p[k] = v
		}
	}
	return p
}

// derived signs a message with a key derived from the session key.
func derived(session []byte, version int, payload object) string {
	ctx := secret.Bytes(24)
	header := object{"alg": "HS256", "ctx": base64.StdEncoding.EncodeToString(ctx), "kid": "whatever"}
	if version == 2 {
		header["kdf_ver"] = 2
	}
	return derivedWith(session, version, ctx, encode(header), encode(payload))
}

func derivedWith(session []byte, version int, ctx []byte, header, payload string) string {
	raw, err := jose.Unbase64(payload)
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, jose.Derive(session, version, ctx, raw))
	mac.Write([]byte(header + "." + payload))
	return header + "." + payload + "." + b64.EncodeToString(mac.Sum(nil))
}

func (h held) sign(payload object) string { return derived(h.key, 2, payload) }

// open decrypts an answer to a use.
func (h held) open(t testing.TB, a answer) object {
	t.Helper()
	if a.status != http.StatusOK || strings.HasPrefix(a.body, "{") {
		t.Fatalf("answer %d %s", a.status, a.body)
	}
	plain, err := jose.OpenDirect(a.body, func(ctx []byte) ([]byte, error) { return jose.Derive(h.key, 1, ctx, nil), nil })
	if err != nil {
		t.Fatalf("open %s: %v", a.body, err)
	}
	var out object
	if err := json.Unmarshal(plain, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// use sends a use of the PRT on the v1 address.
func (w *world) use(h held, more object) answer {
	w.t.Helper()
	return w.send(h.sign(using(h.value, w.nonce(), more)))
}

// renew asks for the next generation.
func (w *world) renew(h held) answer {
	w.t.Helper()
	return w.use(h, object{"scope": "openid aza ugs", "resource": nil, "client_id": string(client.BrokerInPRT)})
}

// openAgreed decrypts an answer to a device without a session key.
func openAgreed(t testing.TB, to *ecdsa.PrivateKey, apv []byte, body string) object {
	t.Helper()
	own, err := to.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jose.OpenAgreed(body, apv, nil, func(p *ecdh.PublicKey) ([]byte, error) { return own.ECDH(p) })
	if err != nil {
		t.Fatalf("open %s: %v", body, err)
	}
	var out object
	if err := json.Unmarshal(plain, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// claimsOf are the claims of a token, unverified.
func claimsOf(t testing.TB, jwt any) object {
	t.Helper()
	s, _ := jwt.(string)
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %v", jwt)
	}
	raw, err := b64.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out object
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func text(n int64) string { return strconv.FormatInt(n, 10) }

// nonceName is a word that no other has.
func nonceName() string { return secret.NewUUID4()[:8] }

// rawMAC signs with a key as it is.
func rawMAC(key []byte, header, payload string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(header + "." + payload))
	return header + "." + payload + "." + b64.EncodeToString(mac.Sum(nil))
}

// request is a form on its way.
func request(path string, v url.Values) *http.Request {
	r := httptest.NewRequest("POST", base+path, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
