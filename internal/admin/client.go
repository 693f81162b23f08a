package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"github.com/signetid/signet/internal/idp"
)

// ErrNoServer says that nobody listens on the socket: no server runs on this
// data folder.
var ErrNoServer = errors.New("no server listens on the administration socket")

// Client does operations through the socket of a running server, or over the
// network with a token.
type Client struct {
	http    *http.Client
	address string
	token   string // empty: the socket knows who asks
}

// DialRemote makes a client for a running server at base, an https address, or
// http on this machine. The token is one of `signet admin token`.
func DialRemote(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("%q is not the address of a server: write it like https://id.example.com", base)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())) {
		return nil, fmt.Errorf("%s would send the token in the clear: use https", base)
	}
	if token == "" {
		return nil, errors.New("a running server wants a token: put one into SIGNET_TOKEN, or name a file with --token-file; get it with: signet admin token")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// A redirect would carry the token elsewhere.
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		http: &http.Client{Transport: transport, CheckRedirect: refuse}, address: u.Scheme + "://" + u.Host + RemotePath, token: token,
	}, nil
}

// Dial makes a client for the socket at path. It connects once to see whether
// somebody listens; ErrNoServer when not.
func Dial(ctx context.Context, path string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	c, err := dial(ctx, "", "")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNoServer
	}
	if err != nil {
		return nil, fmt.Errorf("reach the server at %s: %w", path, err)
	}
	c.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}, address: "http://admin" + doPath}, nil
}

// Close ends the client's connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do does an operation as Service.Do does; its errors are the server's, with
// kind, reason and sentence. actor is not sent: the server sees who asks.
func (c *Client) Do(ctx context.Context, _, op string, params json.RawMessage, progress func(int)) (json.RawMessage, error) {
	if len(params) == 0 {
		params = json.RawMessage(`{}`)
	}
	body, err := json.Marshal(request{Op: op, Params: params})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	defer res.Body.Close()
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "application/x-ndjson" {
		return nil, fmt.Errorf("%s answered %s, and not as a server of this kind: look at the address", c.address, res.Status)
	}
	in := json.NewDecoder(bufio.NewReader(res.Body))
	for {
		var line reply
		if err := in.Decode(&line); err != nil {
			// The outcome is unknown: the operation may have been done.
			return nil, idp.Unavailablef("reply_broken", "read the server's answer: %w", err).
				Say("The server did not finish its answer. Look whether it was done.")
		}
		switch {
		case line.Error != nil:
			return nil, line.Error.asError()
		case line.Result != nil:
			return line.Result, nil
		case progress != nil:
			progress(line.Progress)
		}
	}
}

func (f *fault) asError() error {
	e := &idp.Error{Kind: f.Kind, Reason: f.Reason, Code: f.Code, Field: f.Field, Public: f.Public}
	if f.Cause != "" {
		e.Err = errors.New(f.Cause)
	}
	return e
}
