package psso_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// refusal is one thing that may be wrong with a message.
type refusal struct {
	name   string
	change func(q *message)
	status int
	word   string
	sub    string
	reason string // in the log
	burns  bool   // its nonce
}

// The answers that there are (§7.6).
func malformed(name, reason string, change func(q *message)) refusal {
	return refusal{name, change, http.StatusBadRequest, "invalid_request", "", reason, true}
}

func ofDevice(name, reason string, change func(q *message)) refusal {
	return refusal{name, change, http.StatusBadRequest, "invalid_client", "", reason, true}
}

func unsupported(name, reason string, change func(q *message)) refusal {
	return refusal{name, change, http.StatusBadRequest, "unsupported_grant_type", "", reason, true}
}

func badNonce(name, reason string, change func(q *message)) refusal {
	return refusal{name, change, http.StatusBadRequest, "invalid_grant", "nonce", reason, false}
}

func credential(name, reason string, change func(q *message)) refusal {
	return refusal{name, change, http.StatusUnauthorized, "invalid_grant", "", reason, true}
}

// unburnt says of a refusal that it comes before the signature is good.
func (r refusal) unburnt() refusal { r.burns = false; return r }

// check sends messages that are good but for one thing, and sees that each is
// refused for that thing alone: as it is without the change it is answered.
func (w *world) check(t *testing.T, fresh func() *message, all ...refusal) {
	t.Helper()
	body := ""
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			q := fresh()
			q.open(t, w.send(q))
			q = fresh()
			r.change(q)
			before := w.spent()
			a := w.send(q)
			a.refused(t, r.name, r.status, r.word, r.sub)
			if a.reason() != r.reason {
				t.Errorf("refused by %q, want %s", a.cause, r.reason)
			}
			if burnt := w.spent() > before; burnt != r.burns {
				t.Errorf("nonce burnt: %v", burnt)
			}
			if a.status != http.StatusUnauthorized {
				return
			}
			// One body for all causes.
			about := a.json(t)
			if body == "" {
				body = fmt.Sprint(len(about), about["error"], about["error_description"])
			}
			if got := fmt.Sprint(len(about), about["error"], about["error_description"]); got != body {
				t.Errorf("body %s, that of others %s", got, body)
			}
		})
	}
}

// TestTransport is what must be right before anything is looked at (§6.4).
func TestTransport(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	w.check(t, func() *message { return w.login(m, w.ada, k) },
		malformed("a version to come", "version_unknown", func(q *message) { q.form.Set("platform_sso_version", "3.0") }).unburnt(),
		malformed("no version", "version_unknown", func(q *message) { q.form.Del("platform_sso_version") }).unburnt(),
		unsupported("another grant in the form", "grant_unsupported", func(q *message) { q.form.Set("grant_type", "password") }).unburnt(),
		unsupported("no grant in the form", "grant_unsupported", func(q *message) { q.form.Del("grant_type") }).unburnt(),
		malformed("both fields", "message_twice", func(q *message) { c := q.compact(); q.form = withBoth(q.form, c) }).unburnt(),
		malformed("no message", "message_missing", func(q *message) { q.form.Set("assertion", "") }).unburnt(),
		malformed("a message under another name", "message_missing", func(q *message) { q.form.Set("assertion", ""); q.form.Set("jwt", q.compact()) }).unburnt(),
		malformed("over 16 KiB", "token_malformed", func(q *message) { q.with(object{"custom": strings.Repeat("x", 16<<10)}) }).unburnt(),
	)
	q := w.login(m, w.ada, k)
	q.form.Set("padding", strings.Repeat("x", 64<<10))
	a := w.send(q)
	a.refused(t, "body over 64 KiB", http.StatusBadRequest, "invalid_request", "")
	if a.reason() != "body_too_large" {
		t.Errorf("body over 64 KiB: %s", a.cause)
	}
}

