package pkix_test

import (
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// FuzzSameName: comparison has no direction, its short way says what its long
// way says, and names that are written alike are the same.
func FuzzSameName(f *testing.F) {
	two := [][]byte{attr(f, idOU, printable, "a"), attr(f, idCN, utf8Str, "b")}
	for _, a := range [][]byte{cn(f, printable, "Nordhafen  CA "), cn(f, utf8Str, "NORDHAFEN ca"), cn(f, utf8Str, "Straße"), cn(f, bmp, "\x00a\x00b"),
		cn(f, teletex, "x"), dn(f), dn(f, two), cn(f, utf8Str, "a\u00adb\x01"), {0x30, 2, 0x31, 0}} {
		f.Add(a, cn(f, printable, "Nordhafen CA"))
		f.Add(a, a)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		same := pkix.SameName(a, b)
		if same != pkix.SameName(b, a) {
			t.Error("the order matters")
		}
		ka, errA := pkix.Canonical(a)
		kb, errB := pkix.Canonical(b)
		long := errA == nil && errB == nil && slices.Equal(ka, kb)
		// The short way does not read a name behind the part that differs.
		if quick, sure := pkix.Quick(a, b); sure && quick != long {
			t.Errorf("short %v, long %v", quick, long)
		}
		if same != long {
			t.Errorf("%v, long %v", same, long)
		}
		if na, nb := pkix.NameKey(a), pkix.NameKey(b); na != "" && nb != "" && (na == nb) != same {
			t.Errorf("same %v, by their keys %v", same, na == nb)
		}
		ta, errA := pkix.RootFirst(a)
		tb, errB := pkix.RootFirst(b)
		if errA == nil && errB == nil && ta == tb && !same {
			t.Errorf("%q of both, and they are not the same", ta)
		}
	})
}

// FuzzNames: a subject alternative name of any bytes.
func FuzzNames(f *testing.F) {
	f.Add([]byte(pkixtest.Alternatives(f, generals(f, "dns:a.example mail:a@b.example uri:https://x ip:192.0.2.1 upn:a@b dn:A/B id:x other:y")...).Value))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		n, err := pkix.Names(&x509.Certificate{Extensions: []stdpkix.Extension{{Id: idSAN, Value: der}}})
		var fault *pkix.Fault
		if err != nil && (!errors.As(err, &fault) || fault.Reason != pkix.Malformed) {
			t.Errorf("%v", err)
		}
		for _, d := range n.Directory {
			if !pkix.SameName(d, d) {
				t.Error("a directory name is not itself")
			}
		}
	})
}

// FuzzExtensions puts any bytes into an extension of the intermediate, and
// others into the leaf's alternative names; whatever crypto/x509 still reads
// is judged.
func FuzzExtensions(f *testing.F) {
	fam := newFamily(f)
	ids := []asn1.ObjectIdentifier{{2, 5, 29, 30}, {2, 5, 29, 32}, {2, 5, 29, 33}, {2, 5, 29, 36}, {2, 5, 29, 54}, idEKU, idKeyUsage, idBasic, idAKI}
	alt := pkixtest.Alternatives(f, generals(f, "dns:a.example mail:a@b.example uri:https://x ip:192.0.2.1 upn:a@b dn:A/B id:x other:y")...).Value
	for i, e := range []stdpkix.Extension{
		pkixtest.Constraints(f, generals(f, "dns:a.example upn:b dn:A ip:192.0.2.0.255.255.255.0"), generals(f, "mail:.b.example uri:x id:y other:z")),
		pkixtest.Policies(f, policy(1), idAny), pkixtest.Mappings(f, policy(1), policy(2)), pkixtest.PolicyConstraints(f, 0, 1), pkixtest.InhibitAny(f, 0),
		pkixtest.Usages(f, idClientAuth), keyUsage(f, 6), basic(f, true, 0),
	} {
		f.Add(byte(i), e.Value, alt)
	}
	f.Fuzz(func(t *testing.T, which byte, value, names []byte) {
		sub, ok := pkixtest.Reforge(t, fam.sub.Cert, fam.root.Key, set(t, stdpkix.Extension{Id: ids[int(which)%len(ids)], Critical: true, Value: value}))
		if !ok {
			return
		}
		leaf, ok := pkixtest.Reforge(t, fam.leaf, fam.sub.Key, set(t, stdpkix.Extension{Id: idSAN, Value: names}))
		if !ok {
			return
		}
		o := fam.options()
		o.Intermediates = []*x509.Certificate{sub}
		judged(t, leaf, o)
	})
}

// FuzzVerify is Verify of certificates of any bytes.
func FuzzVerify(f *testing.F) {
	fam := newFamily(f)
	f.Add(fam.leaf.Raw, fam.sub.Cert.Raw, fam.root.Cert.Raw)
	f.Add(fam.sub.Cert.Raw, fam.root.Cert.Raw, fam.root.Cert.Raw)
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var certs []*x509.Certificate
		for _, der := range [][]byte{a, b, c} {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return
			}
			certs = append(certs, cert)
		}
		judged(t, certs[0], pkix.Options{Anchors: certs[2:], Intermediates: certs[1:2], Now: now, SHA1: true})
	})
}

// judged holds the answer against what must be so of every answer.
func judged(t *testing.T, leaf *x509.Certificate, o pkix.Options) {
	path, err := pkix.Verify(leaf, o)
	var f *pkix.Fault
	switch {
	case err == nil:
		last := len(path.Chain) - 1
		if last < 1 || path.Chain[0] != leaf || !slices.Contains(o.Anchors, path.Chain[last]) {
			t.Errorf("a path of %d", len(path.Chain))
		}
		for i := range last {
			if c := path.Chain[i]; path.Chain[i+1].CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
				t.Error("a signature does not hold")
			}
		}
	case !errors.As(err, &f) || f.Reason == "" || len(f.Path) == 0 || f.Cert == nil && f.Reason != pkix.NoPath && f.Reason != pkix.TooBig:
		t.Errorf("%v", err)
	}
}
