package oddclient

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/test/person"
)

// joinAnswer is what §5.1 says a join answers.
type joinAnswer struct {
	Certificate       struct{ Thumbprint, RawBody string }
	User              struct{ Upn string }
	MembershipChanges []struct {
		LocalSID string
		AddSIDs  []string
	}
}

// Joins in each api-version and kind of key (§5.1) and the certificate that
// comes of them (§5.2).
func TestJoin(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	v3 := DialectB()
	v3.JoinVersion = "3.0"
	jwkV1 := DialectC()
	jwkV1.TransportJWK = true
	seen := map[string]bool{}
	for _, c2 := range []struct {
		name    string
		dialect Dialect
		edit    func(*Joining)
		kind    string // of join, in the certificate
	}{
		{"a: 2.0, RSA1 blob, UTF8 name", DialectA(), nil, "1"},
		{"b: 2.0, JWK in standard base64", DialectB(), nil, "1"},
		{"c: 1.0, RSA1 blob", DialectC(), nil, "1"},
		{"c: 1.0, JWK", jwkV1, nil, "1"},
		{"3.0, P-256", v3, nil, "1"},
		{"registered, not joined", DialectA(), func(j *Joining) { j.Body["JoinType"] = 4 }, "0"},
		{"a strange type of device", DialectC(), func(j *Joining) { j.Body["DeviceType"] = "Toaster ☕" }, "1"},
		{"numbers as strings, keys in small letters", DialectB(), func(j *Joining) {
			j.Body["JoinType"] = "0"
			j.Body["transportkey"] = j.Body["TransportKey"]
			delete(j.Body, "TransportKey")
		}, "1"},
		{"an attestation that nobody asked for", DialectC(), func(j *Joining) { j.Body["attributes"].(map[string]any)["MSA-DDID"] = "AAAA" }, "1"},
	} {
		c := o.client(c2.dialect)
		j := c.joining(t, false)
		if c2.edit != nil {
			c2.edit(j)
		}
		d, a, err := c.Join(t.Context(), ada.tokens(t).Access, j)
		if err != nil || d == nil {
			t.Errorf("%s: %d %.300s, %v", c2.name, a.Status, a.Body, err)
			continue
		}
		var got joinAnswer
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
			t.Fatal(err)
		}
		checkJoinAnswer(t, c2.name, got, d, ada, c2.kind)
		checkCertificate(t, c2.name, d, ada, c2.kind)
		if seen[d.ID] {
			t.Errorf("%s: device id %s again", c2.name, d.ID)
		}
		seen[d.ID] = true
	}
}

func checkJoinAnswer(t *testing.T, name string, got joinAnswer, d *Device, who *somebody, kind string) {
	t.Helper()
	if got.Certificate.Thumbprint != thumbprint(d.Cert.Raw) || strings.ContainsAny(got.Certificate.RawBody, "\r\n") || got.User.Upn != who.upn {
		t.Errorf("%s: thumbprint %s, user %+v", name, got.Certificate.Thumbprint, got.User)
	}
	sid, err := cloudSID(who.id)
	if err != nil {
		t.Fatal(err)
	}
	if kind == "0" {
		return // a registered device is nobody's to administer
	}
	if len(got.MembershipChanges) != 1 || got.MembershipChanges[0].LocalSID != "S-1-5-32-544" || !slices.Contains(got.MembershipChanges[0].AddSIDs, sid) {
		t.Errorf("%s: membership changes %+v, want %s among them", name, got.MembershipChanges, sid)
	}
}

// privateArc of the certificate's own extensions (§5.2).
var privateArc = asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284}

// octets reads an OCTET STRING with a short or the one long form of length that
// the sample has.
func octets(b []byte) []byte {
	if len(b) >= 3 && b[0] == 4 && b[1] == 0x81 && int(b[2]) == len(b)-3 {
		return b[3:]
	}
	if len(b) >= 2 && b[0] == 4 && int(b[1]) == len(b)-2 {
		return b[2:]
	}
	return nil
}

