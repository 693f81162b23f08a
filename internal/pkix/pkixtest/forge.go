package pkixtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

// Body is what a certificate says, open to every change that its DER allows.
type Body struct {
	Raw          asn1.RawContent
	Version      int `asn1:"optional,explicit,default:0,tag:0"`
	SerialNumber *big.Int
	Algorithm    pkix.AlgorithmIdentifier
	Issuer       asn1.RawValue
	Validity     struct{ NotBefore, NotAfter time.Time }
	Subject      asn1.RawValue
	Key          asn1.RawValue
	IssuerID     asn1.BitString   `asn1:"optional,tag:1"`
	SubjectID    asn1.BitString   `asn1:"optional,tag:2"`
	Extensions   []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

type signedBody struct {
	Body      Body
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

// Reforge gives a certificate as it is but for what change does to it, signed
// by key, which is of ECDSA P-256. ok is false when crypto/x509 cannot read
// the result.
func Reforge(t testing.TB, cert *x509.Certificate, key crypto.Signer, change func(*Body)) (*x509.Certificate, bool) {
	t.Helper()
	der := Rewrite(t, cert, key, change)
	out, err := x509.ParseCertificate(der)
	return out, err == nil
}

// Rewrite is Reforge without reading the result.
func Rewrite(t testing.TB, cert *x509.Certificate, key crypto.Signer, change func(*Body)) []byte {
	t.Helper()
	var s signedBody
	if _, err := asn1.Unmarshal(cert.Raw, &s); err != nil {
		t.Fatal(err)
	}
	s.Body.Raw = nil
	change(&s.Body)
	s.Algorithm = s.Body.Algorithm
	tbs, err := asn1.Marshal(s.Body)
	if err != nil {
		t.Fatal(err)
	}
	h := crypto.SHA256.New()
	if s.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}) {
		h = crypto.SHA1.New()
	}
	h.Write(tbs)
	hash := crypto.SHA256
	if h.Size() == 20 {
		hash = crypto.SHA1
	}
	sig, err := key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		t.Fatal(err)
	}
	s.Body.Raw = tbs
	s.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	der, err := asn1.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Forge is Reforge that must give a certificate.
func Forge(t testing.TB, cert *x509.Certificate, key crypto.Signer, change func(*Body)) *x509.Certificate {
	t.Helper()
	out, err := x509.ParseCertificate(Rewrite(t, cert, key, change))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Set puts an extension in, in the place of one of the same type.
func (b *Body) Set(e pkix.Extension) {
	b.Drop(e.Id)
	b.Extensions = append(b.Extensions, e)
}

// Drop takes an extension out.
func (b *Body) Drop(id asn1.ObjectIdentifier) {
	var kept []pkix.Extension
	for _, e := range b.Extensions {
		if !e.Id.Equal(id) {
			kept = append(kept, e)
		}
	}
	b.Extensions = kept
}

// Edit changes an extension that is there.
func (b *Body) Edit(id asn1.ObjectIdentifier, change func(*pkix.Extension)) {
	for i := range b.Extensions {
		if b.Extensions[i].Id.Equal(id) {
			change(&b.Extensions[i])
		}
	}
}

// DER marshals a value.
func DER(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Wrap puts a tag around contents: class and constructed bits included.
func Wrap(t testing.TB, tag byte, contents ...[]byte) []byte {
	t.Helper()
	return DER(t, asn1.RawValue{Class: int(tag >> 6), IsCompound: tag&0x20 != 0, Tag: int(tag & 0x1f), Bytes: bytes.Join(contents, nil)})
}

// General is the DER of a GeneralName.
type General []byte

// Mail, Host, Address (4, 8, 16 or 32 bytes), Web, Directory (DER of a Name)
// and Principal are general names; for constraints too.
func Mail(t testing.TB, s string) General      { return Wrap(t, 0x81, []byte(s)) }
func Host(t testing.TB, s string) General      { return Wrap(t, 0x82, []byte(s)) }
func Web(t testing.TB, s string) General       { return Wrap(t, 0x86, []byte(s)) }
func Address(t testing.TB, b ...byte) General  { return Wrap(t, 0x87, b) }
func Directory(t testing.TB, n []byte) General { return Wrap(t, 0xa4, n) }
func Principal(t testing.TB, s string) General {
	return Other(t, oidUPN, Wrap(t, 12, []byte(s)))
}

// Other is an otherName of any type.
func Other(t testing.TB, id asn1.ObjectIdentifier, value []byte) General {
	return Wrap(t, 0xa0, DER(t, id), Wrap(t, 0xa0, value))
}

// Alternatives is a subject alternative name.
func Alternatives(t testing.TB, names ...General) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: Wrap(t, 0x30, join(names)...)}
}

func join(names []General) [][]byte {
	var out [][]byte
	for _, n := range names {
		out = append(out, n)
	}
	return out
}

// Constraints are name constraints, critical.
func Constraints(t testing.TB, permitted, excluded []General) pkix.Extension {
	var parts [][]byte
	for i, names := range [][]General{permitted, excluded} {
		var trees [][]byte
		for _, n := range names {
			trees = append(trees, Wrap(t, 0x30, n))
		}
		if len(trees) > 0 {
			parts = append(parts, Wrap(t, 0xa0+byte(i), trees...))
		}
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: Wrap(t, 0x30, parts...)}
}

// Policies are certificate policies without qualifiers.
func Policies(t testing.TB, ids ...asn1.ObjectIdentifier) pkix.Extension {
	var parts [][]byte
	for _, id := range ids {
		parts = append(parts, Wrap(t, 0x30, DER(t, id)))
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: Wrap(t, 0x30, parts...)}
}

// Mappings are policy mappings: issuer's and subject's policies by turns.
func Mappings(t testing.TB, pairs ...asn1.ObjectIdentifier) pkix.Extension {
	var parts [][]byte
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, Wrap(t, 0x30, DER(t, pairs[i]), DER(t, pairs[i+1])))
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 33}, Critical: true, Value: Wrap(t, 0x30, parts...)}
}

// PolicyConstraints are requireExplicitPolicy and inhibitPolicyMapping; a
// negative one is left out.
func PolicyConstraints(t testing.TB, explicit, mapping int) pkix.Extension {
	var parts [][]byte
	for i, n := range []int{explicit, mapping} {
		if n >= 0 {
			parts = append(parts, Wrap(t, 0x80+byte(i), []byte{byte(n)}))
		}
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: Wrap(t, 0x30, parts...)}
}

// InhibitAny is inhibitAnyPolicy.
func InhibitAny(t testing.TB, n int) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 54}, Critical: true, Value: DER(t, n)}
}

// Usages are extended key usages.
func Usages(t testing.TB, ids ...asn1.ObjectIdentifier) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: DER(t, ids)}
}
