package pssowire_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// TestKeyIDs: one id, in every spelling of it, and nothing else.
func TestKeyIDs(t *testing.T) {
	var id pssowire.KeyID
	for i := range id {
		id[i] = byte(0xf8 + i) // has + and / and -
	}
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(id[:]), base64.RawStdEncoding.EncodeToString(id[:]),
		base64.URLEncoding.EncodeToString(id[:]), base64.RawURLEncoding.EncodeToString(id[:]),
	} {
		if got, err := pssowire.ParseKeyID(text); err != nil || got != id {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if got := id.String(); !strings.ContainsAny(got, "+/") || !strings.HasSuffix(got, "=") {
		t.Errorf("written %s", got)
	}
	for _, text := range []string{"", "AAAA", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("A", 42) + "B", id.String() + "\n", " " + id.String(), strings.Repeat("A", 10_000)} {
		if got, err := pssowire.ParseKeyID(text); reason(err) != "kid_malformed" || idp.AsError(err).Kind != idp.Invalid {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

// TestPoints: a key in every form that extensions send, and what is none.
func TestPoints(t *testing.T) {
	key := &p256(t).PublicKey
	point := pssowire.Point(key)
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, raw []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
	}
	for name, text := range map[string]string{
		"point": pssowire.EncodePoint(key), "point, base64url": base64.RawURLEncoding.EncodeToString(point),
		"SPKI": base64.StdEncoding.EncodeToString(spki), "PEM": block("PUBLIC KEY", spki), "PEM of a point": block("PUBLIC KEY", point),
		"PEM with spaces around": "\n" + block("PUBLIC KEY", spki) + "\t\n",
	} {
		if got, err := pssowire.ParsePoint(text); err != nil || !got.Equal(key) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := func(k any) []byte {
		raw, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	off := bytes.Clone(point)
	off[64] ^= 1
	large := append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...)
	b64 := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"nothing": "", "no base64": "***", "off the curve": b64(off), "coordinates beyond the field": b64(large),
		"origin": b64(append([]byte{4}, make([]byte, 64)...)), "infinity": b64([]byte{0}), "compressed": b64(append([]byte{2 | point[64]&1}, point[1:33]...)),
		"hybrid": b64(append([]byte{6 | point[64]&1}, point[1:]...)), "a byte short": b64(point[:64]), "a byte long": b64(append(bytes.Clone(point), 0)),
		"without its 4": b64(point[1:]), "P-384": b64(der(&p384.PublicKey)), "RSA": b64(der(&rsaKey.PublicKey)), "PEM of RSA": block("PUBLIC KEY", der(&rsaKey.PublicKey)),
		"SPKI with a tail": b64(append(bytes.Clone(spki), 0)), "another PEM": block("CERTIFICATE", spki), "two PEMs": block("PUBLIC KEY", spki) + block("PUBLIC KEY", spki),
		"PEM with headers":  string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Headers: map[string]string{"A": "b"}, Bytes: spki})),
		"PEM off the curve": block("PUBLIC KEY", off), "long": strings.Repeat("A", 2000),
	} {
		if got, err := pssowire.ParsePoint(text); reason(err) != "key_malformed" || idp.AsError(err).Kind != idp.Invalid {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a point on P-384 is written")
		}
	}()
	pssowire.Point(&p384.PublicKey)
}

