package drs_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/drs"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/tpmtest"
)

func b64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

// machine is one with a TPM, and what it can say about its keys.
type machine struct {
	tpm                    *tpmtest.TPM
	ak, device, transport  *tpmtest.Key
	creation               tpmtest.Statement
	creationData, ekIssued []byte
}

func newMachine(t *testing.T, maker *tpmtest.Maker) *machine {
	t.Helper()
	m := &machine{tpm: tpmtest.New(t)}
	m.ak = m.tpm.Make(tpmtest.Attributes(true, false, true))
	m.creation, m.creationData = m.ak.Created()
	if maker != nil {
		m.ekIssued = maker.Endorse(m.tpm, nil)
	}
	return m
}

// nonce fetches one as machines do.
func (w *world) nonce(t idp.TenantID) string {
	w.t.Helper()
	return w.send("GET", "/EnrollmentServer/nonce/"+string(t)+"/?api-version=1.0", "", nil, nil).text("Value")
}

// attestation is the member of that name, for a nonce.
func (m *machine) attestation(nonce string) map[string]any {
	certified := func(k *tpmtest.Key) map[string]any {
		s := m.ak.Certify(k, nonce)
		return map[string]any{"Public": b64(k.Area), "Attest": b64(s.Attest), "Signature": b64(s.Signature)}
	}
	out := map[string]any{
		"Type": "tpm20", "Nonce": nonce, "EkPublic": b64(m.tpm.EK),
		"AkPublic": b64(m.ak.Area), "AkCreationData": b64(m.creationData), "AkAttest": b64(m.creation.Attest), "AkSignature": b64(m.creation.Signature),
		"DeviceKey": certified(m.device), "TransportKey": certified(m.transport),
	}
	if m.ekIssued != nil {
		out["EkCertificate"] = b64(m.ekIssued)
	}
	return out
}

// keys makes new keys of the machine.
func (m *machine) keys() *machine {
	m.device = m.tpm.Make(tpmtest.Attributes(true, false, false))
	m.transport = m.tpm.Make(tpmtest.Attributes(false, true, false))
	return m
}

// body is a join of the machine, with a fresh nonce.
func (w *world) attested(m *machine, t idp.TenantID) map[string]any {
	w.t.Helper()
	body := w.joinBody(m.device, ecKey(w.t))
	delete(body, "DeviceKeys")
	body["TransportKey"] = blob(m.transport.Public().(*rsa.PublicKey))
	body["Attestation"] = m.attestation(w.nonce(t))
	return body
}

// challenge is what the server asks the TPM.
type challenge struct{ Context, Credential, Secret, Expires string }

// asked reads the attestation of an answer.
func (w *world) asked(r reply) (device.Assurance, *challenge) {
	w.t.Helper()
	var out struct {
		Attestation struct {
			Assurance device.Assurance
			Challenge *challenge
		}
	}
	if err := json.Unmarshal(r.raw, &out); err != nil {
		w.t.Fatal(err)
	}
	return out.Attestation.Assurance, out.Attestation.Challenge
}

// answers opens a challenge in the TPM.
func (w *world) answers(m *machine, c *challenge) []byte {
	w.t.Helper()
	credential, err := base64.StdEncoding.DecodeString(c.Credential)
	if err != nil {
		w.t.Fatal(err)
	}
	secret, err := base64.StdEncoding.DecodeString(c.Secret)
	if err != nil {
		w.t.Fatal(err)
	}
	plain, err := m.ak.Activate(credential, secret)
	if err != nil {
		w.t.Fatal(err)
	}
	return plain
}

// second is the body of the second round trip.
func (w *world) second(m *machine, d device.Device, c *challenge, plain []byte, change func(claims map[string]any)) map[string]any {
	w.t.Helper()
	claims := map[string]any{
		"aud": base + "/EnrollmentServer/attestation", "context": c.Context, "secret": base64.RawURLEncoding.EncodeToString(plain),
	}
	if change != nil {
		change(claims)
	}
	jws := m.sign(w.t, string(d.ID), "signet-attestation+jwt", claims)
	return map[string]any{"TenantId": d.Tenant, "DeviceId": d.ID, "Request": jws}
}

