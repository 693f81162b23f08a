package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
)

// remote is the server as a device sees it.
type remote struct {
	http *http.Client
	ca   *x509.CertPool // nil: the system's
}

// newRemote trusts the system's authorities and those of ca (PEM).
func newRemote(ca []byte) (*remote, error) {
	pool, err := program.Authorities(ca)
	if err != nil {
		return nil, err
	}
	return &remote{program.Client(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil), pool}, nil
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
	res, text, err := program.Do(c, req)
	if err != nil {
		return reply{}, err
	}
	return reply{res.StatusCode, text, req.URL.Path}, nil
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
