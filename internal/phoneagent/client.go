package phoneagent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/secret"
)

// Refusal is what the server answered instead of what was asked.
type Refusal struct {
	Status int
	Word   string        // as in the table of docs/phone-protocol.md
	Wait   time.Duration // of too_many
	Text   string
	Trace  string
	date   time.Time
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the server answered %d %s: %s", r.Status, r.Word, r.Text)
}

// refusal is the one in err, or an empty one.
func refusal(err error) Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return *r
	}
	return Refusal{}
}

// remote is one server as a phone sees it.
type remote struct {
	http *http.Client
	base string
	now  func() time.Time
	off  time.Duration // of our clock, as far as the server has said
}

// remote trusts the system's authorities and those of ca (PEM).
func (p *Phone) remote(base string, ca []byte) (*remote, error) {
	if _, err := program.Address(base); err != nil {
		return nil, err
	}
	pool, err := program.Authorities(ca)
	if err != nil {
		return nil, err
	}
	return &remote{base: base, now: p.cfg.Now, http: program.Client(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil)}, nil
}

// plain posts what needs no signature: a code is in it.
func (r *remote) plain(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return r.send(ctx, http.MethodPost, path, "", body, out)
}

// signed sends a request of an account's phone. When only our clock is wrong
// the server's is taken, once.
func (r *remote) signed(ctx context.Context, a *account, method, path string, in, out any) error {
	key, err := ecKey(a.Key)
	if err != nil {
		return err
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	for first := true; ; first = false {
		token, err := r.token(a, key, method, path, body)
		if err != nil {
			return err
		}
		err = r.send(ctx, method, path, phonewire.Scheme+" "+token, body, out)
		said := refusal(err)
		if !first || said.Word != "clock_off" || said.date.IsZero() {
			return err
		}
		r.off = said.date.Sub(r.now())
	}
}

// token is the JWS of one request.
func (r *remote) token(a *account, key *ecdsa.PrivateKey, method, path string, body []byte) (string, error) {
	c := phonewire.Claims{
		Tenant: a.Tenant.ID, Method: method, URL: r.base + phonewire.Prefix + path,
		Issued: r.now().Add(r.off).Unix(), ID: encode(secret.Bytes(16)),
	}
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		c.Body = encode(sum[:])
	}
	claims, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signer, err := gojose.NewSigner(
		gojose.SigningKey{Algorithm: gojose.ES256, Key: gojose.JSONWebKey{Key: key, KeyID: a.Phone}},
		(&gojose.SignerOptions{}).WithType(phonewire.Type))
	if err != nil {
		return "", fmt.Errorf("sign a request: %w", err)
	}
	made, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign a request: %w", err)
	}
	return made.CompactSerialize()
}

func (r *remote) send(ctx context.Context, method, path, authorization string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, r.base+phonewire.Prefix+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("User-Agent", app)
	res, text, err := program.Do(r.http, req)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return refused(res, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// refused reads a refusal, and says to the person what they can do.
func refused(res *http.Response, text []byte) error {
	var said phonewire.Fault
	_ = json.Unmarshal(text, &said) // a proxy's page says nothing
	r := &Refusal{Status: res.StatusCode, Word: said.Error, Text: strings.TrimSpace(said.Text), Trace: said.Trace}
	r.date, _ = http.ParseTime(res.Header.Get("Date"))
	if seconds, err := time.ParseDuration(res.Header.Get("Retry-After") + "s"); err == nil {
		r.Wait = seconds
	}
	kind, advice := r.advice()
	if advice == "" {
		advice = r.Text
	}
	if advice == "" {
		advice = fmt.Sprintf("the server answered %d (%s): check its address", r.Status, http.StatusText(r.Status))
	}
	return (&idp.Error{Kind: kind, Reason: r.Word, Err: r}).Say(advice)
}

// advice is what a person at a terminal can do; empty: what the server said.
func (r *Refusal) advice() (idp.Kind, string) {
	switch r.Word {
	case "phone_unproven":
		return idp.Unproven, "the server does not know this phone any more, or calls itself by another address: look at your account page; forget the phone here with signet phone remove --force"
	case "code_unknown":
		return idp.NotFound, "this code does not work: it may be mistyped, used or older than ten minutes. Get a new one on the page that showed it"
	case "phone_waiting":
		return idp.Denied, "the two words were not compared yet: say on the page that adds this phone that they are the same"
	case "request_over":
		return idp.Expired, "this request is over: it was answered, withdrawn, or came too late. Ask for a new number on the page"
	case "request_unknown":
		return idp.NotFound, "no such request waits: signet phone requests shows what does"
	case "too_many":
		if r.Wait > 0 {
			return idp.Limited, fmt.Sprintf("that was too often: run this again in %s", r.Wait)
		}
		return idp.Limited, ""
	}
	switch r.Status {
	case http.StatusUnauthorized:
		return idp.Unproven, ""
	case http.StatusForbidden:
		return idp.Denied, ""
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return idp.Unavailable, "the server is away: run this again in a moment"
	}
	return idp.Invalid, ""
}

// signature is r and s, 32 bytes each, of SHA-256 of a message (RFC 7518, 3.4).
func signature(key *ecdsa.PrivateKey, message []byte) (string, error) {
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
}
