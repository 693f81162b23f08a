package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// noListener is what listen-tls says to have none.
const noListener = "off"

// tlsAddr is where the TLS listener goes; empty: nowhere.
func (c Config) tlsAddr() string {
	if c.ListenTLS == noListener {
		return ""
	}
	return c.ListenTLS
}

// CanListenTLS says whether there is, or can be made, a certificate for the
// TLS listener: one that was given, or for localhost one of the local
// authority. Behind a proxy that has the only certificate there is none.
func (c Config) CanListenTLS() bool {
	if c.TLSCert != "" || c.BaseURL == "" {
		return true
	}
	u, err := url.Parse(c.BaseURL)
	return err == nil && u.Hostname() == "localhost"
}

// listen takes all TCP ports.
func (s *Server) listen(ctx context.Context, tlsConf *tls.Config) error {
	main, err := s.take(ctx, "listen", s.cfg.Listen)
	if err != nil {
		return err
	}
	if s.base, err = s.cfg.baseURL(main.Addr()); err != nil {
		return err
	}
	s.main = main
	if tlsConf != nil {
		conf := tlsConf.Clone()
		conf.NextProtos = []string{"h2", "http/1.1"}
		main.Listener = tls.NewListener(main.Listener, conf)
	}
	if s.cfg.ListenMetrics != "" {
		if s.metrics, err = s.take(ctx, "listen-metrics", s.cfg.ListenMetrics); err != nil {
			return err
		}
	}
	if addr := s.cfg.tlsAddr(); addr != "" {
		if s.tls, err = s.take(ctx, "listen-tls", addr); err != nil {
			return err
		}
		s.tlsBase, err = s.cfg.tlsBaseURL(s.base, s.tls.Addr())
	} else if s.cfg.Handshake.Socket != "" {
		s.tlsBase = strings.TrimSuffix(s.cfg.TLSBaseURL, "/")
	}
	return err
}

// take takes one port, to be given back with all others.
func (s *Server) take(ctx context.Context, flag, addr string) (*door, error) {
	l, err := listenOn(ctx, flag, addr)
	if err != nil {
		return nil, err
	}
	d := &door{Listener: l}
	s.listeners = append(s.listeners, d)
	return d, nil
}

// tlsBaseURL is the configured address of the TLS listener without a slash at
// the end, or that of the pages with the port of the listener.
func (c Config) tlsBaseURL(base string, addr net.Addr) (string, error) {
	if c.TLSBaseURL != "" {
		return strings.TrimSuffix(c.TLSBaseURL, "/"), nil
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "", err
	}
	return "https://" + net.JoinHostPort(u.Hostname(), port), nil
}

// secureTLS gives the TLS listener its certificate and asks clients for theirs.
// It runs when the data folder is ours.
//
// A client certificate is asked for, never demanded, and judged by nobody here:
// whose it may be depends on the tenant and the address, so handlers decide,
// and a certificate of strangers gets an answer instead of an alert (decisions
// 4.8). That its sender holds the key is proven by the handshake.
//
// There are no session tickets: a resumed connection would carry the proof of
// an older one. It is HTTP/1.1, one request a connection (decisions 5.6): a
// browser that chose a wrong certificate is asked again.
func (s *Server) secureTLS(given *tls.Config) error {
	if s.tls == nil {
		return nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites}
	switch {
	case given != nil:
		conf.Certificates = given.Certificates
	case !s.cfg.CanListenTLS():
		return fmt.Errorf("listen-tls is %s, but there is no certificate for %s: give tls-cert and tls-key, or say listen-tls off", s.cfg.ListenTLS, s.base)
	default:
		now := s.cfg.Now()
		ca, err := openLocalCA(s.cfg.Data, now)
		if err != nil {
			return err
		}
		leaf, err := ca.leaf(now)
		if err != nil {
			return fmt.Errorf("certify the TLS listener: %w", err)
		}
		conf.Certificates, s.caFile = []tls.Certificate{leaf}, ca.path
	}
	conf.ClientAuth = tls.RequestClientCert
	conf.SessionTicketsDisabled = true
	conf.NextProtos = []string{"http/1.1"}
	conf.GetConfigForClient = s.hosts.configure(conf)
	s.tls.Listener = tls.NewListener(s.tls.Listener, conf)
	return nil
}

// TLSBaseURL is the address of the listener that asks for client certificates;
// empty: there is none.
func (s *Server) TLSBaseURL() string { return s.tlsBase }

// LocalCA is the file with the certificate of the local authority; empty: the
// TLS listener has a certificate that was given, or there is none.
func (s *Server) LocalCA() string { return s.caFile }

// tlsServer serves h where client certificates are asked for.
func (s *Server) tlsServer(ctx context.Context, h http.Handler) (*http.Server, error) {
	pinned, err := s.cfg.Handshake.pinned()
	if err != nil {
		return nil, err
	}
	server := s.httpServer(ctx, h)
	server.Handler = s.cfg.Handshake.direct(pinned, h)
	server.SetKeepAlivesEnabled(false)
	return server, nil
}

// openCertificateSocket listens for the proxy that makes handshakes for us. The
// lock on the data folder is ours, so a socket that is there was left by a crash
// of this installation; anything else that is there is left alone.
func (s *Server) openCertificateSocket(ctx context.Context, h http.Handler) error {
	path := s.cfg.Handshake.Socket
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return diskError(path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("certificate-socket is %s, which is there already and no socket: choose another path", path)
	default:
		if err := os.Remove(path); err != nil {
			return diskError(path, err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("certificate-socket %s cannot be made: %w; choose a shorter path in a folder of this user's", path, err)
	}
	// Whoever may write to it may say who somebody is: its group, which the
	// folder's setgid bit or the service's group decides, and nobody else.
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return diskError(path, err)
	}
	server := s.httpServer(ctx, h)
	server.Handler = s.cfg.Handshake.proxied(h)
	s.listeners = append(s.listeners, &door{l, server})
	return nil
}

// ListenOn takes a TCP port, or says in a sentence why it cannot. flag names
// the setting that chose it.
func ListenOn(ctx context.Context, flag, addr string) (net.Listener, error) {
	return listenOn(ctx, flag, addr)
}

func listenOn(ctx context.Context, flag, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the address %s is in use by another program: stop that one, or choose another with --%s", addr, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("the address %s needs more rights than this user has: choose a port from 1024 up with --%s", addr, flag)
	case err != nil:
		return nil, fmt.Errorf("the address %s cannot be used: %w; choose another with --%s", addr, err, flag)
	}
	return l, nil
}
