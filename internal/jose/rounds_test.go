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
	"encoding/json"
	"strings"
	"testing"

	josecipher "github.com/go-jose/go-jose/v4/cipher"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

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
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), device.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	from, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		t.Fatal(err)
	}
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