func withBoth(form url.Values, compact string) url.Values {
	form.Set("assertion", compact)
	form.Set("request", compact)
	return form
}

// bentPart replaces a part of a compact message.
func bentPart(n int, with func(string) string) func(string) string {
	return func(compact string) string {
		parts := split(compact)
		parts[n] = with(parts[n])
		return strings.Join(parts, ".")
	}
}

// rs makes a signature of two numbers.
func rs(change func(r, s *big.Int)) func(string) string {
	return bentPart(2, func(part string) string {
		raw, err := b64.DecodeString(part)
		if err != nil {
			panic(err)
		}
		r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
		change(r, s)
		return b64.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	})
}

// TestSignature is §6.4, 1 to 3: nothing of a message counts that no key of an
// enabled Mac of this tenant has signed.
func TestSignature(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	stranger, theirs := ecKey(), w.macOf(w.other, ecKey(), ecKey())
	off, gone := w.mac(), w.mac()
	waits := w.macOf(w.tenant, ecKey(), ecKey(), func(c *device.Candidate) { c.Pending = w.clock.now().Add(24 * time.Hour) })
	w.switchOn(off, false)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, gone.Tenant, gone.ID) })
	from := func(o *machine) func(q *message) {
		return func(q *message) { q.header["kid"], q.signer = o.kid().String(), o.signing }
	}
	order := elliptic.P256().Params().N
	signed := func(q *message, by *ecdsa.PrivateKey) { q.signer = by }
	id := func(key *ecdsa.PrivateKey) string { return pssowire.KeyOf(&key.PublicKey).String() }
	w.check(t, func() *message { return w.login(m, w.ada, k) },
		malformed("two parts", "token_malformed", func(q *message) { q.bend = func(s string) string { return s[:strings.LastIndex(s, ".")] } }).unburnt(),
		malformed("four parts", "token_malformed", func(q *message) { q.bend = func(s string) string { return s + ".AA" } }).unburnt(),
		malformed("no base64", "token_malformed", func(q *message) { q.bend = bentPart(1, func(s string) string { return s + "!" }) }).unburnt(),
		malformed("header is no object", "token_malformed", func(q *message) { q.bend = bentPart(0, func(string) string { return encode([]int{1}) }) }).unburnt(),
		malformed("no signature", "token_malformed", func(q *message) { q.bend = bentPart(2, func(string) string { return "" }) }).unburnt(),
		malformed("alg none", "algorithm_refused", func(q *message) { q.header["alg"] = "none" }).unburnt(),
		malformed("alg none with a signature", "algorithm_refused", func(q *message) {
			q.header["alg"] = "none"
			q.bend = bentPart(2, func(string) string { return "AAAA" })
		}).unburnt(),
		malformed("alg HS256", "algorithm_refused", func(q *message) { q.header["alg"] = "HS256" }).unburnt(),
		malformed("alg ES384", "algorithm_refused", func(q *message) { q.header["alg"] = "ES384" }).unburnt(),
		malformed("alg RS256", "algorithm_refused", func(q *message) { q.header["alg"], q.signer = "RS256", rsaKey() }).unburnt(),
		malformed("no alg", "algorithm_refused", func(q *message) { delete(q.header, "alg") }).unburnt(),
		malformed("a key in the header", "embedded_key", func(q *message) { q.header["jwk"] = object{"kty": "EC"} }).unburnt(),
		malformed("an address of keys in the header", "embedded_key", func(q *message) { q.header["jku"] = "https://evil.example" }).unburnt(),
		malformed("what is critical", "header_refused", func(q *message) { q.header["crit"] = []string{"exp"} }).unburnt(),
		ofDevice("no kid", "kid_malformed", func(q *message) { delete(q.header, "kid") }).unburnt(),
		ofDevice("kid of 31 bytes", "kid_malformed", func(q *message) { q.header["kid"] = base64.StdEncoding.EncodeToString(make([]byte, 31)) }).unburnt(),
		ofDevice("kid in hex", "kid_malformed", func(q *message) { q.header["kid"] = fmt.Sprintf("%x", m.kid()) }).unburnt(),
		ofDevice("kid of nobody", "device_unknown", func(q *message) { q.header["kid"] = id(stranger); signed(q, stranger) }).unburnt(),
		ofDevice("kid of the encryption key", "device_unknown", func(q *message) { q.header["kid"] = id(m.encryption); signed(q, m.encryption) }).unburnt(),
		ofDevice("kid of a person's key", "device_unknown", func(q *message) { q.header["kid"] = k.ID().String(); signed(q, k.Private()) }).unburnt(),
		ofDevice("a Mac of another tenant", "device_unknown", from(theirs)).unburnt(),
		ofDevice("a Mac that is gone", "device_unknown", from(gone)).unburnt(),
		ofDevice("a Mac that is switched off", "device_disabled", from(off)).unburnt(),
		ofDevice("a Mac that waits", "device_pending", from(waits)).unburnt(),
		ofDevice("signed by another", "wrong_signature", func(q *message) { signed(q, stranger) }).unburnt(),
		ofDevice("signed by another Mac", "wrong_signature", func(q *message) { signed(q, theirs.signing) }).unburnt(),
		ofDevice("signed by a key in x5c", "wrong_signature", func(q *message) {
			signed(q, stranger)
			q.header["x5c"] = []string{base64.StdEncoding.EncodeToString(certificateOf(t, stranger))}
		}).unburnt(),
		ofDevice("changed after it was signed", "wrong_signature", func(q *message) {
			q.bend = bentPart(1, func(s string) string {
				return encode(q.claims.merge(object{"sub": w.bob.Name, "username": w.bob.Name}))
			})
		}).unburnt(),
		ofDevice("r is zero", "wrong_signature", func(q *message) { q.bend = rs(func(r, _ *big.Int) { r.SetInt64(0) }) }).unburnt(),
		ofDevice("s is zero", "wrong_signature", func(q *message) { q.bend = rs(func(_, s *big.Int) { s.SetInt64(0) }) }).unburnt(),
		ofDevice("both are zero", "wrong_signature", func(q *message) { q.bend = rs(func(r, s *big.Int) { r.SetInt64(0); s.SetInt64(0) }) }).unburnt(),
		ofDevice("r and s are one", "wrong_signature", func(q *message) { q.bend = rs(func(r, s *big.Int) { r.SetInt64(1); s.SetInt64(1) }) }).unburnt(),
		ofDevice("r is the order", "wrong_signature", func(q *message) { q.bend = rs(func(r, _ *big.Int) { r.Set(order) }) }).unburnt(),
		ofDevice("s is the order", "wrong_signature", func(q *message) { q.bend = rs(func(_, s *big.Int) { s.Set(order) }) }).unburnt(),
		ofDevice("63 bytes", "wrong_signature", func(q *message) { q.bend = bentPart(2, func(s string) string { return s[:84] }) }).unburnt(),
		ofDevice("in DER", "wrong_signature", func(q *message) {
			q.bend = bentPart(2, func(s string) string {
				raw, _ := b64.DecodeString(s)
				der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
				if err != nil {
					t.Fatal(err)
				}
				return b64.EncodeToString(der)
			})
		}).unburnt(),
	)
}

