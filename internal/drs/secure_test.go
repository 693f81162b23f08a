package drs_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// Tokens that join nothing: each is refused for one reason, and the same join
// with a good one succeeds (DEV01, T06).
func TestSec_DEV01_TokensThatDoNotJoin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		spent := w.token(w.Ada, nil)
		w.accepted(w.send("POST", joinPath, spent, w.joinBody(ecKey(t), ecKey(t)), nil), w.Ada, nil)
		over := w.token(w.Ada, nil)
		w.Advance(token.AccessLives + 2*token.Skew)
		revoked := w.token(w.Ada, nil)
		claims, err := w.tokens.VerifyAccess(t.Context(), w.Tenant.ID, revoked)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.tokens.RevokeAccess(ctx, tx, claims) })
		fresh := w.token(w.Ada, nil)
		for name, c := range map[string]struct {
			bearer string
			status int
			reason string
		}{
			"none":                 {"", 401, "token_missing"},
			"garbage":              {"garbage", 401, "token_malformed"},
			"no signature":         {strings.Join(append(strings.Split(fresh, ".")[:2], ""), "."), 401, "token_malformed"},
			"flipped":              {fresh[:len(fresh)-3] + "AAA", 401, "wrong_signature"},
			"over":                 {over, 401, "token_expired"},
			"revoked":              {revoked, 401, "token_revoked"},
			"another resource":     {w.token(w.Ada, func(s *token.Subject) { s.Audience = "https://graph.microsoft.com" }), 401, "token_audience"},
			"resource of a client": {w.token(w.Ada, func(s *token.Subject) { s.Audience = string(client.Broker) }), 401, "token_audience"},
			"of a device":          {w.token(w.Ada, func(s *token.Subject) { s.Device = "0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e" }), 403, "token_of_device"},
			"16 minutes old":       {w.token(w.Ada, ago(16*time.Minute)), 401, "proof_too_old"},
			"from the future":      {w.token(w.Ada, ago(-time.Hour)), 401, "proof_too_old"},
			"one factor":           {w.token(w.Ada, func(s *token.Subject) { s.AMR, s.Basis = []string{"fido"}, nil }), 403, "mfa_missing"},
			"by device code":       {w.token(w.Ada, func(s *token.Subject) { s.Code = token.ByDeviceCode }), 403, "device_code_refused"},
		} {
			r := w.send("POST", joinPath, c.bearer, w.joinBody(ecKey(t), ecKey(t)), nil)
			w.refused(name, r, c.status, c.reason)
			if c.status == 401 && r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no challenge", name)
			}
		}
		r := w.send("POST", joinPath, w.token(w.Ada, ago(15*time.Minute)), w.joinBody(ecKey(t), ecKey(t)), nil)
		if r.status != 200 {
			t.Errorf("15 minutes old: %d %s", r.status, r.raw)
		}
		if r := w.send("POST", joinPath, fresh, w.joinBody(ecKey(t), ecKey(t)), nil); r.status != 200 {
			t.Errorf("the fresh one: %d %s", r.status, r.raw)
		}
		if n := w.held(w.Tenant.ID); n != 3 {
			t.Errorf("%d devices", n)
		}
	})
}

// An application's own token is nobody's.
func TestSec_DEV01_TokenOfNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.subject(w.Ada).Client
		jwt, _, err := w.tokens.ClientAccess(t.Context(), c, token.RegistrationAudience, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.refused("client token", w.send("POST", joinPath, jwt, w.joinBody(ecKey(t), ecKey(t)), nil), 401, "token_of_nobody")
	})
}

// The other name of the resource is as good (device-protocol.md §0.17).
func TestBothNamesOfTheResource(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.token(w.Ada, func(s *token.Subject) { s.Audience, s.AMR = "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9", []string{"mfa"} })
		if r := w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil); r.status != 200 {
			t.Errorf("%d %s", r.status, r.raw)
		}
	})
}

