package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/signetid/signet/internal/macagent"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/test/person"
)

// macs are stand-ins for Macs, one for each caller: a Mac sends one login after
// another.
type macs struct {
	crowd *crowd
	http  *http.Client
	all   []*macagent.Mac
}

// macOperations are those of Platform SSO. Nonces are fetched before the clock
// runs, and logins signed, too. A refresh is signed when it is sent: it has the
// token that the one before gave, or the server would do less than it does for
// Macs. What that costs the client lowers the rate, not the share.
func (c *crowd) macOperations() []operation {
	m := &macs{crowd: c, http: newFleet(c.site).http}
	return []operation{
		{name: "Platform SSO login", goal: 0.45, setup: m.setup, stock: &stock{ask: m.askLogin, send: m.sendLogin},
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 2*us(f.Verify), "two ES256", us(f.Agree), "sealed answer", us(f.Sign), "ID token", us(f.Row), "commit", 2.0, "nonce, PRT")
			}},
		{name: "Platform SSO refresh", goal: 0.45, setup: m.signedIn, stock: &stock{ask: m.askRefresh, send: m.sendRefresh},
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", us(f.Verify), "ES256", us(f.Agree), "sealed answer", us(f.Sign), "ID token", us(f.Row), "commit", 2.0, "nonce, PRT")
			}},
	}
}

// setup gives everybody of the crowd a Mac.
func (m *macs) setup(ctx context.Context) error {
	for n := len(m.all); n < callers[len(callers)-1]; n++ {
		one, err := m.register(ctx, n)
		if err != nil {
			return fmt.Errorf("register Mac %d: %w", n, err)
		}
		m.all = append(m.all, one)
	}
	return nil
}

// signedIn signs everybody in anew: of the logins that were measured nobody has
// kept the tokens.
func (m *macs) signedIn(ctx context.Context) error {
	if err := m.setup(ctx); err != nil {
		return err
	}
	for _, one := range m.all {
		if _, err := one.Login(ctx, macagent.LoginOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func (m *macs) register(ctx context.Context, n int) (*macagent.Mac, error) {
	s := m.crowd.site
	one, err := macagent.New(macagent.Config{Folder: filepath.Join(s.dir, fmt.Sprint("mac", n)), Now: time.Now,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.addr)
		}})
	if err != nil {
		return nil, err
	}
	if err := one.Configure(ctx, s.base, s.tenant, nil); err != nil {
		return nil, err
	}
	p := m.crowd.people[n]
	p.DropSession()
	token, err := m.token(ctx, p)
	if err != nil {
		return nil, err
	}
	if _, err := one.Register(ctx, macagent.RegisterOptions{Name: "load", OS: "none", AccessToken: token}); err != nil {
		return nil, err
	}
	_, err = one.RegisterUser(ctx, token)
	return one, err
}

// token signs in with the passkey, for a token that registers.
func (m *macs) token(ctx context.Context, p *person.Person) (string, error) {
	app := person.App{Issuer: m.crowd.site.app.Issuer, ID: pssowire.ClientID, Redirect: "http://127.0.0.1/",
		Scope: "openid profile offline_access urn:ms-drs:enterpriseregistration.windows.net/.default"}
	page, verifier, err := p.Authorize(ctx, app, url.Values{"prompt": {"login"}, "amr_values": {"ngcmfa"}})
	if err != nil {
		return "", err
	}
	if page, err = p.UsePasskey(ctx, page); err != nil {
		return "", err
	}
	code, err := page.Code()
	if err != nil {
		return "", err
	}
	got, err := app.Ask(ctx, m.http, "token", url.Values{"grant_type": {"authorization_code"}, "client_id": {app.ID}, "code": {code},
		"redirect_uri": {app.Redirect}, "code_verifier": {verifier}})
	return got.Access, wanted(got.Access, got, err)
}

// message is a request of a Mac that is ready, or its nonce.
type message struct {
	request *macagent.Request
	nonce   macagent.Nonce
}

func (m *macs) askLogin(ctx context.Context, n int) (asked, error) {
	nonce, err := m.all[n].Nonce(ctx)
	if err != nil {
		return asked{}, err
	}
	q, err := m.all[n].PrepareLogin(nonce, macagent.LoginOptions{})
	return asked{caller: n, mac: message{request: q}}, err
}

// sendLogin sends a login and looks at the answer as far as that is cheap.
func (m *macs) sendLogin(ctx context.Context, a asked) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.mac.request.URL, strings.NewReader(a.mac.request.Body()))
	if err != nil {
		return err
	}
	r.Header = a.mac.request.Header()
	res, err := m.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("login answered %d: %.300s", res.StatusCode, text)
	case strings.Count(string(text), ".") != 4:
		return errors.New("a login's answer has not five parts")
	}
	return nil
}

func (m *macs) askRefresh(ctx context.Context, n int) (asked, error) {
	nonce, err := m.all[n].Nonce(ctx)
	return asked{caller: n, mac: message{nonce: nonce}}, err
}

func (m *macs) sendRefresh(ctx context.Context, a asked) error {
	one := m.all[a.caller]
	q, err := one.PrepareRefresh(a.mac.nonce)
	if err != nil {
		return err
	}
	plain, err := one.Send(ctx, q)
	if err != nil {
		return err
	}
	return one.Keep(q, plain)
}
