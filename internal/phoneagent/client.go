package phoneagent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/secret"
)

// How long a server may take, and how much it may say.
const (
	requestTime = 30 * time.Second
	connectTime = 10 * time.Second
	maxReply    = 256 << 10
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
	if err := checkAddress(base); err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(ca) {
			return nil, idp.Invalidf("ca_file", "no certificate in it").Say("the file of authorities (--ca-file) has no PEM certificate in it")
		}
		conf.RootCAs = pool
	}
	return &remote{base: base, now: p.cfg.Now, http: &http.Client{
		Timeout: requestTime,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: connectTime}).DialContext, TLSClientConfig: conf,
			TLSHandshakeTimeout: connectTime, ForceAttemptHTTP2: true, MaxIdleConns: 2, IdleConnTimeout: time.Minute,
		},
		// Nothing in this protocol redirects; what does is not what we asked.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// checkAddress wants a base URL: https, or plain HTTP on this machine.
func checkAddress(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return idp.Invalidf("server_address", "%q", text).Say("the server's address must look like https://id.example.com")
	}
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return idp.Invalidf("server_address", "%q", text).Say("the server's address must begin with https:// (plain http only for localhost)")
	}
	return nil
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
	res, err := r.http.Do(req)
	if err != nil {
		return unreachable(req.URL, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err != nil {
		return unreachable(req.URL, err)
	}
	if len(text) > maxReply {
		return fmt.Errorf("%s answered more than %d bytes", req.URL.Host, maxReply)
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

// unreachable says that no answer came, and what to look at.
func unreachable(u *url.URL, err error) error {
	e := idp.Unavailablef("server_unreachable", "call %s: %w", u.Redacted(), err)
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &authority):
		return e.Say("the certificate of " + u.Host + " is of an authority that this machine does not know: give its certificate with --ca-file")
	case errors.As(err, &host):
		return e.Say("the certificate of " + u.Host + " is for another name: check the server's address")
	case errors.Is(err, context.Canceled):
		return e.Say("stopped")
	}
	return e.Say(u.Host + " does not answer: check the network and the server's address, then run this again")
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
