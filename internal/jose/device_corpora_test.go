package jose_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/corpustest"
	"github.com/signetid/signet/internal/jose"
)

// TestSP800_108 runs those of NIST's 120 vectors that have our pseudo-random
// function; the others are of HMAC-SHA-384 and HMAC-SHA-512, which nothing here
// derives with.
func TestSP800_108(t *testing.T) {
	dir := corpustest.Folder(t, "kdf")
	if dir == "" {
		return
	}
	var file struct {
		Vectors []struct {
			PRF        string `json:"prf"`
			Counter    string `json:"counterLocation"`
			RLen       int    `json:"rlenBits"`
			Count, L   int
			KI, KO     string
			FixedInput string `json:"fixedInput"`
		} `json:"vectors"`
	}
	corpustest.Read(t, filepath.Join(dir, "sp800-108-ctr-hmac.json"), &file)
	ran := 0
	for _, v := range file.Vectors {
		if v.PRF != "HMAC_SHA256" || v.Counter != "BEFORE_FIXED" || v.RLen != 32 {
			continue
		}
		var out []byte
		for i := uint32(1); len(out) < v.L/8; i++ {
			out = append(out, jose.MAC(unhex(v.KI), append(binary.BigEndian.AppendUint32(nil, i), unhex(v.FixedInput)...))...)
		}
		if got := hex.EncodeToString(out[:v.L/8]); got != v.KO {
			t.Errorf("vector %d of %d bits: %s, want %s", v.Count, v.L, got, v.KO)
		}
		ran++
	}
	if ran != 40 || len(file.Vectors) != 120 {
		t.Errorf("%d vectors of %d", ran, len(file.Vectors))
	}
}

// TestWycheproofUnwrap: RSA-OAEP with SHA-1 as the software key unwraps it. A
// label is never used, so those with one must fail.
func TestWycheproofUnwrap(t *testing.T) {
	dir := corpustest.Folder(t, "wycheproof")
	if dir == "" {
		return
	}
	var file struct {
		TestGroups []struct {
			Key   string `json:"privateKeyPkcs8"`
			Tests []struct {
				ID                              int `json:"tcId"`
				Comment, Label, Ct, Msg, Result string
			}
		}
	}
	corpustest.Read(t, filepath.Join(dir, "rsa_oaep_2048_sha1_mgf1sha1_test.json"), &file)
	ran := 0
	for _, g := range file.TestGroups {
		key, err := x509.ParsePKCS8PrivateKey(unhex(g.Key))
		if err != nil {
			t.Fatal(err)
		}
		unwrap := jose.UnwrapWith(key.(*rsa.PrivateKey))
		for _, c := range g.Tests {
			got, err := unwrap(unhex(c.Ct))
			want := c.Result == "valid" && c.Label == ""
			if (err == nil) != want || (want && hex.EncodeToString(got) != c.Msg) {
				t.Errorf("%d %s: %x, %v", c.ID, c.Comment, got, err)
			}
			ran++
		}
	}
	if ran == 0 {
		t.Error("no cases")
	}
}

// TestWycheproofGCM: the content encryption of all messages, for keys, IVs and
// tags of the one size that it has.
func TestWycheproofGCM(t *testing.T) {
	dir := corpustest.Folder(t, "wycheproof")
	if dir == "" {
		return
	}
	var file struct {
		TestGroups []struct {
			IVSize, KeySize, TagSize int
			Tests                    []struct {
				ID                                          int `json:"tcId"`
				Comment, Key, IV, AAD, Msg, Ct, Tag, Result string
			}
		}
	}
	corpustest.Read(t, filepath.Join(dir, "aes_gcm_test.json"), &file)
	ran := 0
	for _, g := range file.TestGroups {
		if g.KeySize != 256 || g.IVSize != 96 || g.TagSize != 128 {
			continue
		}
		for _, c := range g.Tests {
			got, err := jose.Open(unhex(c.Key), unhex(c.IV), unhex(c.AAD), append(unhex(c.Ct), unhex(c.Tag)...))
			if want := c.Result == "valid"; (err == nil) != want || (want && hex.EncodeToString(got) != c.Msg) {
				t.Errorf("%d %s: %x, %v", c.ID, c.Comment, got, err)
			}
			ran++
		}
	}
	if ran == 0 {
		t.Error("no cases")
	}
}

