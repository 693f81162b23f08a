package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/signetid/signet/test/person"
)

// badges are people who sign in with certificates (row (f) of the ceilings).
type badges struct {
	crowd   *crowd
	lists   *httptest.Server // the revocation lists of their authorities
	clients []*http.Client   // of each caller: the badge is theirs
}

// badgeOperations is the sign-in by certificate, from the handshake on: whoever
// has chosen it on the sign-in page has a full mutual handshake at the address
// for that, comes back with what it gave, and the code becomes tokens. The pages
// before are made before the clock runs.
func (c *crowd) badgeOperations() []operation {
	b := &badges{crowd: c}
	return []operation{{
		name: "certificate sign-in", goal: 0.65,
		ceiling: func(f floor) (float64, string) {
			return micro(us(f.Mutual), "full mutual handshake", us(f.Get), "its request", us(f.Get), "way back", us(f.PostForm), "token request",
				2*us(f.Sign), "two tokens", 3*us(f.Row), "three commits")
		},
		setup: b.setup,
		stock: &stock{ask: b.ask, send: b.send},
	}}
}

// setup gives everybody of the crowd a badge, and the server the authorities
// above them with their lists.
func (b *badges) setup(ctx context.Context) error {
	if b.clients != nil {
		return nil
	}
	s := b.crowd.site
	above, err := newChain()
	if err != nil {
		return err
	}
	if err := b.publish(above); err != nil {
		return err
	}
	if err := b.trust(ctx, above); err != nil {
		return err
	}
	for _, set := range [][2]string{{"method.certificate", "true"}, {"certificate.mode", "x509CertificateMultiFactor"}} {
		if err := s.admin(ctx, nil, "policy", "set", set[0], set[1]); err != nil {
			return err
		}
	}
	for n := range callers[len(callers)-1] {
		badge, err := above.badge(fmt.Sprint("caller", n, "@nordhafen.example"))
		if err != nil {
			return err
		}
		b.clients = append(b.clients, s.shaking(badge))
	}
	return nil
}

// publish serves the lists of both authorities.
func (b *badges) publish(above *chain) error {
	root, err1 := list(above.root, above.rootKey)
	inter, err2 := list(above.inter, above.interKey)
	b.lists = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/root" {
			w.Write(root)
		} else {
			w.Write(inter)
		}
	}))
	return errors.Join(err1, err2)
}

// trust adds both authorities to the trust store, and has their lists fetched.
func (b *badges) trust(ctx context.Context, above *chain) error {
	s := b.crowd.site
	for name, cert := range map[string][]byte{"root": pemCertificate(above.root), "inter": pemCertificate(above.inter)} {
		file := filepath.Join(s.dir, name+".pem")
		if err := os.WriteFile(file, cert, 0o600); err != nil {
			return err
		}
		var added []struct{ ID string }
		if err := s.admin(ctx, &added, "cert-authority", "add", file, "--crl", b.lists.URL+"/"+name); err != nil {
			return err
		}
		for _, a := range added {
			if err := s.admin(ctx, nil, "cert-authority", "refresh", a.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// shaking is a client that makes a handshake of its own for each request, with a
// badge, and follows nothing.
func (s *site) shaking(badge tls.Certificate) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// What the server shows is no matter of its own work.
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{badge}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, s.addrTLS)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask chooses the certificate on a new sign-in page.
func (b *badges) ask(ctx context.Context, n int) (asked, error) {
	p := b.crowd.people[n]
	p.DropSession()
	page, verifier, err := p.Authorize(ctx, b.crowd.site.app, nil)
	if err != nil {
		return asked{}, err
	}
	if page, err = p.ChooseCertificate(ctx, page); err != nil {
		return asked{}, err
	}
	if !strings.HasPrefix(page.Callback, "https://") {
		return asked{}, fmt.Errorf("the certificate leads to %q: %d %.300s", page.Callback, page.Status, page.Text)
	}
	return asked{caller: n, address: page.Callback, verifier: verifier}, nil
}

// send makes the handshake, goes back with its code and redeems what that gives.
func (b *badges) send(ctx context.Context, a asked) error {
	s, p := b.crowd.site, b.crowd.people[a.caller]
	p.DropSession()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.address, nil)
	if err != nil {
		return err
	}
	res, err := b.clients[a.caller].Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	back, err := res.Location()
	if err != nil {
		return fmt.Errorf("the handshake leads nowhere: %d %.300s", res.StatusCode, text)
	}
	if back.Query().Get("code") == "" {
		return fmt.Errorf("the handshake leads to %s", (&url.URL{Path: back.Path, RawQuery: back.RawQuery}).String())
	}
	var page person.Page
	if page, err = p.Get(ctx, back.String()); err != nil {
		return err
	}
	code, err := page.Code()
	if err != nil {
		return err
	}
	got, err := s.app.Redeem(ctx, p.HTTP, code, a.verifier)
	return wanted(got.ID, got, err)
}
