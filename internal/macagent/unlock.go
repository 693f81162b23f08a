package macagent

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// Unlock is a provisioned key (apple-platform-sso.md §8.2).
type Unlock struct {
	Hash    string    `json:"userUnlockHash"` // SHA-1 of its point, as app-sso prints it
	Until   time.Time `json:"notAfter"`
	Context bool      `json:"keyContext"` // the server wants something sent back with each exchange
	Same    bool      `json:"same"`       // as the request before
}

// exchange is the Mac's half of a key exchange.
type exchange struct {
	own    *ecdh.PrivateKey
	unlock *unlock
}

// RequestKey asks for an unlock key. Asked again it is the same one.
func (m *Mac) RequestKey(ctx context.Context) (Unlock, error) {
	p, err := m.signedIn()
	if err != nil {
		return Unlock{}, err
	}
	n, err := m.Nonce(ctx)
	if err != nil {
		return Unlock{}, err
	}
	q, err := m.PrepareKeyRequest(n)
	if err != nil {
		return Unlock{}, err
	}
	plain, msg, err := m.sent(ctx, q)
	var got unlock
	var u Unlock
	if err == nil {
		got, u, err = m.provisioned(plain)
	}
	m.tell(msg, err)
	if err != nil {
		return Unlock{}, err
	}
	u.Same = p.Unlock != nil && bytes.Equal(p.Unlock.Certificate, got.Certificate)
	p.Unlock = &got
	return u, m.save()
}

// PrepareKeyRequest makes a key request on a nonce.
func (m *Mac) PrepareKeyRequest(n Nonce) (*Request, error) {
	return m.keyMessage(n, pssowire.AskKey, nil)
}

// keyMessage makes a message of the key service: both kinds have one typ, and
// neither client_id nor scope nor an assertion (§8.2).
func (m *Mac) keyMessage(n Nonce, kind string, more func(*pssowire.Request)) (*Request, error) {
	p, err := m.signedIn()
	if err != nil {
		return nil, err
	}
	c := m.st.Conf
	if c.KeyEndpoint == "" {
		return nil, idp.NotFoundf("no_key_service", "no key_endpoint").Say("the server's configuration has no key service")
	}
	claims := &pssowire.Request{
		Version: pssowire.KeyVersion, RequestType: kind, KeyPurpose: pssowire.KeyPurpose, Issuer: c.ClientID,
		Subject: p.User, Username: p.User, Nonce: upperUUID(), RefreshToken: p.Tokens.Refresh,
	}
	if m.cfg.Form.Audience {
		claims.Audience = pssowire.Audience{c.Audience}
	}
	if more != nil {
		more(claims)
	}
	q, err := m.request(kind, c.KeyEndpoint, pssowire.TypeKey, pssowire.TypeKeyReply, n, claims)
	if err == nil {
		q.form.Set(pssowire.FieldVersion, pssowire.VersionKeys)
	}
	return q, err
}

// provisioned judges the answer to a key request.
func (m *Mac) provisioned(plain []byte) (unlock, Unlock, error) {
	var r pssowire.KeyReply
	if err := json.Unmarshal(plain, &r); err != nil {
		return unlock{}, Unlock{}, disliked("key_reply", "members of the wrong kind: %v", err)
	}
	if err := m.inTime(r); err != nil {
		return unlock{}, Unlock{}, err
	}
	der, err := base64.RawURLEncoding.DecodeString(r.Certificate)
	if err != nil {
		return unlock{}, Unlock{}, disliked("key_certificate", "a certificate that is no base64url")
	}
	got := unlock{der, r.KeyContext}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return got, Unlock{}, disliked("key_certificate", "a certificate that cannot be read: %v", err)
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return got, Unlock{}, disliked("key_certificate", "a certificate of a key that is not on P-256")
	}
	hash := sha1.Sum(pssowire.Point(pub)) // how macOS names it, no signature
	now := m.clock()
	switch {
	case !bytes.Equal(cert.SubjectKeyId, hash[:]):
		return got, Unlock{}, disliked("key_certificate", "a subject key identifier that is not the SHA-1 of the point, by which macOS finds the key")
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return got, Unlock{}, disliked("key_certificate", "a certificate that is not valid now")
	case cert.KeyUsage&x509.KeyUsageKeyAgreement == 0 || cert.IsCA:
		return got, Unlock{}, disliked("key_certificate", "a certificate that is not for key agreement, or of an authority")
	case cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil:
		return got, Unlock{}, disliked("key_certificate", "a certificate that is not signed by its own key")
	}
	return got, Unlock{Hash: fmt.Sprintf("%X", hash), Until: cert.NotAfter, Context: got.Context != ""}, nil
}