// sign signs claims by the device key, as the TPM can (RFC 7515, Section 7.1).
func (m *machine) sign(t *testing.T, kid, typ string, claims map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	input := encode(map[string]string{"alg": "RS256", "typ": typ, "kid": kid}) + "." + encode(claims)
	digest := sha256.Sum256([]byte(input))
	sig, err := m.device.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

const attestPath = "/EnrollmentServer/attestation"

// TestAttestation goes all the way with a TPM, and without parts of it.
func TestAttestation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		maker := tpmtest.NewMaker(t, w.Now())
		w.roots = maker.Roots()
		w.open()
		m := newMachine(t, maker).keys()
		r := w.send("POST", joinPath, w.token(w.Ada, nil), w.attested(m, w.Tenant.ID), nil)
		j := w.accepted(r, w.Ada, m.device)
		assurance, c := w.asked(r)
		if assurance != device.Unattested || c == nil || j.Assurance != device.Unattested || !j.Enabled {
			t.Fatalf("%s, challenge %v, enabled %v", assurance, c, j.Enabled)
		}
		body := w.second(m, j.Device, c, w.answers(m, c), nil)
		for range 2 { // the second time as if the answer had been lost
			r = w.send("POST", attestPath, "", body, nil)
			if r.status != 200 || r.text("Assurance") != "attested" {
				t.Fatalf("%d %s", r.status, r.raw)
			}
		}
		if d, err := w.devices.Get(t.Context(), w.Tenant.ID, j.ID); err != nil || d.Assurance != device.Attested {
			t.Errorf("%s, %v", d.Assurance, err)
		}
		if e := w.events(w.Tenant.ID); e[0].Activity != "device.attest" || e[0].Outcome != "success" || e[1].Activity != "device.join" {
			t.Errorf("audit: %+v", e)
		}
	})
}

// What was shown decides how a device is labelled (decisions 4.1; DEV02, DEV11).
func TestSec_DEV11_Assurance(t *testing.T) {
	w := newWorldOn(t)
	maker, other := tpmtest.NewMaker(t, w.Now()), tpmtest.NewMaker(t, w.Now())
	w.roots = maker.Roots()
	w.open()
	m := newMachine(t, maker)
	shorter := func(c *x509.Certificate) { c.NotAfter = w.Now().Add(-time.Minute) }
	for name, c := range map[string]struct {
		change     func(a map[string]any)
		want       device.Assurance
		challenged bool
	}{
		"a maker that is known": {nil, device.Unattested, true},
		"no EkPublic":           {func(a map[string]any) { delete(a, "EkPublic") }, device.Unattested, true},
		"an intermediate too":   {func(a map[string]any) { a["EkIntermediates"] = []string{b64(maker.Root.Raw)} }, device.Unattested, true},
		"no certificate":        {func(a map[string]any) { delete(a, "EkCertificate") }, device.Unattested, false},
		"another maker":         {func(a map[string]any) { a["EkCertificate"] = b64(other.Endorse(m.tpm, nil)) }, device.Unattested, false},
		"over":                  {func(a map[string]any) { a["EkCertificate"] = b64(maker.Endorse(m.tpm, shorter)) }, device.Unattested, false},
		"for something else": {func(a map[string]any) {
			a["EkCertificate"] = b64(maker.Endorse(m.tpm, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}} }))
		}, device.Unattested, false},
		"a CA's": {func(a map[string]any) {
			a["EkCertificate"] = b64(maker.Endorse(m.tpm, func(c *x509.Certificate) { c.IsCA = true }))
		}, device.Unattested, false},
		"for nothing in particular": {func(a map[string]any) {
			a["EkCertificate"] = b64(maker.Endorse(m.tpm, func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }))
		}, device.Unattested, true},
		"no transport key": {func(a map[string]any) { delete(a, "TransportKey") }, device.Unproven, false},
	} {
		m.keys()
		body := w.attested(m, w.Tenant.ID)
		if c.change != nil {
			c.change(body["Attestation"].(map[string]any))
		}
		r := w.send("POST", joinPath, w.token(w.Ada, nil), body, nil)
		j := w.accepted(r, w.Ada, m.device)
		if got, asked := w.asked(r); got != c.want || j.Assurance != c.want || (asked != nil) != c.challenged {
			t.Errorf("%s: %s, challenge %v", name, got, asked)
		}
	}
	// Nobody asks where the tenant does not want to know.
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.Attestation = policy.AttestationNone })
	r := w.send("POST", joinPath, w.token(w.Ada, nil), w.attested(m.keys(), w.Tenant.ID), nil)
	if got, asked := w.asked(r); r.status != 200 || got != device.Unattested || asked != nil {
		t.Errorf("no policy: %d %s", r.status, r.raw)
	}
}

