package pushtest

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"slices"
	"testing"
)

// The example of RFC 8291, Section 5 and Appendix A.
const (
	exampleKey  = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
	exampleAuth = "BTBZMqHH6r4Tts7J_aSIgg"
	exampleBody = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_" +
		"yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	examplePlain = "When I grow up, I want to be a watermelon"
)

func example(t testing.TB) (key *ecdh.PrivateKey, auth, body []byte) {
	t.Helper()
	var raw [3][]byte
	for i, s := range []string{exampleKey, exampleAuth, exampleBody} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		raw[i] = b
	}
	key, err := ecdh.P256().NewPrivateKey(raw[0])
	if err != nil {
		t.Fatal(err)
	}
	return key, raw[1], raw[2]
}

func TestOpenExample(t *testing.T) {
	key, auth, body := example(t)
	plain, err := Open(key, auth, body)
	if err != nil || string(plain) != examplePlain {
		t.Errorf("%q, %v", plain, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	key, auth, body := example(t)
	for i := range body {
		bad := bytes.Clone(body)
		bad[i] ^= 1
		// The record size is not authenticated: it is refused when it is smaller
		// than the record.
		if plain, err := Open(key, auth, bad); err == nil && !(i >= 16 && i < 20) {
			t.Errorf("opened with byte %d changed: %q", i, plain)
		}
	}
	small := bytes.Clone(body)
	copy(small[16:20], []byte{0, 0, 0, 40})
	if _, err := Open(key, auth, small); err == nil {
		t.Error("opened a record that is longer than it says")
	}
	for n := range body {
		if _, err := Open(key, auth, body[:n]); err == nil {
			t.Errorf("opened %d bytes of it", n)
		}
	}
	if _, err := Open(key, slices.Concat(auth, []byte{0}), body); err == nil {
		t.Error("opened with a longer auth")
	}
}

func TestUnpad(t *testing.T) {
	for in, want := range map[string]string{"a\x02": "a", "a\x02\x00\x00": "a", "\x02": "", "a\x00\x02\x00": "a\x00"} {
		if got, err := unpad([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "a", "a\x01", "\x00\x00", "a\x01\x00"} {
		if got, err := unpad([]byte(in)); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key, auth, body := example(f)
	f.Add(body)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		if plain, err := Open(key, auth, in); err == nil && string(plain) != examplePlain {
			t.Errorf("opened %q", plain)
		}
	})
}
