package jose_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/jose"
)

// What a device signs is read by the server's readers, payload and header as
// they were given.
func TestDeviceMessages(t *testing.T) {
	payload := []byte(`{"request_nonce":"n-1",  "scope":"openid aza"}`)
	device, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	session := make([]byte, 32)
	rand.Read(session)
	for name, sign := range map[string]func() (string, error){
		"RS256": func() (string, error) {
			return jose.SignRS256(device, map[string]any{"x5c": []string{"MIIC"}, "kdf_ver": 2}, payload)
		},
		"HS256": func() (string, error) {
			return jose.SignHS256(session, map[string]any{"ctx": "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX", "kdf_ver": 2}, payload)
		},
	} {
		compact, err := sign()
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(compact, ".")
		body, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil || string(body) != string(payload) {
			t.Errorf("%s: payload %q, %v", name, body, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		var header map[string]any
		if err := json.Unmarshal(raw, &header); err != nil {
			t.Fatal(err)
		}
		if header["alg"] != name || header["typ"] != "JWT" || header["kdf_ver"] != 2.0 {
			t.Errorf("%s: header %s", name, raw)
		}
		m, err := jose.ParseLoose(compact, name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "RS256" {
			err = m.VerifyKey(&device.PublicKey)
		} else {
			err = m.VerifyMAC(session)
			h := hmac.New(sha256.New, session)
			h.Write([]byte(parts[0] + "." + parts[1]))
			if parts[2] != base64.RawURLEncoding.EncodeToString(h.Sum(nil)) {
				t.Error("HS256 is not the HMAC of the message")
			}
		}
		if err != nil {
			t.Errorf("%s does not verify: %v", name, err)
		}
	}
}

func TestTypeOfDeviceMessages(t *testing.T) {
	device, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jose.SignRS256(device, map[string]any{"typ": "signet-attestation+jwt"}, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(compact, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || !strings.Contains(string(raw), `"typ":"signet-attestation+jwt"`) {
		t.Errorf("header %s, %v", raw, err)
	}
}

func FuzzUnverified(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJvaWQiOiJ4In0.c2ln")
	f.Add("..")
	f.Fuzz(func(t *testing.T, compact string) {
		var claims struct {
			OID string `json:"oid"`
		}
		if jose.Unverified(compact, &claims) == nil && strings.Count(compact, ".") != 2 {
			t.Errorf("read %q", compact)
		}
	})
}
