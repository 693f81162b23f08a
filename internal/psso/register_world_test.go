package psso_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

// office is a world with all that registrations need: an authority that stands
// in for Apple's, and a judge of cards.
type office struct {
	*world
	maker *maker
	cards map[string]idp.UserID // serial number of a certificate → whose it is
}

func offices(t *testing.T, fn func(t *testing.T, w *office)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) { fn(t, newOffice(t, db)) })
}

func newOffice(t testing.TB, db *sqldb.DB) *office {
	o := &office{maker: newMaker(t), cards: map[string]idp.UserID{}}
	o.world = newWorld(t, db, func(c *psso.Config) {
		c.Roots = o.maker.roots
		c.UserKey = func(ctx context.Context, t idp.TenantID, d idp.DeviceID, kid pssowire.KeyID) (method.Credential, error) {
			return o.platform.Kept(ctx, t, d, kid)
		}
		c.Card = func(_ context.Context, _ idp.TenantID, chain []*x509.Certificate) (idp.UserID, string, error) {
			whose, known := o.cards[chain[0].SerialNumber.String()]
			if !known {
				return "", "certificate_unknown", nil
			}
			return whose, "", nil
		}
	})
	return o
}

func liteOffice(t testing.TB) *office { return newOffice(t, sqldbtest.Open(t, sources)) }

// devices off, attestation and method are set by policy.
func (o *office) attestation(a policy.Attestation) {
	o.t.Helper()
	o.policy(func(p *policy.Policy) { p.Devices.Attestation = a })
}

// --- access tokens -----------------------------------------------------------

// subject is what an access token for registrations stands on: a passkey, now.
func (o *office) subject(u idp.User) token.Subject {
	return token.Subject{
		Tenant: u.Tenant, User: u, Session: idp.SessionID(secret.NewUUID7(o.clock.now())),
		Client: client.Client{ID: pssowire.ClientID, Tenant: u.Tenant, Alg: "ES256", Subject: client.SubjectPublic, BuiltIn: true, Enabled: true},
		Scopes: []string{"openid", "profile"}, Audience: token.RegistrationAudience, AuthTime: o.clock.now(), AMR: []string{"fido", "mfa"},
		Basis: []token.Basis{{
			Method: policy.Passkey, Mode: idp.ModeFIDO2, Properties: []idp.Property{idp.PhishingResistant, idp.MultiFactor}, Time: o.clock.now().UnixMilli(),
		}},
	}
}

// bearer is an access token of a grant of its own.
func (o *office) bearer(u idp.User, change ...func(*token.Subject)) string {
	o.t.Helper()
	sub := o.subject(u)
	for _, f := range change {
		f(&sub)
	}
	o.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		sub.Family, err = o.tokens.OpenFamily(ctx, tx, sub, token.CodeID(secret.Bytes(16)))
		return err
	})
	jwt, _, err := o.tokens.Access(o.t.Context(), sub)
	if err != nil {
		o.t.Fatal(err)
	}
	return jwt
}

// gesture moves the gesture behind a token back.
func gesture(ago time.Duration) func(*token.Subject) {
	return func(s *token.Subject) {
		s.AuthTime = s.AuthTime.Add(-ago)
		for n := range s.Basis {
			s.Basis[n].Time -= ago.Milliseconds()
		}
	}
}

// byPass makes it one of a sign-in by an access pass.
func (o *office) byPass(s *token.Subject) {
	s.Code, s.Until, s.AMR = token.ByAccessPass, o.clock.now().Add(10*time.Minute), nil
	s.Basis = []token.Basis{{Method: policy.AccessPass, Credential: "pass", Mode: idp.ModeAccessPassOnce, Time: o.clock.now().UnixMilli()}}
}

// ticket issues a registration token.
func (o *office) ticket(change ...func(*mac.TokenRequest)) (string, mac.Token) {
	o.t.Helper()
	q := mac.TokenRequest{Tenant: o.tenant.ID, Serial: "C02ABC123"}
	for _, f := range change {
		f(&q)
	}
	var value string
	var made mac.Token
	o.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		made, value, err = o.macs.Tokens.Issue(ctx, tx, q)
		return err
	})
	return value, made
}

