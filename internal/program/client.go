package program

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// How long a server may take, and how many bytes it may say.
const (
	RequestTime = 30 * time.Second
	ConnectTime = 10 * time.Second
	MaxReply    = 256 << 10
)

// Address parses the base URL of a server: https, or plain HTTP on this machine.
// Errors are Invalid "server_address".
func Address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, idp.Invalidf("server_address", "%q", text).Say("the server's address must look like https://id.example.com")
	}
	if !Private(u) {
		return nil, idp.Invalidf("server_address", "%q", text).Say("the server's address must begin with https:// (plain http only for localhost)")
	}
	return u, nil
}

// Private says whether nobody on the way reads what is sent to an address: it is
// https, or HTTP on this machine.
func Private(u *url.URL) bool {
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// Authorities are the system's and those of ca, in PEM; nil, which means the
// system's, when ca is empty. Errors are Invalid "ca_file".
func Authorities(ca []byte) (*x509.CertPool, error) {
	if len(ca) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, idp.Invalidf("ca_file", "no certificate in it").Say("the file of authorities (--ca-file) has no PEM certificate in it")
	}
	return pool, nil
}

// Dial opens a connection; nil stands for the network as it is.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Client asks servers that conf trusts, and follows nothing: no protocol of ours
// redirects, and one that does is not what was asked and must not get what was
// carried.
func Client(conf *tls.Config, dial Dial) *http.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: ConnectTime}).DialContext
	}
	return &http.Client{
		Timeout: RequestTime,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dial, TLSClientConfig: conf,
			TLSHandshakeTimeout: ConnectTime, ForceAttemptHTTP2: true, MaxIdleConns: 4, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Do sends a request once and reads the answer whole; whether it may be sent
// again is the caller's to know. Errors are Unreachable's; an answer of more than
// MaxReply bytes is one, too.
func Do(c *http.Client, req *http.Request) (*http.Response, []byte, error) {
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, Unreachable(req.URL, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, MaxReply+1))
	if err != nil {
		return nil, nil, Unreachable(req.URL, err)
	}
	if len(text) > MaxReply {
		return nil, nil, fmt.Errorf("%s answered more than %d bytes", req.URL.Host, MaxReply)
	}
	return res, text, nil
}

// Unreachable says that no answer came, and what to look at. It is Unavailable
// "server_unreachable".
func Unreachable(u *url.URL, err error) error {
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
