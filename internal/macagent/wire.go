package macagent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
)

// keyID is how macOS names a key: padded base64 of the hash of its point.
func keyID(pub *ecdsa.PublicKey) string { return pssowire.KeyOf(pub).String() }

// idOf is that of a key that is kept here.
func idOf(raw []byte) (string, error) {
	key, err := readKey(raw)
	if err != nil {
		return "", err
	}
	return keyID(&key.PublicKey), nil
}

// point is the public half of a key that is kept here, as messages have it.
func point(raw []byte) (string, error) {
	key, err := readKey(raw)
	if err != nil {
		return "", err
	}
	return pssowire.EncodePoint(&key.PublicKey), nil
}

// written is a key id in the form that is asked for.
func (f Form) written(pub *ecdsa.PublicKey) string {
	id := pssowire.KeyOf(pub)
	switch f.KeyID {
	case "bare":
		return base64.RawStdEncoding.EncodeToString(id[:])
	case "url":
		return base64.RawURLEncoding.EncodeToString(id[:])
	}
	return id.String()
}

// chainForm is x5c as asked for; usual where nothing was said.
func (f Form) chainForm(usual pssowire.Chain) pssowire.Chain {
	switch f.X5C {
	case "none":
		return pssowire.NoChain
	case "string":
		return pssowire.ChainString
	case "array":
		return pssowire.ChainList
	}
	return usual
}

// byDevice signs as the device does, with a certificate if that is wanted: one
// that the extension would have saved, and that proves nothing.
func (m *Mac) byDevice(typ string, claims any) (string, error) {
	key, err := readKey(m.st.Keys.Signing)
	if err != nil {
		return "", err
	}
	s := pssowire.Signing{Key: key, Type: m.cfg.Form.typ(typ), KeyID: m.cfg.Form.written(&key.PublicKey), TextTimes: m.cfg.Form.TextTime}
	if s.Chain = m.cfg.Form.chainForm(pssowire.NoChain); s.Chain != pssowire.NoChain {
		cert, err := selfSigned(key, m.clock())
		if err != nil {
			return "", err
		}
		s.Certificates = [][]byte{cert}
	}
	return s.Sign(claims)
}

// byUser signs an embedded assertion as the person's key or card does. typ is
// not bent for what is ours.
func (m *Mac) byUser(p *person, typ string, claims any) (string, error) {
	f := m.cfg.Form
	if p.Method == pssowire.MethodCard {
		c, err := m.card()
		if err != nil {
			return "", err
		}
		form := f.chainForm(pssowire.ChainList)
		if form == pssowire.NoChain {
			form = pssowire.ChainList // without it nobody knows whose card it is
		}
		s := c.signing(typ, form)
		s.TextTimes = f.TextTime
		if pub, ok := c.Key.Public().(*ecdsa.PublicKey); ok {
			s.KeyID = f.written(pub)
		}
		return s.Sign(claims)
	}
	key, err := readKey(p.Key)
	if err != nil {
		return "", err
	}
	return pssowire.Signing{Key: key, Type: typ, KeyID: f.written(&key.PublicKey), TextTimes: f.TextTime}.Sign(claims)
}

// signing is how a card signs. Of an RSA key nobody outside knows the kid: it is
// a hash of what is public [?].
func (c *Card) signing(typ string, form pssowire.Chain) pssowire.Signing {
	s := pssowire.Signing{Key: c.Key, Alg: c.Alg, Type: typ, Chain: form}
	for _, cert := range c.Chain {
		s.Certificates = append(s.Certificates, cert.Raw)
	}
	s.KeyID = base64.StdEncoding.EncodeToString(hashOf(c.Chain[0].RawSubjectPublicKeyInfo))
	return s
}

// card is what is in the reader.
func (m *Mac) card() (*Card, error) {
	if m.cfg.Card == nil || len(m.cfg.Card.Chain) == 0 {
		return nil, idp.NotFoundf("no_card", "no card").Say("there is no smart card in the reader: give its certificate with --card-certificate and its key with --card-key")
	}
	c := *m.cfg.Card
	algs, err := algorithms(c.Key.Public())
	if err != nil {
		return nil, err
	}
	if c.Alg == "" {
		c.Alg = algs[0]
	}
	if !slices.Contains(algs, c.Alg) {
		return nil, idp.Invalidf("card_algorithm", "%q", c.Alg).Say("this card signs by " + quoted(algs) + ", not by " + c.Alg)
	}
	return &c, nil
}

// algorithms are what a card's key signs by, the usual first.
func algorithms(pub crypto.PublicKey) ([]string, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return []string{"ES256"}, nil
		}
	case *rsa.PublicKey:
		return []string{"RS256", "RS384", "RS512"}, nil
	}
	return nil, idp.Invalidf("card_key", "%T", pub).Say("the key of a smart card is RSA, or on P-256")
}

// selfSigned is a certificate of a device key by itself.
func selfSigned(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in for a Mac"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("write a certificate: %w", err)
	}
	return der, nil
}

// upperUUID is how macOS writes its nonces and ids of requests.
func upperUUID() string { return strings.ToUpper(secret.NewUUID4()) }

// takenApart is a JWS of our own making, for those who look at messages.
func takenApart(compact string) *Signed {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil
	}
	header, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	claims, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	if err1 != nil || err2 != nil || !json.Valid(header) || !json.Valid(claims) {
		return nil
	}
	return &Signed{header, claims}
}

func raw64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// hash64 is base64url of the SHA-256 of a text.
func hashOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func hash64(text string) string { return raw64(hashOf([]byte(text))) }
