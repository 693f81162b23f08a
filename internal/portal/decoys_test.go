package portal

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/signetid/signet/internal/method/passkey/passkeytest"
)

// TestSec_WAN10_PageCallsNoOfferedIDUnknown: a stranger types a name and then
// answers with each id of the list and a signature of their own. The page brings
// the id of a passkey that nobody has (data-unknown) for none of them, be the name
// somebody's or nobody's: else it would tell keys from decoys (T34).
func TestSec_WAN10_PageCallsNoOfferedIDUnknown(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	w.newBrowser().firstDay(ada, "Blue key")
	at := "/" + string(w.tenant.ID) + "/signin"
	for _, name := range []string{ada.Name, "zoe@nordhafen.example"} {
		b := w.newBrowser()
		handle := b.get(at).want(t, 200).field("handle")
		var begun struct {
			Show struct {
				PublicKey struct {
					AllowCredentials []struct{ ID string }
				}
			}
		}
		b.json(at+"/begin", map[string]string{"handle": handle, "method": "passkey", "username": name}, &begun).want(t, 200)
		offered := begun.Show.PublicKey.AllowCredentials
		if len(offered) == 0 {
			t.Errorf("%s: no list", name)
		}
		for _, c := range offered {
			if told := b.answerAs(handle, c.ID).attrOf("data-unknown"); told != "" {
				t.Errorf("%s: the page calls %s unknown", name, told)
			}
		}
		made := base64.RawURLEncoding.EncodeToString([]byte("made up by nobody"))
		if told := b.answerAs(handle, made).attrOf("data-unknown"); told != made {
			t.Errorf("an id that was never offered is told as %q", told)
		}
	}
}

// answerAs answers an ordinary challenge by a key that nobody registered and
// that claims to be id.
func (b *browser) answerAs(handle, id string) reply {
	b.w.t.Helper()
	at := "/" + string(b.w.tenant.ID) + "/signin"
	var begun struct {
		Ceremony string
		Show     json.RawMessage
	}
	b.json(at+"/begin", map[string]string{"handle": handle, "method": "passkey"}, &begun).want(b.w.t, 200)
	stranger := passkeytest.New("localhost", origin)
	_, err := stranger.Create([]byte(`{"rp":{"id":"localhost"},"user":{"id":"AAAA"},"challenge":"AAAA","pubKeyCredParams":[{"alg":-7}]}`))
	b.w.must(err)
	stranger.Payload = func(p map[string]any) { p["id"], p["rawId"] = id, id }
	payload, err := stranger.Get(begun.Show)
	b.w.must(err)
	return b.post(at+"/answer", url.Values{"handle": {handle}, "method": {"passkey"}, "ceremony": {begun.Ceremony}, "payload": {string(payload)}}).want(b.w.t, 401)
}
