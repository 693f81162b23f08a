package psso_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// attempt is a registration that a test may bend.
type attempt struct {
	h      *hardware
	claims pssowire.Device
	bearer string
	typ    string
	key    *ecdsa.PrivateKey // that signs it
	sign   []func(*pssowire.Signing)
	send   func(message string) answer
}

func (o *office) attempt(h *hardware, tok string, byTicket bool) *attempt {
	a := &attempt{h: h, claims: o.joinClaims(h, tok, byTicket), typ: pssowire.TypeDevice, key: h.signing}
	if !byTicket {
		a.bearer = tok
	}
	return a
}

func (o *office) try(a *attempt) answer {
	message := signAs(o.t, a.key, a.typ, a.claims, a.sign...)
	if a.send != nil {
		return a.send(message)
	}
	return o.request("POST", "/psso/device", message, a.bearer)
}

// What a registration must show of itself, each alone: both keys are held, by who
// asks, now, for us. Nothing is written, nothing is burnt.
func TestSec_PSO01_Possession(t *testing.T) {
	w := liteOffice(t)
	good := w.bearer(w.ada)
	foreign, other := ecKey(), newHardware()
	point := pssowire.EncodePoint
	now := func() int64 { return w.clock.now().Unix() }
	for what, row := range map[string]struct {
		change func(a *attempt)
		sub    string
	}{
		"signed by another key": {func(a *attempt) { a.key = foreign; a.sign = kid(&a.h.signing.PublicKey) }, "key_not_held"},
		"kid of another key":    {func(a *attempt) { a.sign = kid(&foreign.PublicKey) }, "kid_differs"},
		"no kid":                {func(a *attempt) { a.sign = []func(*pssowire.Signing){func(s *pssowire.Signing) { s.KeyID = "-" }} }, "kid_differs"},
		"type of a login":       {func(a *attempt) { a.typ = pssowire.TypeLogin }, "typ_differs"},
		"type of a user":        {func(a *attempt) { a.typ = pssowire.TypeUser }, "typ_differs"},
		"old type":              {func(a *attempt) { a.typ = pssowire.TypeOld }, "typ_differs"},
		"key in the header": {func(a *attempt) {
			a.sign = []func(*pssowire.Signing){func(s *pssowire.Signing) { s.Header = map[string]any{"jwk": map[string]string{"kty": "EC"}} }}
		}, "embedded_key"},
		"another application":        {func(a *attempt) { a.claims.Issuer = "114e5d13-4169-4933-b01f-300e4b36e73f" }, "client_differs"},
		"for the users' address":     {func(a *attempt) { a.claims.Audience = pssowire.Audience{base + w.at("/psso/user")} }, "audience_differs"},
		"for another server":         {func(a *attempt) { a.claims.Audience = pssowire.Audience{"https://evil.example" + w.at("/psso/device")} }, "audience_differs"},
		"for two":                    {func(a *attempt) { a.claims.Audience = append(a.claims.Audience, "https://evil.example") }, "audience_differs"},
		"for nobody":                 {func(a *attempt) { a.claims.Audience = nil }, "audience_differs"},
		"the tenant by its domain":   {func(a *attempt) { a.claims.Audience = pssowire.Audience{base + "/nordhafen.example/psso/device"} }, "audience_differs"},
		"no iat":                     {func(a *attempt) { a.claims.Issued = nil }, "times_missing"},
		"no exp":                     {func(a *attempt) { a.claims.Expires = nil }, "times_missing"},
		"from the future":            {func(a *attempt) { a.claims.Issued, a.claims.Expires = at(now()+90), at(now()+200) }, "request_early"},
		"over":                       {func(a *attempt) { a.claims.Issued, a.claims.Expires = at(now()-200), at(now()-90) }, "request_late"},
		"good for an hour":           {func(a *attempt) { a.claims.Expires = at(now() + 3600) }, "request_long"},
		"over before it begins":      {func(a *attempt) { a.claims.Expires = at(now() - 10) }, "request_long"},
		"one key for both":           {func(a *attempt) { a.claims.EncryptionKey = a.claims.SigningKey }, "shared_device_key"},
		"encryption key not held":    {func(a *attempt) { a.claims.EncryptionKey = point(&other.encryption.PublicKey) }, "key_not_held"},
		"no proof of encryption":     {func(a *attempt) { a.claims.EncryptionProof = "" }, "key_not_held"},
		"bent proof of encryption":   {func(a *attempt) { a.claims.EncryptionProof = bent(a.claims.EncryptionProof) }, "key_not_held"},
		"proof for another nonce":    {func(a *attempt) { a.claims.EncryptionProof = w.joinClaims(a.h, good, false).EncryptionProof }, "key_not_held"},
		"signing key of 64 bytes":    {func(a *attempt) { a.claims.SigningKey = base64.StdEncoding.EncodeToString(make([]byte, 64)) }, "key_malformed"},
		"encryption key off P-256":   {func(a *attempt) { a.claims.EncryptionKey = offCurve(&a.h.encryption.PublicKey) }, "key_malformed"},
		"an encryption key of P-384": {func(a *attempt) { a.claims.EncryptionKey = base64.StdEncoding.EncodeToString(make([]byte, 97)) }, "key_malformed"},
	} {
		a := w.attempt(newHardware(), good, false)
		row.change(a)
		w.try(a).refused(t, what, 400, "invalid_request", row.sub)
	}
	if n := w.held(); n != 0 || w.spent() != 0 {
		t.Errorf("%d devices, %d nonces burnt", n, w.spent())
	}
	if a := w.try(w.attempt(newHardware(), good, false)); a.status != 200 {
		t.Errorf("a good one: %d %s", a.status, a.body)
	}
}