// Whoever comes with a token that is not good is recorded in the tenant that it
// names, without a name; one that names none of ours is nobody's affair. Many
// from one source are one row (decisions 3.5).
func TestSec_DEV01_BadTokensAreRecorded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		good := w.token(w.Ada, nil)
		forged := good[:len(good)-3] + "AAA"
		stranger := func(tenant string) string {
			claims := base64.RawURLEncoding.EncodeToString([]byte(`{"tid":"` + tenant + `"}`))
			return strings.Join([]string{strings.Split(good, ".")[0], claims, "AAAA"}, ".")
		}
		for _, bearer := range []string{"", "garbage", stranger("0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e"), stranger("'")} {
			if r := w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil); r.status != 401 {
				t.Errorf("%q: %d %s", bearer, r.status, r.raw)
			}
		}
		if all := append(w.events(w.Tenant.ID), w.events(w.Other.ID)...); len(all) != 0 {
			t.Fatalf("recorded: %+v", all)
		}
		w.refused("forged", w.send("POST", joinPath, forged, w.joinBody(ecKey(t), ecKey(t)), nil), 401, "wrong_signature")
		all := w.events(w.Tenant.ID)
		if len(all) != 1 || all[0].Activity != "device.join" || all[0].Outcome != audit.Failure || all[0].Reason != "wrong_signature" ||
			all[0].Code != 50173 || all[0].IP == "" || all[0].User != "" || all[0].Actor != "" {
			t.Errorf("recorded: %+v", all)
		}
		for range 100 {
			w.send("POST", joinPath, forged, nil, nil)
		}
		if n := len(w.events(w.Tenant.ID)); n > 25 {
			t.Errorf("%d rows", n)
		}
		if n := len(w.events(w.Other.ID)); n != 0 {
			t.Errorf("%d rows in another tenant", n)
		}
	})
}

// Only requests of version 3.0 are signed by keys of P-256 (device-protocol.md
// §5.1): in an older one that is nobody whom those clients know.
func TestSec_DEV02_KeysOfTheVersion(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer, body := w.token(w.Ada, nil), w.joinBody(ecKey(t), ecKey(t))
		for _, version := range []string{"1.0", "2.0"} {
			r := w.send("POST", "/EnrollmentServer/device/?api-version="+version, bearer, body, nil)
			w.refused("P-256 in "+version, r, 400, "bad_request")
		}
		w.accepted(w.send("POST", joinPath, bearer, body, nil), w.Ada, nil)
		body = w.joinBody(rsaKeys()[0], ecKey(t))
		w.accepted(w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), w.Ada, nil)
	})
}

// The register knows whose access token joined a device: what was approved in
// another place is held to it (device-protocol.md §15).
func TestSec_DEV01_TheGrantThatJoined(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.token(w.Ada, nil)
		claims, err := w.tokens.VerifyAccess(t.Context(), w.Tenant.ID, bearer)
		if err != nil {
			t.Fatal(err)
		}
		j := w.accepted(w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil), w.Ada, nil)
		if claims.Family == "" || j.By != claims.Family {
			t.Errorf("joined by %q, want %q", j.By, claims.Family)
		}
		if other := w.join(w.Ada); other.By == j.By || other.By == "" {
			t.Errorf("another joined by %q", other.By)
		}
	})
}

// A token joins once, also when it is sent many times at once; a join that
// fails leaves it good (decisions 4.8).
func TestSec_DEV01_TokenOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.token(w.Ada, nil)
		bad := w.joinBody(ecKey(t), ecKey(t))
		bad["JoinType"] = 3
		w.refused("a bad request", w.send("POST", joinPath, bearer, bad, nil), 400, "bad_request")
		bodies := make([]map[string]any, 20)
		for n := range bodies {
			bodies[n] = w.joinBody(ecKey(t), ecKey(t))
		}
		got := w.together(len(bodies), func(n int) reply { return w.send("POST", joinPath, bearer, bodies[n], nil) })
		if want := map[string]int{"200 ": 1, "401 token_used": 19}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if n := w.held(w.Tenant.ID); n != 1 {
			t.Errorf("%d devices", n)
		}
	})
}

// together sends requests at once and counts how they end.
func (w *world) together(n int, send func(int) reply) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	got := map[string]int{}
	for i := range n {
		wg.Go(func() {
			<-start
			r := send(i)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprintf("%d %s", r.status, r.text("Reason"))]++
		})
	}
	close(start)
	wg.Wait()
	return got
}

// One key, joined by many at once, with tokens of two people: one wins (DEV03).
func TestSec_DEV03_JoinsOfOneKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key := ecKey(t)
		people := []idp.User{w.Ada, w.Bob, w.Eve}
		bearers, bodies := make([]string, 18), make([]map[string]any, 18)
		for n := range bodies {
			bearers[n], bodies[n] = w.token(people[n%3], nil), w.joinBody(key, ecKey(t))
		}
		got := w.together(len(bodies), func(n int) reply { return w.send("POST", joinPath, bearers[n], bodies[n], nil) })
		if want := map[string]int{"200 ": 1, "400 key_registered": 17}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// A hundred joins with one place left: one wins (T49).
