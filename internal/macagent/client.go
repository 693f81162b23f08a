package macagent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
)

// userAgent says what this is: a server's log must not take it for a Mac.
const userAgent = "signet-psso-simulate (a stand-in, no Mac)"

// remote is the server as a Mac sees it.
type remote struct{ http *http.Client }

// newRemote trusts the system's authorities and those of ca (PEM). macOS trusts
// only the roots that it ships with (apple-platform-sso.md §4.2).
func (m *Mac) newRemote(ca []byte) (*remote, error) {
	pool, err := program.Authorities(ca)
	if err != nil {
		return nil, err
	}
	return &remote{program.Client(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, m.cfg.Dial)}, nil
}

// Refusal is what a server answered instead of what was asked.
type Refusal struct {
	Status   int
	Word     string // error
	Suberror string
	Text     string
	Trace    string
	JSON     bool          // it was JSON, as every answer has to be
	Wait     time.Duration // of Retry-After
}

func (r *Refusal) Error() string {
	return strings.TrimSuffix(strings.TrimSpace(fmt.Sprintf("the server answered %d %s", r.Status, strings.TrimSpace(r.Word+" "+r.Suberror)))+": "+r.Text, ": ")
}

// AsRefusal is the one in err, or an empty one.
func AsRefusal(err error) Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return *r
	}
	return Refusal{}
}

// reply is a good answer.
type reply struct {
	header http.Header
	body   []byte
}

// kind is its media type, without parameters.
func (r reply) kind() string {
	kind, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		return r.header.Get("Content-Type")
	}
	return kind
}

// call sends a request and reads an answer with 200; any other status is a
// *Refusal.
func (r *remote) call(ctx context.Context, method, address string, header http.Header, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("call %s: %w", address, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", userAgent)
	res, text, err := program.Do(r.http, req)
	if err != nil {
		return reply{}, err
	}
	got := reply{res.Header, text}
	if res.StatusCode != http.StatusOK {
		return got, refused(res.StatusCode, got)
	}
	return got, nil
}

// post sends JSON with an access token (empty: none) by some method, and reads
// JSON.
func (r *remote) post(ctx context.Context, method, address, bearer string, ask, answer any) (reply, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return reply{}, err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if bearer != "" {
		header.Set("Authorization", "Bearer "+bearer)
	}
	got, err := r.call(ctx, method, address, header, body)
	if err != nil {
		return got, err
	}
	return got, got.decode(answer)
}

// decode reads a JSON answer that says it is one.
func (r reply) decode(v any) error {
	if r.kind() != "application/json" {
		return disliked("answer_type", "a Content-Type of %q, not application/json", r.kind())
	}
	if err := json.Unmarshal(r.body, v); err != nil {
		return disliked("answer_json", "no JSON: %v", err)
	}
	return nil
}

// refused reads a refusal, and says what macOS makes of it (apple-platform-sso.md
// §7.6).
func refused(status int, got reply) error {
	var said struct {
		Error       string `json:"error"`
		Suberror    string `json:"suberror"`
		Description string `json:"error_description"`
		Trace       string `json:"trace_id"`
	}
	r := &Refusal{Status: status}
	if got.kind() == "application/json" {
		r.JSON = json.Unmarshal(got.body, &said) == nil
	}
	r.Word, r.Suberror, r.Text, r.Trace = said.Error, said.Suberror, strings.TrimSpace(said.Description), said.Trace
	if seconds, err := time.ParseDuration(got.header.Get("Retry-After") + "s"); err == nil {
		r.Wait = seconds
	}
	kind, meaning := idp.Invalid, ""
	switch status {
	case http.StatusUnauthorized:
		kind, meaning = idp.Unproven, "a Mac asks its person to prove who they are again"
	case http.StatusForbidden:
		kind = idp.Denied
	case http.StatusTooManyRequests:
		kind, meaning = idp.Limited, "a Mac tries later"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		kind, meaning = idp.Unavailable, "a Mac tries later"
	}
	said.Error = strings.TrimSpace(r.Word + " " + r.Suberror)
	text := fmt.Sprintf("the server answered %d", status)
	if said.Error != "" {
		text += " (" + said.Error + ")"
	}
	if r.Text != "" {
		text += ": " + r.Text
	}
	if meaning != "" {
		text += " [" + meaning + "]"
	}
	return (&idp.Error{Kind: kind, Reason: "refused", Err: r}).Say(text)
}

// disliked is an answer that a Mac would not take.
func disliked(reason, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return idp.Deniedf(reason, "%s", text).Say("a Mac would refuse the server's answer: " + text)
}
