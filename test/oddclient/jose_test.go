package oddclient

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

// The JWS of device-protocol.md §8.2.
const (
	knownJWSv2 = "eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIiwia2RmX3ZlciI6Mn0.eyJzY29wZSI6Im9wZW5pZCBhemEiLCJyZXF1ZXN0X25vbmNlIjoibi0xIn0.1SQXciR7QuXUYSLygropXOLdaDiPBQAcKPeUe2pdo3k"
	knownJWSv1 = "eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIn0.eyJzY29wZSI6Im9wZW5pZCBhemEiLCJyZXF1ZXN0X25vbmNlIjoibi0xIn0.tsEgrsKfulPh4gJYG_yRahwR-U7OQWYsH3KlwNiiVS0"
	knownCBC   = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R4IjoiUUVGQ1EwUkZSa2RJU1VwTFRFMU9UMUJSVWxOVVZWWlgiLCJraWQiOiJzZXNzaW9uIn0..oKGio6SlpqeoqaqrrK2urw.sEz4ms9Ub4wq5kC_aNCJVWtHAL2eO3ZvCQU_jU4pvKg.AAAAAAAAAAAAAAAAAAAAAA"
	knownGCM   = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R4IjoiUUVGQ1EwUkZSa2RJU1VwTFRFMU9UMUJSVWxOVVZWWlgiLCJraWQiOiJzZXNzaW9uIn0..oKGio6Slpqeoqaqr.qDwD2IznnxlUMf_BDzFHAsyoT06WXbI.JOwdCD_UKvPlKRGP_s-WEw"
)

func TestSessionJWS(t *testing.T) {
	session, ctx := sequence(0, 32), sequence(0x40, 24)
	for version, known := range map[int]string{
		1: knownJWSv1,
		2: knownJWSv2,
	} {
		header := `{"alg":"HS256","ctx":"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX"}`
		if version == 2 {
			header = strings.TrimSuffix(header, "}") + `,"kdf_ver":2}`
		}
		got, err := Dialect{}.compactRaw([]byte(header), knownPayload, signSession(version, session, ctx))
		if err != nil || got != known {
			t.Errorf("version %d:\n%s\n%s, %v", version, got, known, err)
		}
	}
}