func TestSec_T49_JoinsAtTheQuota(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.Quota = 2 })
		w.join(w.Ada)
		bearers, bodies := make([]string, 100), make([]map[string]any, 100)
		for n := range bodies {
			bearers[n], bodies[n] = w.token(w.Ada, nil), w.joinBody(ecKey(t), ecKey(t))
		}
		got := w.together(len(bodies), func(n int) reply { return w.send("POST", joinPath, bearers[n], bodies[n], nil) })
		if want := map[string]int{"200 ": 1, "403 device_quota": 99}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if n := w.held(w.Tenant.ID); n != 2 {
			t.Errorf("%d devices", n)
		}
	})
}

// Who may join is policy's (T06): each rule refuses alone.
func TestSec_T06_WhoMayJoin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.token(w.Ada, nil)
		code := w.token(w.Ada, func(s *token.Subject) { s.Code = token.ByDeviceCode })
		before, err := w.Policies.Get(t.Context(), w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		reset := func() { w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices = before.Clone().Devices }) }
		for reason, change := range map[string]func(*policy.Policy){
			"devices_off":  func(p *policy.Policy) { p.Devices.On = false },
			"not_included": func(p *policy.Policy) { p.Devices.Include = []policy.Target{{User: w.Bob.ID}} },
			"excluded":     func(p *policy.Policy) { p.Devices.Exclude = []policy.Target{{User: w.Ada.ID}} },
		} {
			w.Policy(t, w.Tenant.ID, change)
			w.refused(reason, w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil), 403, reason)
			reset()
		}
		w.refused("device code", w.send("POST", joinPath, code, w.joinBody(ecKey(t), ecKey(t)), nil), 403, "device_code_refused")
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.Compat.DeviceCodeToPRT = true })
		if r := w.send("POST", joinPath, code, w.joinBody(ecKey(t), ecKey(t)), nil); r.status != 200 {
			t.Errorf("device code, where that is allowed: %d %s", r.status, r.raw)
		}
		w.Enable(t, w.Ada, false)
		w.refused("disabled", w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil), 403, "user_disabled")
		// Failures are on record, with the person's name.
		reasons := map[string]bool{}
		for _, e := range w.events(w.Tenant.ID) {
			if e.Activity == "device.join" && e.Outcome == "failure" && e.User == w.Ada.ID {
				reasons[e.Reason] = true
			}
		}
		for _, want := range []string{"devices_off", "not_included", "excluded", "device_code_refused", "user_disabled"} {
			if !reasons[want] {
				t.Errorf("no record of %s: %v", want, reasons)
			}
		}
	})
}

// Somebody who is disabled or deleted between the token's check and the write
// joins nothing.
func TestSec_DEV01_DisabledMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.token(w.Ada, nil)
		body := w.joinBody(ecKey(t), ecKey(t))
		done := false
		w.sealing = func() { // the certificate is made, nothing is written yet
			done = true
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, `update users set enabled = $3 where tenant_id = $1 and id = $2`, w.Tenant.ID, w.Ada.ID, false)
				return err
			})
		}
		r := w.send("POST", joinPath, bearer, body, nil)
		w.sealing = nil
		if !done || r.status != 403 || r.text("Reason") != "user_disabled" || w.held(w.Tenant.ID) != 0 {
			t.Errorf("%v, %d %s", done, r.status, r.raw)
		}
		if n := w.Count(t, "spent", w.Tenant.ID); n != 0 {
			t.Errorf("%d spent", n)
		}
	})
}