// TestWycheproofPoints: ephemeral keys as a sender may choose them. A message
// that names one opens, when the point is good, under the key that both agree
// on; else nobody is asked to agree.
func TestWycheproofPoints(t *testing.T) {
	dir := corpustest.Folder(t, "wycheproof")
	if dir == "" {
		return
	}
	var file struct {
		TestGroups []struct {
			Tests []struct {
				ID                                       int `json:"tcId"`
				Comment, Public, Private, Shared, Result string
			}
		}
	}
	corpustest.Read(t, filepath.Join(dir, "ecdh_secp256r1_ecpoint_test.json"), &file)
	good, bad := 0, 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			raw := unhex(c.Public)
			scalar := bytes.TrimLeft(unhex(c.Private), "\x00")
			own, err := ecdh.P256().NewPrivateKey(append(make([]byte, 32-len(scalar)), scalar...))
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) != 65 || raw[0] != 4 {
				continue // not even the form that a JWK's coordinates give
			}
			head := encode(`{"alg":"ECDH-ES","enc":"A256GCM","epk":{"kty":"EC","crv":"P-256","x":"` + encode(string(raw[1:33])) + `","y":"` + encode(string(raw[33:])) + `"}}`)
			var z []byte
			_, err = jose.OpenAgreed(head+"..AAAAAAAAAAAAAAAA..AAAAAAAAAAAAAAAAAAAAAA", nil, nil, func(from *ecdh.PublicKey) ([]byte, error) {
				z, err = own.ECDH(from)
				return z, err
			})
			if !isUnproven(err) {
				t.Errorf("%d %s: %v", c.ID, c.Comment, err)
			}
			if c.Result == "valid" {
				good++
				if hex.EncodeToString(z) != c.Shared {
					t.Errorf("%d %s: %x", c.ID, c.Comment, z)
				}
			} else if bad++; z != nil {
				t.Errorf("%d %s: agreed", c.ID, c.Comment)
			}
		}
	}
	if good == 0 || bad == 0 {
		t.Errorf("%d good, %d bad", good, bad)
	}
	t.Logf("%d points agreed with, %d refused", good, bad)
}

// TestWycheproofEncrypted puts every encrypted message of the corpus before all
// openers: only what has our algorithms and is valid may open.
func TestWycheproofEncrypted(t *testing.T) {
	dir := corpustest.Folder(t, "wycheproof")
	if dir == "" {
		return
	}
	var file struct {
		TestGroups []struct {
			Private json.RawMessage
			Tests   []struct {
				ID              int `json:"tcId"`
				Comment, Result string
				PT              string
				JWE             json.RawMessage
			}
		}
	}
	corpustest.Read(t, filepath.Join(dir, "json_web_encryption_test.json"), &file)
	ran, opened := 0, 0
	for _, g := range file.TestGroups {
		var jwk gojose.JSONWebKey
		if err := json.Unmarshal(g.Private, &jwk); err != nil {
			continue // a key that the other library does not read either
		}
		for _, c := range g.Tests {
			var compact string
			if json.Unmarshal(c.JWE, &compact) != nil {
				continue // JSON serialization
			}
			plain, err := openAny(compact, jwk.Key)
			if err == nil {
				opened++
			}
			if err == nil && c.Result != "valid" {
				t.Errorf("%d %s: opened", c.ID, c.Comment)
			}
			// A session key's message holds one byte; nothing in the corpus does.
			if h := string(decode(strings.Split(compact, ".")[0])); c.Result == "valid" && strings.Contains(h, `"A256GCM"`) && strings.Contains(h, `"ECDH-ES"`) {
				if err != nil || hex.EncodeToString(plain) != c.PT {
					t.Errorf("%d %s: %x, %v", c.ID, c.Comment, plain, err)
				}
			}
			ran++
		}
	}
	if ran == 0 || opened == 0 {
		t.Errorf("%d cases, %d opened", ran, opened)
	}
}

// openAny tries the opener for the key's type.
func openAny(compact string, key any) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return jose.OpenSessionKey(compact, jose.UnwrapWith(k))
	case []byte:
		return jose.OpenDirect(compact, func([]byte) ([]byte, error) { return k, nil })
	case interface {
		ECDH() (*ecdh.PrivateKey, error)
	}:
		own, err := k.ECDH()
		if err != nil {
			return nil, err
		}
		return jose.OpenAgreed(compact, nil, nil, own.ECDH)
	}
	return nil, errHardware
}

