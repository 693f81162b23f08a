package jose_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/jose"
)

// derived is the key of device-protocol.md §8.2 for any context.
func derived(ctx []byte) ([]byte, error) { return jose.Derive(sampleKey, 1, ctx, nil), nil }

// The encrypted rows of device-protocol.md §8.2.
const (
	sampleCBC = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R4IjoiUUVGQ1EwUkZSa2RJU1VwTFRFMU9UMUJSVWxOVVZWWlgiLCJraWQiOiJzZXNzaW9uIn0..oKGio6SlpqeoqaqrrK2urw.sEz4ms9Ub4wq5kC_aNCJVWtHAL2eO3ZvCQU_jU4pvKg.AAAAAAAAAAAAAAAAAAAAAA"
	sampleGCM = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R4IjoiUUVGQ1EwUkZSa2RJU1VwTFRFMU9UMUJSVWxOVVZWWlgiLCJraWQiOiJzZXNzaW9uIn0..oKGio6Slpqeoqaqr.qDwD2IznnxlUMf_BDzFHAsyoT06WXbI.JOwdCD_UKvPlKRGP_s-WEw"
	answer    = `{"token_type":"Bearer"}`
)

func unhex(s string) []byte {
	raw, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return raw
}

// TestKnownAnswers: each row of device-protocol.md §8.2 that gives bytes.
func TestKnownAnswers(t *testing.T) {
	const payload = `{"scope":"openid aza","request_nonce":"n-1"}`
	if got := hex.EncodeToString(jose.Derive(sampleKey, 1, sampleCtx, []byte(payload))); got != "261704508fac96248f7d3be91a017495fc867b984effbbd36059d69719da6375" {
		t.Errorf("version 1: %s", got)
	}
	if got := hex.EncodeToString(jose.Derive(sampleKey, 2, sampleCtx, []byte(payload))); got != "54eede2e62bbf21ec05453c32db699256340663ad930c28e916c2ba33d0baf63" {
		t.Errorf("version 2: %s", got)
	}
	want := "00000001" + hex.EncodeToString([]byte("AzureAD-SecureConversation")) + "00" +
		"008d5e2597acba5204d3915133a59649dc81f91d07d017d3076601e19f1cdb0f" + "00000100"
	if got := hex.EncodeToString(jose.KDFInput(2, sampleCtx, []byte(payload))); got != want {
		t.Errorf("input of version 2: %s", got)
	}
	for compact, version := range map[string]int{
		"eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIiwia2RmX3ZlciI6Mn0.eyJzY29wZSI6Im9wZW5pZCBhemEiLCJyZXF1ZXN0X25vbmNlIjoibi0xIn0.1SQXciR7QuXUYSLygropXOLdaDiPBQAcKPeUe2pdo3k": 2,
		"eyJhbGciOiJIUzI1NiIsImN0eCI6IlFFRkNRMFJGUmtkSVNVcExURTFPVDFCUlVsTlVWVlpYIn0.eyJzY29wZSI6Im9wZW5pZCBhemEiLCJyZXF1ZXN0X25vbmNlIjoibi0xIn0.tsEgrsKfulPh4gJYG_yRahwR-U7OQWYsH3KlwNiiVS0":                 0,
	} {
		m, err := jose.ParseLoose(compact, "HS256")
		if err != nil || m.KDF != version || string(m.Payload) != payload || !bytes.Equal(m.Ctx, sampleCtx) {
			t.Fatalf("%+v, %v", m, err)
		}
		if err := m.VerifyMAC(jose.Derive(sampleKey, max(m.KDF, 1), m.Ctx, m.Payload)); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		if err := m.VerifyMAC(jose.Derive(sampleKey, 3-max(m.KDF, 1), m.Ctx, m.Payload)); err == nil {
			t.Errorf("version %d verifies under the other's key", version)
		}
	}
	run := func(from byte, n int) (out []byte) {
		for i := range n {
			out = append(out, from+byte(i))
		}
		return out
	}
	random := bytes.NewReader(append(append(bytes.Clone(sampleCtx), run(0xa0, 16)...), make([]byte, 16)...))
	if got, err := jose.SealCBCWith(random, derived, []byte(answer)); err != nil || got != sampleCBC {
		t.Errorf("CBC: %s, %v", got, err)
	}
	random = bytes.NewReader(append(bytes.Clone(sampleCtx), run(0xa0, 12)...))
	if got, err := jose.SealDirectWith(random, derived, []byte(answer)); err != nil || got != sampleGCM {
		t.Errorf("GCM: %s, %v", got, err)
	}
	if got, err := jose.OpenDirect(sampleGCM, derived); err != nil || string(got) != answer {
		t.Errorf("open: %q, %v", got, err)
	}
}

