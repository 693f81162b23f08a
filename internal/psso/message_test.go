package psso_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/pssowire"
)

// object is a JSON object in the making.
type object map[string]any

var b64 = base64.RawURLEncoding

// merge puts more into o; nil takes a member away.
func (o object) merge(more object) object {
	out := maps.Clone(o)
	for name, v := range more {
		if out[name] = v; v == nil {
			delete(out, name)
		}
	}
	return out
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b64.EncodeToString(raw)
}

// sign makes a compact message by the algorithm that its header names, right or
// wrong for the key.
func sign(header, claims object, key crypto.Signer) string {
	input := encode(header) + "." + encode(claims)
	return input + "." + b64.EncodeToString(signature([]byte(input), header["alg"], key))
}

func signature(input []byte, alg any, key crypto.Signer) []byte {
	sum := sha256.Sum256(input)
	switch alg {
	case "none":
		return nil
	case "HS256": // by what everybody knows
		mac := hmac.New(sha256.New, pssowire.Point(key.Public().(*ecdsa.PublicKey)))
		mac.Write(input)
		return mac.Sum(nil)
	case "RS256", "RS384", "RS512":
		hash, digest := crypto.SHA256, sum[:]
		if alg == "RS384" {
			d := sha512.Sum384(input)
			hash, digest = crypto.SHA384, d[:]
		} else if alg == "RS512" {
			d := sha512.Sum512(input)
			hash, digest = crypto.SHA512, d[:]
		}
		out, err := rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), hash, digest)
		if err != nil {
			panic(err)
		}
		return out
	}
	digest := sum[:]
	if alg == "ES384" {
		d := sha512.Sum384(input)
		digest = d[:]
	}
	r, s, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), digest)
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

// message is one of a Mac in the making. What a test leaves alone is good.
type message struct {
	m      *machine
	path   string // below the tenant
	nonce  string // ours
	now    time.Time
	header object
	claims object
	form   url.Values
	signer crypto.Signer

	// Of a login: who signs the assertion inside, what its header has, and what
	// it says besides, or otherwise, than the message around it.
	innerKey    crypto.Signer
	innerHeader object
	inner       object
	// bend changes the compact messages after they are signed.
	bend, bendInner func(string) string
}

func (m *machine) kid() pssowire.KeyID { return pssowire.KeyOf(&m.signing.PublicKey) }

const macNonce = "9D4B1F0E-52C3-4D8A-8E0B-6C1E7F2A3B4C"

// fresh is what all messages of a Mac have.
func (w *world) fresh(m *machine, path, typ string) *message {
	w.t.Helper()
	now := w.clock.now()
	q := &message{m: m, path: path, nonce: w.nonceAt(w.t, string(m.Tenant)), now: now, signer: m.signing, form: url.Values{}}
	q.header = object{"typ": typ, "alg": "ES256", "kid": m.kid().String()}
	q.claims = object{
		"iss": pssowire.ClientID, "aud": base + "/" + string(m.Tenant) + path, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"nonce": macNonce, "request_nonce": q.nonce,
	}
	q.form.Set("platform_sso_version", "1.0")
	q.form.Set("grant_type", pssowire.GrantBearer)
	return q
}

const scope = "openid offline_access urn:apple:platformsso"

// login is a login by a user key.
func (w *world) login(m *machine, u idp.User, k *platformtest.Key) *message {
	w.t.Helper()
	q := w.fresh(m, "/psso/token", pssowire.TypeLogin)
	q.claims = q.claims.merge(object{
		"client_id": pssowire.ClientID, "sub": u.Name, "username": u.Name, "scope": scope, "grant_type": pssowire.GrantBearer,
	})
	q.innerKey = k.Private()
	q.innerHeader = object{"typ": pssowire.TypeAssertion, "alg": "ES256", "kid": k.ID().String()}
	return q
}

// refresh is a refresh.
func (w *world) refresh(m *machine, token string) *message {
	w.t.Helper()
	q := w.fresh(m, "/psso/token", pssowire.TypeRefresh)
	q.claims = q.claims.merge(object{
		"client_id": pssowire.ClientID, "scope": scope, "grant_type": "refresh_token", "refresh_token": token,
	})
	return q
}

