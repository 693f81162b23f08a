package agent

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/secret"
)

// clientID is what this agent is called at every server: an application that is
// built in.
const clientID = "114e5d13-4169-4933-b01f-300e4b36e73f"

// personTime is how long a person may take to sign in.
const personTime = 10 * time.Minute

// SignIn is a way for a person to sign in afresh, outside of this device's own
// keys: a browser, another device, or an access pass.
type SignIn interface {
	// obtain signs somebody in for a device registration token.
	obtain(ctx context.Context, r *remote, e endpoints, o occasion) (grant, error)
}

// occasion is what a sign-in is for.
type occasion struct {
	login string // who is expected; empty: anybody
	// credential makes what says that a request comes of this device; nil
	// before it has joined.
	credential func(context.Context) (string, error)
	app        App // that is signed in to; empty: this agent
}

// App is an application that somebody is signed in to.
type App struct {
	Client string // id
	Scope  string
}

// application is what an occasion is for.
func (o occasion) application() App {
	if o.app == (App{}) {
		return App{clientID, deviceScope}
	}
	return o.app
}

// grant is what a token endpoint gives for a sign-in. For one by an access pass
// there is no refresh token: it registers a device, and signs nobody in.
type grant struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    number `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
}

func (g grant) byPass() bool { return g.RefreshToken == "" }

// Browser signs in with a browser on this machine, which comes back to an
// address on it (RFC 8252, 7.3).
type Browser struct {
	// Open shows the address to the person; it returns at once.
	Open func(address string) error
}

// asked is one authorization request (RFC 6749, 4.1; RFC 7636).
type asked struct {
	app                              App
	redirect, state, nonce, verifier string
}

func newAsked(app App, redirect string) asked {
	return asked{app, redirect, secret.Token(), secret.Token(), secret.Token()}
}

// address is the authorization request. It always wants a gesture of now: what
// is asked for is trusted for weeks.
func (a asked) address(e endpoints, login string) string {
	challenge := sha256.Sum256([]byte(a.verifier))
	q := url.Values{
		"client_id": {a.app.Client}, "response_type": {"code"}, "redirect_uri": {a.redirect},
		"scope": {a.app.Scope}, "state": {a.state}, "nonce": {a.nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
		"prompt": {"login"}, "amr_values": {"ngcmfa"},
	}
	if login != "" {
		q.Set("login_hint", login)
	}
	return e.Authorize + "?" + q.Encode()
}

// deviceScope asks for a token of the device registration service and a
// refresh token to ask for a PRT with.
const deviceScope = "openid profile offline_access " + registrationResource + "/.default"

// redeem takes the code to the token endpoint.
func (a asked) redeem(ctx context.Context, r *remote, e endpoints, answer url.Values) (grant, error) {
	if answer.Get("state") != a.state {
		return grant{}, idp.Deniedf("state_differs", "state").Say("the answer is not to this sign-in: run this again, and use the page that it opens")
	}
	if word := answer.Get("error"); word != "" {
		return grant{}, advised(&Refusal{Status: http.StatusBadRequest, OAuth: word, Text: plainText(answer.Get("error_description"), word)})
	}
	var g grant
	err := r.form(ctx, e.Token, url.Values{
		"client_id": {a.app.Client}, "grant_type": {"authorization_code"}, "code": {answer.Get("code")},
		"redirect_uri": {a.redirect}, "code_verifier": {a.verifier}, "client_info": {"1"},
	}, &g)
	if err != nil {
		return grant{}, err
	}
	i, err := who(g.IDToken)
	if err != nil {
		return grant{}, err
	}
	if i.Nonce != a.nonce {
		return grant{}, idp.Deniedf("nonce_differs", "nonce of the ID token").Say("the answer is not to this sign-in: run this again")
	}
	return g, nil
}

// plainText is what an authorization error says, without its number.
func plainText(description, word string) string {
	if _, after, ok := strings.Cut(description, ": "); ok && strings.HasPrefix(description, "AADSTS") {
		description = after
	}
	description, _, _ = strings.Cut(description, " Trace ID:")
	if description == "" {
		return word
	}
	return description
}

func (b Browser) obtain(ctx context.Context, r *remote, e endpoints, o occasion) (grant, error) {
	ctx, stop := context.WithTimeout(ctx, personTime)
	defer stop()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return grant{}, fmt.Errorf("listen for the browser: %w", err)
	}
	ask := newAsked(o.application(), "http://"+l.Addr().String()+"/")
	answers := make(chan url.Values, 1)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		q := req.URL.Query()
		// Other pages can reach this address, too: only ours know the state.
		if req.Method != http.MethodGet || req.URL.Path != "/" || q.Get("state") != ask.state {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		fmt.Fprint(w, "<!doctype html><title>Signet</title><p>You can close this page and go back to the terminal.</p>")
		select {
		case answers <- q:
		default:
		}
	})}
	go server.Serve(l) // ends with Close
	defer server.Close()
	if err := b.Open(ask.address(e, o.login)); err != nil {
		return grant{}, err
	}
	select {
	case <-ctx.Done():
		return grant{}, late(ctx)
	case answer := <-answers:
		return ask.redeem(ctx, r, e, answer)
	}
}

func late(ctx context.Context) error {
	e := idp.Expiredf("sign_in_late", "wait for the person: %w", ctx.Err())
	if errors.Is(ctx.Err(), context.Canceled) {
		return e.Say("stopped")
	}
	return e.Say("nobody signed in within " + personTime.String() + ": run this again")
}

// DeviceCode signs in on another device, for machines without a browser (RFC
// 8628). Tenants may refuse it, or what follows from it.
type DeviceCode struct {
	// Show tells the person where to go and what to type there.
	Show func(address, code string)
}

func (d DeviceCode) obtain(ctx context.Context, r *remote, e endpoints, o occasion) (grant, error) {
	if e.DeviceCode == "" {
		return grant{}, idp.Deniedf("no_device_code", "no endpoint").Say("this server has no sign-in by device code: use a browser")
	}
	var begun struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
		Address    string `json:"verification_uri"`
		Expires    int    `json:"expires_in"`
		Interval   int    `json:"interval"`
	}
	app := o.application()
	if err := r.form(ctx, e.DeviceCode, url.Values{"client_id": {app.Client}, "scope": {app.Scope}}, &begun); err != nil {
		return grant{}, err
	}
	d.Show(begun.Address, begun.UserCode)
	ctx, stop := context.WithTimeout(ctx, min(personTime, time.Duration(max(begun.Expires, 1))*time.Second))
	defer stop()
	for wait := time.Duration(max(begun.Interval, 1)) * time.Second; ; {
		select {
		case <-ctx.Done():
			return grant{}, late(ctx)
		case <-time.After(wait):
		}
		var g grant
		err := r.form(ctx, e.Token, url.Values{
			"client_id": {app.Client}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {begun.DeviceCode}, "client_info": {"1"},
		}, &g)
		var said *Refusal
		switch {
		case err == nil:
			return g, nil
		case errors.As(err, &said) && said.OAuth == codeSlowDown:
			wait += 5 * time.Second // RFC 8628, 3.5
		case errors.As(err, &said) && (said.OAuth == "authorization_pending" || said.Code == codePending):
		case errors.As(err, &said) && said.OAuth == "authorization_declined":
			return grant{}, idp.Deniedf("declined", "%w", said).Say("the sign-in was refused on the other device")
		case errors.Is(err, idp.Unavailable):
		default:
			return grant{}, err
		}
	}
}

// AccessPass signs in with a pass that an administrator gave, without a
// browser: it fills in the sign-in page's form, whose field names are a promise
// to scripts (product.md §5). It joins a device and registers a key there; a
// device that has joined says which one it is.
type AccessPass struct {
	User, Pass string
}

func (a AccessPass) obtain(ctx context.Context, r *remote, e endpoints, o occasion) (grant, error) {
	const redirect = "http://127.0.0.1/"
	ask := newAsked(o.application(), redirect)
	v := &visitor{remote: r, cookies: map[string]string{}}
	if o.credential != nil {
		var err error
		if v.credential, err = o.credential(ctx); err != nil {
			return grant{}, err
		}
	}
	at, page, err := v.visit(ctx, http.MethodGet, ask.address(e, a.User), nil)
	if err != nil {
		return grant{}, err
	}
	form := findForm(page, "access_pass")
	if form == nil {
		return grant{}, idp.Deniedf("no_pass_form", "at %s", at.Redacted()).Say("this server does not offer sign-in by access pass: use a browser")
	}
	form.fields.Set("username", a.User)
	form.fields.Set("access_pass", a.Pass)
	form.fields.Set("method", "accessPass")
	target, err := at.Parse(form.action)
	if err != nil || target.Host != at.Host || target.Scheme != at.Scheme {
		return grant{}, fmt.Errorf("the sign-in page posts to %q", form.action)
	}
	at, page, err = v.visit(ctx, http.MethodPost, target.String(), form.fields)
	if err != nil {
		return grant{}, err
	}
	switch {
	case strings.HasPrefix(at.String(), redirect+"?"):
	case findForm(page, "access_pass") != nil:
		return grant{}, idp.Unprovenf("pass_refused", "at %s", at.Redacted()).
			Say("the access pass was not accepted: check the user name and the pass, or ask for another one; after several tries wait a quarter of an hour")
	default:
		return grant{}, idp.Deniedf("pass_not_enough", "at %s", at.Redacted()).
			Say("the server wants more of " + a.User + " than an access pass: sign in with a browser instead")
	}
	return ask.redeem(ctx, r, e, at.Query())
}

// visitor is as much of a browser as a page without script asks for: it keeps
// cookies of one host and follows redirects there.
type visitor struct {
	remote     *remote
	cookies    map[string]string
	credential string // of the device, for the first request alone; empty: none
}

// deviceHeader says which device a browser is on (device-protocol.md §9.3).
const deviceHeader = "x-ms-DeviceCredential"

// visit goes to an address and where that leads. It stops at the first address
// of another host, which is the last redirect's.
func (v *visitor) visit(ctx context.Context, method, address string, form url.Values) (*url.URL, *html.Node, error) {
	home := ""
	for range 10 {
		at, err := url.Parse(address)
		if err != nil {
			return nil, nil, fmt.Errorf("follow the sign-in: %w", err)
		}
		if home == "" {
			home = at.Host
		}
		if at.Host != home {
			return at, nil, nil
		}
		req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, nil, fmt.Errorf("follow the sign-in: %w", err)
		}
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", at.Scheme+"://"+at.Host)
			req.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		if v.credential != "" {
			req.Header.Set(deviceHeader, v.credential)
			v.credential = ""
		}
		for name, value := range v.cookies {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		res, err := v.remote.http.Do(req)
		if err != nil {
			return nil, nil, program.Unreachable(at, err)
		}
		for _, c := range res.Cookies() {
			v.cookies[c.Name] = c.Value
		}
		page, err := html.Parse(http.MaxBytesReader(nil, res.Body, program.MaxReply))
		res.Body.Close()
		if err != nil {
			return nil, nil, program.Unreachable(at, err)
		}
		next, err := res.Location()
		if err != nil {
			return at, page, nil
		}
		method, address, form = http.MethodGet, next.String(), nil
	}
	return nil, nil, idp.Unavailablef("redirects", "more than 10").Say("the sign-in page leads in circles: use a browser")
}

type pageForm struct {
	action string
	fields url.Values
}

// findForm finds the form that has a field of that name, with the values of its
// hidden fields.
func findForm(n *html.Node, field string) *pageForm {
	if n == nil {
		return nil
	}
	if n.Type == html.ElementNode && n.Data == "form" {
		f := &pageForm{action: attribute(n, "action"), fields: url.Values{}}
		found := false
		for d := range n.Descendants() {
			if d.Type != html.ElementNode || d.Data != "input" {
				continue
			}
			name := attribute(d, "name")
			found = found || name == field
			if attribute(d, "type") == "hidden" {
				f.fields.Set(name, attribute(d, "value"))
			}
		}
		if found {
			return f
		}
	}
	for c := range n.ChildNodes() {
		if f := findForm(c, field); f != nil {
			return f
		}
	}
	return nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
