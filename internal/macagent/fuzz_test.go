package macagent

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// Whatever a server answers, it is refused or it is what was sealed for this
// request.
func FuzzAnswer(f *testing.F) {
	own := p256(f)
	key, err := own.ECDH()
	if err != nil {
		f.Fatal(err)
	}
	apv := pssowire.PartyV(key.PublicKey().Bytes(), "N")
	for _, typ := range []string{pssowire.TypeLoginReply, pssowire.TypeKeyReply, "JWT", ""} {
		sealed, err := jose.SealAgreed(jose.Agreement{
			Recipient: &own.PublicKey, Type: typ, KeyID: keyID(&own.PublicKey), APU: pssowire.PartyU, APV: apv, Echo: true,
		}, []byte(`{"id_token":"a"}`))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
		f.Add(strings.Replace(sealed, ".", "..", 1))
		f.Add(inHeader(`"kid"`, `"zip":"DEF","kid"`)(sealed))
	}
	f.Add("....")
	q := &Request{accept: pssowire.MediaLogin, typ: pssowire.TypeLoginReply, open: key, apv: apv}
	header := http.Header{"Content-Type": {pssowire.MediaLogin}, "Cache-Control": {"no-store"}}
	f.Fuzz(func(t *testing.T, body string) {
		plain, _, err := q.opened(reply{header, []byte(body)})
		if (err == nil) != (string(plain) == `{"id_token":"a"}`) {
			t.Errorf("%q gives %q, %v", body, plain, err)
		}
	})
}

// Whatever an ID token claims, it is judged without a panic, and one of nobody's
// making never passes.
func FuzzClaims(f *testing.F) {
	f.Add(`{"iss":"i","aud":"c","nonce":"n"}`)
	f.Add(`{"iss":"i","aud":["c"],"azp":"c","nonce":"n","iat":1,"exp":2,"preferred_username":"a","name":"A","groups":["x"]}`)
	f.Add(`{"aud":{}}`)
	c := pssowire.Configuration{Issuer: "i", ClientID: "c", GroupClaim: "groups", UniqueClaim: "oid"}
	f.Fuzz(func(t *testing.T, raw string) {
		var s Session
		q := &Request{nonce: "n", groups: []string{"Admins"}}
		if err := named(c, []byte(raw), q, &s); err == nil {
			for _, g := range s.Groups {
				if g != "Admins" {
					t.Errorf("group %q", g)
				}
			}
		}
		var id idToken
		if jose.Strict([]byte(raw), &id) == nil && judge(c, id, "n", time.Unix(10, 0)) == nil && (id.Nonce != "n" || id.Issuer != "i" || *id.Expires <= 10) {
			t.Errorf("%s passes", raw)
		}
	})
}