// TestCookbookSteps: RFC 7520 has no message in our very algorithms, but their
// steps. 5.2 wraps its key with RSA-OAEP and 5.5 agrees on one with ECDH-ES.
func TestCookbookSteps(t *testing.T) {
	dir := corpustest.Folder(t, "jose-cookbook")
	if dir == "" {
		return
	}
	type example struct {
		Input struct {
			Key gojose.JSONWebKey `json:"key"`
		} `json:"input"`
		Generated  struct{ CEK string } `json:"generated"`
		Encrypting struct {
			EncryptedKey string `json:"encrypted_key"`
			CEK          string
			EPK          gojose.JSONWebKey
		} `json:"encrypting_key"`
	}
	b64 := func(s string) []byte {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	var wrap, agree example
	corpustest.Read(t, filepath.Join(dir, "jwe", "5_2.key_encryption_using_rsa-oaep_with_aes-gcm.json"), &wrap)
	got, err := jose.UnwrapWith(wrap.Input.Key.Key.(*rsa.PrivateKey))(b64(wrap.Encrypting.EncryptedKey))
	if err != nil || !bytes.Equal(got, b64(wrap.Generated.CEK)) || len(got) == 0 {
		t.Errorf("5.2: %x, %v", got, err)
	}
	corpustest.Read(t, filepath.Join(dir, "jwe", "5_5.key_agreement_using_ecdh-es_with_aes-cbc-hmac-sha2.json"), &agree)
	type party interface {
		ECDH() (*ecdh.PrivateKey, error)
	}
	own, err := agree.Input.Key.Key.(party).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	from, err := agree.Encrypting.EPK.Key.(party).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	z, err := own.ECDH(from.PublicKey())
	if got := jose.Concat(z, "A128CBC-HS256", nil, nil, 32); err != nil || !bytes.Equal(got, b64(agree.Encrypting.CEK)) {
		t.Errorf("5.5: %x, %v", got, err)
	}
}

// TestWycheproofLoose gives the lenient verifier the signatures that one must
// see through: P-256 in the fixed form, RSA PKCS #1 v1.5, and HMAC.
func TestWycheproofLoose(t *testing.T) {
	dir := corpustest.Folder(t, "wycheproof")
	if dir == "" {
		return
	}
	for alg, name := range map[string]string{
		"ES256": "ecdsa_secp256r1_sha256_p1363_test.json", "RS256": "rsa_signature_2048_sha256_test.json", "HS256": "hmac_sha256_test.json",
	} {
		var file struct {
			TestGroups []struct {
				KeySize, TagSize int
				DER              string `json:"publicKeyDer"`
				Tests            []struct {
					ID                                  int `json:"tcId"`
					Comment, Key, Msg, Sig, Tag, Result string
				}
			}
		}
		corpustest.Read(t, filepath.Join(dir, name), &file)
		good, bad := 0, 0
		for _, g := range file.TestGroups {
			if alg == "HS256" && (g.KeySize != 256 || g.TagSize != 256) {
				continue
			}
			for _, c := range g.Tests {
				m := jose.Received(alg, unhex(c.Msg), unhex(c.Sig+c.Tag))
				var err error
				if alg == "HS256" {
					err = m.VerifyMAC(unhex(c.Key))
				} else {
					key, parsing := x509.ParsePKIXPublicKey(unhex(g.DER))
					if parsing != nil {
						t.Fatal(parsing)
					}
					err = m.VerifyKey(key)
				}
				switch {
				case c.Result == "acceptable": // RSA without the NULL of its parameters: Go refuses, which is fine
				case (err == nil) != (c.Result == "valid"):
					t.Errorf("%s %d %s: %v", name, c.ID, c.Comment, err)
				case err == nil:
					good++
				default:
					bad++
				}
			}
		}
		if good == 0 || bad == 0 {
			t.Errorf("%s: %d good, %d bad", name, good, bad)
		}
		t.Logf("%s: %d verified, %d refused", name, good, bad)
	}
}

// asn1 signatures never pass for the fixed form.
func TestLooseRefusesASN1Signatures(t *testing.T) {
	key := p256(t)
	m, err := jose.ParseLoose(signLoose(t, base64.RawURLEncoding, `{"alg":"ES256"}`, `{}`, func(input []byte) []byte {
		sig := rawSignature(t, key, string(input))
		der, err := asn1.Marshal([]asn1.RawValue{{Tag: 2, Bytes: append([]byte{0}, sig[:32]...)}, {Tag: 2, Bytes: append([]byte{0}, sig[32:]...)}})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.VerifyKey(&key.PublicKey); reason(err) != "wrong_signature" {
		t.Errorf("got %v", err)
	}
}
