package agent

import (
	"bytes"
	"context"
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

	"github.com/signetid/signet/internal/idp"
)

// How long a server may take, and how much it may say.
const (
	requestTime = 30 * time.Second
	connectTime = 10 * time.Second
	maxReply    = 256 << 10
)

// remote is the server as a device sees it.
type remote struct {
	http *http.Client
	ca   *x509.CertPool // nil: the system's
}

// newRemote trusts the system's authorities and those of ca (PEM).
func newRemote(ca []byte) (*remote, error) {
	r := &remote{}
	if len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(ca) {
			return nil, idp.Invalidf("ca_file", "no certificate in it").Say("the file of authorities (--ca-file) has no PEM certificate in it")
		}
		r.ca = pool
	}
	r.http = r.client(&tls.Config{RootCAs: r.ca, MinVersion: tls.VersionTLS12})
	return r, nil
}

func (r *remote) client(cfg *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: connectTime}
	return &http.Client{
		Timeout: requestTime,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: cfg,
			TLSHandshakeTimeout: connectTime, ForceAttemptHTTP2: true, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
		},
		// Nothing that a device calls redirects; one that does is not what we
		// asked, and must not get what we carry.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// address parses a base URL: https, or plain HTTP on this machine.
func address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, idp.Invalidf("server_address", "%q", text).Say("the server's address must look like https://id.example.com")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, idp.Invalidf("server_address", "%q", text).Say("the server's address must begin with https:// (plain http only for localhost)")
	}
	return u, nil
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Refusal is what a server answered instead of what was asked, in the fields
// that its protocols have.
type Refusal struct {
	Status   int
	OAuth    string // error (RFC 6749, 5.2)
	Suberror string
	Code     int // AADSTS number; 0: it said none
	Reason   string
	Text     string
	Trace    string
	Path     string // what was asked
}

func (r *Refusal) Error() string {
	word := r.OAuth
	for _, w := range []string{r.Suberror, r.Reason} {
		if w != "" {
			word = w
		}
	}
	return fmt.Sprintf("%s: the server answered %d %s: %s", r.Path, r.Status, word, r.Text)
}

// reply is an answer as it came.
type reply struct {
	status int
	body   []byte
	path   string // of what was asked
}

// call sends a request once and reads the answer. Whether it may be sent again
// is the caller's to know.
func (r *remote) call(ctx context.Context, c *http.Client, method, address string, header http.Header, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("call %s: %w", address, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "signet-device")
	res, err := c.Do(req)
	if err != nil {
		return reply{}, unreachable(req.URL, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err != nil {
		return reply{}, unreachable(req.URL, err)
	}
	if len(text) > maxReply {
		return reply{}, fmt.Errorf("%s answered more than %d bytes", req.URL.Host, maxReply)
	}
	return reply{res.StatusCode, text, req.URL.Path}, nil
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

// form posts a form and decodes the answer, or the refusal.
func (r *remote) form(ctx context.Context, address string, form url.Values, v any) error {
	got, err := r.call(ctx, r.http, http.MethodPost, address, formHeader(), []byte(form.Encode()))
	if err != nil {
		return err
	}
	return got.decode(v)
}

func formHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
}

// get reads JSON; it is tried again when the server is away for a moment.
func (r *remote) get(ctx context.Context, address string, v any) error {
	return retried(ctx, func() error {
		got, err := r.call(ctx, r.http, http.MethodGet, address, http.Header{"Accept": {"application/json"}}, nil)
		if err != nil {
			return err
		}
		return got.decode(v)
	})
}

// post sends JSON with a bearer token (empty: none).
func (r *remote) post(ctx context.Context, address, bearer string, ask, v any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("call %s: %w", address, err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if bearer != "" {
		header.Set("Authorization", "Bearer "+bearer)
	}
	got, err := r.call(ctx, r.http, http.MethodPost, address, header, body)
	if err != nil {
		return err
	}
	return got.decode(v)
}

// decode reads a good answer, or makes a refusal of another.
func (p reply) decode(v any) error {
	if p.status < 200 || p.status > 299 {
		return refused(p)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(p.body, v); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// retried runs what may be sent any number of times, up to three times while
// the server is away.
func retried(ctx context.Context, try func() error) error {
	var err error
	for wait := 250 * time.Millisecond; ; wait *= 4 {
		err = try()
		var r *Refusal
		away := errors.Is(err, idp.Unavailable)
		if errors.As(err, &r) {
			away = r.Status == http.StatusBadGateway || r.Status == http.StatusServiceUnavailable || r.Status == http.StatusGatewayTimeout
		}
		if !away || wait > 4*time.Second || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// refused reads the three forms that refusals have: OAuth's, the device
// registration's and the key registration's (device-protocol.md §3.2, 5.3, 6).
func refused(p reply) error {
	var said struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
		Suberror    string          `json:"suberror"`
		Codes       []int           `json:"error_codes"`
		Trace       string          `json:"trace_id"`
		Message     string          `json:"Message"`
		Reason      string          `json:"Reason"`
		TraceID     string          `json:"TraceId"`
		Subcode     string          `json:"subcode"`
	}
	_ = json.Unmarshal(p.body, &said) // a proxy's page says nothing
	r := &Refusal{Status: p.status, Suberror: said.Suberror, Text: said.Description, Reason: said.Reason, Trace: said.Trace, Path: p.path}
	_ = json.Unmarshal(said.Error, &r.OAuth) // key registration has an object there
	if said.Message != "" {
		r.Text, r.Trace = said.Message, said.TraceID
	}
	if r.Reason == "" {
		r.Reason = said.Subcode
	}
	if len(said.Codes) > 0 {
		r.Code = said.Codes[0]
	}
	// "AADSTS50155: what happened. Trace ID: …": the middle is for people.
	if _, after, ok := strings.Cut(r.Text, ": "); ok && strings.HasPrefix(r.Text, "AADSTS") {
		r.Text = after
	}
	r.Text, _, _ = strings.Cut(r.Text, " Trace ID:")
	r.Text = strings.TrimRight(r.Text, ". ")
	if r.Text == "" {
		r.Text = http.StatusText(p.status)
	}
	return advised(r)
}
