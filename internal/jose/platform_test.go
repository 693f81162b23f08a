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
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"

	josecipher "github.com/go-jose/go-jose/v4/cipher"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// appleKey is a key as Apple's pages print it.
type appleKey struct {
	KeyID string `json:"kid"`
	X     string `json:"x"`
	Y     string `json:"y"`
	D     string `json:"d"`
}

func (k appleKey) public(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, unb64(t, k.X)...), unb64(t, k.Y)...))
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func (k appleKey) private(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.P256().NewPrivateKey(unb64(t, k.D))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func readVector(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("../pssowire/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// TestAppleReply is Apple's "Performing encryption verification": every value
// that is printed there, and the whole message, byte for byte, both ways.
func TestAppleReply(t *testing.T) {
	var v struct {
		Encryption, Ephemeral                                                  appleKey
		Nonce, Exchanged, PartyU, PartyV, KDFInput, Key, IV, Tag, Login, Reply string
	}
	readVector(t, "apple-encryption.json", &v)
	for _, k := range []appleKey{v.Encryption, v.Ephemeral} {
		if got := pssowire.KeyOf(k.public(t)).String(); got != k.KeyID {
			t.Errorf("kid %s, want %s", got, k.KeyID)
		}
		if !bytes.Equal(k.private(t).PublicKey().Bytes(), pssowire.Point(k.public(t))) {
			t.Error("a private key of another public one")
		}
	}
	own, device := v.Ephemeral.private(t), v.Encryption.public(t)
	z, err := pssowire.Secret(own, device)
	if err != nil || !bytes.Equal(z, unb64(t, v.Exchanged)) {
		t.Errorf("secret %x, %v", z, err)
	}
	u, w := pssowire.PartyU(own.PublicKey().Bytes()), pssowire.PartyV(pssowire.Point(device), v.Nonce)
	if !bytes.Equal(u, unb64(t, v.PartyU)) || !bytes.Equal(w, unb64(t, v.PartyV)) {
		t.Errorf("party info %x, %x", u, w)
	}
	if got := kdfInput(z, u, w); !bytes.Equal(got, unb64(t, v.KDFInput)) {
		t.Errorf("what the key is the hash of: %x", got)
	}
	if got := jose.Concat(z, "A256GCM", u, w, 32); !bytes.Equal(got, unb64(t, v.Key)) {
		t.Errorf("key %x", got)
	}
	plain, err := jose.OpenAgreed(v.Reply, w, pssowire.IsPartyU, v.Encryption.private(t).ECDH)
	if err != nil {
		t.Fatal(err)
	}
	var tokens pssowire.LoginReply
	if err := json.Unmarshal(plain, &tokens); err != nil || tokens.RefreshExpires != 28800 || tokens.TokenType != "Bearer" || tokens.IDToken == "" {
		t.Errorf("%+v, %v", tokens, err)
	}
	header := unb64(t, v.Reply[:strings.IndexByte(v.Reply, '.')])
	to := jose.Agreement{Recipient: device, Type: "JWT", KeyID: v.Encryption.KeyID, APU: pssowire.PartyU, APV: w}
	if got, err := jose.SealAgreedWith(bytes.NewReader(unb64(t, v.IV)), own, header, to, plain); err != nil || got != v.Reply || !strings.HasSuffix(got, "."+v.Tag) {
		t.Errorf("sealed %s, %v", got, err)
	}
	// Our own header has the same members and values, if not the same spaces.
	ours, err := jose.SealAgreedWith(bytes.NewReader(unb64(t, v.IV)), own, nil, to, plain)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if json.Unmarshal(unb64(t, ours[:strings.IndexByte(ours, '.')]), &got) != nil || json.Unmarshal(header, &want) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("header %v, want %v", got, want)
	}
	if again, err := jose.OpenAgreed(ours, w, pssowire.IsPartyU, v.Encryption.private(t).ECDH); err != nil || !bytes.Equal(again, plain) {
		t.Errorf("%q, %v", again, err)
	}
	for what, open := range map[string]func() ([]byte, error){
		"another nonce in apv": func() ([]byte, error) {
			return jose.OpenAgreed(v.Reply, pssowire.PartyV(pssowire.Point(device), strings.ToLower(v.Nonce)), pssowire.IsPartyU, v.Encryption.private(t).ECDH)
		},
		"no apv": func() ([]byte, error) {
			return jose.OpenAgreed(v.Reply, nil, pssowire.IsPartyU, v.Encryption.private(t).ECDH)
		},
		"another key": func() ([]byte, error) { return jose.OpenAgreed(v.Reply, w, pssowire.IsPartyU, own.ECDH) },
	} {
		if plain, err := open(); err == nil {
			t.Errorf("opened with %s: %q", what, plain)
		}
	}
}

// TestAppleKDF is Apple's "Creating a JSON Web Encryption (JWE) login response",
// as far as its values are of one example (testdata says which is not).
func TestAppleKDF(t *testing.T) {
	var v struct {
		EPK, Encryption                                      appleKey
		Exchanged, Nonce, PartyV, StrayPartyU, KDFInput, Key string
		Header                                               struct {
			EPK appleKey
			APU string
		}
	}
	readVector(t, "apple-kdf.json", &v)
	unhex := func(s string) []byte {
		raw, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	z := unhex(v.Exchanged)
	u, w := pssowire.PartyU(pssowire.Point(v.EPK.public(t))), pssowire.PartyV(pssowire.Point(v.Encryption.public(t)), v.Nonce)
	if !bytes.Equal(w, unb64(t, v.PartyV)) {
		t.Errorf("party info %x", w)
	}
	if got := kdfInput(z, u, w); !bytes.Equal(got, unhex(v.KDFInput)) {
		t.Errorf("what the key is the hash of: %x", got)
	}
	if got := jose.Concat(z, "A256GCM", u, w, 32); !bytes.Equal(got, unhex(v.Key)) {
		t.Errorf("key %X", got)
	}
	if pssowire.IsPartyU(pssowire.Point(v.EPK.public(t)), unb64(t, v.StrayPartyU)) {
		t.Error("the stray apu is that of epk after all")
	}
	if !pssowire.IsPartyU(pssowire.Point(v.Header.EPK.public(t)), unb64(t, v.Header.APU)) {
		t.Error("apu of the example header is not its epk's")
	}
}

// kdfInput is NIST SP 800-56A's, put together by itself.
func kdfInput(z, u, v []byte) []byte {
	var b bytes.Buffer
	part := func(p []byte) {
		binary.Write(&b, binary.BigEndian, uint32(len(p)))
		b.Write(p)
	}
	b.Write([]byte{0, 0, 0, 1})
	b.Write(z)
	part([]byte("A256GCM"))
	part(u)
	part(v)
	b.Write([]byte{0, 0, 1, 0})
	return b.Bytes()
}

// keyWith makes keys until one fits.
func keyWith(t testing.TB, fits func(k *ecdh.PrivateKey) bool) *ecdh.PrivateKey {
	t.Helper()
	for {
		k, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if fits(k) {
			return k
		}
	}
}

// forced are keys whose coordinates begin with a zero.
func forced(t testing.TB) []*ecdh.PrivateKey {
	t.Helper()
	x := func(k *ecdh.PrivateKey) bool { return k.PublicKey().Bytes()[1] == 0 }
	y := func(k *ecdh.PrivateKey) bool { return k.PublicKey().Bytes()[33] == 0 }
	return []*ecdh.PrivateKey{keyWith(t, x), keyWith(t, y), keyWith(t, x), keyWith(t, y)}
}

// TestAgreedRounds: whatever the keys and their secret are, what is sealed opens,
// and another implementation derives the same key. A tenth of the rounds has
// coordinates or secrets that begin with zeros, which big numbers would lose
// (apple-platform-sso.md §17, §18.4).
func TestAgreedRounds(t *testing.T) {
	const rounds = 10_000
	zeros := forced(t)
	count := map[string]int{}
	text := []byte(`{"key":"value"}`)
	for n := range rounds {
		any := func(*ecdh.PrivateKey) bool { return true }
		device, own := keyWith(t, any), keyWith(t, any)
		switch n % 40 {
		case 0:
			device = zeros[n/40%len(zeros)]
		case 1:
			own = zeros[n/40%len(zeros)]
		case 2:
			device, own = zeros[n/40%len(zeros)], zeros[(n/40+1)%len(zeros)]
		case 3:
			if n%400 == 3 {
				own = keyWith(t, func(k *ecdh.PrivateKey) bool { z, err := k.ECDH(device.PublicKey()); return err == nil && z[0] == 0 })
			}
		}
		round(t, device, own, text, count)
	}
	for what, least := range map[string]int{"device": 500, "ephemeral": 500, "secret": 25} {
		if count[what] < least {
			t.Errorf("only %d of %d rounds with zeros in front, of %s", count[what], rounds, what)
		}
	}
}

// round seals and opens once, and checks by an implementation that is not ours.
func round(t *testing.T, device, own *ecdh.PrivateKey, text []byte, count map[string]int) {
	t.Helper()
	raw := device.PublicKey().Bytes()
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	if err != nil {
		t.Fatal(err)
	}
	nonce := "7D71F8B4-1DE7-4F89-8C3A-210D161F38AC"
	info, err := pssowire.ParsePartyV(base64.RawURLEncoding.EncodeToString(pssowire.PartyV(pssowire.Point(pub), nonce)))
	if err != nil || info.Nonce != nonce || !info.Key.Equal(pub) {
		t.Fatalf("apv of %x: %+v, %v", raw, info, err)
	}
	iv := make([]byte, 12)
	rand.Read(iv)
	compact, err := jose.SealAgreedWith(bytes.NewReader(iv), own, nil, jose.Agreement{
		Recipient: info.Key, Type: pssowire.TypeLoginReply, KeyID: info.ID.String(), APU: pssowire.PartyU, APV: info.Raw, Echo: true,
	}, text)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := pssowire.Open(compact, device, info.Raw)
	if err != nil || !bytes.Equal(reply.Plain, text) || reply.Type != pssowire.TypeLoginReply {
		t.Fatalf("device %x, ephemeral %x: %+v, %v", device.Bytes(), own.Bytes(), reply, err)
	}
	part := strings.Split(compact, ".")
	var h struct {
		EPK struct{ X, Y string }
		APU string
	}
	if err := json.Unmarshal(unb64(t, part[0]), &h); err != nil {
		t.Fatal(err)
	}
	x, y := unb64(t, h.EPK.X), unb64(t, h.EPK.Y)
	if len(x) != 32 || len(y) != 32 {
		t.Fatalf("coordinates of %d and %d bytes", len(x), len(y))
	}
	private := &ecdsa.PrivateKey{PublicKey: *pub, D: new(big.Int).SetBytes(device.Bytes())}
	from := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
	key := josecipher.DeriveECDHES("A256GCM", unb64(t, h.APU), info.Raw, private, from, 32)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, unb64(t, part[2]), append(unb64(t, part[3]), unb64(t, part[4])...), []byte(part[0]))
	if err != nil || !bytes.Equal(plain, text) {
		t.Fatalf("elsewhere, device %x, ephemeral %x: %v", device.Bytes(), own.Bytes(), err)
	}
	z, err := own.ECDH(device.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	for what, first := range map[string]bool{"device": raw[1] == 0 || raw[33] == 0, "ephemeral": x[0] == 0 || y[0] == 0, "secret": z[0] == 0} {
		if first {
			count[what]++
		}
	}
}
