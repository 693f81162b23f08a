package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// shakeServer does full mutual handshakes of TLS 1.3 and nothing else: the client
// shows a leaf and an intermediate, crypto/tls verifies both up to the root, and
// one byte says that it is done. The root comes on standard input. It gives its
// address.
func shakeServer() (net.Addr, error) {
	roots := x509.NewCertPool()
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("no root on standard input")
	}
	pair, err := serverPair()
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				conn.Write([]byte{1}) // it shakes hands first
			}()
		}
	}()
	return l.Addr(), nil
}

// shakes measures what one such handshake costs its server, with many at once.
func (f *floor) shakes(ctx context.Context, pid int, addr string, c *chain, length time.Duration) error {
	var callers []op
	for n := range 16 {
		badge, err := c.badge(fmt.Sprint("floor", n))
		if err != nil {
			return err
		}
		conf := &tls.Config{Certificates: []tls.Certificate{badge}, InsecureSkipVerify: true}
		callers = append(callers, func(ctx context.Context) error {
			conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			defer conn.Close()
			got, err := io.ReadAll(conn)
			if err == nil && len(got) != 1 {
				err = errors.New("the bare server did not finish the handshake")
			}
			return err
		})
	}
	r := drive(ctx, pid, callers, length/4, length)
	f.Mutual, f.shaken = r.per(), r
	return r.why
}