// kid has a message name a key.
func kid(k *ecdsa.PublicKey) []func(*pssowire.Signing) {
	return []func(*pssowire.Signing){func(s *pssowire.Signing) { s.KeyID = pssowire.KeyOf(k).String() }}
}

var at = pssowire.At

// bent changes the first character of a text.
func bent(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// offCurve is a point that is none.
func offCurve(k *ecdsa.PublicKey) string {
	raw := pssowire.Point(k)
	raw[64] ^= 1
	return base64.StdEncoding.EncodeToString(raw)
}

// The nonce: ours, of this tenant, in time, used once, whatever the request.
func TestSec_PSO01_Nonce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		h, good := newHardware(), w.bearer(w.ada)
		foreign, _ := w.freshNonce(t, w.other.ID)
		for what, nonce := range map[string]string{"none": "", "made up": "AAAA", "of another tenant": foreign} {
			a := w.attempt(h, good, false)
			a.claims.RequestNonce = nonce
			w.try(a).refused(t, what, 400, "invalid_grant", "nonce")
		}
		late := w.attempt(h, good, false)
		w.advance(5 * time.Minute)
		late.claims.Issued, late.claims.Expires = at(w.clock.now().Unix()), at(w.clock.now().Unix()+60)
		w.try(late).refused(t, "late", 400, "invalid_grant", "nonce")
		w.advance(-5 * time.Minute)
		// The whole message again, after it was good.
		a := w.attempt(h, good, false)
		message := signAs(t, h.signing, pssowire.TypeDevice, a.claims)
		if r := w.request("POST", "/psso/device", message, good); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		w.request("POST", "/psso/device", message, good).refused(t, "replayed", 400, "invalid_grant", "nonce")
		// Its nonce in another message.
		b := w.attempt(newHardware(), w.bearer(w.ada), false)
		b.claims.RequestNonce = a.claims.RequestNonce
		w.try(b).refused(t, "another message on it", 400, "invalid_grant", "nonce")
		if w.held() != 1 {
			t.Errorf("%d devices", w.held())
		}
	})
}