// An attestation is made on a nonce of this service: one of the token endpoint
// does not do, whatever its scope (decisions 4.8).
func TestSec_T07_NoncesOfTheTokenEndpoint(t *testing.T) {
	w := newWorldOn(t)
	m := newMachine(t, tpmtest.NewMaker(t, w.Now())).keys()
	bearer, body := w.token(w.Ada, nil), w.attested(m, w.Tenant.ID)
	good := body["Attestation"]
	for _, scope := range []idp.TenantID{w.Tenant.ID, nonce.CommonScope} {
		value, err := w.Box.Seal(t.Context(), scope, nonce.ServerNonce, time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		body["Attestation"] = m.attestation(value)
		w.refused(string(scope), w.send("POST", joinPath, bearer, body, nil), 401, "nonce_over")
	}
	body["Attestation"] = good
	if r := w.send("POST", joinPath, bearer, body, nil); r.status != 200 {
		t.Errorf("on a nonce of this service: %d %s", r.status, r.raw)
	}
}

// Attestations that were made up, in one thing each: the join is refused, and
// leaves nothing behind (DEV02, T07).
func TestSec_T07_AttestationsThatDoNotVerify(t *testing.T) {
	w := newWorldOn(t)
	maker := tpmtest.NewMaker(t, w.Now())
	w.roots = maker.Roots()
	w.open()
	m := newMachine(t, maker).keys()
	stranger := newMachine(t, maker).keys()
	good := w.attested(m, w.Tenant.ID)
	nonce, _ := good["Attestation"].(map[string]any)["Nonce"].(string)
	theirs := stranger.attestation(nonce)
	stale := m.attestation("another nonce")

	free := m.tpm.Make(tpmtest.Attributes(true, false, false)) // not restricted: signs whatever it is given
	freeMade, freeData := free.Created()
	restricted := m.tpm.Make(tpmtest.Attributes(true, false, true)) // as device key: cannot sign what we ask
	ofRestricted := m.ak.Certify(restricted, nonce)
	signs := m.tpm.Make(tpmtest.Attributes(true, false, false)) // as transport key: cannot decrypt
	ofSigning := m.ak.Certify(signs, nonce)

	token := w.token(w.Ada, nil)
	set := func(path string, v any) func(map[string]any) {
		return func(a map[string]any) {
			at, name, nested := strings.Cut(path, ".")
			if !nested {
				a[at] = v
				return
			}
			inner := maps.Clone(a[at].(map[string]any))
			inner[name] = v
			a[at] = inner
		}
	}
	flip := func(path string) func(map[string]any) {
		return func(a map[string]any) {
			at, name, nested := strings.Cut(path, ".")
			text, _ := a[at].(string)
			if nested {
				text = a[at].(map[string]any)[name].(string)
			}
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			raw[len(raw)-1] ^= 1
			set(path, b64(raw))(a)
		}
	}
	longer := func(path string) func(map[string]any) {
		return func(a map[string]any) {
			raw, _ := base64.StdEncoding.DecodeString(a[path].(string))
			a[path] = b64(append(raw, 0))
		}
	}
	pair := func(area []byte, s tpmtest.Statement) map[string]any {
		return map[string]any{"Public": b64(area), "Attest": b64(s.Attest), "Signature": b64(s.Signature)}
	}
	for name, change := range map[string]func(map[string]any){
		"type":                         set("Type", "tpm12"),
		"no attestation key":           set("AkPublic", ""),
		"no creation data":             set("AkCreationData", ""),
		"creation data, flipped":       flip("AkCreationData"),
		"attestation key, flipped":     flip("AkPublic"),
		"attestation key, longer":      longer("AkPublic"),
		"creation, flipped":            flip("AkAttest"),
		"creation signature, flipped":  flip("AkSignature"),
		"no base64":                    set("AkAttest", "!"),
		"another's attestation key":    set("AkPublic", theirs["AkPublic"]),
		"another's creation":           set("AkAttest", theirs["AkAttest"]),
		"a certification as creation":  set("AkAttest", good["Attestation"].(map[string]any)["DeviceKey"].(map[string]any)["Attest"]),
		"no device key":                set("DeviceKey", nil),
		"device key, flipped":          flip("DeviceKey.Attest"),
		"device signature, flipped":    flip("DeviceKey.Signature"),
		"another's device key":         set("DeviceKey", theirs["DeviceKey"]),
		"another's public area":        set("DeviceKey.Public", theirs["DeviceKey"].(map[string]any)["Public"]),
		"creation as certification":    set("DeviceKey.Attest", good["Attestation"].(map[string]any)["AkAttest"]),
		"device key of another nonce":  set("DeviceKey", stale["DeviceKey"]),
		"transport of another nonce":   set("TransportKey", stale["TransportKey"]),
		"transport, flipped":           flip("TransportKey.Signature"),
		"another's transport key":      set("TransportKey", theirs["TransportKey"]),
		"transport key for device key": func(a map[string]any) { a["DeviceKey"] = a["TransportKey"] },
		"restricted device key":        set("DeviceKey", pair(restricted.Area, ofRestricted)),
		"transport that only signs":    set("TransportKey", pair(signs.Area, ofSigning)),
		"signature of no kind":         set("AkSignature", b64([]byte{0, 0x10})),
		"signature of another kind":    set("DeviceKey.Signature", b64([]byte{0, 0x18, 0, 0x0b, 0, 1, 1, 0, 1, 1})),
		"huge":                         set("AkCreationData", b64(make([]byte, 5<<10))),
		"certificate, no DER":          set("EkCertificate", "AAAA"),
		"EkPublic of another":          set("EkPublic", b64(stranger.tpm.EK)),
		"EkPublic, no structure":       set("EkPublic", "AAAA"),
		"intermediate, no DER":         set("EkIntermediates", []string{"AAAA"}),
		"many intermediates":           set("EkIntermediates", []string{b64(maker.Root.Raw), b64(maker.Root.Raw), b64(maker.Root.Raw), b64(maker.Root.Raw), b64(maker.Root.Raw)}),
	} {
		body := maps.Clone(good)
		a := maps.Clone(good["Attestation"].(map[string]any))
		body["Attestation"] = a
		change(a)
		w.refused(name, w.send("POST", joinPath, token, body, nil), 400, "attestation_invalid")
	}
	// A transport key that joins, and is certified, and cannot decrypt.
	body := maps.Clone(good)
	a := maps.Clone(good["Attestation"].(map[string]any))
	a["TransportKey"] = pair(signs.Area, ofSigning)
	body["Attestation"], body["TransportKey"] = a, blob(signs.Public().(*rsa.PublicKey))
	w.refused("transport key that only signs", w.send("POST", joinPath, token, body, nil), 400, "attestation_invalid")
	// All of it by a key that signs whatever it is given.
	lax := *m
	lax.ak, lax.creation, lax.creationData = free, freeMade, freeData
	body = maps.Clone(good)
	body["Attestation"] = lax.attestation(nonce)
	w.refused("attestation key that signs anything", w.send("POST", joinPath, token, body, nil), 400, "attestation_invalid")
	// A transport key that joins but is not the one that is certified (T07).
	body = maps.Clone(good)
	body["TransportKey"] = blob(&rsaKeys()[3].PublicKey)
	w.refused("swapped transport key", w.send("POST", joinPath, token, body, nil), 400, "attestation_invalid")
	// A device key that joins but is not the one that is certified.
	body = maps.Clone(good)
	body["CertificateRequest"] = map[string]any{"Type": "pkcs10", "Data": request(t, ecKey(t), nil)}
	w.refused("swapped device key", w.send("POST", joinPath, token, body, nil), 400, "attestation_invalid")
	if n, spent := w.held(w.Tenant.ID), w.Count(t, "spent", w.Tenant.ID); n != 0 || spent != 0 {
		t.Errorf("%d devices, %d spent", n, spent)
	}
	// The good one still joins: neither its nonce nor its token is used.
	if r := w.send("POST", joinPath, token, good, nil); r.status != 200 {
		t.Errorf("the good one: %d %s", r.status, r.raw)
	}
	// And its nonce is used now, also for other keys.
	m.keys()
	again := w.attested(m, w.Tenant.ID)
	again["Attestation"] = m.attestation(good["Attestation"].(map[string]any)["Nonce"].(string))
	w.refused("nonce again", w.send("POST", joinPath, w.token(w.Ada, nil), again, nil), 401, "nonce_over")
	for name, value := range map[string]string{"empty": "", "made up": "AAAA", "of another tenant": w.nonce(w.Other.ID)} {
		again["Attestation"] = m.attestation(value)
		w.refused("nonce, "+name, w.send("POST", joinPath, w.token(w.Ada, nil), again, nil), 401, "nonce_over")
	}
	again["Attestation"] = m.attestation(w.nonce(w.Tenant.ID))
	w.Advance(5 * time.Minute)
	w.refused("nonce, late", w.send("POST", joinPath, w.token(w.Ada, nil), again, nil), 401, "nonce_over")
}

// The second round trip: each thing that may be wrong with it (DEV11).
func TestSec_DEV11_SecondRoundTrip(t *testing.T) {
	w := newWorldOn(t)
	maker := tpmtest.NewMaker(t, w.Now())
	w.roots = maker.Roots()
	w.open()
	join := func(m *machine, u idp.User) (joined, *challenge) {
		r := w.send("POST", joinPath, w.token(u, nil), w.attested(m, u.Tenant), nil)
		j := w.accepted(r, u, m.device)
		_, c := w.asked(r)
		return j, c
	}
	m, n := newMachine(t, maker).keys(), newMachine(t, maker).keys()
	j, c := join(m, w.Ada)
	k, d := join(n, w.Eve)
	plain := w.answers(m, c)
	// The other machine's TPM does not open it.
	if credential, err := base64.StdEncoding.DecodeString(c.Credential); err == nil {
		secret, _ := base64.StdEncoding.DecodeString(c.Secret)
		if got, err := n.ak.Activate(credential, secret); err == nil {
			t.Errorf("another TPM opened it: %x", got)
		}
	}
	good := w.second(m, j.Device, c, plain, nil)
	wrong := append([]byte{plain[0] ^ 1}, plain[1:]...)
	with := func(name string, v any) map[string]any {
		b := maps.Clone(good)
		b[name] = v
		return b
	}
	flipped := good["Request"].(string)
	flipped = flipped[:len(flipped)-3] + "AAA"
	jws := func(kid, typ string, by *machine) string {
		return by.sign(t, kid, typ, map[string]any{"aud": base + attestPath, "context": c.Context, "secret": base64.RawURLEncoding.EncodeToString(plain)})
	}
	for name, q := range map[string]struct {
		body   map[string]any
		status int
		reason string
	}{
		"wrong secret":        {w.second(m, j.Device, c, wrong, nil), 401, "attestation_failed"},
		"no secret":           {w.second(m, j.Device, c, nil, nil), 401, "attestation_failed"},
		"no base64":           {w.second(m, j.Device, c, plain, func(x map[string]any) { x["secret"] = "!" }), 400, "bad_request"},
		"another's context":   {w.second(m, j.Device, d, plain, nil), 401, "challenge_over"},
		"made-up context":     {w.second(m, j.Device, &challenge{Context: "AAAA"}, plain, nil), 401, "challenge_over"},
		"a nonce as context":  {w.second(m, j.Device, &challenge{Context: w.nonce(w.Tenant.ID)}, plain, nil), 401, "challenge_over"},
		"another audience":    {w.second(m, j.Device, c, plain, func(x map[string]any) { x["aud"] = "https://other.example" + attestPath }), 401, "attestation_audience"},
		"flipped signature":   {with("Request", flipped), 401, "wrong_signature"},
		"another's signature": {with("Request", jws(string(j.ID), "signet-attestation+jwt", n)), 401, "wrong_signature"},
		"another type":        {with("Request", jws(string(j.ID), "JWT", m)), 401, "attestation_header"},
		"another key's name":  {with("Request", jws(string(k.ID), "signet-attestation+jwt", m)), 401, "attestation_header"},
		"no JWS":              {with("Request", "x"), 401, "token_malformed"},
		"another tenant":      {with("TenantId", w.Other.ID), 401, "device_unknown"},
		"another device":      {with("DeviceId", k.ID), 401, "device_unknown"},
		"no device":           {with("DeviceId", "x"), 400, "bad_request"},
		"unknown device":      {with("DeviceId", "0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e"), 401, "device_unknown"},
	} {
		w.refused(name, w.send("POST", attestPath, "", q.body, nil), q.status, q.reason)
	}
	if now, err := w.devices.Get(t.Context(), w.Tenant.ID, j.ID); err != nil || now.Assurance != device.Unattested {
		t.Errorf("%s, %v", now.Assurance, err)
	}
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.On = false })
	w.refused("devices off", w.send("POST", attestPath, "", good, nil), 400, "tenant_unknown")
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.On = true })
	// Another device of the same tenant and machine: a challenge is for one.
	m.keys()
	j2, c2 := join(m, w.Ada)
	w.refused("the first one's challenge", w.send("POST", attestPath, "", w.second(m, j2.Device, c, plain, nil), nil), 401, "attestation_failed")
	w.Advance(10 * time.Minute)
	w.refused("late", w.send("POST", attestPath, "", w.second(m, j2.Device, c2, w.answers(m, c2), nil), nil), 401, "challenge_over")
}

