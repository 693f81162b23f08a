package pkix_test

import (
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// TestFit holds what is said of an authority alone against what Verify says of
// a path with it.
func TestFit(t *testing.T) {
	for name, change := range map[string]func(*pkixtest.Body){
		"nothing": func(*pkixtest.Body) {}, "unknown critical": set(t, unknown(true)), "no authority": set(t, basic(t, false, -1)),
		"may not sign": set(t, keyUsage(t, 0x80)), "no SKI": drop(idSKI), "no AKI": drop(idAKI), "not critical": critical(idBasic, false),
		"serial number": func(b *pkixtest.Body) { b.SerialNumber = new(big.Int) },
		"SHA-1":         func(b *pkixtest.Body) { b.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1} },
		"constraints":   set(t, stdpkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: pkixtest.Constraints(t, generals(t, "dns:.x"), nil).Value}),
	} {
		f := newFamily(t)
		f.reRoot(change)
		fits(t, name+" of the root", pkix.Fit(f.root.Cert, true), second(pkix.Verify(f.leaf, f.options())))
		f = newFamily(t)
		f.reSub(change)
		fits(t, name+" of the sub", pkix.Fit(f.sub.Cert, false), second(pkix.Verify(f.leaf, f.options())))
	}
	f := newFamily(t)
	if err := pkix.Fit(f.leaf, true); err == nil {
		t.Error("a leaf is fit")
	}
}

func fits(t *testing.T, name string, alone, whole error) {
	t.Helper()
	var a, b *pkix.Fault
	errors.As(alone, &a)
	errors.As(whole, &b)
	if (a == nil) != (b == nil) || a != nil && (a.Reason != b.Reason || a.Cert != b.Cert) {
		t.Errorf("%s: alone %v, in a path %v", name, alone, whole)
	}
}
