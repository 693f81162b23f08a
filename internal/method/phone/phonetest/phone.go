package phonetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/secret"
)

// Phone is a phone with the app. Set fields before a call, not during one.
type Phone struct {
	Base string // of the server, without a slash at the end
	// Do sends a request.
	Do  func(*http.Request) (*http.Response, error)
	Now func() time.Time

	Auth *passkeytest.Authenticator // its passkeys
	Key  *ecdsa.PrivateKey          // of the installation

	Name, Platform, App string
	Push                *phonewire.Push
	Address             string // where it asks from, for servers that are handlers

	// What it was told when it enrolled.
	Account phonewire.Opened
	ID      string // of the phone
	Passkey string // id of the passkey, base64url

	// Lies. Each changes one thing on its way out; nil: the truth. What is
	// signed is signed after the change.
	OnFinish   func(*phonewire.Finish)              // its members but the signature, which is over the truth
	OnEnrol    func(*Enrolling)                     // what the signature of an enrolment is over
	OnApproval func(*phonewire.Approval)            // what the challenge is made of
	OnApprove  func(*phonewire.Approve)             // the body
	OnClaims   func(*phonewire.Claims)              // of each signed request
	OnToken    func(header map[string]any)          // its header
	OnRequest  func(*http.Request)                  // the request itself
	SignBy     func([]byte) (signature string)      // what the phone's key signs of bodies; nil: the key
	Assert     func(options []byte) ([]byte, error) // nil: Auth.Get
}

// Enrolling are the parts of the message that a new phone signs.
type Enrolling struct {
	Code                           string
	Challenge, Thumbprint, Passkey []byte
}

// New makes a phone that speaks to a handler which serves base.
func New(base string, server http.Handler, now func() time.Time) *Phone {
	p := Over(base, nil, now)
	p.Do = func(r *http.Request) (*http.Response, error) {
		r.RemoteAddr = p.Address + ":4711"
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Result(), nil
	}
	return p
}

// Over makes a phone that speaks to the server at base.
func Over(base string, client *http.Client, now func() time.Time) *Phone {
	host := ""
	if u, err := url.Parse(base); err == nil {
		host = u.Hostname()
	}
	if client == nil {
		client = http.DefaultClient
	}
	return &Phone{
		Base: base, Do: client.Do, Now: now, Auth: passkeytest.New(host, base), Key: NewKey(),
		Name: "Ada's phone", Platform: "Android", App: "Signet test phone 1.0", Address: "198.51.100.9",
	}
}

// NewKey makes a key for an installation.
func NewKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the source of randomness does not fail
	}
	return k
}

// Refusal is what the server says no with.
type Refusal struct {
	Status int
	Header http.Header
	phonewire.Fault
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Fault.Error, r.Text) }

// Word is the word of a refusal; "" for nil, and what err says for others.
func Word(err error) string {
	var r *Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.Fault.Error
	}
	return err.Error()
}

// Code is what is in a link, or what was typed.
func Code(linkOrTyped string) string {
	if _, code, ok := strings.Cut(linkOrTyped, "#"); ok {
		return code
	}
	return linkOrTyped
}

// Enrol opens a code and answers it. It makes a passkey, or uses the one that it
// has of this person.
func (p *Phone) Enrol(linkOrTyped string) (phonewire.Finished, error) {
	if err := p.Open(linkOrTyped); err != nil {
		return phonewire.Finished{}, err
	}
	return p.Finish(linkOrTyped)
}

// Open asks whose account a code is for.
func (p *Phone) Open(linkOrTyped string) error {
	return p.call("POST", "/enrolments/open", phonewire.Open{Code: Code(linkOrTyped)}, false, &p.Account)
}

// Finish answers what Open was told.
func (p *Phone) Finish(linkOrTyped string) (phonewire.Finished, error) {
	var done phonewire.Finished
	in, err := p.Answer(linkOrTyped)
	if err != nil {
		return done, err
	}
	err = p.call("POST", "/enrolments/finish", in, false, &done)
	if err == nil {
		p.ID = done.Phone
	}
	return done, err
}

// Answer is the body of Finish.
func (p *Phone) Answer(linkOrTyped string) (phonewire.Finish, error) {
	code := Code(linkOrTyped)
	in := phonewire.Finish{Code: code, Name: p.Name, Platform: p.Platform, App: p.App, Push: p.Push, Key: p.jwk()}
	var challenge []byte
	var err error
	if in.Passkey, err = p.create(); err == nil {
		challenge, err = challengeOf(p.Account.Options)
	} else if strings.HasPrefix(err.Error(), "InvalidStateError") || p.Account.Options == nil {
		in.Passkey = nil
		if in.Reuse, err = p.get(p.Account.Reuse); err == nil {
			challenge, err = challengeOf(p.Account.Reuse)
		}
	}
	if err != nil {
		return in, err
	}
	if p.Passkey, err = idOf(in.Passkey, in.Reuse); err != nil {
		return in, err
	}
	e := Enrolling{Code: signedCode(code), Challenge: challenge, Thumbprint: p.thumbprint()}
	if e.Passkey, err = base64.RawURLEncoding.DecodeString(p.Passkey); err != nil {
		return in, err
	}
	if p.OnEnrol != nil {
		p.OnEnrol(&e)
	}
	in.Signature = p.sign(phonewire.EnrolMessage(e.Code, e.Challenge, e.Thumbprint, e.Passkey))
	if p.OnFinish != nil {
		p.OnFinish(&in)
	}
	return in, nil
}

