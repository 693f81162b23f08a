package drs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// body reads a request body as lenient JSON into v, whatever its Content-Type
// (device-protocol.md §1.3).
func body(w http.ResponseWriter, r *http.Request, v any) error {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, jose.MaxLoose))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return malformed("", "body of more than %d bytes", jose.MaxLoose)
	}
	if err != nil {
		return malformed("", "read the body: %w", err)
	}
	return coded(jose.Loosely(raw, v))
}

func malformed(field, format string, args ...any) error {
	e := idp.Invalidf("bad_request", format, args...).Coded(codeMalformed).On(field)
	if field != "" {
		return e.Say("The request is malformed: see " + field + ".")
	}
	return e.Say("The request is malformed.")
}

// coded gives what a reader found wrong the number of this door.
func coded(err error) error {
	if err == nil {
		return nil
	}
	e := idp.AsError(err)
	if e.Code == 0 {
		e.Code = codeMalformed
	}
	return e
}

// joinRequest is the body of a join (MS-DVRJ §2.2.2.1; docs/device-registration.md
// §3). Members that say nothing to us are not listed.
type joinRequest struct {
	CertificateRequest struct{ Type, Data jose.Text }
	TransportKey       jose.Text
	DeviceKeys         []struct{ Usage, Type, Encoding, Data jose.Text }
	DeviceType         jose.Text
	OSVersion          jose.Text
	DeviceDisplayName  jose.Text
	JoinType           jose.Number
	Attributes         struct{ SoftwareKeys jose.Bool }
	Attestation        *attestation
}

// joining is a join that can be read.
type joining struct {
	key, transport crypto.PublicKey // transport may be nil
	join           device.JoinType
	name, os, ver  string
	software       bool
	attestation    *attestation
}

// read takes the body of a request of that version apart. Nothing of it is
// believed but that whoever made the request holds the device key.
func (j joinRequest) read(version string) (joining, error) {
	out := joining{
		name: string(j.DeviceDisplayName), os: string(j.DeviceType), ver: string(j.OSVersion),
		software: bool(j.Attributes.SoftwareKeys), attestation: j.Attestation,
	}
	var err error
	if out.key, err = requestKey(string(j.CertificateRequest.Type), string(j.CertificateRequest.Data)); err != nil {
		return joining{}, err
	}
	if _, ec := out.key.(*ecdsa.PublicKey); ec && version != version3 {
		return joining{}, malformed("CertificateRequest", "P-256 key in version %s", version)
	}
	if out.transport, err = j.transportKey(); err != nil {
		return joining{}, err
	}
	switch j.JoinType {
	case 0, 8:
		out.join = device.Joined
	case 4:
		out.join = device.Registered
	case 6:
		return joining{}, errHybrid()
	default:
		return joining{}, malformed("JoinType", "join type %d", j.JoinType)
	}
	return out, nil
}

// requestSubject is what the subject of every published client's request is
// [C]; it says nothing.
const requestSubject = "7E980AD9-B86D-4306-9425-9AC066FB014A"

// requestKey reads a PKCS#10 request: whoever made it holds the private key of
// the public key that it gives. Its subject, attributes and extensions get
// nowhere (security.md DEV02, T08); a subject that names anything is refused,
// so that nobody takes it for granted.
func requestKey(kind, data string) (crypto.PublicKey, error) {
	const field = "CertificateRequest"
	if !strings.EqualFold(kind, "pkcs10") {
		return nil, malformed(field, "request of type %.40q", kind)
	}
	der, err := jose.Unbase64(data)
	if err != nil {
		return nil, malformed(field, "%w", err)
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, malformed(field, "%w", err)
	}
	if req.SignatureAlgorithm != x509.SHA256WithRSA && req.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, malformed(field, "signed by %s", req.SignatureAlgorithm)
	}
	if err := device.CheckKey(req.PublicKey); err != nil { // before it is calculated with
		return nil, malformed(field, "%w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, malformed(field, "%w", err)
	}
	for _, n := range req.Subject.Names {
		if text, ok := n.Value.(string); !ok || !n.Type.Equal(oidCommonName) || !strings.EqualFold(text, requestSubject) {
			return nil, malformed(field, "subject %.100q", req.Subject.String())
		}
	}
	return req.PublicKey, nil
}

// transportKey reads the one transport key: an RSA1 blob, or a JWK (device-
// protocol.md §5.1). None is nil.
func (j joinRequest) transportKey() (crypto.PublicKey, error) {
	var found []crypto.PublicKey
	if j.TransportKey != "" {
		raw, err := jose.Unbase64(string(j.TransportKey))
		if err != nil {
			return nil, malformed("TransportKey", "%w", err)
		}
		key, err := parseKey(raw)
		if err != nil {
			return nil, malformed("TransportKey", "%w", err)
		}
		found = append(found, key)
	}
	for _, k := range j.DeviceKeys {
		if !strings.EqualFold(string(k.Usage), "STK") {
			continue // nothing that we keep
		}
		if !strings.EqualFold(string(k.Encoding), "JWK") {
			return nil, malformed("DeviceKeys", "encoding %.40q", string(k.Encoding))
		}
		key, _, err := jose.ParseLooseKey([]byte(k.Data))
		if err != nil {
			return nil, malformed("DeviceKeys", "%w", err)
		}
		found = append(found, key)
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, malformed("DeviceKeys", "%d transport keys", len(found))
}

// parseKey reads an RSA1 blob or a JWK.
func parseKey(raw []byte) (crypto.PublicKey, error) {
	if len(raw) > 0 && raw[0] == '{' {
		key, _, err := jose.ParseLooseKey(raw)
		return key, err
	}
	return jose.ParseRSA1(raw)
}