// By whom: an access token or a registration token, one of them, that the request
// was made with.
func TestSec_PSO01_Authority(t *testing.T) {
	w := liteOffice(t)
	var guest idp.User
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		guest, err = w.directory.CreateUser(ctx, tx, idp.User{Tenant: w.tenant.ID, Name: "gus@nordhafen.example", DisplayName: "Gus", Enabled: true, Type: idp.Guest})
		return err
	})
	ticket, _ := w.ticket()
	forBob, _ := w.ticket(func(q *mac.TokenRequest) { q.For, q.Serial = w.bob.ID, "" })
	strange := w.person(w.other, "eve")
	long := func(s *token.Subject) { s.Audience = "https://graph.microsoft.com" }
	for what, row := range map[string]struct {
		make        func() *attempt
		status      int
		word, sub   string
		before, fin func()
	}{
		"no token":      {make: func() *attempt { a := w.attempt(newHardware(), w.bearer(w.ada), false); a.bearer = ""; return a }, status: 401, word: "invalid_token", sub: "token_missing"},
		"no good token": {make: func() *attempt { return w.attempt(newHardware(), "nonsense", false) }, status: 401, word: "invalid_token", sub: "token_malformed"},
		"bent token":    {make: func() *attempt { return w.attempt(newHardware(), w.bearer(w.ada)+"A", false) }, status: 401, word: "invalid_token", sub: "wrong_signature"},
		"for another service": {make: func() *attempt { return w.attempt(newHardware(), w.bearer(w.ada, long), false) },
			status: 401, word: "invalid_token", sub: "token_audience"},
		"of another tenant": {make: func() *attempt { return w.attempt(newHardware(), w.bearer(strange), false) }, status: 401, word: "invalid_token", sub: "token_tenant"},
		"made with another token": {make: func() *attempt {
			a := w.attempt(newHardware(), w.bearer(w.ada), false)
			a.bearer = w.bearer(w.ada)
			return a
		}, status: 401, word: "invalid_token", sub: "token_other"},
		"no token_hash": {make: func() *attempt {
			a := w.attempt(newHardware(), w.bearer(w.ada), false)
			a.claims.TokenHash = ""
			return a
		}, status: 401, word: "invalid_token", sub: "token_other"},
		"two tokens": {make: func() *attempt {
			a := w.attempt(newHardware(), w.bearer(w.ada), false)
			a.claims.RegistrationToken = ticket
			return a
		}, status: 400, word: "invalid_request", sub: "token_twice"},
		"without several factors": {make: func() *attempt {
			return w.attempt(newHardware(), w.bearer(w.ada, func(s *token.Subject) { s.AMR, s.Basis = []string{"fido"}, nil }), false)
		}, status: 403, word: "access_denied", sub: "mfa_missing"},
		"a gesture of long ago": {make: func() *attempt {
			return w.attempt(newHardware(), w.bearer(w.ada, gesture(15*time.Minute+time.Second)), false)
		},
			status: 401, word: "invalid_token", sub: "proof_too_old"},
		"approved elsewhere": {make: func() *attempt {
			return w.attempt(newHardware(), w.bearer(w.ada, func(s *token.Subject) { s.Code = token.ByDeviceCode }), false)
		}, status: 403, word: "access_denied", sub: "device_code_refused"},
		"a guest": {make: func() *attempt { return w.attempt(newHardware(), w.bearer(guest), false) },
			status: 403, word: "access_denied", sub: "guest_may_not_join"},
		"excluded": {make: func() *attempt { return w.attempt(newHardware(), w.bearer(w.bob), false) }, status: 403, word: "access_denied", sub: "excluded",
			before: func() {
				w.policy(func(p *policy.Policy) { p.Devices.Exclude = []policy.Target{{User: w.bob.ID}} })
			}, fin: func() { w.policy(func(p *policy.Policy) { p.Devices.Exclude = nil }) }},
		"a registration token for somebody who may not": {make: func() *attempt { return w.attempt(newHardware(), forBob, true) }, status: 403, word: "access_denied", sub: "excluded",
			before: func() {
				w.policy(func(p *policy.Policy) { p.Devices.Exclude = []policy.Target{{User: w.bob.ID}} })
			}, fin: func() { w.policy(func(p *policy.Policy) { p.Devices.Exclude = nil }) }},
		"a registration token that is none": {make: func() *attempt { return w.attempt(newHardware(), "nonsense", true) }, status: 401, word: "invalid_token", sub: "token_unknown"},
		"for another Mac": {make: func() *attempt {
			h := newHardware()
			h.serial = "C02XYZ789"
			return w.attempt(h, ticket, true)
		}, status: 401, word: "invalid_token", sub: "token_serial"},
		"for the Mac that it is not": {make: func() *attempt { // says one serial number, shows another
			h := newHardware()
			a := w.attempt(h, ticket, true)
			w.attest(h, &a.claims, func(c *certified) { c.serial = "C02XYZ789" })
			return a
		}, status: 401, word: "invalid_token", sub: "token_serial"},
		"made with another registration token": {make: func() *attempt {
			a := w.attempt(newHardware(), ticket, true)
			a.claims.TokenHash = hash("another")
			return a
		}, status: 401, word: "invalid_token", sub: "token_other"},
	} {
		if row.before != nil {
			row.before()
		}
		a := w.try(row.make())
		a.refused(t, what, row.status, row.word, row.sub)
		if (a.status == http.StatusUnauthorized) != (a.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate %q", what, a.header.Get("WWW-Authenticate"))
		}
		if row.fin != nil {
			row.fin()
		}
	}
	if w.held() != 0 || w.spent() != 0 {
		t.Errorf("%d devices, %d nonces burnt", w.held(), w.spent())
	}
}

