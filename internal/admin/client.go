package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/signetid/signet/internal/idp"
)

// ErrNoServer says that nobody listens on the socket: no server runs on this
// data folder.
var ErrNoServer = errors.New("no server listens on the administration socket")

// Client does operations through the socket of a running server.
type Client struct{ http *http.Client }

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
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
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
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	defer res.Body.Close()
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
	return &idp.Error{Kind: f.Kind, Reason: f.Reason, Code: f.Code, Field: f.Field, Public: f.Public, Err: errors.New(f.Cause)}
}