// TestPartyInfo: what is written is read, and has one spelling of its octets.
func TestPartyInfo(t *testing.T) {
	point := pssowire.Point(&p256(t).PublicKey)
	const nonce = "7D71F8B4-1DE7-4F89-8C3A-210D161F38AC"
	good := pssowire.PartyV(point, nonce)
	text := base64.RawURLEncoding.EncodeToString
	if !strings.HasPrefix(text(good), "AAAABUFwcGxl") || len(good) != 118 {
		t.Errorf("%x", good)
	}
	u := pssowire.PartyU(point)
	if !strings.HasPrefix(text(u), "AAAABUFQUExF") || len(u) != 78 || !pssowire.IsPartyU(point, u) || pssowire.IsPartyU(point, u[:77]) || pssowire.IsPartyU(point, nil) {
		t.Errorf("%x", u)
	}
	info, err := pssowire.ParsePartyV(text(good))
	if err != nil || info.Nonce != nonce || !bytes.Equal(info.Raw, good) || !bytes.Equal(pssowire.Point(info.Key), point) || info.ID != pssowire.KeyOf(info.Key) {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := pssowire.ParsePartyV(base64.StdEncoding.EncodeToString(good)); err != nil {
		t.Errorf("padded: %v", err)
	}
	change := func(at int, to byte) string {
		b := bytes.Clone(good)
		b[at] = to
		return text(b)
	}
	off := bytes.Clone(point)
	off[64] ^= 1
	for name, bad := range map[string]string{
		"nothing": "", "no base64": "*", "the sender's": text(u), "capitals": text(append([]byte("\x00\x00\x00\x05APPLE"), good[9:]...)),
		"of a password": text(append([]byte("\x00\x00\x00\x0dAPPLEEMBEDDED"), good[9:]...)),
		"a length more": change(3, 6), "a length less": change(3, 4), "a huge length": change(0, 0xff), "the key's length more": change(12, 0x42),
		"the nonce's length more": change(81, 0x25), "the nonce's length less": change(81, 0x23), "no 4": change(13, 2), "off the curve": text(pssowire.PartyV(off, nonce)),
		"compressed": text(pssowire.PartyV(append([]byte{2 | point[64]&1}, point[1:33]...), nonce)),
		"no nonce":   text(good[:78]), "an empty nonce": text(pssowire.PartyV(point, "")), "a long nonce": text(pssowire.PartyV(point, strings.Repeat("n", 129))),
		"a nonce of no text": text(pssowire.PartyV(point, "\xff\xfe")), "a byte behind": text(append(bytes.Clone(good), 0)), "four parts": text(append(bytes.Clone(good), 0, 0, 0, 0)),
		"half a length": text(append(bytes.Clone(good), 0, 0)), "stray bits": text(good)[:len(text(good))-1] + "/", "long": strings.Repeat("A", 10_000),
	} {
		if got, err := pssowire.ParsePartyV(bad); reason(err) != "apv_malformed" || idp.AsError(err).Kind != idp.Invalid {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := pssowire.ParsePartyV(text(pssowire.PartyV(point, strings.Repeat("n", pssowire.MaxNonce)))); err != nil {
		t.Errorf("the longest nonce: %v", err)
	}
}

// TestSecrets: a secret keeps its zeros, and so do the coordinates of points, in
// 10^4 rounds and in those that are made to have some (§18.4).
func TestSecrets(t *testing.T) {
	const rounds = 10_000
	zeros := map[string]int{}
	server, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for n := range rounds {
		other := p256(t)
		if n%1000 == 0 {
			for z := agreed(t, server, &other.PublicKey); z[0] != 0; z = agreed(t, server, &other.PublicKey) {
				other = p256(t)
			}
		}
		text := pssowire.EncodePoint(&other.PublicKey)
		back, err := pssowire.ParsePoint(text)
		if err != nil || !back.Equal(&other.PublicKey) || len(text) != 88 {
			t.Fatalf("%s: %v", text, err)
		}
		z := agreed(t, server, back)
		theirs, err := other.ECDH()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := theirs.ECDH(server.PublicKey()); err != nil || !bytes.Equal(same, z) {
			t.Fatalf("%x and %x, %v", z, same, err)
		}
		point := pssowire.Point(&other.PublicKey)
		for what, b := range map[string]byte{"secret": z[0], "x": point[1], "y": point[33]} {
			if b == 0 {
				zeros[what]++
			}
		}
	}
	if zeros["secret"] < 10 || zeros["x"] == 0 || zeros["y"] == 0 {
		t.Errorf("zeros in front: %v", zeros)
	}
}

// TestProof: the octets of what others must make, too.
func TestProof(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("signet-psso-encryption-key\x00nonce"))
	if got := pssowire.EncryptionProof(secret, "nonce"); !bytes.Equal(got, h.Sum(nil)) {
		t.Errorf("%x", got)
	}
}

// TestSigning: a stand-in writes each form that Macs of all ages do, and each is
// read as the same.
func TestSigning(t *testing.T) {
	key := p256(t)
	in := pssowire.Request{
		Issuer: pssowire.ClientID, ClientID: pssowire.ClientID, Audience: []string{"https://id.example/psso/token"}, Issued: pssowire.At(100), Expires: pssowire.At(400),
		Nonce: "N", RequestNonce: "R", Subject: "ada", Username: "ada", Scope: pssowire.ScopeOpenID, GrantType: pssowire.GrantBearer, Claims: pssowire.AskGroups("staff"),
		Crypto: pssowire.Crypto{Alg: pssowire.AlgAgreed, Enc: pssowire.EncAgreed, APV: "x"},
	}
	id := pssowire.KeyOf(&key.PublicKey)
	der := []byte("not read here")
	for name, s := range map[string]pssowire.Signing{
		"new":           {Type: pssowire.TypeLogin},
		"old":           {Type: pssowire.TypeOld, TextTimes: true, Chain: pssowire.ChainString, Certificates: [][]byte{der}},
		"a list":        {Type: pssowire.TypeLogin, Chain: pssowire.ChainList, Certificates: [][]byte{der, der}},
		"unpadded kid":  {Type: pssowire.TypeLogin, KeyID: strings.TrimRight(id.String(), "=")},
		"custom member": {Type: pssowire.TypeLogin, Header: map[string]any{"tenant": 1}},
	} {
		s.Key = key
		compact, err := s.Sign(in)
		if err != nil {
			t.Fatal(err)
		}
		m, err := jose.ParseLoose(compact, "ES256")
		if err != nil || m.Type != strings.ToLower(s.Type) || len(m.Chain) != len(s.Certificates) {
			t.Fatalf("%s: %+v, %v", name, m, err)
		}
		if err := m.VerifyKey(&key.PublicKey); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := pssowire.ParseKeyID(m.KeyID); err != nil || got != id {
			t.Errorf("%s: kid %q, %v", name, m.KeyID, err)
		}
		if text := strings.Contains(string(m.Payload), `"iat":"100"`); text != s.TextTimes {
			t.Errorf("%s: %s", name, m.Payload)
		}
		if !strings.Contains(string(m.Payload), `"aud":"https://id.example/psso/token"`) {
			t.Errorf("%s: %s", name, m.Payload)
		}
		var out pssowire.Request
		if err := m.Read(&out); err != nil || out.Issuer != in.Issuer || *out.Issued != 100 || *out.Expires != 400 || out.Audience[0] != in.Audience[0] || out.Crypto != in.Crypto || len(out.Groups()) != 1 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if compact, err := (pssowire.Signing{Key: key, Type: "x", KeyID: "-"}).Sign(in); err != nil {
		t.Error(err)
	} else if m, err := jose.ParseLoose(compact, "ES256"); err != nil || m.KeyID != "" {
		t.Errorf("%+v, %v", m, err)
	}
	// With two audiences it is a list.
	if raw, err := json.Marshal(pssowire.Assertion{Audience: []string{"a", "b"}}); err != nil || !strings.Contains(string(raw), `"aud":["a","b"]`) {
		t.Errorf("%s, %v", raw, err)
	}
}

// TestOpen: what is no reply to the request is refused.
func TestOpen(t *testing.T) {
	key := p256(t)
	own, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	apv := pssowire.PartyV(pssowire.Point(&key.PublicKey), "N")
	seal := func(a jose.Agreement) string {
		a.Recipient = &key.PublicKey
		out, err := jose.SealAgreed(a, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := jose.Agreement{Type: pssowire.TypeKeyReply, KeyID: "k", APU: pssowire.PartyU, APV: apv}
	r, err := pssowire.Open(seal(good), own, apv)
	if err != nil || string(r.Plain) != "{}" || r.Type != pssowire.TypeKeyReply || r.KeyID != "k" {
		t.Errorf("%+v, %v", r, err)
	}
	for name, a := range map[string]jose.Agreement{
		"no apu":           {APV: apv},
		"another's apu":    {APU: func([]byte) []byte { return pssowire.PartyU(pssowire.Point(&key.PublicKey)) }, APV: apv},
		"apu in small":     {APU: func(p []byte) []byte { return pssowire.PartyV(p, "N") }, APV: apv},
		"no apv":           {APU: pssowire.PartyU},
		"another apv":      {APU: pssowire.PartyU, APV: pssowire.PartyV(pssowire.Point(&key.PublicKey), "M")},
		"another, as echo": {APU: pssowire.PartyU, APV: []byte("x"), Echo: true},
	} {
		if r, err := pssowire.Open(seal(a), own, apv); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, text := range []string{"", "....", "*....", "e30....", "WzFd...."} {
		if r, err := pssowire.Open(text, own, apv); err == nil {
			t.Errorf("%q: %+v", text, r)
		}
	}
}