// A person has as many Macs as they may have, and one that comes by a token for
// them counts.
func TestMacQuota(t *testing.T) {
	w := liteOffice(t)
	w.policy(func(p *policy.Policy) { p.Devices.Quota = 1 })
	w.join(w.ada, newHardware())
	w.try(w.attempt(newHardware(), w.bearer(w.ada), false)).refused(t, "one more", 403, "access_denied", "device_quota")
	value, _ := w.ticket(func(q *mac.TokenRequest) { q.For, q.Serial = w.ada.ID, "" })
	w.try(w.attempt(newHardware(), value, true)).refused(t, "by a token", 403, "access_denied", "device_quota")
	if w.held() != 1 {
		t.Errorf("%d devices", w.held())
	}
}

// A registration token is good for as many Macs as it says, and for a time; one
// that was taken back is good for none.
func TestSec_PSO01_TokenEnds(t *testing.T) {
	w := liteOffice(t)
	used, _ := w.ticket()
	w.bring(newHardware(), used)
	w.try(w.attempt(newHardware(), used, true)).refused(t, "used", 401, "invalid_token", "token_spent")
	late, _ := w.ticket()
	gone, tok := w.ticket()
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := w.macs.Tokens.Revoke(ctx, tx, w.tenant.ID, tok.ID)
		return err
	})
	w.try(w.attempt(newHardware(), gone, true)).refused(t, "revoked", 401, "invalid_token", "token_revoked")
	w.advance(mac.DefaultTokenLife)
	w.try(w.attempt(newHardware(), late, true)).refused(t, "late", 401, "invalid_token", "token_over")
	if w.held() != 1 {
		t.Errorf("%d devices", w.held())
	}
}

// An access token joins one Mac.
func TestSec_PSO01_AccessTokenOnce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		tok := w.bearer(w.ada)
		got := w.together(8, func(int) answer { return w.try(w.attempt(newHardware(), tok, false)) })
		if got["OK "] != 1 || got["Unauthorized token_used"] != 7 || w.held() != 1 {
			t.Errorf("%v, %d devices", got, w.held())
		}
	})
}

// A registration token that is used by many at once is used as often as it says.
func TestSec_PSO01_TokenOnce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		value, _ := w.ticket()
		got := w.together(12, func(int) answer { return w.try(w.attempt(newHardware(), value, true)) })
		if got["OK "] != 1 || got["Unauthorized token_spent"] != 11 || w.held() != 1 {
			t.Errorf("%v, %d devices", got, w.held())
		}
	})
}

// One key that is registered by many at once is one Mac's, and in a tenant that
// is another's nobody else's.
func TestSec_PSO01_KeyOnce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		shared := newHardware()
		got := w.together(6, func(n int) answer {
			h := newHardware()
			if n%2 == 0 {
				h.signing = shared.signing
			} else {
				h.encryption = shared.signing // in either role
			}
			return w.try(w.attempt(h, w.bearer(w.ada), false))
		})
		if got["OK "] != 1 || got["OK "]+got["Bad Request key_registered"] != 6 || w.held() != 1 {
			t.Errorf("%v, %d devices", got, w.held())
		}
		eve := w.person(w.other, "eve")
		there := &office{world: &world{node: w.node, t: t, tenant: w.other, other: w.tenant}, maker: w.maker}
		there.try(there.attempt(shared, there.bearer(eve), false)).refused(t, "in another tenant", 400, "invalid_request", "key_registered")
	})
}