// Bodies that are no join change nothing, and say what is wrong. Each differs
// from a good one in one thing.
func TestSec_T06_BadBodies(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.token(w.Ada, nil)
		key, transport := ecKey(t), ecKey(t)
		set := func(name string, v any) func(map[string]any) { return func(b map[string]any) { b[name] = v } }
		for name, change := range map[string]func(map[string]any){
			"no request":         set("CertificateRequest", nil),
			"another type":       set("CertificateRequest", map[string]any{"Type": "cmc", "Data": request(t, key, nil)}),
			"no base64":          set("CertificateRequest", map[string]any{"Type": "pkcs10", "Data": "!"}),
			"no DER":             set("CertificateRequest", map[string]any{"Type": "pkcs10", "Data": "AAAA"}),
			"join type":          set("JoinType", 3),
			"join type, text":    set("JoinType", "x"),
			"transport":          set("TransportKey", "AAAA"),
			"two transports":     set("TransportKey", rsaJWK(&rsaKeys()[0].PublicKey)),
			"encoding":           set("DeviceKeys", []any{map[string]any{"Usage": "STK", "Encoding": "DER", "Data": jwk(transport.Public())}}),
			"no point":           set("DeviceKeys", []any{map[string]any{"Usage": "STK", "Encoding": "JWK", "Data": `{"kty":"EC","crv":"P-256","x":"AA==","y":"AA=="}`}}),
			"private JWK":        set("DeviceKeys", []any{map[string]any{"Usage": "STK", "Encoding": "JWK", "Data": `{"kty":"oct","k":"AAAA"}`}}),
			"list for an object": set("Attributes", []any{}),
		} {
			body := w.joinBody(key, transport)
			change(body)
			r := w.send("POST", joinPath, bearer, body, nil)
			if r.status != 400 || r.text("ErrorType") != "InvalidRequest" {
				t.Errorf("%s: %d %s", name, r.status, r.raw)
			}
		}
		good := w.joinBody(key, transport)
		for _, version := range []string{"", "?api-version=", "?api-version=4.0", "?api-version=2"} {
			w.refused("version "+version, w.send("POST", "/EnrollmentServer/device/"+version, bearer, good, nil), 400, "bad_request")
		}
		for name, raw := range map[string]string{
			"empty": "", "no JSON": "grant_type=x", "twice": `{"JoinType":0,"jointype":4}`, "more": `{}{}`, "a list": `[]`,
			"deep": strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500), "long": `{"x":"` + strings.Repeat("a", 70<<10) + `"}`,
		} {
			if r := w.send("POST", joinPath, bearer, []byte(raw), nil); r.status != 400 {
				t.Errorf("%s: %d %s", name, r.status, r.raw)
			}
		}
		if n, spent := w.held(w.Tenant.ID), w.Count(t, "spent", w.Tenant.ID); n != 0 || spent != 0 {
			t.Errorf("%d devices, %d spent", n, spent)
		}
		if r := w.send("POST", joinPath, bearer, good, nil); r.status != 200 {
			t.Errorf("the good one: %d %s", r.status, r.raw)
		}
	})
}

// T07, DEV02: whoever joins holds the device key: a request with a signature of
// another key is none.
func TestSec_DEV02_PossessionOfTheDeviceKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key, mallory := ecKey(t), ecKey(t)
		body := w.joinBody(key, ecKey(t))
		// A's public key under B's signature.
		_, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, posing{key.Public(), mallory})
		if err == nil {
			t.Fatal("crypto/x509 makes what does not verify")
		}
		good, err := base64.StdEncoding.DecodeString(request(t, key, nil))
		if err != nil {
			t.Fatal(err)
		}
		other, err := base64.StdEncoding.DecodeString(request(t, mallory, nil))
		if err != nil {
			t.Fatal(err)
		}
		der := spliced(t, good, other)
		body["CertificateRequest"] = map[string]any{"Type": "pkcs10", "Data": base64.StdEncoding.EncodeToString(der)}
		w.refused("another's signature", w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), 400, "bad_request")
	})
}

type posing struct {
	public crypto.PublicKey
	crypto.Signer
}

func (p posing) Public() crypto.PublicKey { return p.public }

