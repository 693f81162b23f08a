package metadatatest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"time"

	"github.com/signetid/signet/internal/secret"
)

// Signer is whom the lists of a Service are made out by.
const Signer = "mds.fidoalliance.org"

// Service is a metadata service with a root, an authority below it, and a
// certificate that signs lists.
type Service struct {
	Root *CA
	Mid  *CA

	// Points are where certificates signed from now on say that revocation
	// lists are.
	Points []string

	leaf *x509.Certificate
	key  crypto.Signer
}

// CA is a certificate authority.
type CA struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// Lies changes a list on its way out; the zero value tells the truth.
type Lies struct {
	Payload func([]byte) []byte      // before it is signed
	Header  func(map[string]any)     // before it is signed
	Signed  func(text string) string // the whole, afterwards
}

// List is the payload of a list.
type List struct {
	No         int64  `json:"no"`
	NextUpdate string `json:"nextUpdate"`
	Legal      string `json:"legalHeader"`
	Entries    []any  `json:"entries"`
}

// New makes a service whose certificates are good for a year around now.
func New(now time.Time) *Service {
	root := NewCA("Test metadata root", now)
	mid := root.Below("Test metadata authority", now)
	s := &Service{Root: root, Mid: mid}
	s.Resign(Signer, now.AddDate(0, -6, 0), now.AddDate(0, 6, 0))
	return s
}

// Resign gives the service another signing certificate.
func (s *Service) Resign(name string, from, until time.Time) {
	s.resign(name, from, until, newKey())
}

// ResignRSA is Resign with an RSA key: the published list has such a one.
func (s *Service) ResignRSA(name string, from, until time.Time, bits int) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	must(err)
	s.resign(name, from, until, key)
}

func (s *Service) resign(name string, from, until time.Time, key crypto.Signer) {
	s.key = key
	s.leaf = s.Mid.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, CRLDistributionPoints: s.Points,
	}, key.Public())
}

// Revocations is a list of the authority, due at a time, in which the present
// signing certificate is or is not.
func (s *Service) Revocations(by *CA, due time.Time, revoked bool) []byte {
	t := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: due.AddDate(0, 0, -7), NextUpdate: due}
	if revoked {
		t.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: s.leaf.SerialNumber, RevocationTime: t.ThisUpdate}}
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, by.Cert, by.Key)
	must(err)
	return der
}

// sign signs as RFC 7518, Sections 3.3 and 3.4 say.
func (s *Service) sign(input string) []byte {
	sum := sha256.Sum256([]byte(input))
	switch k := s.key.(type) {
	case *rsa.PrivateKey:
		sig, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
		must(err)
		return sig
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, k, sum[:])
		must(err)
		return append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	}
	panic("no key")
}

// Sign makes a list of a payload: any value that is JSON.
func (s *Service) Sign(payload any, lies ...Lies) []byte {
	body, err := json.Marshal(payload)
	must(err)
	alg := "ES256"
	if _, ok := s.key.(*rsa.PrivateKey); ok {
		alg = "RS256"
	}
	header := map[string]any{"alg": alg, "typ": "JWT", "x5c": []string{b64(s.leaf.Raw), b64(s.Mid.Cert.Raw)}}
	for _, l := range lies {
		if l.Payload != nil {
			body = l.Payload(body)
		}
		if l.Header != nil {
			l.Header(header)
		}
	}
	head, err := json.Marshal(header)
	must(err)
	enc := base64.RawURLEncoding
	input := enc.EncodeToString(head) + "." + enc.EncodeToString(body)
	text := input + "." + enc.EncodeToString(s.sign(input))
	for _, l := range lies {
		if l.Signed != nil {
			text = l.Signed(text)
		}
	}
	return []byte(text)
}

// List makes a signed list that is due in a month.
func (s *Service) List(no int64, now time.Time, entries ...any) []byte {
	return s.Sign(List{No: no, NextUpdate: now.AddDate(0, 1, 0).Format(time.DateOnly), Legal: "made for a test", Entries: entries})
}

// Report is a status report.
type Report struct {
	Status      string `json:"status"`
	Effective   string `json:"effectiveDate,omitempty"`
	Sunset      string `json:"sunsetDate,omitempty"`
	Certificate string `json:"certificate,omitempty"`
}

// Entry is an entry for a model whose attestation ends in roots, certified at
// level 1 unless there are reports.
func Entry(aaguid, name string, roots []*x509.Certificate, reports ...Report) map[string]any {
	if len(reports) == 0 {
		reports = []Report{{Status: "FIDO_CERTIFIED_L1", Effective: "2020-01-01"}}
	}
	anchors := []string{}
	for _, r := range roots {
		anchors = append(anchors, b64(r.Raw))
	}
	return map[string]any{
		"aaguid": aaguid, "statusReports": reports, "timeOfLastStatusChange": "2020-01-01",
		"metadataStatement": map[string]any{
			"aaguid": aaguid, "description": name, "protocolFamily": "fido2", "schema": 3, "authenticatorVersion": 1,
			"keyProtection": []string{"hardware", "secure_element"}, "attachmentHint": []string{"external", "wired"},
			"attestationRootCertificates": anchors,
			"userVerificationDetails":     []any{[]any{map[string]any{"userVerificationMethod": "passcode_external"}}},
		},
	}
}

// NewCA makes a root that is good for ten years around now.
func NewCA(name string, now time.Time) *CA {
	key := newKey()
	t := authority(name, now)
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	must(err)
	return &CA{parse(der), key}
}

// Below makes an authority under this one.
func (c *CA) Below(name string, now time.Time) *CA {
	key := newKey()
	return &CA{c.issue(authority(name, now), key.Public()), key}
}

func authority(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: []string{"Test"}}, SerialNumber: serial(),
		NotBefore: now.AddDate(-5, 0, 0), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// Attestation is a certificate of this authority as models have it (WebAuthn
// §8.2.1): with an AAGUID when it is not nil, and with what else extra says.
func (c *CA) Attestation(aaguid []byte, from, until time.Time, extra ...pkix.Extension) *CA {
	t := &x509.Certificate{
		Subject:   pkix.Name{Country: []string{"SE"}, Organization: []string{"Test"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Test attestation"},
		NotBefore: from, NotAfter: until, BasicConstraintsValid: true, ExtraExtensions: extra,
	}
	if aaguid != nil {
		value, err := asn1.Marshal(aaguid)
		must(err)
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: value})
	}
	key := newKey()
	return &CA{c.issue(t, key.Public()), key}
}

func (c *CA) issue(t *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.SerialNumber = serial()
	der, err := x509.CreateCertificate(rand.Reader, t, c.Cert, key, c.Key)
	must(err)
	return parse(der)
}

func newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return k
}

func serial() *big.Int { return new(big.Int).SetBytes(append([]byte{1}, secret.Bytes(8)...)) }

func parse(der []byte) *x509.Certificate {
	c, err := x509.ParseCertificate(der)
	must(err)
	return c
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// KeyID is how a list names the certificate of a U2F key (RFC 5280 §4.2.1.2,
// method 1).
func KeyID(c *x509.Certificate) string {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	_, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info)
	must(err)
	sum := sha1.Sum(info.Key.Bytes)
	return hex.EncodeToString(sum[:])
}