// TestOuter is §6.4, 4 to 10: what a message must say once its signature is
// good. Every outcome burns its nonce.
func TestOuter(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	theirs := w.macOf(w.other, ecKey(), ecKey())
	claim := func(more object) func(q *message) { return func(q *message) { q.with(more) } }
	typ := func(v any) func(q *message) { return func(q *message) { q.header["typ"] = v } }
	at := base + "/" + string(w.tenant.ID) + "/psso/"
	seconds := func(d time.Duration) int64 { return w.clock.now().Add(d).Unix() }
	w.check(t, func() *message { return w.login(m, w.ada, k) },
		// 4
		malformed("typ of a refresh", "typ_differs", typ(pssowire.TypeRefresh)),
		malformed("typ of a key request", "typ_differs", typ(pssowire.TypeKey)),
		malformed("typ of an answer", "typ_differs", typ(pssowire.TypeLoginReply)),
		malformed("typ of a registration", "typ_differs", typ(pssowire.TypeDevice)),
		malformed("typ of a removal", "typ_differs", typ(pssowire.TypeRemoval)),
		malformed("typ of what opens a browser", "typ_differs", typ(pssowire.TypeSSO)),
		malformed("no typ", "typ_differs", func(q *message) { delete(q.header, "typ") }),
		malformed("a login that says that it is a refresh", "typ_differs", claim(object{"grant_type": "refresh_token", "refresh_token": "x"})),
		unsupported("a password", "grant_unsupported", claim(object{"grant_type": "password", "password": "hunter2"})),
		unsupported("WS-Trust", "grant_unsupported", claim(object{"grant_type": pssowire.GrantSAML11})),
		unsupported("SAML", "grant_unsupported", claim(object{"grant_type": pssowire.GrantSAML2})),
		unsupported("web sign-in", "grant_unsupported", claim(object{"grant_type": pssowire.GrantExchange})),
		unsupported("no grant", "grant_unsupported", claim(object{"grant_type": nil})),
		unsupported("a request to come", "request_unsupported", claim(object{"grant_type": nil, "request_type": "key_escrow"})),
		malformed("two kinds at once", "kind_unclear", claim(object{"request_type": "key_request"})),
		malformed("a login at the key service", "wrong_address", func(q *message) { q.path = "/psso/key" }),
		// 5
		ofDevice("iss of another application", "client_unknown", claim(object{"iss": "114e5d13-4169-4933-b01f-300e4b36e73f"})),
		ofDevice("no iss", "client_unknown", claim(object{"iss": nil})),
		ofDevice("another client_id", "client_unknown", claim(object{"client_id": "114e5d13-4169-4933-b01f-300e4b36e73f"})),
		ofDevice("no client_id", "client_unknown", claim(object{"client_id": nil})),
		ofDevice("no aud", "audience_differs", claim(object{"aud": nil})),
		ofDevice("an empty aud", "audience_differs", claim(object{"aud": []string{}})),
		ofDevice("aud of the inner assertion", "audience_differs", claim(object{"aud": base + "/" + string(w.tenant.ID) + "/psso"})),
		ofDevice("aud of the key service", "audience_differs", claim(object{"aud": at + "key"})),
		ofDevice("aud with a slash", "audience_differs", claim(object{"aud": at + "token/"})),
		ofDevice("aud in capitals", "audience_differs", claim(object{"aud": strings.ToUpper(at) + "token"})),
		ofDevice("aud without TLS", "audience_differs", claim(object{"aud": "http" + strings.TrimPrefix(at, "https") + "token"})),
		ofDevice("aud of another tenant", "audience_differs", claim(object{"aud": base + "/" + string(w.other.ID) + "/psso/token"})),
		ofDevice("aud of another server", "audience_differs", claim(object{"aud": "https://evil.example/" + string(w.tenant.ID) + "/psso/token"})),
		// 6
		malformed("no iat", "times_missing", claim(object{"iat": nil})),
		malformed("no exp", "times_missing", claim(object{"exp": nil})),
		malformed("iat of the future", "issued_ahead", claim(object{"iat": seconds(3 * time.Minute), "exp": seconds(8 * time.Minute)})),
		malformed("over", "assertion_late", claim(object{"iat": seconds(-6 * time.Minute), "exp": seconds(-62 * time.Second)})),
		malformed("good for eleven minutes", "assertion_long", claim(object{"exp": seconds(11 * time.Minute)})),
		malformed("ends before it begins", "assertion_long", claim(object{"iat": seconds(30 * time.Second), "exp": seconds(20 * time.Second)})),
		malformed("iat is no number", "claims_malformed", claim(object{"iat": "soon"})).unburnt(), // what it says of a nonce is not known
		// 8
		malformed("no nonce of its own", "claim_nonce", func(q *message) { q.with(object{"nonce": nil, "jwe_crypto": crypt(q.apv())}) }),
		malformed("a nonce of 129 characters", "claim_nonce", func(q *message) { q.with(object{"nonce": strings.Repeat("x", 129), "jwe_crypto": crypt(q.apv())}) }),
		malformed("no scope", "scope_missing", claim(object{"scope": nil})),
		malformed("without openid", "scope_missing", claim(object{"scope": "offline_access urn:apple:platformsso"})),
		malformed("without Apple's scope", "scope_missing", claim(object{"scope": "openid offline_access"})),
		malformed("Apple's scope, nearly", "scope_missing", claim(object{"scope": "openid urn:apple:platformsso2"})),
		// 9
		malformed("no jwe_crypto", "jwe_crypto", claim(object{"jwe_crypto": object{}})),
		malformed("alg of jwe_crypto", "jwe_crypto", func(q *message) { q.with(object{"jwe_crypto": crypt(q.apv()).merge(object{"alg": "ECDH-ES+A256KW"})}) }),
		malformed("enc of jwe_crypto", "jwe_crypto", func(q *message) { q.with(object{"jwe_crypto": crypt(q.apv()).merge(object{"enc": "A128GCM"})}) }),
		malformed("HPKE", "jwe_crypto", claim(object{"jwe_crypto": object{"alg": "HPKE-P256-SHA256-A256GCM", "enc": "dir", "kid": "x"}})),
		malformed("no apv", "apv_malformed", func(q *message) { q.with(object{"jwe_crypto": crypt(nil)}) }),
		malformed("apv is no base64", "apv_malformed", func(q *message) { q.with(object{"jwe_crypto": crypt(nil).merge(object{"apv": "ä"})}) }),
		malformed("apv with more behind", "apv_malformed", func(q *message) { q.with(object{"jwe_crypto": crypt(append(q.apv(), 0))}) }),
		malformed("apv cut short", "apv_malformed", func(q *message) { q.with(object{"jwe_crypto": crypt(q.apv()[:117])}) }),
		malformed("apv of an encrypted password", "apv_malformed", func(q *message) {
			q.with(object{"jwe_crypto": crypt([]byte(strings.Replace(string(q.apv()), "Apple", "APPLE", 1)))})
		}),
		malformed("a point off the curve", "apv_malformed", func(q *message) { v := q.apv(); v[77] ^= 1; q.with(object{"jwe_crypto": crypt(v)}) }),
		malformed("a point at infinity", "apv_malformed", func(q *message) {
			v := q.apv()
			clear(v[13:78])
			q.with(object{"jwe_crypto": crypt(v)})
		}),
		ofDevice("the key of another", "apv_key", func(q *message) {
			q.with(object{"jwe_crypto": crypt(pssowire.PartyV(pssowire.Point(&ecKey().PublicKey), macNonce))})
		}),
		ofDevice("the key of another Mac", "apv_key", func(q *message) {
			q.with(object{"jwe_crypto": crypt(pssowire.PartyV(pssowire.Point(&theirs.encryption.PublicKey), macNonce))})
		}),
		ofDevice("the signing key", "apv_key", func(q *message) {
			q.with(object{"jwe_crypto": crypt(pssowire.PartyV(pssowire.Point(&m.signing.PublicKey), macNonce))})
		}),
		malformed("another nonce in apv", "apv_nonce", func(q *message) {
			q.with(object{"jwe_crypto": crypt(pssowire.PartyV(pssowire.Point(&m.encryption.PublicKey), strings.ToLower(macNonce)))})
		}),
		// 10
		malformed("username of another", "subject_differs", claim(object{"username": w.bob.Name})),
		malformed("no username", "subject_differs", claim(object{"username": nil})),
		malformed("no sub", "subject_differs", func(q *message) { q.with(object{"sub": nil}); q.inner = object{"iss": w.ada.Name, "sub": w.ada.Name} }),
		malformed("nobody", "subject_differs", claim(object{"sub": nil, "username": nil})),
	)
}