// --- requests ------------------------------------------------------------------

// hash is the claim token_hash.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// freshNonce is a nonce for a registration, and the key that came with it.
func (n *node) freshNonce(t testing.TB, tenant idp.TenantID) (string, *ecdsa.PublicKey) {
	t.Helper()
	a := n.post("/"+string(tenant)+"/psso/nonce", url.Values{"grant_type": {"srv_challenge"}, "purpose": {"registration"}})
	out := a.json(t)
	value, _ := out["Nonce"].(string)
	text, _ := out["exchange_key"].(string)
	key, err := pssowire.ParsePoint(text)
	if err != nil || value == "" {
		t.Fatalf("nonce: %d %s: %v", a.status, a.body, err)
	}
	return value, key
}

// says begins the claims of a request to a path.
func (o *office) says(path, nonce string) pssowire.Signed {
	now := o.clock.now().Unix()
	return pssowire.Signed{
		Issuer: pssowire.ClientID, Audience: pssowire.Audience{base + o.at(path)}, Issued: pssowire.At(now), Expires: pssowire.At(now + 300), RequestNonce: nonce,
	}
}

// proof is an encryption_proof.
func proof(t testing.TB, own *ecdsa.PrivateKey, other *ecdsa.PublicKey, nonce string) string {
	t.Helper()
	private, err := own.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	z, err := pssowire.Secret(private, other)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(pssowire.EncryptionProof(z, nonce))
}