// signedRequest is a PKCS#10 request, in its three parts (RFC 2986, §4.2).
type signedRequest struct {
	Info      asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

// spliced is the first request with the second one's signature.
func spliced(t *testing.T, a, b []byte) []byte {
	t.Helper()
	var x, y signedRequest
	if _, err := asn1.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	x.Signature = y.Signature
	out, err := asn1.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// T08: a corpus of requests that ask for more than a device gets. Those that
// are read at all give the certificate that everybody gets, but for what is
// different in any two: serial, key, id, times.
func TestSec_T08_HostileRequests(t *testing.T) {
	uri, _ := url.Parse("https://id.example/")
	extension := func(oid asn1.ObjectIdentifier, critical bool, value []byte) func(*x509.CertificateRequest) {
		return func(r *x509.CertificateRequest) {
			r.ExtraExtensions = []pkix.Extension{{Id: oid, Critical: critical, Value: value}}
		}
	}
	ca, err := asn1.Marshal(struct{ IsCA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	server, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}})
	if err != nil {
		t.Fatal(err)
	}
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0x06}, BitLength: 7})
	if err != nil {
		t.Fatal(err)
	}
	admin := append([]byte{4, 0x81, 16}, make([]byte, 16)...)
	taken := map[string]func(*x509.CertificateRequest){
		"DNS name":           func(r *x509.CertificateRequest) { r.DNSNames = []string{"id.nordhafen.example", "*.example"} },
		"address":            func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{{10, 0, 0, 1}} },
		"mail":               func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"root@nordhafen.example"} },
		"URI":                func(r *x509.CertificateRequest) { r.URIs = []*url.URL{uri} },
		"CA":                 extension(asn1.ObjectIdentifier{2, 5, 29, 19}, true, ca),
		"server":             extension(asn1.ObjectIdentifier{2, 5, 29, 37}, true, server),
		"certificate signer": extension(asn1.ObjectIdentifier{2, 5, 29, 15}, true, usage),
		"unknown, critical":  extension(asn1.ObjectIdentifier{1, 2, 3, 4}, true, []byte{5, 0}),
		"another device":     extension(asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 2}, false, admin),
		"another user":       extension(asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 3}, false, admin),
		"another tenant":     extension(asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 5}, false, admin),
		"a huge extension":   extension(asn1.ObjectIdentifier{1, 2, 3, 5}, false, make([]byte, 20<<10)),
		"no subject":         func(r *x509.CertificateRequest) { r.Subject = pkix.Name{} },
		"lower case":         func(r *x509.CertificateRequest) { r.Subject.CommonName = strings.ToLower(r.Subject.CommonName) },
		"as ever":            nil,
	}
	refused := map[string]func(*x509.CertificateRequest){
		"another name": func(r *x509.CertificateRequest) { r.Subject.CommonName = "admin" },
		"the name as something else": func(r *x509.CertificateRequest) {
			r.Subject = pkix.Name{Organization: []string{r.Subject.CommonName}}
		},
		"two names":   func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"Signet"} },
		"a huge name": func(r *x509.CertificateRequest) { r.Subject.CommonName = strings.Repeat("A", 20<<10) },
		"SHA-1":       func(r *x509.CertificateRequest) { r.SignatureAlgorithm = x509.ECDSAWithSHA1 },
		"SHA-512":     func(r *x509.CertificateRequest) { r.SignatureAlgorithm = x509.ECDSAWithSHA512 },
	}
	each(t, func(t *testing.T, w *world) {
		for name, change := range taken {
			key := ecKey(t)
			body := w.joinBody(key, ecKey(t))
			body["CertificateRequest"] = map[string]any{"Type": "PKCS10", "Data": request(t, key, change)}
			j := w.accepted(w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), w.Ada, key)
			if diff := offTemplate(w, j); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		n := w.held(w.Tenant.ID)
		for name, change := range refused {
			key := ecKey(t)
			body := w.joinBody(key, ecKey(t))
			der, err := x509.CreateCertificateRequest(rand.Reader, hostile(change), key)
			if err != nil && name != "SHA-1" { // which crypto/x509 does not make any more
				t.Fatal(err)
			}
			body["CertificateRequest"] = map[string]any{"Type": "pkcs10", "Data": base64.StdEncoding.EncodeToString(der)}
			w.refused(name, w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), 400, "bad_request")
		}
		if now := w.held(w.Tenant.ID); now != n {
			t.Errorf("%d devices more", now-n)
		}
	})
}

func hostile(change func(*x509.CertificateRequest)) *x509.CertificateRequest {
	r := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "7E980AD9-B86D-4306-9425-9AC066FB014A"}}
	change(r)
	return r
}

// offTemplate says how a certificate differs from the one that every device gets.
func offTemplate(w *world, j joined) string {
	guid := func(text string) string {
		b, err := guidBytes(text)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("048110%x", b)
	}
	want := []string{
		"1.2.840.113556.1.5.284.2 false " + guid(string(j.ID)),
		"1.2.840.113556.1.5.284.3 false " + guid(string(w.Ada.ID)),
		"1.2.840.113556.1.5.284.5 false " + guid(string(w.Tenant.ID)),
		"1.2.840.113556.1.5.284.7 false 04810131",
		"1.2.840.113556.1.5.284.8 false 0481024555",
		"2.5.29.19 true 3000",
		"2.5.29.37 true 300a06082b06010505070302",
	}
	var got []string
	for _, e := range j.cert.Extensions {
		got = append(got, fmt.Sprintf("%s %v %x", e.Id, e.Critical, e.Value))
	}
	slices.Sort(got)
	switch {
	case !slices.Equal(got, want):
		return "extensions " + strings.Join(got, ", ")
	case j.cert.Subject.String() != "CN="+string(j.ID):
		return "subject " + j.cert.Subject.String()
	case j.cert.IsCA || j.cert.KeyUsage != 0 || len(j.cert.DNSNames)+len(j.cert.IPAddresses)+len(j.cert.EmailAddresses)+len(j.cert.URIs) > 0:
		return "names or uses"
	case !device.Same(j.cert.PublicKey, j.key.Public()):
		return "key"
	case j.cert.SignatureAlgorithm != x509.SHA256WithRSA:
		return "signed by " + j.cert.SignatureAlgorithm.String()
	}
	return ""
}