func checkCertificate(t *testing.T, name string, d *Device, who *somebody, kind string) {
	t.Helper()
	c := d.Cert
	spki, err := x509.MarshalPKIXPublicKey(d.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.RawSubjectPublicKeyInfo, spki) {
		t.Errorf("%s: the certificate has another key", name)
	}
	if len(c.Subject.Names) != 1 || c.Subject.CommonName != strings.ToLower(c.Subject.CommonName) || len(c.Subject.CommonName) != 36 {
		t.Errorf("%s: subject %v", name, c.Subject)
	}
	if c.Issuer.CommonName != "MS-Organization-Access" {
		t.Errorf("%s: issuer %v", name, c.Issuer)
	}
	if now := time.Now(); !now.After(c.NotBefore) || c.NotAfter.Before(now.AddDate(1, 0, 0)) {
		t.Errorf("%s: from %v to %v", name, c.NotBefore, c.NotAfter)
	}
	if c.IsCA || !c.BasicConstraintsValid || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || len(c.UnknownExtKeyUsage) > 0 || len(c.DNSNames) > 0 {
		t.Errorf("%s: CA %v, usage %v, names %v", name, c.IsCA, c.ExtKeyUsage, c.DNSNames)
	}
	found := map[int][]byte{}
	for _, e := range c.Extensions {
		if n := len(privateArc); len(e.Id) == n+1 && e.Id[:n].Equal(privateArc) {
			found[e.Id[n]] = octets(e.Value)
		}
		if critical := e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 19}) || e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}); critical && !e.Critical {
			t.Errorf("%s: extension %v is not critical", name, e.Id)
		}
	}
	for arc, guid := range map[int]string{2: c.Subject.CommonName, 3: who.id, 5: who.org.id} {
		want, err := guidLittle(guid)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(found[arc], want) {
			t.Errorf("%s: extension .%d is %x, want %x (%s)", name, arc, found[arc], want, guid)
		}
	}
	if string(found[7]) != kind || len(found[8]) == 0 {
		t.Errorf("%s: join type %q, region %q", name, found[7], found[8])
	}
}

// A request that asks for more gets no more than others (§5.2; security.md T08).
func TestJoinIgnoresWishes(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	c := o.client(DialectC())
	j := c.joining(t, false)
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: csrName}, DNSNames: []string{"login.corp.example"}, SignatureAlgorithm: x509.SHA256WithRSA,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}},
	}, j.Key)
	if err != nil {
		t.Fatal(err)
	}
	j.Body["CertificateRequest"] = map[string]any{"Type": "pkcs10", "Data": base64.StdEncoding.EncodeToString(raw)}
	d, a, err := c.Join(t.Context(), ada.tokens(t).Access, j)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		drsRefused(t, "a request that asks for more", a, nil, 400)
		return
	}
	checkCertificate(t, "a request that asks for more", d, ada, "1")
}

// Device key and transport key may be one under compat.sharedDeviceKey alone
// (§5.1; decisions 4.1).
func TestSharedKey(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example", "devices.compat.sharedDeviceKey", "true")
	ada := o.somebody("ada")
	for _, dialect := range []Dialect{DialectB(), DialectC()} {
		c := o.client(dialect)
		tokens := ada.tokens(t)
		d, a, err := c.Join(t.Context(), tokens.Access, c.joining(t, true))
		if err != nil || d == nil {
			t.Errorf("%s: %d %.300s, %v", c.Name, a.Status, a.Body, err)
			continue
		}
		if _, err := c.PRTByRefresh(t.Context(), d, tokens.Refresh); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

// Both forms of the audience and the resource parameter of v1 give a token that
// joins (§0.17, §1.4).
func TestRegistrationResource(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	c := o.client(DialectB())
	for _, scope := range []string{drsGUID + "/.default", drsURN + "/.default", drsURN + "/user_impersonation"} {
		app := o.app
		app.Scope = "openid profile offline_access " + scope
		tokens, err := ada.authorize(t.Context(), app)
		if err != nil {
			t.Errorf("%s: %v", scope, err)
			continue
		}
		joinsWith(t, c, scope, tokens)
	}
}

func joinsWith(t *testing.T, c *Client, name string, tokens person.Tokens) {
	t.Helper()
	claims, err := claimsOf(tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if aud := claims["aud"]; aud != drsURN && (aud != drsGUID || strings.HasPrefix(name, drsURN)) {
		t.Errorf("%s: audience %v", name, aud)
	}
	for _, member := range []string{"tid", "upn", "amr", "appid"} {
		if claims[member] == nil {
			t.Errorf("%s: no %s in the access token", name, member)
		}
	}
	if d, a, err := c.Join(t.Context(), tokens.Access, c.joining(t, false)); err != nil || d == nil {
		t.Errorf("%s: %d %.300s, %v", name, a.Status, a.Body, err)
	}
}