// Words are those that this phone shows for what it has answered.
func (p *Phone) Words(linkOrTyped string) []string {
	challenge, err := challengeOf(p.Account.Options)
	if err != nil {
		return nil
	}
	id, err := base64.RawURLEncoding.DecodeString(p.Passkey)
	if err != nil {
		return nil
	}
	return phonewire.Words(phonewire.EnrolMessage(signedCode(Code(linkOrTyped)), challenge, p.thumbprint(), id))
}

// Self asks what the phone is there.
func (p *Phone) Self() (phonewire.Self, error) {
	var out phonewire.Self
	err := p.call("GET", "/self", nil, true, &out)
	return out, err
}

// Change changes it.
func (p *Phone) Change(c phonewire.Change) (phonewire.Self, error) {
	var out phonewire.Self
	err := p.call("PUT", "/self", c, true, &out)
	return out, err
}

// Test has a message sent.
func (p *Phone) Test() (phonewire.Tested, error) {
	var out phonewire.Tested
	err := p.call("POST", "/self/test", nil, true, &out)
	return out, err
}

// Leave takes the phone out of the account.
func (p *Phone) Leave() error { return p.call("DELETE", "/self", nil, true, nil) }

// Requests are what waits for this phone.
func (p *Phone) Requests() ([]phonewire.Request, error) {
	var out phonewire.Requests
	err := p.call("GET", "/requests", nil, true, &out)
	return out.Requests, err
}

// History is what became of the last.
func (p *Phone) History() ([]phonewire.Entry, error) {
	var out phonewire.History
	err := p.call("GET", "/history", nil, true, &out)
	return out.Entries, err
}

// Approve answers a request with the number that was typed, and gives the word
// for what became of it.
func (p *Phone) Approve(q phonewire.Request, number string) (string, error) {
	in, err := p.Approval(q, number)
	if err != nil {
		return "", err
	}
	return p.Send(q.ID, in)
}

// Send sends what Approval made.
func (p *Phone) Send(request string, in phonewire.Approve) (string, error) {
	var out phonewire.Result
	err := p.call("POST", "/requests/"+request+"/approve", in, true, &out)
	return out.Result, err
}

// Approval is the body of an approval.
func (p *Phone) Approval(q phonewire.Request, number string) (phonewire.Approve, error) {
	in := phonewire.Approve{Number: number}
	a := phonewire.Approval{
		Tenant: p.Account.Tenant.ID, User: p.Account.User.ID, Number: number, Context: q.Context, Phone: p.ID,
	}
	var err error
	if a.Request, err = base64.RawURLEncoding.DecodeString(q.ID); err != nil {
		return in, err
	}
	if a.Nonce, err = base64.RawURLEncoding.DecodeString(q.Nonce); err != nil {
		return in, err
	}
	if p.OnApproval != nil {
		p.OnApproval(&a)
	}
	challenge := a.Challenge()
	options, err := json.Marshal(map[string]any{
		"challenge": base64.RawURLEncoding.EncodeToString(challenge), "rpId": p.Auth.RPID, "userVerification": "required",
		"allowCredentials": []any{map[string]any{"type": "public-key", "id": p.Passkey}},
	})
	if err != nil {
		return in, err
	}
	if in.Assertion, err = p.get(options); err != nil {
		return in, err
	}
	var said struct {
		Response struct {
			AuthenticatorData string `json:"authenticatorData"`
			Signature         string `json:"signature"`
		} `json:"response"`
	}
	if err := json.Unmarshal(in.Assertion, &said); err != nil {
		return in, err
	}
	data, err := base64.RawURLEncoding.DecodeString(said.Response.AuthenticatorData)
	if err != nil {
		return in, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(said.Response.Signature)
	if err != nil {
		return in, err
	}
	in.Signature = p.sign(phonewire.AnswerMessage(challenge, data, signature))
	if p.OnApprove != nil {
		p.OnApprove(&in)
	}
	return in, nil
}

// Deny says that it was not its person, and reports it when asked to.
func (p *Phone) Deny(request string, report bool) (string, error) {
	var out phonewire.Result
	err := p.call("POST", "/requests/"+request+"/deny", phonewire.Deny{Report: report}, true, &out)
	return out.Result, err
}

func (p *Phone) create() ([]byte, error) {
	if p.Account.Options == nil {
		return nil, errors.New("no options")
	}
	return p.Auth.Create(p.Account.Options)
}

func (p *Phone) get(options []byte) ([]byte, error) {
	if p.Assert != nil {
		return p.Assert(options)
	}
	return p.Auth.Get(options)
}

// call sends a request and reads its reply into out.
func (p *Phone) call(verb, path string, body any, signed bool, out any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	return p.Call(verb, path, raw, signed, out)
}

// Call is one request with these bytes as its body.
func (p *Phone) Call(verb, path string, body []byte, signed bool, out any) error {
	r, err := http.NewRequestWithContext(context.Background(), verb, p.Base+phonewire.Prefix+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if signed {
		token, err := p.Token(verb, p.Base+phonewire.Prefix+path, body)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", phonewire.Scheme+" "+token)
	}
	if p.OnRequest != nil {
		p.OnRequest(r)
	}
	resp, err := p.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		refusal := &Refusal{Status: resp.StatusCode, Header: resp.Header}
		if err := json.Unmarshal(reply, &refusal.Fault); err != nil {
			return fmt.Errorf("status %d, %q: %w", resp.StatusCode, reply, err)
		}
		return refusal
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(reply, out)
}

// Token signs a request.
func (p *Phone) Token(verb, address string, body []byte) (string, error) {
	c := phonewire.Claims{
		Tenant: p.Account.Tenant.ID, Method: verb, URL: address, Issued: p.Now().Unix(),
		ID: base64.RawURLEncoding.EncodeToString(secret.Bytes(16)),
	}
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		c.Body = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if p.OnClaims != nil {
		p.OnClaims(&c)
	}
	return p.token(c)
}