// guidBytes is a GUID in Microsoft's order, written apart from the product's.
func guidBytes(text string) ([]byte, error) {
	var a uint32
	var b, c uint16
	var d, e uint64
	if _, err := fmt.Sscanf(text, "%08x-%04x-%04x-%04x-%012x", &a, &b, &c, &d, &e); err != nil {
		return nil, err
	}
	out := []byte{byte(a), byte(a >> 8), byte(a >> 16), byte(a >> 24), byte(b), byte(b >> 8), byte(c), byte(c >> 8)}
	for shift := 8; shift >= 0; shift -= 8 {
		out = append(out, byte(d>>shift))
	}
	for shift := 40; shift >= 0; shift -= 8 {
		out = append(out, byte(e>>shift))
	}
	return out, nil
}

// Keys that must not join, in each place where one can stand (device-protocol.md
// §5.4; DEV02, DEV03).
func TestSec_DEV02_WeakKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := &rsaKeys()[1].PublicKey
	each(t, func(t *testing.T, w *world) {
		for name, key := range map[string]crypto.Signer{"RSA-1024": small, "P-384": p384} {
			body := w.joinBody(ecKey(t), ecKey(t))
			body["CertificateRequest"] = map[string]any{"Type": "pkcs10", "Data": request(t, key, nil)}
			w.refused(name, w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), 400, "bad_request")
		}
		raw := jose.RSA1(good)
		flip := func(at int, to byte) string {
			b := slices.Clone(raw)
			b[at] = to
			return base64.StdEncoding.EncodeToString(b)
		}
		even := &rsa.PublicKey{N: new(big.Int).Sub(good.N, big.NewInt(1)), E: 65537}
		for name, text := range map[string]string{
			"another magic": flip(3, '2'), "bit length": flip(5, 4), "prime length": flip(16, 1), "exponent 3": blob(&rsa.PublicKey{N: good.N, E: 3}),
			"trailing byte": base64.StdEncoding.EncodeToString(append(slices.Clone(raw), 0)), "cut": base64.StdEncoding.EncodeToString(raw[:len(raw)-1]),
			"RSA-1024": blob(&small.PublicKey), "even modulus": blob(even), "JWK of RSA-1024": rsaJWK(&small.PublicKey),
		} {
			body := w.joinBody(ecKey(t), ecKey(t))
			delete(body, "DeviceKeys")
			body["TransportKey"] = text
			r := w.send("POST", joinPath, w.token(w.Ada, nil), body, nil)
			if r.status != 400 || r.text("Reason") != "bad_request" && r.text("Reason") != "transport_key" {
				t.Errorf("transport key, %s: %d %s", name, r.status, r.raw)
			}
		}
		if n := w.held(w.Tenant.ID); n != 0 {
			t.Errorf("%d devices", n)
		}
	})
}

// One key for both only where the tenant says so (decisions 4.1).
func TestSec_DEV03_SharedKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key := rsaKeys()[0]
		body := w.joinBody(key, ecKey(t))
		delete(body, "DeviceKeys")
		body["TransportKey"] = blob(&key.PublicKey)
		w.refused("one key", w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), 400, "shared_device_key")
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.Compat.SharedDeviceKey = true })
		w.accepted(w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), w.Ada, key)
	})
}

