package web

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// ClientCert and ClientCertChain are the fields of RFC 9440, in which a proxy
// says what certificate its client has shown.
const (
	ClientCert      = "Client-Cert"
	ClientCertChain = "Client-Cert-Chain"
)

// Bounds of what a field may hold, beside that of all header fields together:
// certificates of a path, the client's own included, and bytes of one.
const (
	maxClientCerts = 10
	maxClientCert  = 64 << 10
)

// ClientCertificates reads what a proxy says in the field called name: a byte
// sequence as RFC 9440, Section 2.2 has it, or PEM with percent-encoding, as
// nginx writes $ssl_client_escaped_cert. Under the name of RFC 9440 the chain is
// read too. The client's own certificate is the first; none and no error is a
// client that has shown none. It says nothing about who sent the field: the
// caller must know that.
//
// Anything else than one certificate, said once, is an error: two fields might
// be one of the proxy and one of its client.
func ClientCertificates(h http.Header, name string) ([]*x509.Certificate, error) {
	values := h.Values(name)
	if len(values) > 1 {
		return nil, fmt.Errorf("%s is there %d times", name, len(values))
	}
	var chain []string
	if textproto.CanonicalMIMEHeaderKey(name) == ClientCert {
		chain = h.Values(ClientCertChain)
	}
	if len(values) == 0 || strings.TrimSpace(values[0]) == "" || values[0] == "::" {
		if len(chain) > 0 && strings.TrimSpace(strings.Join(chain, "")) != "" {
			return nil, fmt.Errorf("%s without %s", ClientCertChain, ClientCert)
		}
		return nil, nil
	}
	leaf, err := clientCert(values[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out := []*x509.Certificate{leaf}
	if len(chain) == 0 {
		return out, nil
	}
	// A list may be sent in several lines, and stand for one (RFC 9110, §5.3).
	members := strings.Split(strings.Join(chain, ","), ",")
	if len(members) >= maxClientCerts {
		return nil, fmt.Errorf("%s has %d certificates", ClientCertChain, len(members))
	}
	for _, m := range members {
		der, err := byteSequence(strings.Trim(m, " \t"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ClientCertChain, err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ClientCertChain, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func clientCert(value string) (*x509.Certificate, error) {
	var der []byte
	var err error
	if strings.HasPrefix(value, ":") {
		der, err = byteSequence(value)
	} else {
		der, err = escapedPEM(value)
	}
	if err != nil {
		return nil, err
	}
	if len(der) > maxClientCert {
		return nil, fmt.Errorf("certificate of %d bytes", len(der))
	}
	return x509.ParseCertificate(der)
}

// byteSequence reads one, without parameters (RFC 9651, Section 4.2.7; RFC 9440
// has none). Padding is asked for, since proxies send it, and bits that say
// nothing must be zero: a value has one spelling.
func byteSequence(s string) ([]byte, error) {
	if len(s) < 3 || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, errors.New("no byte sequence")
	}
	// DecodeString would pass over line breaks.
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("byte sequence with line breaks")
	}
	return base64.StdEncoding.Strict().DecodeString(s[1 : len(s)-1])
}

// escapedPEM reads one certificate in PEM, percent-encoded, with nothing beside
// it. A plus sign is one: base64 has them, and not every proxy escapes it.
func escapedPEM(s string) ([]byte, error) {
	text, err := url.PathUnescape(s)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || block.Type != "CERTIFICATE" || !strings.HasPrefix(text, "-----BEGIN "):
		return nil, errors.New("no certificate in PEM")
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("more than one certificate")
	}
	return block.Bytes, nil
}

// WithoutFields takes fields out of a request's header however they are spelt:
// letter case does not matter to us, but some servers behind some proxies take
// an underscore for a dash. It says whether there was any.
func WithoutFields(h http.Header, names ...string) (found bool) {
	dashed := func(name string) string { return strings.ReplaceAll(strings.TrimSpace(name), "_", "-") }
	for key := range h {
		spelt := dashed(key)
		for _, name := range names {
			if strings.EqualFold(spelt, dashed(name)) {
				delete(h, key)
				found = true
				break
			}
		}
	}
	return found
}
