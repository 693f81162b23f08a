package push

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// Firebase's service, and what a token for it is asked for with. [K]
// passkeys-and-phone.md §6.9.
const (
	fcmBase  = "https://fcm.googleapis.com"
	fcmScope = "https://www.googleapis.com/auth/firebase.messaging"
	fcmGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523, Section 2.1
	// fcmEarly is how long before its end a token is not used any more.
	fcmEarly = time.Minute
)

// FCMConfig lets messages be sent to an app of the operator's by Firebase Cloud
// Messaging (HTTP v1).
type FCMConfig struct {
	Credentials []byte // the JSON file of a service account
	Base        string // in the place of Firebase's address; empty: that
}

// account is what is used of the file.
type account struct {
	Type     string `json:"type"`
	Project  string `json:"project_id"`
	KeyID    string `json:"private_key_id"`
	Key      string `json:"private_key"`
	Email    string `json:"client_email"`
	TokenURI string `json:"token_uri"`
}

type fcm struct {
	cfg     FCMConfig
	account account
	client  *http.Client
	now     func() time.Time
	signer  *jose.Signer

	mu    sync.Mutex // held while a token is asked for: one does for all
	token string
	until time.Time
}

func newFCM(c FCMConfig, client *http.Client, now func() time.Time) (*fcm, error) {
	bad := func(format string, args ...any) error {
		return idp.Invalidf("push_fcm", "fcm-credentials is not the JSON file of a service account: "+format, args...)
	}
	f := &fcm{cfg: c, client: client, now: now}
	if json.Unmarshal(c.Credentials, &f.account) != nil { // whose error may quote the key
		return nil, bad("it is no JSON")
	}
	a := f.account
	f.account.Key = ""
	u, err := url.Parse(a.TokenURI)
	switch {
	case a.Type != "service_account" || a.Project == "" || a.Email == "" || a.KeyID == "":
		return nil, bad("it lacks type, project_id, client_email or private_key_id")
	case strings.ContainsFunc(a.Project, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == ':' || r == '.')
	}):
		return nil, bad("its project_id is %q", a.Project)
	case err != nil || u.Scheme != "https" || u.Host == "":
		return nil, bad("its token_uri is %q", a.TokenURI)
	}
	key, err := pkcs8[*rsa.PrivateKey]([]byte(a.Key))
	if err != nil {
		return nil, bad("its private_key cannot be read: %w", err)
	}
	if f.signer, err = jose.NewSigner("RS256", a.KeyID, "JWT", key); err != nil {
		return nil, bad("its private_key cannot be used: %w", err)
	}
	return f, nil
}

// bearer is an access token of Google's, asked for anew when it is old or was
// refused.
func (f *fcm) bearer(ctx context.Context, refused string) (string, *Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if f.token != "" && f.token != refused && now.Before(f.until) {
		return f.token, nil
	}
	grant, err := f.signer.Sign(map[string]any{
		"iss": f.account.Email, "scope": fcmScope, "aud": f.account.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		r := faulty("push_fcm", "This server cannot sign for Firebase.", "%w", err)
		return "", &r
	}
	form := url.Values{"grant_type": {fcmGrant}, "assertion": {grant}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.account.TokenURI, strings.NewReader(form.Encode()))
	if err != nil {
		r := faulty("push_fcm", "The address for Google's tokens is none.", "%w", err)
		return "", &r
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, lost := call(f.client, req)
	if lost != nil {
		return "", lost
	}
	var got struct {
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"`
	}
	switch {
	case answer.status == http.StatusTooManyRequests, answer.status >= 500:
		r := answer.later(now)
		return "", &r
	case answer.status != http.StatusOK || json.Unmarshal(answer.body, &got) != nil || got.Token == "" || got.Expires <= 0:
		// A good answer has a token in it, so its body is told of a bad one only.
		r := faulty("push_fcm", "Google gives this server no token for Firebase: look at fcm-credentials and the clock.", "token: %d", answer.status)
		return "", &r
	}
	f.token, f.until = got.Token, now.Add(time.Duration(min(got.Expires, 24*3600))*time.Second-fcmEarly)
	return f.token, nil
}

// fcmMessage is the body. It has data only: the app says its own words.
type fcmMessage struct {
	Message struct {
		Token   string            `json:"token"`
		Data    map[string]string `json:"data"`
		Android struct {
			Priority string `json:"priority"`
			TTL      string `json:"ttl"`
			Collapse string `json:"collapse_key,omitempty"`
		} `json:"android"`
	} `json:"message"`
}

func (f *fcm) Send(ctx context.Context, to Target, m Message) Result {
	var b fcmMessage
	b.Message.Token, b.Message.Data = to.Token, map[string]string{"id": m.ID}
	b.Message.Android.Priority, b.Message.Android.TTL, b.Message.Android.Collapse = "HIGH", strconv.Itoa(seconds(m.Lives))+"s", m.Topic
	body, err := json.Marshal(b)
	if err != nil {
		return faulty("push_message", "The message cannot be written.", "%w", err)
	}
	refused := ""
	for {
		token, lost := f.bearer(ctx, refused)
		if lost != nil {
			return *lost
		}
		r, lost := f.post(ctx, body, token)
		if lost != nil {
			return *lost
		}
		if code, _ := r.fcmCode(); r.status == http.StatusUnauthorized && refused == "" && code != "THIRD_PARTY_AUTH_ERROR" {
			refused = token // ended before its time: once more with a new one
			continue
		}
		return r.fcm(f.now())
	}
}

func (f *fcm) post(ctx context.Context, body []byte, token string) (reply, *Result) {
	to := cmp.Or(f.cfg.Base, fcmBase) + "/v1/projects/" + f.account.Project + "/messages:send"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		r := faulty("push_fcm", "The address of Firebase is none.", "%w", err)
		return reply{}, &r
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return call(f.client, req)
}

// fcmFault is what is read of a refusal.
type fcmFault struct {
	Error struct {
		Status  string `json:"status"`
		Details []struct {
			Code   string `json:"errorCode"`
			Fields []struct {
				Field string `json:"field"`
			} `json:"fieldViolations"`
		} `json:"details"`
	} `json:"error"`
}

// fcmCode is the word for what is wrong: of Firebase, or else the more general
// one of Google's interfaces. token says that it is the registration token.
func (r reply) fcmCode() (code string, token bool) {
	var said fcmFault
	if json.Unmarshal(r.body, &said) != nil {
		return "", false
	}
	code = said.Error.Status
	for _, d := range said.Error.Details {
		code = cmp.Or(d.Code, code)
		for _, f := range d.Fields {
			token = token || f.Field == "message.token"
		}
	}
	if !word.MatchString(code) {
		return "", false
	}
	return code, token
}

// fcm judges an answer of Firebase. [K] The words are those of its
// documentation of FcmError.
func (r reply) fcm(now time.Time) Result {
	code, token := r.fcmCode()
	switch s := r.status; {
	case s == http.StatusOK:
		return Result{Outcome: Delivered}
	case code == "UNREGISTERED", code == "INVALID_ARGUMENT" && token:
		return gone("push_gone", "%s: %d %s", r.host, s, code)
	case s == http.StatusTooManyRequests, s >= 500:
		return r.later(now)
	case code == "SENDER_ID_MISMATCH":
		return faulty("push_fcm", "The phone's app belongs to another Firebase project than this server's credentials.", "%s: %d %s", r.host, s, code)
	}
	return faulty("push_fcm", fmt.Sprintf("Firebase refuses this server's message: %s.", cmp.Or(code, strconv.Itoa(r.status))),
		"%s: %d %s", r.host, r.status, r.excerpt())
}
