package macagent

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/pssowire"
)

// Visit is where a browser came to.
type Visit struct {
	Address string `json:"address"`
	Status  int    `json:"status"`
	Title   string `json:"title,omitempty"`
	// Signed says that the extension answered an authorize request on the way.
	Signed bool `json:"extensionAnswered"`
	// Claims are what the demo app shows of its ID token.
	Claims json.RawMessage `json:"claims,omitempty"`
	// Jar has the cookies that the browser has now.
	Jar http.CookieJar `json:"-"`
}

// ssoLife is how long a message to the authorize address is good for.
const ssoLife = 60 * time.Second

// Open opens an address in a browser that has no session, as a person's does
// whose Mac has the extension: an authorize request of the server on the way is
// the extension's, which says who it is by the device's key and the refresh
// token, once (apple-platform-sso.md §11; docs/macos.md).
func (m *Mac) Open(ctx context.Context, address string) (Visit, error) {
	if _, err := m.signedIn(); err != nil {
		return Visit{}, err
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Visit{}, idp.Invalidf("address", "%q", address).Say("the address must look like https://app.example.com/")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return Visit{}, err
	}
	b := &http.Client{Transport: m.remote.http.Transport, Timeout: program.RequestTime, Jar: jar, CheckRedirect: m.remote.http.CheckRedirect}
	v := Visit{Address: address, Jar: jar}
	for range 15 {
		header := http.Header{}
		if !v.Signed && m.intercepts(v.Address) {
			v.Signed = true
			if header, err = m.answerFor(ctx, v.Address); err != nil {
				return v, err
			}
		}
		next, err := v.step(ctx, b, header)
		if err != nil || next == "" {
			return v, err
		}
		v.Address = next
	}
	return v, idp.Unavailablef("redirects", "more than 15").Say("the address leads in circles")
}

// intercepts says whether an address is one that the extension answers: the
// authorize address and nothing else.
func (m *Mac) intercepts(address string) bool {
	at, _, _ := strings.Cut(address, "?")
	return m.st.Conf.AuthorizationEndpoint != "" && at == m.st.Conf.AuthorizationEndpoint
}

// answerFor makes the header for one authorize address.
func (m *Mac) answerFor(ctx context.Context, address string) (http.Header, error) {
	n, err := m.Nonce(ctx)
	if err != nil {
		return nil, err
	}
	signed, err := m.ssoMessage(n, address)
	if err != nil {
		return nil, err
	}
	m.tell(&Message{
		Name: "sso", Method: http.MethodGet, URL: address, Form: map[string]string{pssowire.HeaderSSO + " (header)": "(the signed message)"},
		Signed: takenApart(signed),
	}, nil)
	return http.Header{pssowire.HeaderSSO: {signed}}, nil
}

// ssoMessage signs for one authorize address, as it stands.
func (m *Mac) ssoMessage(n Nonce, address string) (string, error) {
	p, err := m.signedIn()
	if err != nil {
		return "", err
	}
	now := m.clock()
	claims := pssowire.SSO{URIHash: hash64(address), RefreshToken: p.Tokens.Refresh}
	claims.Issuer, claims.Audience, claims.RequestNonce = m.st.Conf.ClientID, pssowire.Audience{m.st.Conf.AuthorizationEndpoint}, n.Value
	claims.Issued, claims.Expires = pssowire.At(now.Unix()), pssowire.At(now.Add(ssoLife).Unix())
	return m.ours(m.st.Keys.Signing, pssowire.TypeSSO, claims)
}

// step makes one request and says where it leads; empty: nowhere.
func (v *Visit) step(ctx context.Context, b *http.Client, header http.Header) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.Address, nil)
	if err != nil {
		return "", idp.Invalidf("address", "%q", v.Address).Say("the address must look like https://app.example.com/")
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", userAgent)
	res, err := b.Do(req)
	if err != nil {
		return "", program.Unreachable(req.URL, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, program.MaxReply))
	if err != nil {
		return "", program.Unreachable(req.URL, err)
	}
	if next, err := res.Location(); err == nil {
		return next.String(), nil
	}
	v.Status = res.StatusCode
	v.read(text)
	return "", nil
}

// read takes out of a page what a stand-in can show.
func (v *Visit) read(text []byte) {
	page, err := html.Parse(strings.NewReader(string(text)))
	if err != nil {
		return
	}
	for n := range page.Descendants() {
		if n.Type != html.ElementNode || n.FirstChild == nil {
			continue
		}
		inside := n.FirstChild.Data
		switch {
		case n.Data == "title":
			v.Title = strings.TrimSpace(inside)
		case n.Data == "pre" && has(n, "data-claims") && json.Valid([]byte(inside)):
			v.Claims = json.RawMessage(inside)
		}
	}
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// Cookies are the browser's for an address.
func (v Visit) Cookies(address string) []*http.Cookie {
	u, err := url.Parse(address)
	if err != nil || v.Jar == nil {
		return nil
	}
	return v.Jar.Cookies(u)
}
