package phone

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/secret"

	"github.com/signetid/signet/internal/phonewire"
)

func TestReadCode(t *testing.T) {
	for typed, want := range map[string]string{
		"ABCD-EFGH": "ABCDEFGH", "abcd efgh": "ABCDEFGH", " a-b-c-d-e-f-g-h ": "ABCDEFGH", "oO1l-iI0L": "00111101",
		"ABCD\u2011EFGH": "ABCDEFGH", "ABCD\u00a0EFGH": "ABCDEFGH",
		"AAAAAAAAAAAAAAAAAAAAAA": "AAAAAAAAAAAAAAAAAAAAAA",
		"ABCDEFG":                "", "ABCDEFGHJ": "", "ABCDEFGU": "", "ABCDEFG!": "", "": "", "ÄBCDEFGH": "",
		"AAAAAAAAAAAAAAAAAAAAAB": "", // stray bits behind the last byte
		"AAAAAAAAAAAAAAAAAAAAA+": "", "AAAAAAAAAAAAAAAAAAAAA\n": "",
	} {
		text, link, ok := readCode(typed)
		if ok != (want != "") || ok && (text != want || link != (len(want) == 22)) {
			t.Errorf("%q reads as %q, link %t, %t; want %q", typed, text, link, ok, want)
		}
	}
	seen := map[codes]bool{}
	for range 1000 {
		c := newCodes()
		link, isLink, ok := readCode(c.link)
		typed, isTyped, fine := readCode(strings.ToLower(secret.Spell(c.typed)))
		if !ok || !isLink || link != c.link || !fine || isTyped || typed != c.typed || seen[c] {
			t.Fatalf("%+v", c)
		}
		seen[c] = true
	}
}

func FuzzReadCode(f *testing.F) {
	for _, s := range []string{"ABCD-EFGH", "abcdefgh", "AAAAAAAAAAAAAAAAAAAAAA", "O0-Il1L", "", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, link, ok := readCode(s)
		if !ok {
			return
		}
		if again, same, fine := readCode(text); !fine || again != text || same != link {
			t.Fatalf("%q reads as %q, and that as %q", s, text, again)
		}
		if !link && (len(text) != typedLen || strings.Trim(text, secret.TypedAlphabet) != "") {
			t.Fatalf("%q reads as %q", s, text)
		}
	})
}

// FuzzParseSigned reads headers: what is taken has the one algorithm and type.
func FuzzParseSigned(f *testing.F) {
	b64 := base64.RawURLEncoding.EncodeToString
	head := func(h string) string {
		return "Phone " + b64([]byte(h)) + "." + b64([]byte(`{"tid":"t","htm":"GET","htu":"u","iat":1,"jti":"1234567890123456"}`)) + "." + strings.Repeat("A", 86)
	}
	for _, s := range []string{
		head(`{"alg":"ES256","typ":"signet-phone+jwt","kid":"1"}`), head(`{"alg":"none","typ":"signet-phone+jwt","kid":"1"}`),
		head(`{"alg":"ES256","kid":"1"}`), head(`{"alg":"ES256","typ":"signet-phone+jwt","kid":"1","crit":["b64"],"b64":false}`), "Phone ..", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, _, fault := parseSigned([]string{s})
		if fault != nil {
			if fault.Reason == "" || fault.Public == "" {
				t.Fatalf("%q: %v", s, fault)
			}
			return
		}
		if m.Alg != algorithm || m.Type != phonewire.Type || len(s) > maxHeader {
			t.Fatalf("%q is taken", s)
		}
	})
}
