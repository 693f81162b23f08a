package oddclient

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Identifiers that the published clients have built in (device-protocol.md §1.4).
const (
	brokerID      = "29d9ed98-a469-4536-ade2-f981bc1d605e"
	brokerInPRT   = "38aa3b87-a06d-4817-b275-7a316988d93b"
	linuxBrokerID = "b743a22d-6705-4147-8670-d92fa515ee2b"
	drsClientID   = "dd762716-544d-4aeb-a526-687b73838a22"
	shellID       = "1b730954-1685-4b74-9bfd-dac224a7b894"

	drsGUID = "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9"
	drsURN  = "urn:ms-drs:enterpriseregistration.windows.net"

	graphURL      = "https://graph.microsoft.com"
	enrollmentURL = "https://enrollment.manage.microsoft.com"
)

const (
	grantJWT     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantRefresh = "refresh_token"
	audience     = "login.microsoftonline.com" // a literal, not the server's name (§0.12)
)

// Client is one client with its habits, at one tenant.
type Client struct {
	Dialect
	// Base is the server's address; Tenant the path segment this client uses.
	Base, Tenant string
	// HTTP follows no redirects, like most of the published ones (§0.8).
	HTTP *http.Client
	Now  func() time.Time
	// NewKey makes the RSA keys of devices.
	NewKey func() (*rsa.PrivateKey, error)
}

// NewClient talks to base.
func NewClient(d Dialect, base, tenant string) *Client {
	return &Client{Dialect: d, Base: strings.TrimSuffix(base, "/"), Tenant: tenant, Now: time.Now, NewKey: newRSA, HTTP: &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 2},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// At is the client at another tenant segment, or another spelling of it.
func (c *Client) At(tenant string) *Client {
	other := *c
	other.Tenant = tenant
	return &other
}

// Speaking is the client in another dialect.
func (c *Client) Speaking(d Dialect) *Client {
	other := *c
	other.Dialect = d
	return &other
}

// Reaching makes the client connect to addr, whatever the address says.
func (c *Client) Reaching(addr string) {
	c.HTTP.Transport = &http.Transport{MaxIdleConnsPerHost: 2, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

// Trusting is the client with a TLS configuration.
func (c *Client) Trusting(conf *tls.Config) *Client {
	other := *c
	h := *c.HTTP
	h.Transport = &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}
	other.HTTP = &h
	return &other
}

// Answer is a reply, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// JSON reads the body as an object.
func (a Answer) JSON() (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(a.Body))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("%d with %.200q: %w", a.Status, a.Body, err)
	}
	return out, nil
}

// Refusal is an error as §3.2 writes it.
type Refusal struct {
	Status      int    `json:"-"`
	Error       string `json:"error"`
	Suberror    string `json:"suberror"`
	Codes       []int  `json:"error_codes"`
	Description string `json:"error_description"`
	Timestamp   string `json:"timestamp"`
	Trace       string `json:"trace_id"`
	Correlation string `json:"correlation_id"`
	Claims      string `json:"claims"`
}

// Refusal reads the body as an error; the zero value but for Status when it is none.
func (a Answer) Refusal() Refusal {
	var r Refusal
	if json.Unmarshal([]byte(a.Body), &r) != nil {
		r = Refusal{}
	}
	r.Status = a.Status
	return r
}

// Code is the first number.
func (r Refusal) Code() int {
	if len(r.Codes) == 0 {
		return 0
	}
	return r.Codes[0]
}

func (r Refusal) String() string {
	return fmt.Sprintf("%d %s %v %q %q", r.Status, r.Error, r.Codes, r.Suberror, r.Description)
}

// do sends a request and reads the reply.
func (c *Client) do(r *http.Request) (Answer, error) {
	// An empty value keeps the library from naming itself.
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", c.UserAgent)
	}
	res, err := c.HTTP.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, err
	}
	return Answer{res.StatusCode, res.Header, string(body)}, nil
}

// login is an address at the tenant, spelt as the dialect spells it.
func (c *Client) login(path string) string { return c.Base + c.Slash + c.Tenant + "/" + path }

// form posts name and value pairs.
func (c *Client) form(ctx context.Context, address string, pairs ...string) (Answer, error) {
	return c.formAs(ctx, address, "application/x-www-form-urlencoded", pairs...)
}

func (c *Client) formAs(ctx context.Context, address, contentType string, pairs ...string) (Answer, error) {
	var body []string
	for i := 0; i+1 < len(pairs); i += 2 {
		value := pairs[i+1]
		if !c.RawForms {
			value = url.QueryEscape(value)
		}
		body = append(body, pairs[i]+"="+value)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(strings.Join(body, "&")))
	if err != nil {
		return Answer{}, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return c.do(r)
}

// get asks for an address.
func (c *Client) get(ctx context.Context, address string, header http.Header) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Answer{}, err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	return c.do(r)
}

// sendJSON posts a body with a bearer token, if any.
func (c *Client) sendJSON(ctx context.Context, address, token string, body []byte) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Dsreg/10.0 (odd)")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return c.do(r)
}

// Nonce asks for a server nonce (§4), without a Content-Type where the dialect
// sends none.
func (c *Client) Nonce(ctx context.Context) (string, error) {
	contentType := "application/x-www-form-urlencoded"
	if c.NoContentType {
		contentType = ""
	}
	a, err := c.formAs(ctx, c.login(c.TokenPath), contentType, "grant_type", "srv_challenge")
	if err != nil {
		return "", err
	}
	var got struct{ Nonce string }
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK || got.Nonce == "" {
		return "", fmt.Errorf("no nonce: %d %.300s", a.Status, a.Body)
	}
	return got.Nonce, nil
}