// inTime judges iat and exp of a reply of the key service.
func (m *Mac) inTime(r pssowire.KeyReply) error {
	at := m.clock().Unix()
	switch {
	case r.Issued > at:
		return disliked("key_iat", "a reply that is not issued in the past by this Mac's clock")
	case r.Expires <= at || r.Expires-r.Issued != 300:
		return disliked("key_exp", "a reply that is over, or not for 300 s")
	}
	return nil
}

// Exchanges is what came of key exchanges.
type Exchanges struct {
	Count int  `json:"count"`
	Equal bool `json:"equal"` // each secret is the one that this Mac has computed itself
}

// ExchangeKeys does so many key exchanges at the same time, as a Mac does while
// its person waits at the login window (§8.3), and compares each secret with its
// own: it has the other private half.
func (m *Mac) ExchangeKeys(ctx context.Context, count int) (Exchanges, error) {
	p, err := m.signedIn()
	if err != nil {
		return Exchanges{}, err
	}
	if p.Unlock == nil {
		return Exchanges{}, idp.NotFoundf("no_unlock_key", "none").Say("there is no unlock key yet: signet device psso-simulate key")
	}
	errs := make([]error, count)
	contexts := make([]string, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { contexts[i], errs[i] = m.exchangeOne(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return Exchanges{Count: count}, err
	}
	for _, c := range contexts {
		if c != "" {
			p.Unlock.Context = c
		}
	}
	return Exchanges{count, true}, m.save()
}

func (m *Mac) exchangeOne(ctx context.Context) (string, error) {
	n, err := m.Nonce(ctx)
	if err != nil {
		return "", err
	}
	q, err := m.PrepareKeyExchange(n)
	if err != nil {
		return "", err
	}
	plain, msg, err := m.sent(ctx, q)
	next := ""
	if err == nil {
		next, err = m.agreed(q, plain)
	}
	m.tell(msg, err)
	return next, err
}

// PrepareKeyExchange makes a key exchange on a nonce, with a new key of the
// Mac's.
func (m *Mac) PrepareKeyExchange(n Nonce) (*Request, error) {
	p, err := m.signedIn()
	if err != nil {
		return nil, err
	}
	if p.Unlock == nil {
		return nil, idp.NotFoundf("no_unlock_key", "none").Say("there is no unlock key yet: signet device psso-simulate key")
	}
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	q, err := m.keyMessage(n, pssowire.AskExchange, func(r *pssowire.Request) {
		r.OtherKey, r.KeyContext = base64.StdEncoding.EncodeToString(own.PublicKey().Bytes()), p.Unlock.Context
	})
	if err == nil {
		q.exchange = &exchange{own, p.Unlock}
	}
	return q, err
}

// agreed judges the answer to a key exchange.
func (m *Mac) agreed(q *Request, plain []byte) (next string, err error) {
	var r pssowire.KeyReply
	if err := json.Unmarshal(plain, &r); err != nil {
		return "", disliked("key_reply", "members of the wrong kind: %v", err)
	}
	if err := m.inTime(r); err != nil {
		return "", err
	}
	got, err := base64.StdEncoding.Strict().DecodeString(r.Key)
	if err != nil || len(got) != 32 {
		return "", disliked("key_secret", "a secret that is not 32 bytes in padded base64")
	}
	cert, err := x509.ParseCertificate(q.exchange.unlock.Certificate)
	if err != nil {
		return "", fmt.Errorf("read the unlock certificate: %w", err)
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return "", fmt.Errorf("the unlock certificate has a %T", cert.PublicKey)
	}
	want, err := pssowire.Secret(q.exchange.own, pub)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(got, want) {
		return "", disliked("key_secret", "a secret that is not the one of both keys")
	}
	return r.KeyContext, nil
}
