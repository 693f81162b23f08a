// Package person is somebody at a browser, over plain HTTP and with a software
// passkey: it reads the pages' forms, keeps cookies and follows redirects as a
// browser does, fast enough to make a crowd of.
package person

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/signetid/signet/internal/method/passkey/passkeytest"
)

// App is a registered application, as its developer knows it.
type App struct {
	Issuer   string // https://…/{tenant}/v2.0
	ID       string
	Secret   string
	Redirect string
	Scope    string
}

// endpoint is an address of the tenant's OAuth server.
func (a App) endpoint(name string) string {
	return strings.TrimSuffix(a.Issuer, "/v2.0") + "/oauth2/v2.0/" + name
}

// Person has cookies and a key of their own.
type Person struct {
	Key  *passkeytest.Authenticator
	HTTP *http.Client
	base string
	dial func() string
}

// New is a person whose browser reaches the server that calls itself base at
// the address that dial names, each time it connects.
func New(base string, dial func() string) (*Person, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	p := &Person{Key: passkeytest.New(u.Hostname(), base), base: base, dial: dial}
	p.HTTP = &http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 4,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, dial())
			},
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			// What leads away from the server is the application's.
			if !strings.HasPrefix(r.URL.String(), base+"/") || len(via) > 10 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	return p, nil
}

// Twin is another browser with the cookies that p has now, and the same key.
func (p *Person) Twin() (*Person, error) {
	t, err := New(p.base, p.dial)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(p.base)
	if err != nil {
		return nil, err
	}
	t.HTTP.Jar.SetCookies(u, p.HTTP.Jar.Cookies(u))
	t.Key = p.Key
	return t, nil
}

// NewKey puts the present key away and takes an empty one.
func (p *Person) NewKey() { p.Key = passkeytest.New(p.Key.RPID, p.Key.Origin) }

// At is a dial function for one fixed address.
func At(addr string) func() string { return func() string { return addr } }

// DropSession forgets every cookie but the one that names the browser, as if
// its sessions had ended.
func (p *Person) DropSession() {
	u, err := url.Parse(p.base)
	if err != nil {
		return
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return
	}
	for _, c := range p.HTTP.Jar.Cookies(u) {
		if strings.HasSuffix(c.Name, "signet-browser") {
			jar.SetCookies(u, []*http.Cookie{c})
		}
	}
	p.HTTP.Jar = jar
}

// Forget closes open connections, so that the next request dials anew.
func (p *Person) Forget() { p.HTTP.CloseIdleConnections() }

// Page is where a request came to rest.
type Page struct {
	Status int
	URL    *url.URL
	Text   string
	// Callback is the application's address with its answer, once the flow
	// is over.
	Callback string
}

func (p *Person) do(r *http.Request) (Page, error) {
	res, err := p.HTTP.Do(r)
	if err != nil {
		return Page{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return Page{}, err
	}
	page := Page{Status: res.StatusCode, URL: res.Request.URL, Text: string(text)}
	if to := res.Header.Get("Location"); res.StatusCode == http.StatusSeeOther && to != "" {
		page.Callback = to
	}
	return page, nil
}

// Get opens an address.
func (p *Person) Get(ctx context.Context, address string) (Page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Page{}, err
	}
	return p.do(r)
}