// TestServerNonce is §6.4, 7: ours, of this tenant, for this use, in time, and
// once.
func TestServerNonce(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	seal := func(tenant idp.TenantID, purpose string) string {
		value, err := w.box.Seal(t.Context(), tenant, purpose, 5*time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	on := func(value string) func(q *message) {
		return func(q *message) { q.with(object{"request_nonce": value}) }
	}
	late, used := w.nonce(), w.nonce()
	w.advance(5 * time.Minute)
	q := w.login(m, w.ada, k).with(object{"request_nonce": used})
	w.send(q).refused(t, "late", http.StatusBadRequest, "invalid_grant", "nonce")
	used = w.nonce()
	q = w.login(m, w.ada, k).with(object{"request_nonce": used})
	q.open(t, w.send(q))
	w.check(t, func() *message { return w.login(m, w.ada, k) },
		badNonce("none", "nonce_missing", on("")),
		badNonce("a blank", "nonce_missing", on(" ")),
		badNonce("made up", "nonce_unknown", on("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
		badNonce("bent", "nonce_unknown", func(q *message) { q.with(object{"request_nonce": q.nonce[:len(q.nonce)-2] + "AA"}) }),
		badNonce("longer than any", "nonce_unknown", on(strings.Repeat("A", 4000))),
		badNonce("of another tenant", "nonce_unknown", on(w.nonceAt(t, string(w.other.ID)))),
		badNonce("of a registration", "nonce_unknown", on(seal(w.tenant.ID, nonce.RegistrationNonce))),
		badNonce("of a sign-in page", "nonce_unknown", on(seal(w.tenant.ID, "flow"))),
		badNonce("late", "nonce_late", on(late)),
		badNonce("used", "spent", on(used)),
	)
}

// What is wrong is said in the order of §6.4: what comes first hides what comes
// later.
func TestOrder(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	steps := []struct {
		reason string
		change func(q *message)
	}{
		{"version_unknown", func(q *message) { q.form.Set("platform_sso_version", "9") }},
		{"algorithm_refused", func(q *message) { q.header["alg"] = "HS256" }},
		{"device_unknown", func(q *message) { q.header["kid"] = k.ID().String() }},
		{"wrong_signature", func(q *message) { q.signer = ecKey() }},
		{"typ_differs", func(q *message) { q.header["typ"] = pssowire.TypeKey }},
		{"client_unknown", func(q *message) { q.with(object{"iss": "x"}) }},
		{"audience_differs", func(q *message) { q.with(object{"aud": "x"}) }},
		{"times_missing", func(q *message) { q.with(object{"iat": nil}) }},
		{"nonce_unknown", func(q *message) { q.with(object{"request_nonce": "x"}) }},
		{"claim_nonce", func(q *message) { q.with(object{"nonce": strings.Repeat("x", 129)}) }},
		{"scope_missing", func(q *message) { q.with(object{"scope": "x"}) }},
		{"jwe_crypto", func(q *message) { q.with(object{"jwe_crypto": object{"alg": "x"}}) }},
		{"subject_differs", func(q *message) { q.with(object{"username": "x"}) }},
		{"subject_differs", func(q *message) { q.inner = object{"sub": "x"} }}, // of the inner assertion
	}
	for n, step := range steps {
		q := w.login(m, w.ada, k)
		for i := len(steps) - 1; i >= n; i-- {
			steps[i].change(q)
		}
		if a := w.send(q); a.reason() != step.reason {
			t.Errorf("step %d: %s, want %s", n, a.cause, step.reason)
		}
	}
}