// Where attestation is required, a device is nothing until it is attested, and
// goes when it is not in time (DEV11).
func TestSec_DEV11_Required(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		maker := tpmtest.NewMaker(t, w.Now())
		w.roots = maker.Roots()
		w.open()
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.Attestation = policy.AttestationRequired })
		w.refused("without", w.send("POST", joinPath, w.token(w.Ada, nil), w.joinBody(ecKey(t), ecKey(t)), nil), 403, "attestation_required")
		m := newMachine(t, maker).keys()
		body := w.attested(m, w.Tenant.ID)
		delete(body["Attestation"].(map[string]any), "EkCertificate")
		w.refused("of nobody", w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), 403, "attestation_required")

		join := func() (joined, *challenge) {
			r := w.send("POST", joinPath, w.token(w.Ada, nil), w.attested(m, w.Tenant.ID), nil)
			j := w.accepted(r, w.Ada, m.device)
			_, c := w.asked(r)
			if j.Enabled || j.Pending.IsZero() || c == nil {
				t.Fatalf("enabled %v, pending %s, challenge %v", j.Enabled, j.Pending, c)
			}
			return j, c
		}
		j, c := join()
		w.refused("leave before", w.send("DELETE", "/EnrollmentServer/device/"+string(j.ID), "", nil, connected(j.cert)), 401, "device_disabled")
		if r := w.send("POST", attestPath, "", w.second(m, j.Device, c, w.answers(m, c), nil), nil); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.raw)
		}
		if d, err := w.devices.Get(t.Context(), w.Tenant.ID, j.ID); err != nil || !d.Enabled || d.Assurance != device.Attested {
			t.Errorf("enabled %v, %s, %v", d.Enabled, d.Assurance, err)
		}
		m.keys()
		late, _ := join()
		sweep := drs.Jobs(w.DB, w.devices, w.Audit)[0].Run
		if err := sweep(t.Context(), w.Now().Add(10*time.Minute-time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.devices.Get(t.Context(), w.Tenant.ID, late.ID); err != nil {
			t.Errorf("removed in time: %v", err)
		}
		w.Advance(10 * time.Minute)
		if err := sweep(t.Context(), w.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.devices.Get(t.Context(), w.Tenant.ID, late.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("not removed: %v", err)
		}
		if _, err := w.devices.Get(t.Context(), w.Tenant.ID, j.ID); err != nil {
			t.Errorf("the attested one: %v", err)
		}
		if e := w.events(w.Tenant.ID)[0]; e.Activity != "device.remove" || e.Reason != "not_attested" || e.Detail["device"] != string(late.ID) {
			t.Errorf("audit: %+v", e)
		}
	})
}

