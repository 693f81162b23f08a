package trust_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/trust"
)

// weakRSA is the certificate of an authority with an RSA key of so many bits.
func weakRSA(t testing.TB, bits int) []byte {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "X"}, NotBefore: start.AddDate(-1, 0, 0), NotAfter: start.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// p7b packs certificates as others do: signed data that signs nothing.
func p7b(t testing.TB, certs ...*x509.Certificate) []byte {
	t.Helper()
	var all []byte
	for _, c := range certs {
		all = append(all, c.Raw...)
	}
	type content struct{ Type asn1.ObjectIdentifier }
	inner, err := asn1.Marshal(struct {
		Version      int
		Digests      []asn1.RawValue `asn1:"set"`
		Content      content
		Certificates asn1.RawValue
		Signers      []asn1.RawValue `asn1:"set"`
	}{Version: 1, Content: content{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: all}})
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestParse(t *testing.T) {
	a, b := pkixtest.Root(t, "A", start), pkixtest.Root(t, "B", start)
	both := p7b(t, a.Cert, b.Cert)
	for name, upload := range map[string][]byte{
		"PEM":             pkixtest.PEM(a.Cert, b.Cert),
		"PEM with words":  append([]byte("subject=/CN=A\n"), append(pkixtest.PEM(a.Cert), append([]byte("\nsubject=/CN=B\n"), pkixtest.PEM(b.Cert)...)...)...),
		"DER":             slices.Concat(a.Cert.Raw, b.Cert.Raw),
		"PKCS#7":          both,
		"PKCS#7 in PEM":   pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: both}),
		"twice":           pkixtest.PEM(a.Cert, b.Cert, a.Cert),
		"PKCS#7 and more": append(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: p7b(t, a.Cert)}), pkixtest.PEM(b.Cert)...),
	} {
		got, err := trust.Parse(upload)
		if err != nil || len(got) != 2 || !got[0].Equal(a.Cert) || !got[1].Equal(b.Cert) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	a := pkixtest.Root(t, "A", start)
	key, _ := x509.MarshalPKCS8PrivateKey(a.Key)
	text := pkixtest.PEM(a.Cert)
	pfx, err := asn1.Marshal(struct {
		Version int
		Safe    struct{ Type asn1.ObjectIdentifier }
	}{3, struct{ Type asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		upload []byte
		reason string
	}{
		"nothing":       {nil, "upload_empty"},
		"spaces":        {[]byte(" \n"), "upload_empty"},
		"words":         {[]byte("hello"), "upload_malformed"},
		"too large":     {bytes.Repeat([]byte{0x30}, trust.MaxUpload+1), "upload_too_large"},
		"a key":         {append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), text...), "upload_private_key"},
		"a request":     {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: key}), "upload_other"},
		"damaged PEM":   {append(slices.Clone(text), text[:len(text)-30]...), "upload_malformed"},
		"damaged DER":   {a.Cert.Raw[:len(a.Cert.Raw)-1], "upload_malformed"},
		"more than DER": {append(slices.Clone(a.Cert.Raw), 0), "upload_malformed"},
		"empty PKCS#7":  {p7b(t), "upload_empty"},
		"other content": {bytes.Replace(p7b(t, a.Cert), []byte{1, 7, 2}, []byte{1, 7, 3}, 1), "upload_malformed"},
		"block of dust": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("dust")}), "upload_malformed"},
		"PKCS#12":       {pfx, "upload_pkcs12"},
		"nested":        {bytes.Repeat([]byte{0x30, 0x80}, 500_000), "upload_malformed"},
	} {
		_, err := trust.Parse(c.upload)
		if x := idp.AsError(err); !errors.Is(err, idp.Invalid) || x.Reason != c.reason || x.Public == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseCounts(t *testing.T) {
	ca := pkixtest.Root(t, "A", start)
	var all []*x509.Certificate
	for range trust.MaxAuthorities + 1 {
		all = append(all, ca.Leaf(ca.Key.Public(), "L", "", start))
	}
	if got, err := trust.Parse(pkixtest.PEM(all[1:]...)); err != nil || len(got) != trust.MaxAuthorities {
		t.Errorf("%d, %v", len(got), err)
	}
	if _, err := trust.Parse(pkixtest.PEM(all...)); idp.AsError(err).Reason != "upload_too_many" {
		t.Errorf("one too many: %v", err)
	}
}

func TestOffers(t *testing.T) {
	at := func(addresses ...string) pkixtest.Change {
		return func(c *x509.Certificate) { c.CRLDistributionPoints = addresses }
	}
	root := pkixtest.Root(t, "Root", start, at("http://crl.example/root.crl"))
	mid := root.Sub("Mid", start, at("ldap://dc/cn=root", "http://crl.example/by-root.crl"))
	low := mid.Sub("Low", start, at("https://crl.example/by-mid.crl"))
	same := pkixtest.Root(t, "Mid", start) // the name of another, and a key of its own
	got := trust.Offers(certs(root, mid, low, same), nil)
	for i, want := range []trust.Offer{
		{Name: "Root", Root: true, CRL: "http://crl.example/root.crl"},
		{Name: "Mid", CRL: "https://crl.example/by-mid.crl"},
		{Name: "Low"}, // nothing that it issued is here
		{Name: "Mid", Root: true},
	} {
		if g := got[i]; g.Name != want.Name || g.Root != want.Root || g.CRL != want.CRL {
			t.Errorf("offer %d: %q, root %v, list at %q", i, g.Name, g.Root, g.CRL)
		}
	}
	// What the tenant has already tells, too.
	if got := trust.Offers(certs(mid), []trust.Authority{{Cert: low.Cert}}); got[0].CRL != "https://crl.example/by-mid.crl" {
		t.Errorf("with those that are there: %q", got[0].CRL)
	}
}

// Whoever sends bytes gets certificates or a reason, and all that comes out can
// be told what it is.
func FuzzParse(f *testing.F) {
	ca := pkixtest.Root(f, "A", start)
	f.Add(pkixtest.PEM(ca.Cert))
	f.Add(ca.Cert.Raw)
	f.Add(p7b(f, ca.Cert))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: p7b(f, ca.Cert)}))
	f.Fuzz(func(t *testing.T, upload []byte) {
		got, err := trust.Parse(upload)
		if err != nil {
			if !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Fatalf("refused without words: %v", err)
			}
			return
		}
		if len(got) == 0 || len(got) > trust.MaxAuthorities {
			t.Fatalf("%d certificates", len(got))
		}
		for _, o := range trust.Offers(got, nil) {
			if o.Name == "" {
				t.Fatal("an offer without a name")
			}
		}
	})
}
