package pushtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// FCM stands in the place of Firebase's service, and of the one that gives
// tokens for it.
type FCM struct {
	server
	// Tokens answers those who ask for tokens; the zero value gives one for an
	// hour.
	Tokens script
	key    *rsa.PrivateKey
	now    func() time.Time
	asked  atomic.Int64
	good   atomic.Pointer[string]
	got    chan FCMMessage
}

// FCMMessage is what arrived and was in order.
type FCMMessage struct {
	Token    string            `json:"token"`
	Data     map[string]string `json:"data"`
	Priority string            `json:"-"`
	TTL      string            `json:"-"`
	Collapse string            `json:"-"`
}

const (
	fcmProject = "project-1"
	fcmEmail   = "signet@project-1.iam.gserviceaccount.example"
	fcmKeyID   = "0123456789abcdef"
)

// NewFCM starts one for a test. now is the clock that it judges grants by.
func NewFCM(t testing.TB, now func() time.Time) *FCM {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &FCM{key: key, now: now, got: make(chan FCMMessage, kept)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /v1/projects/"+fcmProject+"/messages:send", s.serve)
	s.start(mux)
	t.Cleanup(func() {
		s.close()
		s.check(t)
	})
	return s
}

// Credentials are the file of a service account.
func (s *FCM) Credentials() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": fcmProject, "private_key_id": fcmKeyID, "client_email": fcmEmail, "token_uri": s.URL() + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		panic(err)
	}
	return text
}

// Arrived waits for a message.
func (s *FCM) Arrived(t testing.TB) FCMMessage { t.Helper(); return must(t, s.got) }

// Asked is how often a token was asked for.
func (s *FCM) Asked() int64 { return s.asked.Load() }

// Forget makes the token that was given last a bad one.
func (s *FCM) Forget() { s.good.Store(nil) }

// token is the grant of RFC 7523, Section 2.1, as Google takes it.
func (s *FCM) token(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	if problem := s.grant(r); problem != "" {
		s.fault("%s", problem)
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	token := rand.Text()
	s.good.Store(&token)
	s.say(w, r, s.Tokens.next(), http.StatusOK, `{"access_token":"`+token+`","expires_in":3600,"token_type":"Bearer"}`)
}

func (s *FCM) grant(r *http.Request) (problem string) {
	if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return "grant_type"
	}
	token, err := jose.ParseSignedCompact(r.PostFormValue("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || token.Signatures[0].Protected.KeyID != fcmKeyID {
		return "assertion is no JWS by RS256 with the key's id"
	}
	body, err := token.Verify(&s.key.PublicKey)
	var claims struct {
		Issuer   string `json:"iss"`
		Scope    string `json:"scope"`
		Audience string `json:"aud"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}
	now := s.now().Unix()
	switch {
	case err != nil || json.Unmarshal(body, &claims) != nil:
		return "assertion's signature"
	case claims.Issuer != fcmEmail || claims.Audience != s.URL()+"/token":
		return "iss or aud"
	case !slices.Contains(strings.Fields(claims.Scope), "https://www.googleapis.com/auth/firebase.messaging"):
		return "scope"
	case claims.Issued > now+60 || claims.Expires < now || claims.Expires > claims.Issued+3600:
		return "iat or exp"
	}
	return ""
}

func (s *FCM) serve(w http.ResponseWriter, r *http.Request) {
	good := s.good.Load()
	if good == nil || r.Header.Get("Authorization") != "Bearer "+*good {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`)
		return
	}
	var in struct {
		Message struct {
			FCMMessage
			Android struct {
				Priority string `json:"priority"`
				TTL      string `json:"ttl"`
				Collapse string `json:"collapse_key"`
			} `json:"android"`
		} `json:"message"`
	}
	d := json.NewDecoder(io.LimitReader(r.Body, 8192))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || in.Message.Token == "" {
		s.fault("message: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":{"code":400,"status":"INVALID_ARGUMENT"}}`)
		return
	}
	m := in.Message.FCMMessage
	m.Priority, m.TTL, m.Collapse = in.Message.Android.Priority, in.Message.Android.TTL, in.Message.Android.Collapse
	a := s.next()
	if a.Status == 0 && !a.Hang {
		select {
		case s.got <- m:
		default:
		}
	}
	s.say(w, r, a, http.StatusOK, `{"name":"projects/`+fcmProject+`/messages/1"}`)
}