// A device that is switched off in the middle stays off.
func TestSec_DEV11_AttestedWhileDisabled(t *testing.T) {
	w := newWorldOn(t)
	maker := tpmtest.NewMaker(t, w.Now())
	w.roots = maker.Roots()
	w.open()
	m := newMachine(t, maker).keys()
	r := w.send("POST", joinPath, w.token(w.Ada, nil), w.attested(m, w.Tenant.ID), nil)
	j := w.accepted(r, w.Ada, m.device)
	_, c := w.asked(r)
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.devices.SetEnabled(ctx, tx, w.Tenant.ID, j.ID, false)
	})
	if r := w.send("POST", attestPath, "", w.second(m, j.Device, c, w.answers(m, c), nil), nil); r.status != 200 {
		t.Errorf("%d %s", r.status, r.raw)
	}
	if d, err := w.devices.Get(t.Context(), w.Tenant.ID, j.ID); err != nil || d.Enabled {
		t.Errorf("enabled %v, %v", d.Enabled, err)
	}
}

func TestReadRoots(t *testing.T) {
	maker := tpmtest.NewMaker(t, time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC))
	dir := t.TempDir()
	write := func(name string, raw []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: maker.Root.Raw})
	file := write("a.pem", append([]byte("# a maker\n"), text...))
	write("b.crt", maker.Root.Raw)
	want := maker.Roots()
	for _, path := range []string{file, dir} {
		if pool, err := drs.ReadRoots(path); err != nil || !pool.Equal(want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	bad := write("c.pem", []byte("nothing"))
	for _, path := range []string{bad, dir, filepath.Join(dir, "none"), t.TempDir()} {
		if _, err := drs.ReadRoots(path); err == nil {
			t.Errorf("%s is taken", path)
		}
	}
}

// sampled is what an emulated TPM said once, in its parts: the same for every
// process that fuzzes.
type sampled struct {
	Nonce                                                            string
	Key                                                              []byte // SubjectPublicKeyInfo
	AK, Creation, Attest, Signature, Area, Certify, CertifySignature []byte
}

func tpmSample(t testing.TB) (s sampled, key crypto.PublicKey) {
	t.Helper()
	raw, err := os.ReadFile("testdata/attestation.json")
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err == nil {
		key, err = x509.ParsePKIXPublicKey(s.Key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, key
}
