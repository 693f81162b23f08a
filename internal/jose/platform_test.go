package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"

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

// TestSignAs: what a card or a Mac signs is verified by the key and the algorithm
// that it has, and by no other.
func TestSignAs(t *testing.T) {
	rsaKey, ec := rsa2048(t), p256(t)
	all := []string{"ES256", "RS256", "RS384", "RS512"}
	for _, alg := range all {
		key, other := crypto.Signer(rsaKey), crypto.Signer(ec)
		if alg == "ES256" {
			key, other = other, key
		}
		compact, err := jose.SignAs(alg, key, map[string]any{"typ": "x+jwt", "x5c": "AAAA"}, []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		m, err := jose.ParseLoose(compact, all...)
		if err != nil || m.Alg != alg || m.Type != "x+jwt" || len(m.Chain) != 1 {
			t.Fatalf("%s: %+v, %v", alg, m, err)
		}
		if err := m.VerifyKey(key.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if err := m.VerifyKey(other.Public()); reason(err) != "algorithm_differs" {
			t.Errorf("%s by the other key: %v", alg, err)
		}
		// The same bytes under another algorithm's name.
		part := strings.Split(compact, ".")
		for _, name := range all {
			if name == alg {
				continue
			}
			head := strings.Replace(string(unb64(t, part[0])), alg, name, 1)
			m, err := jose.ParseLoose(base64.RawURLEncoding.EncodeToString([]byte(head))+"."+part[1]+"."+part[2], all...)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.VerifyKey(key.Public()); err == nil {
				t.Errorf("%s as %s is verified", alg, name)
			}
		}
		if _, err := jose.ParseLoose(compact, "HS256"); reason(err) != "algorithm_refused" {
			t.Errorf("%s, not listed: %v", alg, err)
		}
		if out, err := jose.SignAs(alg, other, nil, nil); err == nil {
			t.Errorf("%s with another kind of key: %s", alg, out)
		}
	}
	for _, alg := range []string{"none", "PS256", "ES384", "HS256", ""} {
		if out, err := jose.SignAs(alg, rsaKey, nil, nil); err == nil {
			t.Errorf("%q: %s", alg, out)
		}
	}
}

// TestSec_TOK02_ScalarsOfNothing: r and s of zero, of the order and beyond it, in
// the one length that is theirs, are no signature (apple-platform-sso.md §18.3).
func TestSec_TOK02_ScalarsOfNothing(t *testing.T) {
	key := p256(t)
	compact, err := jose.SignAs("ES256", key, nil, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	input := compact[:strings.LastIndexByte(compact, '.')]
	order := elliptic.P256().Params().N
	good := unb64(t, compact[len(input)+1:])
	scalar := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }
	zero, all := make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)
	for name, sig := range map[string][]byte{
		"r is 0": append(bytes.Clone(zero), good[32:]...), "s is 0": append(bytes.Clone(good[:32]), zero...), "both": make([]byte, 64),
		"r is the order": append(scalar(order), good[32:]...), "s is the order": append(bytes.Clone(good[:32]), scalar(order)...),
		"beyond": append(bytes.Clone(all), all...), "short": good[:63], "long": append(bytes.Clone(good), 0), "longer by a zero in front": append([]byte{0}, good...),
	} {
		m, err := jose.ParseLoose(input+"."+base64.RawURLEncoding.EncodeToString(sig), "ES256")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.VerifyKey(&key.PublicKey); reason(err) != "wrong_signature" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzOpenAgreed: of all messages to Apple's device key, only Apple's opens.
func FuzzOpenAgreed(f *testing.F) {
	var v struct {
		Encryption    appleKey
		PartyV, Reply string
	}
	readVector(f, "apple-encryption.json", &v)
	device, apv := v.Encryption.private(f), unb64(f, v.PartyV)
	part := strings.Split(v.Reply, ".")
	for _, seed := range []string{v.Reply, strings.Join(part[:4], ".") + ".", part[0] + "." + part[1] + "..." + part[4], part[0] + "=." + strings.Join(part[1:], "."), "...."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		plain, err := jose.OpenAgreed(compact, apv, pssowire.IsPartyU, device.ECDH)
		if (err == nil) != (compact == v.Reply) {
			t.Errorf("%q: %q, %v", compact, plain, err)
		}
		if err != nil && (!isUnproven(err) || plain != nil) {
			t.Errorf("%q: %q, %v", compact, plain, err)
		}
	})
}