// User keys: each condition refuses alone (device-protocol.md §6, §15).
func TestSec_DEV01_HelloKeyConditions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		j, off := w.join(w.Ada), w.join(w.Ada)
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.devices.SetEnabled(ctx, tx, w.Tenant.ID, off.ID, false)
		})
		const path = "/EnrollmentServer/key/?api-version=1.0"
		body := map[string]string{"kngc": blob(&rsaKeys()[0].PublicKey)}
		on := func(change func(*token.Subject)) string {
			return w.token(w.Ada, func(s *token.Subject) {
				s.Device = j.ID
				if change != nil {
					change(s)
				}
			})
		}
		for name, c := range map[string]struct {
			path, bearer string
			body         any
			change       func(*http.Request)
			status       int
			reason       string
		}{
			"no token":         {path, "", body, nil, 401, "token_missing"},
			"another resource": {path, on(func(s *token.Subject) { s.Audience = "https://graph.windows.net" }), body, nil, 401, "token_audience"},
			"no device":        {path, w.token(w.Ada, nil), body, nil, 401, "token_of_no_device"},
			"unknown device":   {path, on(func(s *token.Subject) { s.Device = "0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e" }), body, nil, 401, "device_unknown"},
			"disabled device":  {path, on(func(s *token.Subject) { s.Device = off.ID }), body, nil, 401, "device_disabled"},
			"11 minutes old":   {path, on(ago(11 * time.Minute)), body, nil, 401, "ngcmfa_missing"},
			"one factor":       {path, on(func(s *token.Subject) { s.Basis = nil }), body, nil, 401, "ngcmfa_missing"},
			"device code":      {path, on(func(s *token.Subject) { s.Code = token.ByDeviceCode }), body, nil, 401, "device_code_refused"},
			"version":          {"/EnrollmentServer/key/?api-version=2.0", on(nil), body, nil, 400, "bad_request"},
			"accepts no JSON":  {path, on(nil), body, func(r *http.Request) { r.Header.Set("Accept", "text/xml") }, 400, "bad_request"},
			"no key":           {path, on(nil), map[string]string{}, nil, 400, "bad_request"},
			"no blob":          {path, on(nil), map[string]string{"kngc": "AAAA"}, nil, 400, "key_malformed"},
			"device key":       {path, on(nil), map[string]string{"kngc": spki(t, j.key.Public())}, nil, 400, "key_registered"},
		} {
			r := w.send("POST", c.path, c.bearer, c.body, c.change)
			if r.status != c.status || r.text("subcode") != c.reason || r.text("response") != "ERROR" {
				t.Errorf("%s: %d %s, want %d %s", name, r.status, r.raw, c.status, c.reason)
			}
			if e, ok := r.body["error"].(map[string]any); !ok || e["message"] == "" || e["message"] != r.text("message") {
				t.Errorf("%s: no error.message: %s", name, r.raw)
			}
		}
		kept, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(kept) != 0 {
			t.Errorf("%d keys, %v", len(kept), err)
		}
		// A token registers more than one key: it is not burnt (decisions 4.8).
		again := on(nil)
		for n := range 2 {
			if r := w.send("POST", path, again, map[string]string{"kngc": blob(&rsaKeys()[n].PublicKey)}, nil); r.status != 200 {
				t.Errorf("%d: %d %s", n, r.status, r.raw)
			}
		}
	})
}

func spki(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Leaving needs the device's own certificate, in a handshake that proves its key
// (device-protocol.md §5.3).
func TestSec_DEV02_Leave(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		j, k := w.join(w.Ada), w.join(w.Bob)
		_, err := x509.CreateCertificate(rand.Reader, j.cert, j.cert, j.key.Public(), j.key)
		if err == nil {
			t.Fatal("a template with SHA256WithRSA is signed by P-256")
		}
		template := *j.cert
		template.SignatureAlgorithm = 0
		self, err := x509.CreateCertificate(rand.Reader, &template, &template, j.key.Public(), j.key)
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := x509.ParseCertificate(self)
		if err != nil {
			t.Fatal(err)
		}
		mine := "/EnrollmentServer/device/" + string(j.ID)
		for name, c := range map[string]struct {
			path   string
			change func(*http.Request)
			reason string
		}{
			"no TLS":             {mine, nil, "certificate_missing"},
			"no certificate":     {mine, func(r *http.Request) { r.TLS = &tls.ConnectionState{HandshakeComplete: true} }, "certificate_missing"},
			"handshake not over": {mine, func(r *http.Request) { r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{j.cert}} }, "certificate_missing"},
			"self-made":          {mine, connected(foreign), "device_certificate"},
			"another's path":     {"/EnrollmentServer/device/" + string(k.ID), connected(j.cert), "device_other"},
			"another's device":   {mine, connected(k.cert), "device_other"},
			"in a header": {mine, func(r *http.Request) {
				r.Header.Set("X-Forwarded-Client-Cert", string(j.der))
				r.Header.Set("X-ARR-ClientCert", base64.StdEncoding.EncodeToString(j.der))
			}, "certificate_missing"},
		} {
			w.refused(name, w.send("DELETE", c.path, "", nil, c.change), 401, c.reason)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.devices.SetEnabled(ctx, tx, w.Tenant.ID, j.ID, false)
		})
		w.refused("disabled", w.send("DELETE", mine, "", nil, connected(j.cert)), 401, "device_disabled")
		if n := w.held(w.Tenant.ID); n != 2 {
			t.Errorf("%d devices", n)
		}
	})
}

