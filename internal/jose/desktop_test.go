package jose_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/signetid/signet/internal/jose"
)

// The known answers of device-protocol.md §8.2.
func vector() (key, context, payload []byte) {
	for i := range 32 {
		key = append(key, byte(i))
	}
	for i := range 24 {
		context = append(context, byte(0x40+i))
	}
	return key, context, []byte(`{"scope":"openid aza","request_nonce":"n-1"}`)
}

func derive(key, context []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(jose.DerivationInput(context))
	return m.Sum(nil)
}

func TestDerivationOfSessionKeys(t *testing.T) {
	key, context, payload := vector()
	if got := hex.EncodeToString(derive(key, context)); got != "261704508fac96248f7d3be91a017495fc867b984effbbd36059d69719da6375" {
		t.Errorf("version 1 derives %s", got)
	}
	if got := hex.EncodeToString(derive(key, jose.PayloadContext(context, payload))); got != "54eede2e62bbf21ec05453c32db699256340663ad930c28e916c2ba33d0baf63" {
		t.Errorf("version 2 derives %s", got)
	}
}

const sealedAnswer = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R4IjoiUUVGQ1EwUkZSa2RJU1VwTFRFMU9UMUJSVWxOVVZWWlgiLCJraWQiOiJzZXNzaW9uIn0..oKGio6SlpqeoqaqrrK2urw.sEz4ms9Ub4wq5kC_aNCJVWtHAL2eO3ZvCQU_jU4pvKg.AAAAAAAAAAAAAAAAAAAAAA"
const gcmAnswer = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R4IjoiUUVGQ1EwUkZSa2RJU1VwTFRFMU9UMUJSVWxOVVZWWlgiLCJraWQiOiJzZXNzaW9uIn0..oKGio6Slpqeoqaqr.qDwD2IznnxlUMf_BDzFHAsyoT06WXbI.JOwdCD_UKvPlKRGP_s-WEw"

func TestOpenDirect(t *testing.T) {
	key, context, _ := vector()
	open := func(compact string) ([]byte, error) {
		return jose.OpenDirect(compact, func(got []byte) ([]byte, error) {
			if !bytes.Equal(got, context) {
				t.Errorf("context %x", got)
			}
			return derive(key, got), nil
		})
	}
	if plain, err := open(gcmAnswer); err != nil || string(plain) != `{"token_type":"Bearer"}` {
		t.Errorf("%q, %v", plain, err)
	}
	for name, compact := range map[string]string{
		"CBC":         sealedAnswer,
		"flipped bit": gcmAnswer[:len(gcmAnswer)-1] + "g",
		"no parts":    "x",
	} {
		if plain, err := open(compact); err == nil {
			t.Errorf("%s opened as %q", name, plain)
		}
	}
}

func FuzzOpenDirect(f *testing.F) {
	f.Add(gcmAnswer)
	f.Add(sealedAnswer)
	f.Fuzz(func(t *testing.T, compact string) {
		key, _, _ := vector()
		if plain, err := jose.OpenDirect(compact, func(c []byte) ([]byte, error) { return derive(key, c), nil }); err == nil && len(plain) > len(compact) {
			t.Errorf("opened %d bytes out of %d", len(plain), len(compact))
		}
		_, _ = jose.ContentKey(compact, func([]byte) ([]byte, error) { return key, nil })
	})
}
