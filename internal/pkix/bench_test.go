package pkix_test

import (
	"crypto/x509"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// BenchmarkVerify is leaf, intermediate, root with P-256 keys: two signatures.
func BenchmarkVerify(b *testing.B) {
	f := newFamily(b)
	o := f.options()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pkix.Verify(f.leaf, o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyAmong has 250 anchors more, all that a tenant may have.
func BenchmarkVerifyAmong(b *testing.B) {
	f := newFamily(b)
	o := f.options()
	other := pkixtest.Root(b, "Root of somebody else", now)
	for range 249 {
		o.Anchors = append(o.Anchors, other.Cert)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pkix.Verify(f.leaf, o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSignature is what one of those signatures takes by itself.
func BenchmarkSignature(b *testing.B) {
	f := newFamily(b)
	for b.Loop() {
		if err := f.sub.Cert.CheckSignature(x509.ECDSAWithSHA256, f.leaf.RawTBSCertificate, f.leaf.Signature); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSameName(b *testing.B) {
	ascii := cn(b, printable, "Nordhafen Issuing Authority 1")
	for name, other := range map[string][]byte{
		"bytes": ascii, "case": cn(b, utf8Str, "NORDHAFEN issuing authority 1"), "other": cn(b, utf8Str, "Nordhafen Issuing Authority 2"),
		"folded": cn(b, utf8Str, "Nordhäfen Issuing Authority 1"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pkix.SameName(ascii, other)
			}
		})
	}
}