// The same over a real connection: who has the certificate without its key gets
// no handshake, and who has another certificate gets 401, not an alert.
func TestSec_DEV02_LeaveOverTLS(t *testing.T) {
	w := newWorldOn(t)
	j := w.join(w.Ada)
	server := httptest.NewUnstartedServer(w.handler)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	leave := func(certs ...tls.Certificate) (int, string) {
		c := server.Client()
		c.Transport = &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: c.Transport.(*http.Transport).TLSClientConfig.RootCAs, //nolint:forcetypeassert // httptest's own
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certs[0], nil
			},
		}, DisableKeepAlives: true}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, server.URL+"/EnrollmentServer/device/"+string(j.ID), nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := c.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer reply.Body.Close()
		text, _ := io.ReadAll(reply.Body)
		return reply.StatusCode, string(text)
	}
	transport := server.Client().Transport
	with := func(certs ...tls.Certificate) (int, string) {
		server.Client().Transport = transport
		return leave(certs...)
	}
	if code, text := with(); code != 401 || !strings.Contains(text, "certificate_missing") {
		t.Errorf("no certificate: %d %s", code, text)
	}
	key := ecKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(j.ID)}, NotAfter: w.Now().AddDate(10, 0, 0)}
	foreign, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := with(tls.Certificate{Certificate: [][]byte{foreign}, PrivateKey: key}); code != 401 || !strings.Contains(text, "device_certificate") {
		t.Errorf("foreign certificate: %d %s", code, text)
	}
	if code, text := with(tls.Certificate{Certificate: [][]byte{j.der}, PrivateKey: key}); code != 0 {
		t.Errorf("certificate without its key: %d %s", code, text)
	}
	if code, text := with(tls.Certificate{Certificate: [][]byte{j.der}, PrivateKey: j.key}); code != 200 {
		t.Errorf("the device: %d %s", code, text)
	}
}

// Two tenants with the same names in them: what is one's is nothing in the
// other (T46).
func TestSec_T46_Tenants(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		mine, theirs := w.join(w.Ada), w.join(w.Eve)
		if n := w.held(w.Tenant.ID); n != 1 {
			t.Errorf("%d devices", n)
		}
		// A token of theirs joins there, whatever else the request says.
		body := w.joinBody(ecKey(t), ecKey(t))
		body["TargetDomain"] = "nordhafen.example"
		j := w.accepted(w.send("POST", joinPath, w.token(w.Eve, nil), body, nil), w.Eve, nil)
		if j.Tenant != w.Other.ID || w.held(w.Tenant.ID) != 1 {
			t.Errorf("joined %s", j.Tenant)
		}
		// A nonce of theirs is none here, and neither is a device's word.
		if d, err := w.devices.Identify(t.Context(), theirs.der); err != nil || d.Tenant != w.Other.ID {
			t.Errorf("%s, %v", d.Tenant, err)
		}
		r := w.send("DELETE", "/EnrollmentServer/device/"+string(mine.ID), "", nil, connected(theirs.cert))
		w.refused("their certificate", r, 401, "device_other")
		bearer := w.token(w.Eve, func(s *token.Subject) { s.Device = mine.ID })
		r = w.send("POST", "/EnrollmentServer/key/?api-version=1.0", bearer, map[string]string{"kngc": blob(&rsaKeys()[0].PublicKey)}, nil)
		if r.status != 401 || r.text("subcode") != "device_unknown" {
			t.Errorf("their person on our device: %d %s", r.status, r.raw)
		}
	})
}

// What goes wrong on our side says nothing of why.
func TestSec_WEB_InternalErrorsAreMute(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.token(w.Ada, nil)
		if _, err := w.DB.Exec(t.Context(), `drop table device_key`); err != nil {
			t.Fatal(err)
		}
		r := w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil)
		if r.status != 500 || strings.Contains(string(r.raw), "device_key") || r.text("Reason") != "" || r.text("TraceId") == "" {
			t.Errorf("%d %s", r.status, r.raw)
		}
	})
}
