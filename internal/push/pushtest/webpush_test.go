package pushtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	webpush "github.com/SherClockHolmes/webpush-go"
	"github.com/go-jose/go-jose/v4"
)

// header makes VAPID's header by hand, so that each part can be wrong.
func header(t *testing.T, key *ecdsa.PrivateKey, claims string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return "vapid t=" + token + ", k=" + public(t, key)
}

func public(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// capture gives what the library would send, without sending it.
type capture struct{ body *string }

func (c capture) Do(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	*c.body = string(b)
	return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody}, err
}

// TestStandInRefuses: the stand-in refuses what a service would, each for that
// alone.
func TestStandInRefuses(t *testing.T) {
	s := Start()
	defer s.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sub := s.Subscribe(public(t, key))
	var body string
	_, err = webpush.SendNotification([]byte(`{"id":"1"}`), &webpush.Subscription{Endpoint: sub.Endpoint, Keys: webpush.Keys{Auth: sub.Auth, P256dh: sub.P256DH}},
		&webpush.Options{HTTPClient: capture{&body}, RecordSize: 512, VAPIDPrivateKey: base64.RawURLEncoding.EncodeToString(make([]byte, 31)) + "AQ"})
	if err != nil {
		t.Fatal(err)
	}
	exp := time.Now().Add(time.Hour).Unix()
	claims := func(aud, sub string, exp int64) string {
		return fmt.Sprintf(`{"aud":%q,"sub":%q,"exp":%d}`, aud, sub, exp)
	}
	good := map[string]string{
		"TTL": "60", "Urgency": "high", "Topic": "abc", "Content-Encoding": "aes128gcm",
		"Authorization": header(t, key, claims(s.URL(), "mailto:a@example.com", exp)),
	}
	post := func(body string, change map[string]string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sub.Endpoint, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		all := maps.Clone(good)
		maps.Copy(all, change)
		for k, v := range all {
			if v != "" {
				req.Header.Set(k, v)
			}
		}
		res, err := s.http.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if got := post(body, nil); got != 201 || string(sub.Arrived(t).Plain) != `{"id":"1"}` || s.Faults() != nil {
		t.Fatalf("a good message: %d", got)
	}
	auth := func(key *ecdsa.PrivateKey, c string) map[string]string {
		return map[string]string{"Authorization": header(t, key, c)}
	}
	for _, c := range []struct {
		name   string
		body   string
		change map[string]string
		status int
		fault  string
	}{
		{"no TTL", body, map[string]string{"TTL": ""}, 400, "TTL"},
		{"TTL no number", body, map[string]string{"TTL": "soon"}, 400, "TTL"},
		{"negative TTL", body, map[string]string{"TTL": "-1"}, 400, "TTL"},
		{"urgency", body, map[string]string{"Urgency": "very"}, 400, "Urgency"},
		{"long topic", body, map[string]string{"Topic": strings.Repeat("a", 33)}, 400, "Topic"},
		{"topic of other letters", body, map[string]string{"Topic": "a+b"}, 400, "Topic"},
		{"encoding", body, map[string]string{"Content-Encoding": "aesgcm"}, 415, "Content-Encoding"},
		{"too long", body + strings.Repeat("x", 4096), nil, 413, "4096"},
		{"damaged", body[:len(body)-1] + "x", nil, 400, "opened"},
		{"nobody's", body, map[string]string{"Authorization": ""}, 403, "vapid"},
		{"another key", body, auth(other, claims(s.URL(), "mailto:a@example.com", exp)), 403, "Mismatch"},
		{"signature", body, map[string]string{"Authorization": strings.Split(good["Authorization"], ", k=")[0][:60] + "AAAA, k=" + public(t, key)}, 403, "t is no JWS"},
		{"signed by another", body, map[string]string{"Authorization": strings.Split(header(t, other, claims(s.URL(), "mailto:a@example.com", exp)), ", k=")[0] + ", k=" + public(t, key)}, 403, "signature"},
		{"audience", body, auth(key, claims("https://push.example.com", "mailto:a@example.com", exp)), 403, "aud"},
		{"over", body, auth(key, claims(s.URL(), "mailto:a@example.com", exp-7200)), 403, "exp"},
		{"too long a life", body, auth(key, claims(s.URL(), "mailto:a@example.com", exp+24*3600)), 403, "exp"},
		{"no subject", body, auth(key, claims(s.URL(), "", exp)), 403, "sub"},
		{"subject of this machine", body, auth(key, claims(s.URL(), "mailto:a@localhost", exp)), 403, "sub"},
		{"subject over http", body, auth(key, claims(s.URL(), "http://id.example.com", exp)), 403, "sub"},
		{"subject twice mailto", body, auth(key, claims(s.URL(), "mailto:mailto:a@id.local", exp)), 403, "sub"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := post(c.body, c.change); got != c.status {
				t.Errorf("%d, want %d", got, c.status)
			}
			if got := s.Faults(); len(got) != 1 || !strings.Contains(got[0], c.fault) {
				t.Errorf("faults %v, want %s", got, c.fault)
			}
			if sub.Waiting() != 0 {
				t.Error("it arrived")
			}
		})
	}
	s.Unsubscribe(sub)
	if got := post(body, nil); got != 410 {
		t.Errorf("after the end: %d", got)
	}
}