// openCBC is what the clients do that know nothing but CBC.
func openCBC(t *testing.T, compact string) string {
	t.Helper()
	part := strings.Split(compact, ".")
	var h struct{ Ctx string }
	if err := json.Unmarshal(decode(part[0]), &h); err != nil {
		t.Fatal(err)
	}
	ctx, err := base64.StdEncoding.DecodeString(h.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := derived(ctx)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	text := decode(part[3])
	cipher.NewCBCDecrypter(block, decode(part[2])).CryptBlocks(text, text)
	if len(part) != 5 || part[1] != "" || len(decode(part[4])) != 16 {
		t.Errorf("shape of %s", compact)
	}
	return string(text[:len(text)-int(text[len(text)-1])])
}

func TestSealCBC(t *testing.T) {
	for n := range 49 {
		plain := strings.Repeat("x", n)
		a, err := jose.SealCBC(derived, []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if got := openCBC(t, string(a)); got != plain {
			t.Errorf("%d bytes come back as %q", n, got)
		}
		b, err := jose.SealCBC(derived, []byte(plain))
		one, other := strings.Split(string(a), "."), strings.Split(string(b), ".")
		if err != nil || one[0] == other[0] || one[4] == other[4] {
			t.Errorf("two messages share context or tag: %v", err)
		}
	}
}

// TestSealDirectOpensElsewhere: another library reads what we write, and we what
// it writes.
func TestSealDirectOpensElsewhere(t *testing.T) {
	compact, err := jose.SealDirect(derived, []byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	m, err := gojose.ParseEncryptedCompact(string(compact), []gojose.KeyAlgorithm{gojose.DIRECT}, []gojose.ContentEncryption{gojose.A256GCM})
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := base64.StdEncoding.DecodeString(m.Header.ExtraHeaders["ctx"].(string))
	if err != nil || len(ctx) != 24 || m.Header.KeyID != "session" {
		t.Fatalf("%+v, %v", m.Header, err)
	}
	key, _ := derived(ctx)
	if plain, err := m.Decrypt(key); err != nil || string(plain) != answer {
		t.Errorf("%q, %v", plain, err)
	}
	key, _ = derived(sampleCtx)
	e, err := gojose.NewEncrypter(gojose.A256GCM, gojose.Recipient{Algorithm: gojose.DIRECT, Key: key},
		(&gojose.EncrypterOptions{}).WithHeader("ctx", ctx64))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := e.Encrypt([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	text, err := theirs.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := jose.OpenDirect(text, derived); err != nil || string(plain) != answer {
		t.Errorf("%q, %v", plain, err)
	}
}

func TestWrapSessionKey(t *testing.T) {
	key := rsa2048(t)
	compact, err := jose.WrapSessionKey(&key.PublicKey, sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	if head := string(decode(strings.Split(compact, ".")[0])); head != `{"enc":"A256GCM","alg":"RSA-OAEP"}` {
		t.Errorf("header %s", head)
	}
	if got, err := jose.OpenSessionKey(compact, jose.UnwrapWith(key)); err != nil || !bytes.Equal(got, sampleKey) {
		t.Errorf("%x, %v", got, err)
	}
	m, err := gojose.ParseEncryptedCompact(compact, []gojose.KeyAlgorithm{gojose.RSA_OAEP}, []gojose.ContentEncryption{gojose.A256GCM})
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := m.Decrypt(key); err != nil || string(plain) != " " {
		t.Errorf("%q, %v", plain, err)
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := jose.WrapSessionKey(&key.PublicKey, make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes is wrapped", n)
		}
	}
}

// partyU is a PartyUInfo that depends on the ephemeral key, as those of the Mac
// do.
func partyU(point []byte) []byte { return append([]byte("from"), point...) }

func agreeWith(t *testing.T, key *ecdsa.PrivateKey) func(*ecdh.PublicKey) ([]byte, error) {
	own, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return own.ECDH
}

func TestSealAgreed(t *testing.T) {
	key := p256(t)
	check := func(point, apu []byte) bool { return bytes.Equal(apu, partyU(point)) }
	for _, echo := range []bool{true, false} {
		compact, err := jose.SealAgreed(jose.Agreement{Recipient: &key.PublicKey, Type: "x+jwt", KeyID: "k", APU: partyU, APV: []byte("to"), Echo: echo}, []byte(answer))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := jose.OpenAgreed(compact, []byte("to"), check, agreeWith(t, key)); err != nil || string(got) != answer {
			t.Errorf("echo %t: %q, %v", echo, got, err)
		}
		if got, err := jose.OpenAgreed(compact, []byte("another"), check, agreeWith(t, key)); err == nil {
			t.Errorf("echo %t: opened with another apv: %q", echo, got)
		}
		no := func([]byte, []byte) bool { return false }
		if got, err := jose.OpenAgreed(compact, []byte("to"), no, agreeWith(t, key)); err == nil {
			t.Errorf("echo %t: opened with a wrong apu: %q", echo, got)
		}
		if got, err := jose.OpenAgreed(compact, []byte("to"), nil, agreeWith(t, p256(t))); err == nil {
			t.Errorf("echo %t: opened with another key: %q", echo, got)
		}
		// What is echoed, another library reads.
		m, err := gojose.ParseEncryptedCompact(compact, []gojose.KeyAlgorithm{gojose.ECDH_ES}, []gojose.ContentEncryption{gojose.A256GCM})
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := m.Decrypt(key); (err == nil) != echo || (echo && string(plain) != answer) {
			t.Errorf("echo %t, elsewhere: %q, %v", echo, plain, err)
		}
	}
	bare, err := jose.SealAgreed(jose.Agreement{Recipient: &key.PublicKey}, []byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := jose.OpenAgreed(bare, nil, nil, agreeWith(t, key)); err != nil || string(got) != answer {
		t.Errorf("%q, %v", got, err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.SealAgreed(jose.Agreement{Recipient: &p384.PublicKey}, nil); err == nil {
		t.Error("sealed to P-384")
	}
}

// TestConcatKDF is RFC 7518, Appendix C.
func TestConcatKDF(t *testing.T) {
	z := []byte{158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196}
	if got := base64.RawURLEncoding.EncodeToString(jose.Concat(z, "A128GCM", []byte("Alice"), []byte("Bob"), 16)); got != "VqqN6vgjbSBcIijNcacQGg" {
		t.Errorf("got %s", got)
	}
}

var errHardware = errors.New("the TPM says why")

// TestSec_TOK06_OpenersSayOneThing: whatever is wrong with a message, the error
// is the same text.
func TestSec_TOK06_OpenersSayOneThing(t *testing.T) {
	key, other := rsa2048(t), otherRSA(t)
	sealed, err := jose.SealDirect(derived, []byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	direct := string(sealed)
	wrapped, err := jose.WrapSessionKey(&key.PublicKey, sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := jose.WrapSessionKey(&other.PublicKey, sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	ec := p256(t)
	agreed, err := jose.SealAgreed(jose.Agreement{Recipient: &ec.PublicKey}, []byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	openDirect := func(c string) ([]byte, error) { return jose.OpenDirect(c, derived) }
	openKey := func(c string) ([]byte, error) { return jose.OpenSessionKey(c, jose.UnwrapWith(key)) }
	openAgreed := func(c string) ([]byte, error) { return jose.OpenAgreed(c, nil, nil, agreeWith(t, ec)) }
	refuse := func(name, compact string, open func(string) ([]byte, error)) {
		t.Helper()
		if plain, err := open(compact); plain != nil || err == nil || !isUnproven(err) || err.Error() != "jwe_refused: encrypted message does not open" {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	swap := func(compact string, n int, text string) string {
		part := strings.Split(compact, ".")
		part[n] = text
		return strings.Join(part, ".")
	}
	for what, c := range map[string]struct {
		good string
		open func(string) ([]byte, error)
		alg  string
	}{"direct": {direct, openDirect, "dir"}, "session key": {wrapped, openKey, "RSA-OAEP"}, "agreed": {agreed, openAgreed, "ECDH-ES"}} {
		if _, err := c.open(c.good); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		head := string(decode(strings.Split(c.good, ".")[0]))
		for n, part := range strings.Split(c.good, ".") {
			raw := decode(part)
			for _, at := range []int{0, len(raw) / 2, len(raw) - 1} {
				if at < 0 || len(raw) == 0 {
					continue
				}
				bent := bytes.Clone(raw)
				bent[at] ^= 1
				refuse(what+", flipped", swap(c.good, n, encode(string(bent))), c.open)
			}
			if len(raw) > 0 {
				refuse(what+", cut", swap(c.good, n, encode(string(raw[:len(raw)/2]))), c.open)
			}
			refuse(what+", longer", swap(c.good, n, encode(string(raw)+"\x00")), c.open)
			refuse(what+", line break", swap(c.good, n, part+"\n"), c.open)
		}
		for name, compact := range map[string]string{
			"empty": "", "dots": "....", "four parts": c.good[:strings.LastIndexByte(c.good, '.')], "six parts": c.good + ".AA",
			"other alg":        swap(c.good, 0, encode(strings.Replace(head, c.alg, "RSA1_5", 1))),
			"other enc":        swap(c.good, 0, encode(strings.Replace(head, "A256GCM", "A128GCM", 1))),
			"zip":              swap(c.good, 0, encode(`{"zip":"DEF",`+head[1:])),
			"crit":             swap(c.good, 0, encode(`{"crit":["x"],`+head[1:])),
			"member twice":     swap(c.good, 0, encode(`{"enc":"A256GCM",`+head[1:])),
			"short tag":        swap(c.good, 4, encode(string(decode(strings.Split(c.good, ".")[4])[:12]))),
			"too long":         swap(c.good, 3, strings.Repeat("A", jose.MaxSealed)),
			"CBC for a cipher": sampleCBC,
		} {
			refuse(what+", "+name, compact, c.open)
		}
	}
	refuse("key for another", foreign, openKey)
	refuse("direct with a wrapped key", swap(direct, 1, "AAAA"), openDirect)
	refuse("TPM refuses", wrapped, func(c string) ([]byte, error) {
		return jose.OpenSessionKey(c, func([]byte) ([]byte, error) { return nil, errHardware })
	})
	refuse("TPM gives half a key", wrapped, func(c string) ([]byte, error) {
		return jose.OpenSessionKey(c, func([]byte) ([]byte, error) { return sampleKey[:16], nil })
	})
	refuse("TPM will not agree", agreed, func(c string) ([]byte, error) {
		return jose.OpenAgreed(c, nil, nil, func(*ecdh.PublicKey) ([]byte, error) { return nil, errHardware })
	})
	// That the key is not at hand is no verdict on the message.
	if _, err := jose.OpenDirect(direct, func([]byte) ([]byte, error) { return nil, errHardware }); !errors.Is(err, errHardware) {
		t.Errorf("direct, no key: %v", err)
	}
	for _, n := range []int{0, 16} {
		short := func([]byte) ([]byte, error) { return make([]byte, n), nil }
		refuse("short key", direct, func(c string) ([]byte, error) { return jose.OpenDirect(c, short) })
		if _, err := jose.SealDirect(short, nil); err == nil {
			t.Errorf("sealed under %d bytes", n)
		}
		if _, err := jose.SealCBC(short, nil); err == nil {
			t.Errorf("sealed in CBC under %d bytes", n)
		}
	}
	if _, err := jose.SealDirect(func([]byte) ([]byte, error) { return nil, errHardware }, nil); !errors.Is(err, errHardware) {
		t.Errorf("sealed without a key: %v", err)
	}
}

// TestSec_TOK07_AgreedPoints: an ephemeral key that is no point of the curve
// agrees on nothing.
func TestSec_TOK07_AgreedPoints(t *testing.T) {
	key := p256(t)
	asked := false
	agree := func(*ecdh.PublicKey) ([]byte, error) { asked = true; return nil, errHardware }
	good, err := jose.SealAgreed(jose.Agreement{Recipient: &key.PublicKey}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rest := good[strings.IndexByte(good, '.'):]
	zero := encode(string(make([]byte, 32)))
	raw, _ := p256(t).PublicKey.Bytes()
	x, y := encode(string(raw[1:33])), encode(string(raw[33:]))
	for name, epk := range map[string]string{
		"zeroes":           `{"kty":"EC","crv":"P-256","x":"` + zero + `","y":"` + zero + `"}`,
		"x for y":          `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + x + `"}`,
		"31 bytes":         `{"kty":"EC","crv":"P-256","x":"` + encode(string(raw[2:33])) + `","y":"` + y + `"}`,
		"other curve":      `{"kty":"EC","crv":"P-384","x":"` + x + `","y":"` + y + `"}`,
		"other type":       `{"kty":"OKP","crv":"P-256","x":"` + x + `","y":"` + y + `"}`,
		"standard base64":  `{"kty":"EC","crv":"P-256","x":"` + x + `=","y":"` + y + `"}`,
		"none":             `null`,
		"a list":           `[]`,
		"coordinate twice": `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `","x":"` + x + `"}`,
	} {
		if _, err := jose.OpenAgreed(encode(`{"alg":"ECDH-ES","enc":"A256GCM","epk":`+epk+`}`)+rest, nil, nil, agree); !isUnproven(err) || asked {
			t.Errorf("%s: %v, asked %t", name, err, asked)
		}
	}
}

// FuzzOpen: the openers give an error or what was sealed.
func FuzzOpen(f *testing.F) {
	key := rsa2048(f)
	wrapped, err := jose.WrapSessionKey(&key.PublicKey, sampleKey)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{sampleGCM, sampleCBC, wrapped, "....", encode(`{"alg":"ECDH-ES","enc":"A256GCM","epk":{}}`) + "....", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		plain, err := jose.OpenDirect(compact, derived)
		if (err == nil) != (compact == sampleGCM) || (err == nil && string(plain) != answer) {
			t.Errorf("%q: %q, %v", compact, plain, err)
		}
		if _, err := jose.OpenSessionKey(compact, jose.UnwrapWith(key)); (err == nil) != (compact == wrapped) {
			t.Errorf("%q: %v", compact, err)
		}
		if _, err := jose.OpenAgreed(compact, nil, nil, func(*ecdh.PublicKey) ([]byte, error) { return sampleKey, nil }); err == nil {
			t.Errorf("%q agrees", compact)
		}
	})
}
