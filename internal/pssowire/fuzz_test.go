package pssowire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// FuzzPartyV: party info that is taken is what would be written of it.
func FuzzPartyV(f *testing.F) {
	var v captured
	readVector(f, "captures.json", &v)
	good, err := jose.Unbase64(v.APV)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{good, good[:78], append(bytes.Clone(good), 0, 0, 0, 0), {}, {0xff, 0xff, 0xff, 0xff}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		info, err := pssowire.ParsePartyV(base64.RawURLEncoding.EncodeToString(raw))
		if err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Errorf("%x: %v", raw, err)
			}
			return
		}
		if again := pssowire.PartyV(pssowire.Point(info.Key), info.Nonce); !bytes.Equal(again, raw) || !bytes.Equal(info.Raw, raw) || info.Nonce == "" {
			t.Errorf("%x is read as %x", raw, again)
		}
	})
}

// FuzzParsePoint: a key that is taken is on P-256, and has one point.
func FuzzParsePoint(f *testing.F) {
	var v captured
	readVector(f, "captures.json", &v)
	f.Add(v.Signing)
	f.Add("BCBx2Z+Uo/dFeXnMSl08bFslWC0K5+8sG9sZcNqrQOlbmqTP4gwPRYW8vj+N3gBN9Gvh2ubuQyjUVLA7bMv+tsk=")
	f.Add("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		pub, err := pssowire.ParsePoint(text)
		if err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if again, err := pssowire.ParsePoint(pssowire.EncodePoint(pub)); err != nil || !again.Equal(pub) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := jose.Usable(pub); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// FuzzRequest: the claims of any message are read or refused, and what was read
// is written and read as the same.
func FuzzRequest(f *testing.F) {
	var v captured
	readVector(f, "captures.json", &v)
	for _, text := range []string{v.Login, v.KeyRequest, v.KeyExchange, "e30.e30.AA"} {
		m, err := jose.ParseLoose(text, "ES256", "HS256")
		if err == nil {
			f.Add(m.Payload)
		}
	}
	f.Add([]byte(`{"iat":"1656005132","aud":["a","b"],"claims":{"id_token":{}},"jwe_crypto":null}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var r, again pssowire.Request
		if err := jose.Loosely(payload, &r); err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Errorf("%q: %v", payload, err)
			}
			return
		}
		raw, err := json.Marshal(r)
		if err == nil {
			err = jose.Loosely(raw, &again)
		}
		if err != nil || again.Nonce != r.Nonce || again.Subject != r.Subject || again.Crypto != r.Crypto || len(again.Groups()) != len(r.Groups()) || len(again.Audience) != len(r.Audience) {
			t.Errorf("%q: %q, %v", payload, raw, err)
		}
	})
}