// Post sends a form.
func (p *Person) Post(ctx context.Context, path string, form url.Values) (Page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return Page{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.do(r)
}

// call posts JSON as the pages' scripts do.
func (p *Person) call(ctx context.Context, path string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	got, err := p.do(r)
	if err != nil {
		return err
	}
	if got.Status != http.StatusOK {
		return &Refused{Path: path, Status: got.Status, Text: got.Text}
	}
	return json.Unmarshal([]byte(got.Text), answer)
}

// Refused is a reply that is not the wanted one.
type Refused struct {
	Path   string
	Status int
	Text   string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%s answered %d: %.400s", r.Path, r.Status, r.Text)
}

// patterns of what is read from the pages.
var (
	handleField  = regexp.MustCompile(`name="handle" value="([^"]*)"`)
	answerPath   = regexp.MustCompile(`id="signin" method="post" action="([^"]*)"`)
	beginPath    = regexp.MustCompile(`data-begin="([^"]*)"`)
	sessionField = regexp.MustCompile(`name="session" value="([^"]*)"`)
	flowField    = regexp.MustCompile(`name="flow" value="([^"]*)"`)
	credential   = regexp.MustCompile(`<li data-credential="([^"]*)"`)
)

// field reads one of the patterns.
func (page Page) field(pattern *regexp.Regexp) (string, error) {
	found := pattern.FindStringSubmatch(page.Text)
	if found == nil {
		return "", fmt.Errorf("%v (%d) has no %s: %.300s", page.URL, page.Status, pattern, page.Text)
	}
	return html.UnescapeString(found[1]), nil
}

// Session is the id that the forms of the account page name.
func (page Page) Session() (string, error) { return page.field(sessionField) }

// Credentials are the ids of the methods that the account page lists.
func (page Page) Credentials() []string {
	var out []string
	for _, m := range credential.FindAllStringSubmatch(page.Text, -1) {
		out = append(out, html.UnescapeString(m[1]))
	}
	return out
}

// Authorize sends the browser to the application's authorize address. With a
// session that is enough, the page has its Callback already.
func (p *Person) Authorize(ctx context.Context, a App, extra url.Values) (page Page, verifier string, err error) {
	verifier = rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {a.ID}, "redirect_uri": {a.Redirect}, "response_type": {"code"}, "scope": {a.Scope}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for k, v := range extra {
		q[k] = v
	}
	page, err = p.Get(ctx, a.endpoint("authorize")+"?"+q.Encode())
	return page, verifier, err
}

// UsePass answers a sign-in page with a Temporary Access Pass.
func (p *Person) UsePass(ctx context.Context, page Page, user, pass string) (Page, error) {
	handle, err1 := page.field(handleField)
	path, err2 := page.field(answerPath)
	if err := errors.Join(err1, err2); err != nil {
		return page, err
	}
	return p.Post(ctx, path, url.Values{"handle": {handle}, "method": {"accessPass"}, "username": {user}, "access_pass": {pass}})
}

// Reply is an answer to a ceremony, ready to be sent.
type Reply struct {
	Path string
	Form url.Values
}

// goPath is where the form of a sign-in page sends a person who chose the
// certificate.
var goPath = regexp.MustCompile(`formaction="([^"]*)"[^>]*data-action="signin-certificate"`)

// ChooseCertificate chooses the certificate on a sign-in page. Where the
// handshake is to be made is the page's Callback.
func (p *Person) ChooseCertificate(ctx context.Context, page Page) (Page, error) {
	handle, err1 := page.field(handleField)
	path, err2 := page.field(goPath)
	if err := errors.Join(err1, err2); err != nil {
		return page, err
	}
	return p.Post(ctx, path, url.Values{"handle": {handle}, "method": {"certificate"}})
}

// Answer asks for a challenge and signs it with the person's passkey.
func (p *Person) Answer(ctx context.Context, page Page) (Reply, error) {
	handle, err1 := page.field(handleField)
	path, err2 := page.field(answerPath)
	begin, err3 := page.field(beginPath)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Reply{}, err
	}
	var begun struct {
		Ceremony string
		Show     json.RawMessage
	}
	if err := p.call(ctx, begin, map[string]string{"handle": handle, "method": "passkey", "username": ""}, &begun); err != nil {
		return Reply{}, err
	}
	payload, err := p.Key.Get(begun.Show)
	if err != nil {
		return Reply{}, err
	}
	return Reply{path, url.Values{"handle": {handle}, "method": {"passkey"}, "ceremony": {begun.Ceremony}, "payload": {string(payload)}}}, nil
}

// Send sends a reply.
func (p *Person) Send(ctx context.Context, r Reply) (Page, error) { return p.Post(ctx, r.Path, r.Form) }