// One nonce that many registrations are made on is good for one.
func TestSec_PSO01_NonceOnce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		nonce, exchange := w.freshNonce(t, w.tenant.ID)
		got := w.together(6, func(int) answer {
			h := newHardware()
			a := w.attempt(h, w.bearer(w.ada), false)
			a.claims.RequestNonce, a.claims.EncryptionProof = nonce, proof(t, h.encryption, exchange, nonce)
			return w.try(a)
		})
		if got["OK "] != 1 || got["Bad Request nonce"] != 5 || w.held() != 1 {
			t.Errorf("%v, %d devices", got, w.held())
		}
	})
}

// A nonce of one server is good at the other, once.
func TestSec_PSO01_TwoServers(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		there := w.again()
		h := newHardware()
		tok := w.bearer(w.ada)
		message := signAs(t, h.signing, pssowire.TypeDevice, w.joinClaims(h, tok, false))
		send := func(n *node) answer {
			return n.postJSON("POST", w.at("/psso/device"), pssowire.Envelope{Request: message}, "Authorization", "Bearer "+tok)
		}
		if a := send(there); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		send(w.node).refused(t, "at the other", 400, "invalid_grant", "nonce")
	})
}

// What is no request, and what is too long, is refused before anything is looked
// at; and no token, nonce or key of a request is written to the audit.
func TestRequestsThatAreNone(t *testing.T) {
	w := liteOffice(t)
	send := func(body, kind string) answer {
		r, _ := http.NewRequest("POST", base+w.at("/psso/device"), strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		return w.do(r)
	}
	for what, a := range map[string]answer{
		"no JSON":              send("request=x", "application/json"),
		"a form":               send("request=x", "application/x-www-form-urlencoded"),
		"twice":                send(`{"request":"a","request":"b"}`, "application/json"),
		"too long":             send(`{"request":"`+strings.Repeat("a", 70<<10)+`"}`, "application/json"),
		"a message too long":   send(`{"request":"`+strings.Repeat("a", 17<<10)+`"}`, "application/json"),
		"no message":           send(`{"request":"a.b"}`, "application/json"),
		"HS256":                send(`{"request":"eyJhbGciOiJIUzI1NiJ9.e30.AAAA"}`, "application/json"),
		"none":                 send(`{"request":"eyJhbGciOiJub25lIn0.e30."}`, "application/json"),
		"no claims of a known": send(`{"request":"eyJhbGciOiJFUzI1NiIsInR5cCI6InNpZ25ldC1wc3NvLWRldmljZStqd3QifQ.W10.AAAA"}`, "application/json"),
	} {
		out := a.json(t)
		if a.status != 400 || out["error"] != "invalid_request" || out["suberror"] == "" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	if w.spent() != 0 {
		t.Error("a nonce was burnt")
	}
}

// What stands for what: the exchange key of a nonce is of that nonce and that
// tenant, is the same on every server, and no other request of the address gets
// one.
func TestExchangeKey(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		n1, k1 := w.freshNonce(t, w.tenant.ID)
		n2, k2 := w.freshNonce(t, w.tenant.ID)
		if n1 == n2 || k1.Equal(k2) {
			t.Error("two nonces, one key")
		}
		a := w.post(w.at("/psso/nonce"), map[string][]string{"grant_type": {"srv_challenge"}}).json(t)
		if a["exchange_key"] != nil || a["Nonce"] == "" {
			t.Errorf("%v", a)
		}
		// Made at one, held against at the other.
		h, tok := newHardware(), w.bearer(w.ada)
		c := w.joinClaims(h, tok, false)
		message := signAs(t, h.signing, pssowire.TypeDevice, c)
		if a := w.again().postJSON("POST", w.at("/psso/device"), pssowire.Envelope{Request: message}, "Authorization", "Bearer "+tok); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// The proof of an encryption key is the one of the document, byte for byte.
func TestEncryptionProofIsDocumented(t *testing.T) {
	z := sha256.Sum256([]byte("z"))
	got := fmt.Sprintf("%x", pssowire.EncryptionProof(z[:], "nonce"))
	const want = "10a7bf62da9017a2969001f732bb863e4d06a4c1f3cae1fcbd50ca3e3a0f4e81"
	if got != want {
		t.Errorf("%s", got)
	}
}
