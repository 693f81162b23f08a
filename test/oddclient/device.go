package oddclient

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Device is a joined device and its software keys.
type Device struct {
	ID        string
	Key       crypto.Signer
	Transport *rsa.PrivateKey   // api-version 1.0 and 2.0
	Storage   *ecdsa.PrivateKey // api-version 3.0
	Cert      *x509.Certificate
}

// Joining is a join in the making.
type Joining struct {
	Key       crypto.Signer
	Transport *rsa.PrivateKey
	Storage   *ecdsa.PrivateKey
	Request   csr
	Body      map[string]any
}

// newJoining makes keys and the body as the dialect writes it. With shared,
// the device key is the transport key too.
func (c *Client) newJoining(shared bool) (*Joining, error) {
	j := &Joining{Request: csr{utf8: c.StrayKid}}
	j.Body = map[string]any{
		"TargetDomain": "corp.example", "DeviceType": "Linux", "OSVersion": "Debian 12", "DeviceDisplayName": "ws-" + c.Name, "JoinType": 0,
		"Attributes": map[string]any{"ReuseDevice": "true", "ReturnClientSid": "True", "SharedDevice": false},
	}
	if c.X5CText { // the clients that write x5c as text write small keys here (§1.3)
		j.Body["attributes"] = j.Body["Attributes"]
		delete(j.Body, "Attributes")
	}
	if c.JoinVersion == "3.0" {
		return j, j.elliptic(shared)
	}
	key, err := c.NewKey()
	if err != nil {
		return nil, err
	}
	j.Key, j.Transport = key, key
	if !shared {
		if j.Transport, err = c.NewKey(); err != nil {
			return nil, err
		}
	}
	if c.TransportJWK {
		j.Body["TransportKey"] = rsaJWK(&j.Transport.PublicKey)
	} else {
		j.Body["TransportKey"] = base64.StdEncoding.EncodeToString(rsaBlob(&j.Transport.PublicKey))
	}
	return j, nil
}

// elliptic makes the P-256 keys of api-version 3.0.
func (j *Joining) elliptic(shared bool) error {
	key, err := newEC()
	if err != nil {
		return err
	}
	j.Key, j.Storage = key, key
	if !shared {
		if j.Storage, err = newEC(); err != nil {
			return err
		}
	}
	jwk, err := ecJWK(&j.Storage.PublicKey)
	if err != nil {
		return err
	}
	j.Body["DeviceKeys"] = []any{map[string]any{"Usage": "STK", "Type": "ECC", "Encoding": "JWK", "Data": jwk}}
	j.Body["DeviceType"] = "MacOS"
	return nil
}

// body is the request's text.
func (j *Joining) body() ([]byte, error) {
	raw, err := j.Request.make(j.Key)
	if err != nil {
		return nil, err
	}
	if _, taken := j.Body["CertificateRequest"]; !taken {
		request := map[string]any{"Type": "pkcs10", "Data": base64.StdEncoding.EncodeToString(raw)}
		if j.Storage != nil {
			request["KeyType"], request["KeySecurity"] = "ECC", "SecureEnclave"
		}
		j.Body["CertificateRequest"] = request
	}
	return json.Marshal(j.Body)
}

// Join sends the request with a token for device registration (§5.1).
func (c *Client) Join(ctx context.Context, token string, j *Joining) (*Device, Answer, error) {
	body, err := j.body()
	if err != nil {
		return nil, Answer{}, err
	}
	a, err := c.sendJSON(ctx, c.Base+"/EnrollmentServer/device/?api-version="+c.JoinVersion, token, body)
	if err != nil || a.Status/100 != 2 {
		return nil, a, err
	}
	var got struct {
		Certificate struct{ Thumbprint, RawBody string }
	}
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
		return nil, a, err
	}
	raw, err := base64.StdEncoding.DecodeString(got.Certificate.RawBody)
	if err != nil {
		return nil, a, err
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, a, err
	}
	return &Device{ID: cert.Subject.CommonName, Key: j.Key, Transport: j.Transport, Storage: j.Storage, Cert: cert}, a, nil
}

// x5c is the certificate as the dialect puts it into a header.
func (c *Client) x5c(d *Device) any {
	text := base64.StdEncoding.EncodeToString(d.Cert.Raw)
	if c.X5CText {
		return text
	}
	return []string{text}
}

// tlsCertificate is the device as a TLS client.
func (d *Device) tlsCertificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{d.Cert.Raw}, PrivateKey: d.Key, Leaf: d.Cert}
}

// Delete removes a device at the TLS address, with the given certificate if
// any (§5.3).
func (c *Client) Delete(ctx context.Context, address, id string, roots *x509.CertPool, with *tls.Certificate) (Answer, error) {
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if with != nil {
		// GetClientCertificate sends it whatever CAs the server names.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return with, nil }
	}
	suffix := "?api-version=1.0"
	if c.X5CText && !c.StandardSegments {
		suffix = "" // one of them sends none
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, address+"/EnrollmentServer/device/"+id+suffix, nil)
	if err != nil {
		return Answer{}, err
	}
	return c.Trusting(conf).do(r)
}

// HelloKey is a user's key, in software here.
type HelloKey struct {
	UPN string
	Key *rsa.PrivateKey
}

// RegisterHello sends a Hello key (§6).
func (c *Client) RegisterHello(ctx context.Context, token string, key *rsa.PublicKey) (Answer, error) {
	body, err := json.Marshal(map[string]string{"kngc": base64.StdEncoding.EncodeToString(rsaBlob(key))})
	if err != nil {
		return Answer{}, err
	}
	return c.sendJSON(ctx, c.Base+"/EnrollmentServer/key/?api-version=1.0", token, body)
}

// assertion is the inner JWS of a Hello sign-in (§7.2).
func (c *Client) assertion(k HelloKey, nonce string, edits ...edit) (string, error) {
	m := message{
		header:  map[string]any{"alg": "RS256", "typ": "JWT", "kid": helloKid(&k.Key.PublicKey), "use": "ngc"},
		payload: map[string]any{"iss": k.UPN, "aud": "common", "scope": "openid aza ugs", "request_nonce": nonce},
	}
	if c.HelloAhead != 0 {
		now := c.Now()
		c.HelloTimes.put(m.payload, "iat", now.Add(-c.HelloBack))
		c.HelloTimes.put(m.payload, "exp", now.Add(c.HelloAhead))
	}
	return c.compact(m.apply(edits), signAs(k.Key))
}

var errNoKey = errors.New("the device has no key for that")

// decodeTransport reads whatever answer carries the session key for the device.
func (d *Device) decodeTransport(s string) ([]byte, error) {
	if d.Transport == nil {
		return nil, fmt.Errorf("unwrap the session key: %w", errNoKey)
	}
	return openSessionKey(d.Transport, s)
}