func TestOpenAnswer(t *testing.T) {
	session := sequence(0, 32)
	for known, iv := range map[string]int{knownCBC: 16, knownGCM: 12} {
		got, err := openAnswer(session, known)
		if err != nil || string(got.Plain) != `{"token_type":"Bearer"}` || got.IV != iv {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := openAnswer(sequence(1, 32), known); err == nil {
			t.Error("opens with another session key")
		}
	}
	for name, bad := range map[string]string{
		"four parts": knownGCM[:strings.LastIndexByte(knownGCM, '.')], "a bit of the tag": knownGCM[:len(knownGCM)-2] + "Ew"[1:] + "A", "padded": knownGCM + "==", "not sealed": `{"error":"x"}`,
	} {
		if _, err := openAnswer(session, bad); err == nil {
			t.Error(name)
		}
	}
}

// A session key sealed as §8.1 says, once right and once in each way wrong.
func TestOpenSessionKey(t *testing.T) {
	transport, err := newRSA()
	if err != nil {
		t.Fatal(err)
	}
	session := sequence(0, 32)
	seal := func(header string, key, plain []byte, withAAD bool) string {
		wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &transport.PublicKey, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		h := base64.RawURLEncoding.EncodeToString([]byte(header))
		block, err := aes.NewCipher(session)
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		var aad []byte
		if withAAD {
			aad = []byte(h)
		}
		iv := sequence(7, 12)
		out := gcm.Seal(nil, iv, plain, aad)
		e := base64.RawURLEncoding.EncodeToString
		return strings.Join([]string{h, e(wrapped), e(iv), e(out[:len(plain)]), e(out[len(plain):])}, ".")
	}
	const header = `{"enc":"A256GCM","alg":"RSA-OAEP"}`
	got, err := openSessionKey(transport, seal(header, session, []byte{0x20}, true))
	if err != nil || !bytes.Equal(got, session) {
		t.Errorf("%x, %v", got, err)
	}
	for name, bad := range map[string]string{
		"no AAD":            seal(header, session, []byte{0x20}, false),
		"another byte":      seal(header, session, []byte{0x21}, true),
		"31 bytes":          seal(header, session[:31], []byte{0x20}, true),
		"another algorithm": seal(`{"enc":"A256GCM","alg":"RSA-OAEP-256"}`, session, []byte{0x20}, true),
	} {
		if _, err := openSessionKey(transport, bad); err == nil {
			t.Error(name)
		}
	}
}

// The example of RFC 7518, Appendix C, which differs only in the algorithm's
// name and the length of the key.
func TestConcatKDF(t *testing.T) {
	z := []byte{158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196}
	h := sha256.New()
	h.Write([]byte{0, 0, 0, 1})
	h.Write(z)
	h.Write([]byte("\x00\x00\x00\x07A256GCM\x00\x00\x00\x05Alice\x00\x00\x00\x03Bob\x00\x00\x01\x00"))
	if got := concatKDF(z, []byte("Alice"), []byte("Bob")); !bytes.Equal(got, h.Sum(nil)) {
		t.Errorf("%x", got)
	}
}

func TestOpenECDH(t *testing.T) {
	storage, err1 := newEC()
	own, err2 := newEC()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	point, err := own.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	e := base64.RawURLEncoding.EncodeToString
	header, err := json.Marshal(map[string]any{"alg": "ECDH-ES", "enc": "A256GCM", "apu": e([]byte("us")),
		"epk": map[string]string{"kty": "EC", "crv": "P-256", "x": e(point[1:33]), "y": e(point[33:])}})
	if err != nil {
		t.Fatal(err)
	}
	mine, err1 := own.ECDH()
	theirs, err2 := storage.PublicKey.ECDH()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	z, err := mine.ECDH(theirs)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(concatKDF(z, []byte("us"), []byte("them")))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv := sequence(1, 12)
	out := gcm.Seal(nil, iv, []byte(`{}`), []byte(e(header)))
	body := strings.Join([]string{e(header), "", e(iv), e(out[:2]), e(out[2:])}, ".")
	if got, err := openECDH(storage, []byte("them"), body); err != nil || string(got) != `{}` {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := openECDH(storage, []byte("others"), body); err == nil {
		t.Error("opens for another party")
	}
}

// The blob and kid of §8.2 and the beginning of §5.4.
func TestRSABlob(t *testing.T) {
	n := new(big.Int).SetBytes(bytes.Repeat([]byte{0xc3}, 256))
	k := &rsa.PublicKey{N: n, E: 65537}
	blob := rsaBlob(k)
	if len(blob) != 283 || !strings.HasPrefix(hex.EncodeToString(blob), "525341310008000003000000000100000000000000000000010001") {
		t.Errorf("%d bytes: %.60x", len(blob), blob)
	}
	if got := helloKid(k); got != "HNhKnXiBij9GHhMy8oafiGjJI0QKZ55yyZGtDkAPq/8=" {
		t.Errorf("kid %s", got)
	}
}

func TestCSR(t *testing.T) {
	ec, err1 := newEC()
	r, err2 := newRSA()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, c := range []csr{{}, {utf8: true}, {name: "someone else"}} {
		raw, err := c.make(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x509.ParseCertificateRequest(raw)
		if err != nil || got.CheckSignature() != nil || got.SignatureAlgorithm != x509.SHA256WithRSA {
			t.Errorf("%+v: %v", c, err)
		}
	}
	raw, err := csr{utf8: true}.make(ec)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x509.ParseCertificateRequest(raw)
	if err != nil || got.CheckSignature() != nil || got.Subject.CommonName != csrName {
		t.Errorf("P-256: %v", err)
	}
	if raw, err = (csr{breakSignature: true}).make(r); err != nil {
		t.Fatal(err)
	}
	if got, err := x509.ParseCertificateRequest(raw); err != nil || got.CheckSignature() == nil {
		t.Errorf("a broken proof is whole: %v", err)
	}
	var rest asn1.RawValue
	if left, err := asn1.Unmarshal(raw, &rest); err != nil || len(left) != 0 {
		t.Errorf("%d bytes left, %v", len(left), err)
	}
}

// What the standard alphabet writes differs from what base64url writes: else
// the dialect that uses it would show nothing.
func TestDialectsDiffer(t *testing.T) {
	key, err := newEC()
	if err != nil {
		t.Fatal(err)
	}
	m := message{header: map[string]any{"alg": "ES256"}, payload: map[string]any{"ua": filler, "ub": filler + "~", "uc": filler + "~~"}}
	for _, d := range []Dialect{DialectA(), DialectB(), DialectC()} {
		got, err := d.compact(m, signAs(key))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(got, ".")
		if odd := strings.ContainsAny(parts[1], "+/"); odd != d.StandardSegments {
			t.Errorf("%s: %s", d.Name, parts[1])
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		sig, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || len(sig) != 64 {
			t.Fatalf("signature of %d bytes, %v", len(sig), err)
		}
		if !ecdsa.Verify(&key.PublicKey, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
			t.Errorf("%s: the signature is wrong", d.Name)
		}
	}
}

// Microsoft's byte order and the SID that it makes.
func TestGUID(t *testing.T) {
	got, err := guidLittle("00112233-4455-6677-8899-aabbccddeeff")
	if err != nil || hex.EncodeToString(got) != "33221100554477668899aabbccddeeff" {
		t.Errorf("%x, %v", got, err)
	}
	if sid, err := cloudSID("00000001-0002-0000-0300-000004000000"); err != nil || sid != "S-1-12-1-1-2-3-4" {
		t.Errorf("%s, %v", sid, err)
	}
	if g := newGUID(); len(g) != 36 || g[14] != '4' {
		t.Error(g)
	}
}