func signAs(t testing.TB, key crypto.Signer, typ string, claims any, change ...func(*pssowire.Signing)) string {
	t.Helper()
	s := pssowire.Signing{Key: key, Type: typ}
	for _, f := range change {
		f(&s)
	}
	out, err := s.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hardware is a Mac with its keys, as it is before it is registered.
type hardware struct {
	signing, encryption *ecdsa.PrivateKey
	serial, udid        string
}

func newHardware() *hardware {
	return &hardware{ecKey(), ecKey(), "C02ABC123", "00008112-0011223344556677"}
}

// joinClaims are those of a good registration of h.
func (o *office) joinClaims(h *hardware, tok string, byTicket bool) pssowire.Device {
	o.t.Helper()
	nonce, exchange := o.freshNonce(o.t, o.tenant.ID)
	c := pssowire.Device{
		Signed: o.says("/psso/device", nonce), SigningKey: pssowire.EncodePoint(&h.signing.PublicKey),
		EncryptionKey: pssowire.EncodePoint(&h.encryption.PublicKey), EncryptionProof: proof(o.t, h.encryption, exchange, nonce),
		TokenHash: hash(tok), Name: "Ada's MacBook Air", OSVersion: "macOS 26.1", Serial: h.serial, UDID: h.udid,
	}
	if byTicket {
		c.RegistrationToken = tok
	}
	return c
}

// attest adds attestations by the stand-in of a maker.
func (o *office) attest(h *hardware, c *pssowire.Device, change ...func(*certified)) {
	o.t.Helper()
	sum := deviceData(c.RequestNonce, &h.signing.PublicKey, &h.encryption.PublicKey)
	c.Attestation = &pssowire.Attestation{
		Signing:    o.maker.chain(o.t, &h.signing.PublicKey, sum, h, change...),
		Encryption: o.maker.chain(o.t, &h.encryption.PublicKey, sum, h, change...),
	}
}

func deviceData(nonce string, keys ...*ecdsa.PublicKey) []byte {
	data := append([]byte(nonce), 0)
	for _, k := range keys {
		id := pssowire.KeyOf(k)
		data = append(data, id[:]...)
	}
	sum := sha256.Sum256(data)
	return sum[:]
}

// request sends a signed message; bearer may be empty.
func (o *office) request(verb, path, message, bearer string) answer {
	var header []string
	if bearer != "" {
		header = []string{"Authorization", "Bearer " + bearer}
	}
	return o.postJSON(verb, o.at(path), pssowire.Envelope{Request: message}, header...)
}

// sendJoin sends claims of a registration, signed by its signing key.
func (o *office) sendJoin(h *hardware, c pssowire.Device, bearer string) answer {
	return o.request("POST", "/psso/device", signAs(o.t, h.signing, pssowire.TypeDevice, c), bearer)
}

// registered is a Mac that came by the door.
type registered struct {
	*machine
	body map[string]any
}

// join registers h with a person's token, as it must work.
func (o *office) join(u idp.User, h *hardware, change ...func(*pssowire.Device)) registered {
	o.t.Helper()
	tok := o.bearer(u)
	c := o.joinClaims(h, tok, false)
	for _, f := range change {
		f(&c)
	}
	return o.accepted(h, o.sendJoin(h, c, tok))
}

// bring registers h with a registration token.
func (o *office) bring(h *hardware, value string, change ...func(*pssowire.Device)) registered {
	o.t.Helper()
	c := o.joinClaims(h, value, true)
	for _, f := range change {
		f(&c)
	}
	return o.accepted(h, o.sendJoin(h, c, ""))
}

func (o *office) accepted(h *hardware, a answer) registered {
	o.t.Helper()
	if a.status != http.StatusOK {
		o.t.Fatalf("registration: %d %s (%s)", a.status, a.body, a.cause)
	}
	body := a.json(o.t)
	id, _ := body["device_id"].(string)
	d, err := o.devices.Get(o.t.Context(), o.tenant.ID, idp.DeviceID(id))
	if err != nil {
		o.t.Fatalf("device %s: %v", id, err)
	}
	return registered{&machine{d, h.signing, h.encryption}, body}
}

// load is the device as it is now.
func (o *office) load(id idp.DeviceID) device.Device {
	o.t.Helper()
	d, err := o.devices.Load(o.t.Context(), o.db, o.tenant.ID, id)
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

// userClaims are those of a good registration of a user key on a Mac.
func (o *office) userClaims(m *machine, k *platformtest.Key, tok string) pssowire.User {
	o.t.Helper()
	nonce, _ := o.freshNonce(o.t, o.tenant.ID)
	c := pssowire.User{
		Signed: o.says("/psso/user", nonce), Method: pssowire.MethodKey, UserKey: pssowire.EncodePoint(k.Public()), TokenHash: hash(tok),
	}
	c.UserProof = o.userProof(m, k.Private(), k, c)
	return c
}

// userProof is a proof about k, by a key.
func (o *office) userProof(m *machine, by *ecdsa.PrivateKey, k *platformtest.Key, c pssowire.User) string {
	o.t.Helper()
	return signAs(o.t, by, pssowire.TypeUserKey, pssowire.KeyProof{
		Signed: c.Signed, Device: pssowire.KeyOf(&m.signing.PublicKey).String(), Key: k.ID().String(),
	})
}

func (o *office) sendUser(m *machine, c pssowire.User, bearer string) answer {
	return o.request("POST", "/psso/user", signAs(o.t, m.signing, pssowire.TypeUser, c), bearer)
}

// enrolled registers a person on a Mac, as it must work.
func (o *office) enrolled(m *machine, u idp.User) *platformtest.Key {
	o.t.Helper()
	k, tok := platformtest.New(), o.bearer(u)
	if a := o.sendUser(m, o.userClaims(m, k, tok), tok); a.status != http.StatusOK {
		o.t.Fatalf("user: %d %s (%s)", a.status, a.body, a.cause)
	}
	return k
}

// keysOf counts the user keys of a person.
func (o *office) keysOf(u idp.User) int {
	o.t.Helper()
	all, err := o.platform.List(o.t.Context(), u.Tenant, u.ID)
	if err != nil {
		o.t.Fatal(err)
	}
	return len(all)
}

// held counts the devices of the tenant.
func (o *office) held() int64 {
	o.t.Helper()
	n, err := o.world.devices.Count(o.t.Context(), o.tenant.ID, device.Page{}.Where)
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

// changes are the records of one activity, newest first.
func (o *office) changes(activity string) (out []audit.Event) {
	o.t.Helper()
	if err := o.audit.Flush(context.Background(), o.db); err != nil {
		o.t.Fatal(err)
	}
	all, err := o.audit.List(context.Background(), o.db, o.tenant.ID, audit.Filter{Limit: 200})
	if err != nil {
		o.t.Fatal(err)
	}
	for _, e := range all {
		if e.Activity == activity {
			out = append(out, e)
		}
	}
	return out
}

// together runs fn many times at once and counts the answers by status and
// suberror.
func (o *office) together(many int, fn func(n int) answer) map[string]int {
	got := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	start := make(chan struct{})
	for n := range many {
		all.Go(func() {
			<-start
			a := fn(n)
			sub, _ := a.json(o.t)["suberror"].(string)
			mu.Lock()
			defer mu.Unlock()
			got[http.StatusText(a.status)+" "+sub]++
		})
	}
	close(start)
	all.Wait()
	return got
}

// --- a maker that stands in for Apple -------------------------------------------

// maker is a stand-in for Apple's attestation authority: nothing of it is
// Apple's. Its chains have the shape of apple-platform-sso.md §9.4.
type maker struct {
	root, between       *x509.Certificate
	rootKey, betweenKey *ecdsa.PrivateKey
	roots               *x509.CertPool
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	m := &maker{rootKey: ecKey384(t), betweenKey: ecKey(), roots: x509.NewCertPool()}
	m.root = issue(t, nil, m.rootKey, &m.rootKey.PublicKey, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Stand-in Attestation Root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	m.between = issue(t, m.root, m.rootKey, &m.betweenKey.PublicKey, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Stand-in Attestation CA 1"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	m.roots.AddCert(m.root)
	return m
}

func ecKey384(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issue makes a certificate; without an issuer it is its own.
func issue(t testing.TB, by *x509.Certificate, key crypto.Signer, about crypto.PublicKey, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	c.SerialNumber = new(big.Int).SetBytes(secret.Bytes(12))
	if c.NotBefore.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(365*24*time.Hour)
	}
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, about, key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// certified is what a leaf will say.
type certified struct {
	about     crypto.PublicKey
	freshness []byte
	serial    string
	udid      string
	template  *x509.Certificate
	by        *x509.Certificate
	key       crypto.Signer
	without   bool // the one between is left out
}

// ders is the chain of a key, in DER.
func (m *maker) ders(t testing.TB, about *ecdsa.PublicKey, freshness []byte, h *hardware, change ...func(*certified)) [][]byte {
	t.Helper()
	c := certified{
		about: about, freshness: freshness, by: m.between, key: m.betweenKey,
		template: &x509.Certificate{Subject: pkix.Name{CommonName: "A Mac"}, KeyUsage: x509.KeyUsageDigitalSignature},
	}
	if h != nil {
		c.serial, c.udid = h.serial, h.udid
	}
	for _, f := range change {
		f(&c)
	}
	for oid, value := range map[string][]byte{"11.1": c.freshness, "9.1": []byte(c.serial), "9.2": []byte(c.udid)} {
		if len(value) == 0 {
			continue
		}
		name := map[string]asn1.ObjectIdentifier{
			"11.1": {1, 2, 840, 113635, 100, 8, 11, 1}, "9.1": {1, 2, 840, 113635, 100, 8, 9, 1}, "9.2": {1, 2, 840, 113635, 100, 8, 9, 2},
		}[oid]
		c.template.ExtraExtensions = append(c.template.ExtraExtensions, pkix.Extension{Id: name, Value: value})
	}
	leaf := issue(t, c.by, c.key, c.about, c.template)
	if c.without {
		return [][]byte{leaf.Raw}
	}
	return [][]byte{leaf.Raw, m.between.Raw}
}

func (m *maker) chain(t testing.TB, about *ecdsa.PublicKey, freshness []byte, h *hardware, change ...func(*certified)) (out []string) {
	t.Helper()
	for _, der := range m.ders(t, about, freshness, h, change...) {
		out = append(out, base64.StdEncoding.EncodeToString(der))
	}
	return out
}

func newKey() *platformtest.Key { return platformtest.New() }

// limited is a world in which a source may ask few things in a minute.
func limited(t testing.TB, asks int) *world {
	return lite(t, func(c *psso.Config) { c.Limits.Asks = asks })
}