// UsePasskey answers a sign-in page with the person's passkey.
func (p *Person) UsePasskey(ctx context.Context, page Page) (Page, error) {
	r, err := p.Answer(ctx, page)
	if err != nil {
		return page, err
	}
	return p.Send(ctx, r)
}

// AddPasskey goes through the page that asks for a new passkey and comes to
// the page behind it.
func (p *Person) AddPasskey(ctx context.Context, page Page) (Page, error) {
	session, err := page.field(sessionField)
	if err != nil {
		return page, err
	}
	about := map[string]any{"method": "passkey", "session": session}
	if flow, err := page.field(flowField); err == nil {
		about["flow"] = flow
	}
	var begun struct {
		Ceremony string
		Show     json.RawMessage
	}
	if err := p.call(ctx, "/account/register/begin", about, &begun); err != nil {
		return page, err
	}
	payload, err := p.Key.Create(begun.Show)
	if err != nil {
		return page, err
	}
	about["ceremony"], about["payload"] = begun.Ceremony, json.RawMessage(payload)
	var done struct{ Next string }
	if err := p.call(ctx, "/account/register/finish", about, &done); err != nil {
		return page, err
	}
	return p.Get(ctx, p.base+done.Next)
}

// FirstDay takes a person from a pass to the application's callback.
func (p *Person) FirstDay(ctx context.Context, a App, user, pass string) (Page, string, error) {
	page, verifier, err := p.Authorize(ctx, a, nil)
	if err != nil {
		return page, "", err
	}
	if page, err = p.UsePass(ctx, page, user, pass); err != nil {
		return page, "", err
	}
	if page, err = p.AddPasskey(ctx, page); err != nil {
		return page, "", err
	}
	page, err = p.UsePasskey(ctx, page)
	return page, verifier, err
}

// SignIn signs in with the passkey, whatever session there is, to the callback.
func (p *Person) SignIn(ctx context.Context, a App) (Page, string, error) {
	page, verifier, err := p.Authorize(ctx, a, url.Values{"prompt": {"login"}})
	if err != nil {
		return page, "", err
	}
	page, err = p.UsePasskey(ctx, page)
	return page, verifier, err
}

// Code is the authorization code of a callback.
func (page Page) Code() (string, error) {
	u, err := url.Parse(page.Callback)
	if err != nil {
		return "", err
	}
	if code := u.Query().Get("code"); code != "" {
		return code, nil
	}
	return "", fmt.Errorf("no code in %q; %v (%d): %.300s", page.Callback, page.URL, page.Status, page.Text)
}

// Tokens is what the token endpoint answers.
type Tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
	Active  bool   `json:"active"`
	Nonce   string `json:"Nonce"`
	Status  int    `json:"-"`
}

// Ask posts to one of the application's endpoints (token, introspect, revoke)
// with its own authentication.
func (a App) Ask(ctx context.Context, c *http.Client, endpoint string, form url.Values) (Tokens, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoint(endpoint), strings.NewReader(form.Encode()))
	if err != nil {
		return Tokens{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if a.Secret != "" {
		r.SetBasicAuth(url.QueryEscape(a.ID), url.QueryEscape(a.Secret))
	}
	res, err := c.Do(r)
	if err != nil {
		return Tokens{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Tokens{}, err
	}
	t := Tokens{Status: res.StatusCode}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &t); err != nil {
			return t, &Refused{endpoint, res.StatusCode, string(body)}
		}
	}
	return t, nil
}

// Redeem turns a code into tokens.
func (a App) Redeem(ctx context.Context, c *http.Client, code, verifier string) (Tokens, error) {
	return a.Ask(ctx, c, "token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.Redirect}, "code_verifier": {verifier}})
}

// RefreshWith turns a refresh token into new ones.
func (a App) RefreshWith(ctx context.Context, c *http.Client, refresh string) (Tokens, error) {
	return a.Ask(ctx, c, "token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}