// keyRequest asks for the key that unlocks.
func (w *world) keyRequest(m *machine, u idp.User, token string) *message {
	w.t.Helper()
	q := w.fresh(m, "/psso/key", pssowire.TypeKey)
	q.claims = q.claims.merge(object{
		"aud": nil, "version": "1.0", "request_type": "key_request", "key_purpose": "user_unlock", "sub": u.Name, "username": u.Name,
		"refresh_token": token,
	})
	q.form.Set("platform_sso_version", "2.0")
	return q
}

// keyExchange asks for what a provisioned key and other agree on.
func (w *world) keyExchange(m *machine, u idp.User, token, context string, other *ecdsa.PublicKey) *message {
	w.t.Helper()
	q := w.keyRequest(m, u, token)
	q.claims = q.claims.merge(object{"request_type": "key_exchange", "key_context": context,
		"other_publickey": base64.StdEncoding.EncodeToString(pssowire.Point(other))})
	return q
}

// with changes claims outside, and so inside.
func (q *message) with(more object) *message { q.claims = q.claims.merge(more); return q }

// apv is PartyVInfo for the Mac's key and the nonce of the message.
func (q *message) apv() []byte {
	n, _ := q.claims["nonce"].(string)
	return pssowire.PartyV(pssowire.Point(&q.m.encryption.PublicKey), n)
}

// crypto says how the answer is to be encrypted.
func crypt(apv []byte) object {
	return object{"alg": "ECDH-ES", "enc": "A256GCM", "apv": b64.EncodeToString(apv)}
}

// compact is the message as it is sent.
func (q *message) compact() string {
	claims := q.claims
	if _, there := claims["jwe_crypto"]; !there {
		claims = claims.merge(object{"jwe_crypto": crypt(q.apv())})
	}
	if q.innerKey != nil && claims["assertion"] == nil {
		in := object{"iss": claims["sub"], "sub": claims["sub"], "aud": base + "/" + string(q.m.Tenant) + "/psso"}
		for _, name := range []string{"iat", "exp", "nonce", "request_nonce", "scope"} {
			in[name] = claims[name]
		}
		assertion := sign(q.innerHeader, in.merge(q.inner), q.innerKey)
		if q.bendInner != nil {
			assertion = q.bendInner(assertion)
		}
		claims = claims.merge(object{"assertion": assertion})
	}
	text := sign(q.header, claims, q.signer)
	if q.bend != nil {
		text = q.bend(text)
	}
	return text
}

// body is the form that is posted.
func (q *message) body() url.Values {
	form := maps.Clone(q.form)
	if !form.Has("assertion") && !form.Has("request") {
		form.Set("assertion", q.compact())
	}
	return form
}

// send posts a message to its tenant's address.
func (n *node) send(q *message) answer {
	return n.post("/"+string(q.m.Tenant)+q.path, q.body())
}

// opened is what a sealed answer holds.
type opened struct {
	pssowire.Reply
	media  string
	header object
	out    object
}

// open opens an answer as the Mac does.
func (q *message) open(t testing.TB, a answer) opened {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("%d %s (%s)", a.status, a.body, a.cause)
	}
	own, err := q.m.encryption.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	r, err := pssowire.Open(a.body, own, q.apv())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	o := opened{Reply: r, media: a.header.Get("Content-Type")}
	if err := json.Unmarshal(r.Plain, &o.out); err != nil {
		t.Fatal(err)
	}
	o.header = part(t, a.body, 0)
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", a.header)
	}
	return o
}

// signIn logs somebody in and gives the refresh token.
func (w *world) signIn(m *machine, u idp.User, k *platformtest.Key) string {
	w.t.Helper()
	q := w.login(m, u, k)
	return q.open(w.t, w.send(q)).out["refresh_token"].(string)
}

// part decodes a part of a compact message.
func part(t testing.TB, compact string, n int) (out object) {
	t.Helper()
	raw, err := b64.DecodeString(split(compact)[n])
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var rsaOnce = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// rsaKey is one for all tests: it takes long to make.
func rsaKey() *rsa.PrivateKey { return rsaOnce() }

// certificateOf is a certificate of a key, by itself.
func certificateOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
