package pkix_test

import (
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

const (
	clientAuth = "1.3.6.1.5.5.7.3.2"
	anyUsage   = "2.5.29.37.0"
)

var (
	idClientAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	idServerAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	idAnyUsage   = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	idAny        = asn1.ObjectIdentifier{2, 5, 29, 32, 0}
	idKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 15}
	idBasic      = asn1.ObjectIdentifier{2, 5, 29, 19}
	idSAN        = asn1.ObjectIdentifier{2, 5, 29, 17}
	idSKI        = asn1.ObjectIdentifier{2, 5, 29, 14}
	idAKI        = asn1.ObjectIdentifier{2, 5, 29, 35}
	idEKU        = asn1.ObjectIdentifier{2, 5, 29, 37}
)

func policy(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 999, n} }

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// family is a root, an authority below it and a leaf below that.
type family struct {
	t         testing.TB
	root, sub *pkixtest.Authority
	leaf      *x509.Certificate
}

func newFamily(t testing.TB) *family {
	t.Helper()
	f := &family{t: t, root: pkixtest.Root(t, "Root", now)}
	f.sub = f.root.Sub("Sub", now)
	f.leaf = f.sub.Leaf(pkixtest.ECKey(t).Public(), "Ada", "ada@nordhafen.example", now)
	return f
}

func (f *family) options() pkix.Options {
	return pkix.Options{
		Anchors: []*x509.Certificate{f.root.Cert}, Intermediates: []*x509.Certificate{f.sub.Cert}, Now: now,
		Usages: []string{clientAuth}, DigitalSignature: true,
	}
}

func (f *family) reRoot(change func(*pkixtest.Body)) {
	f.root.Cert = pkixtest.Forge(f.t, f.root.Cert, f.root.Key, change)
}

func (f *family) reSub(change func(*pkixtest.Body)) {
	f.sub.Cert = pkixtest.Forge(f.t, f.sub.Cert, f.root.Key, change)
}

func (f *family) reLeaf(change func(*pkixtest.Body)) {
	f.leaf = pkixtest.Forge(f.t, f.leaf, f.sub.Key, change)
}

// refused asserts why and because of which certificate.
func refused(t *testing.T, err error, reason pkix.Reason, cert *x509.Certificate) *pkix.Fault {
	t.Helper()
	var f *pkix.Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a fault", err)
	}
	if f.Reason != reason || f.Cert != cert {
		who := "nobody"
		if f.Cert != nil {
			who = f.Cert.Subject.String()
		}
		t.Fatalf("got %v of %s", f, who)
	}
	if len(f.Path) == 0 {
		t.Error("a fault without a path")
	}
	return f
}

func set(t testing.TB, e stdpkix.Extension) func(*pkixtest.Body) {
	return func(b *pkixtest.Body) { b.Set(e) }
}

func drop(id asn1.ObjectIdentifier) func(*pkixtest.Body) {
	return func(b *pkixtest.Body) { b.Drop(id) }
}

func critical(id asn1.ObjectIdentifier, yes bool) func(*pkixtest.Body) {
	return func(b *pkixtest.Body) { b.Edit(id, func(e *stdpkix.Extension) { e.Critical = yes }) }
}

func keyUsage(t testing.TB, bits byte) stdpkix.Extension {
	return stdpkix.Extension{Id: idKeyUsage, Critical: true, Value: pkixtest.DER(t, asn1.BitString{Bytes: []byte{bits}, BitLength: 8})}
}

// basic is basic constraints; pathLen below 0: none.
func basic(t testing.TB, ca bool, pathLen int) stdpkix.Extension {
	var parts [][]byte
	if ca {
		parts = append(parts, []byte{1, 1, 0xff})
	}
	if pathLen >= 0 {
		parts = append(parts, pkixtest.DER(t, pathLen))
	}
	return stdpkix.Extension{Id: idBasic, Critical: true, Value: pkixtest.Wrap(t, 0x30, parts...)}
}

func unknown(criticalToo bool) stdpkix.Extension {
	return stdpkix.Extension{Id: asn1.ObjectIdentifier{2, 999, 77}, Critical: criticalToo, Value: []byte{5, 0}}
}

const (
	ofRoot = iota
	ofSub
	ofLeaf
)

// TestFaults changes one thing of a path that holds, and asks for the reason.
func TestFaults(t *testing.T) {
	sha1 := asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
	emptyName := asn1.RawValue{FullBytes: []byte{0x30, 0}}
	cases := []struct {
		name   string
		of     int
		change func(*pkixtest.Body)
		option func(*pkix.Options)
		reason pkix.Reason // "": it still holds
		blame  int
	}{
		{"nothing", ofLeaf, func(*pkixtest.Body) {}, nil, "", 0},

		{"root over", ofRoot, func(b *pkixtest.Body) { b.Validity.NotAfter = now.Add(-time.Second) }, nil, pkix.Expired, ofRoot},
		{"sub over", ofSub, func(b *pkixtest.Body) { b.Validity.NotAfter = now.Add(-time.Second) }, nil, pkix.Expired, ofSub},
		{"leaf over", ofLeaf, func(b *pkixtest.Body) { b.Validity.NotAfter = now.Add(-time.Second) }, nil, pkix.Expired, ofLeaf},
		{"leaf in its last second", ofLeaf, func(b *pkixtest.Body) { b.Validity.NotAfter = now }, func(o *pkix.Options) { o.Now = now.Add(999 * time.Millisecond) }, "", 0},
		{"root to come", ofRoot, func(b *pkixtest.Body) { b.Validity.NotBefore = now.Add(time.Second) }, nil, pkix.NotYetValid, ofRoot},
		{"sub to come", ofSub, func(b *pkixtest.Body) { b.Validity.NotBefore = now.Add(time.Second) }, nil, pkix.NotYetValid, ofSub},
		{"leaf to come", ofLeaf, func(b *pkixtest.Body) { b.Validity.NotBefore = now.Add(time.Second) }, nil, pkix.NotYetValid, ofLeaf},
		{"leaf to come in a moment", ofLeaf, func(b *pkixtest.Body) { b.Validity.NotBefore = now.Add(time.Second) }, func(o *pkix.Options) { o.Now = now.Add(999 * time.Millisecond) }, pkix.NotYetValid, ofLeaf},
		{"leaf in its first second", ofLeaf, func(b *pkixtest.Body) { b.Validity.NotBefore = now }, nil, "", 0},

		{"unknown critical, root", ofRoot, set(t, unknown(true)), nil, pkix.UnknownCritical, ofRoot},
		{"unknown critical, sub", ofSub, set(t, unknown(true)), nil, pkix.UnknownCritical, ofSub},
		{"unknown critical, leaf", ofLeaf, set(t, unknown(true)), nil, pkix.UnknownCritical, ofLeaf},
		{"unknown, not critical", ofLeaf, set(t, unknown(false)), nil, "", 0},

		{"sub without basic constraints", ofSub, drop(idBasic), nil, pkix.NotCA, ofSub},
		{"sub no authority", ofSub, set(t, basic(t, false, -1)), nil, pkix.NotCA, ofSub},
		{"root no authority", ofRoot, set(t, basic(t, false, -1)), nil, pkix.NotCA, ofRoot},
		{"sub may not sign", ofSub, set(t, keyUsage(t, 0x80)), nil, pkix.NotCA, ofSub},
		{"sub without key usage", ofSub, drop(idKeyUsage), nil, pkix.NotCA, ofSub},
		{"root may not sign", ofRoot, set(t, keyUsage(t, 0x02)), nil, pkix.NotCA, ofRoot},
		{"sub's basic constraints not critical", ofSub, critical(idBasic, false), nil, "", 0},
		{"root's basic constraints not critical", ofRoot, critical(idBasic, false), nil, pkix.Malformed, ofRoot},

		{"path length of the root", ofRoot, set(t, basic(t, true, 0)), nil, pkix.PathLength, ofSub},
		{"path length of the root, enough", ofRoot, set(t, basic(t, true, 1)), nil, "", 0},
		{"path length of the sub", ofSub, set(t, basic(t, true, 0)), nil, "", 0},
		{"path length asked for", ofLeaf, func(*pkixtest.Body) {}, func(o *pkix.Options) { o.PathLen = new(int) }, pkix.PathLength, ofSub},

		{"leaf without digital signature", ofLeaf, set(t, keyUsage(t, 0x20)), nil, pkix.Usage, ofLeaf},
		{"leaf without key usage", ofLeaf, drop(idKeyUsage), nil, pkix.Usage, ofLeaf},
		{"leaf without key usage, not asked", ofLeaf, drop(idKeyUsage), func(o *pkix.Options) { o.DigitalSignature = false }, "", 0},
		{"leaf for servers", ofLeaf, set(t, pkixtest.Usages(t, idServerAuth)), nil, pkix.Usage, ofLeaf},
		{"leaf for servers too", ofLeaf, set(t, pkixtest.Usages(t, idServerAuth, idClientAuth)), nil, "", 0},
		{"leaf for anything", ofLeaf, set(t, pkixtest.Usages(t, idAnyUsage)), nil, pkix.Usage, ofLeaf},
		{"leaf for anything, allowed", ofLeaf, set(t, pkixtest.Usages(t, idAnyUsage)), func(o *pkix.Options) { o.AnyUsage = true }, "", 0},
		{"leaf for nothing in particular", ofLeaf, drop(idEKU), nil, pkix.Usage, ofLeaf},
		{"leaf for nothing in particular, allowed", ofLeaf, drop(idEKU), func(o *pkix.Options) { o.NoUsage = true }, "", 0},
		{"leaf with empty usages", ofLeaf, set(t, stdpkix.Extension{Id: idEKU, Value: []byte{0x30, 0}}), nil, pkix.Malformed, ofLeaf},
		{"sub for servers", ofSub, set(t, pkixtest.Usages(t, idServerAuth)), nil, pkix.Usage, ofSub},
		{"sub for anything", ofSub, set(t, pkixtest.Usages(t, idAnyUsage)), nil, "", 0},
		{"sub for clients", ofSub, set(t, pkixtest.Usages(t, idClientAuth)), nil, "", 0},
		{"root for servers", ofRoot, set(t, pkixtest.Usages(t, idServerAuth)), nil, pkix.Usage, ofRoot},

		{"sub signed by SHA-1", ofSub, func(b *pkixtest.Body) { b.Algorithm.Algorithm = sha1 }, nil, pkix.WeakAlgorithm, ofSub},
		{"leaf signed by SHA-1", ofLeaf, func(b *pkixtest.Body) { b.Algorithm.Algorithm = sha1 }, nil, pkix.WeakAlgorithm, ofLeaf},
		{"leaf signed by SHA-1, allowed", ofLeaf, func(b *pkixtest.Body) { b.Algorithm.Algorithm = sha1 }, func(o *pkix.Options) { o.SHA1 = true }, "", 0},
		{"root signed by SHA-1, which nobody asks", ofRoot, func(b *pkixtest.Body) { b.Algorithm.Algorithm = sha1 }, nil, "", 0},

		{"leaf without AKI", ofLeaf, drop(idAKI), nil, pkix.Malformed, ofLeaf},
		{"sub without AKI", ofSub, drop(idAKI), nil, pkix.Malformed, ofSub},
		{"root without AKI", ofRoot, drop(idAKI), nil, "", 0},
		{"sub without SKI", ofSub, drop(idSKI), nil, pkix.Malformed, ofSub},
		{"root without SKI", ofRoot, drop(idSKI), nil, pkix.Malformed, ofRoot},
		{"leaf without SKI", ofLeaf, drop(idSKI), nil, "", 0},
		{"serial number 0", ofLeaf, func(b *pkixtest.Body) { b.SerialNumber = new(big.Int) }, nil, pkix.Malformed, ofLeaf},
		{"serial number of 20 bytes", ofLeaf, func(b *pkixtest.Body) { b.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 158) }, nil, "", 0},
		{"serial number of 21 bytes", ofLeaf, func(b *pkixtest.Body) { b.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 159) }, nil, pkix.Malformed, ofLeaf},
		{"leaf that may sign certificates", ofLeaf, set(t, keyUsage(t, 0x84)), nil, pkix.Malformed, ofLeaf},
		{"leaf with an empty key usage", ofLeaf, set(t, stdpkix.Extension{Id: idKeyUsage, Value: []byte{3, 1, 0}}), func(o *pkix.Options) { o.DigitalSignature = false }, pkix.Malformed, ofLeaf},
		{"leaf with a path length", ofLeaf, set(t, basic(t, false, 3)), nil, pkix.Malformed, ofLeaf},
		{"leaf without subject, SAN not critical", ofLeaf, func(b *pkixtest.Body) { b.Subject = emptyName }, nil, pkix.Malformed, ofLeaf},
		{"leaf without subject, SAN critical", ofLeaf, func(b *pkixtest.Body) { b.Subject = emptyName; critical(idSAN, true)(b) }, nil, "", 0},
		{"leaf without any name", ofLeaf, func(b *pkixtest.Body) { b.Subject = emptyName; b.Drop(idSAN) }, nil, pkix.Malformed, ofLeaf},
		{"DNS name with an underscore", ofLeaf, set(t, pkixtest.Alternatives(t, pkixtest.Host(t, "a_b.example"))), nil, pkix.Malformed, ofLeaf},
		{"DNS name with a wildcard", ofLeaf, set(t, pkixtest.Alternatives(t, pkixtest.Host(t, "*.example"))), nil, "", 0},
		{"leaf with name constraints", ofLeaf, set(t, pkixtest.Constraints(t, []pkixtest.General{pkixtest.Host(t, "example")}, nil)), nil, pkix.Malformed, ofLeaf},
		{"name constraints not critical", ofSub, func(b *pkixtest.Body) {
			b.Set(pkixtest.Constraints(t, []pkixtest.General{pkixtest.Host(t, "example")}, nil))
			critical(asn1.ObjectIdentifier{2, 5, 29, 30}, false)(b)
		}, nil, pkix.Malformed, ofSub},
		{"inhibit any not critical", ofSub, func(b *pkixtest.Body) {
			b.Set(pkixtest.InhibitAny(t, 0))
			critical(asn1.ObjectIdentifier{2, 5, 29, 54}, false)(b)
		}, nil, pkix.Malformed, ofSub},

		{"explicit policy asked for", ofLeaf, func(*pkixtest.Body) {}, func(o *pkix.Options) { o.RequireExplicitPolicy = true }, pkix.PolicyMissing, ofSub},
		{"explicit policy of the root", ofRoot, set(t, pkixtest.PolicyConstraints(t, 0, -1)), nil, pkix.PolicyMissing, ofSub},
		{"explicit policy of the sub", ofSub, set(t, pkixtest.PolicyConstraints(t, 0, -1)), nil, pkix.PolicyMissing, ofLeaf},
		{"mapping from any policy", ofSub, set(t, pkixtest.Mappings(t, idAny, policy(1))), nil, pkix.PolicyMissing, ofSub},
		{"mapping to any policy", ofSub, set(t, pkixtest.Mappings(t, policy(1), idAny)), nil, pkix.PolicyMissing, ofSub},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFamily(t)
			[]func(func(*pkixtest.Body)){f.reRoot, f.reSub, f.reLeaf}[c.of](c.change)
			o := f.options()
			if c.option != nil {
				c.option(&o)
			}
			path, err := pkix.Verify(f.leaf, o)
			if c.reason == "" {
				if err != nil || len(path.Chain) != 3 {
					t.Fatalf("got %v, %v", path, err)
				}
				return
			}
			refused(t, err, c.reason, []*x509.Certificate{f.root.Cert, f.sub.Cert, f.leaf}[c.blame])
		})
	}
}

// TestAnchorBetween: an anchor that another authority issued names that one's
// key.
func TestAnchorBetween(t *testing.T) {
	f := newFamily(t)
	o := f.options()
	o.Anchors, o.Intermediates = []*x509.Certificate{f.sub.Cert}, nil
	if _, err := pkix.Verify(f.leaf, o); err != nil {
		t.Error(err)
	}
	f.reSub(drop(idAKI))
	o.Anchors = []*x509.Certificate{f.sub.Cert}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.Malformed, f.sub.Cert)
}

// TestNobody is about paths that are not there.
func TestNobody(t *testing.T) {
	f, other := newFamily(t), newFamily(t)
	o := f.options()
	o.Anchors = nil
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.NoPath, nil)

	o = f.options()
	o.Intermediates = nil
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.NoPath, nil)

	// Another authority of the same name.
	o = f.options()
	o.Anchors = []*x509.Certificate{other.root.Cert}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.BadSignature, f.sub.Cert)
	o = f.options()
	o.Intermediates = []*x509.Certificate{other.sub.Cert}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.BadSignature, f.leaf)

	// An anchor alone is no path, and trusts nobody but those below.
	refused(t, second(pkix.Verify(f.root.Cert, f.options())), pkix.NoPath, nil)
}

func second(_ pkix.Path, err error) error { return err }

// TestSelfIssued is §6.1's rule for authorities that certify a further key of
// theirs: path lengths and counters of policies pass over them, name
// constraints too, but not at the leaf (PKITS 4.5, 4.6.15 to 4.6.17, 4.13.19).
func TestSelfIssued(t *testing.T) {
	root := pkixtest.Root(t, "Root", now, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false })
	old := root.Sub("Sub", now, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	rolled := old.Sub("Sub", now, func(c *x509.Certificate) {
		c.MaxPathLen, c.MaxPathLenZero, c.AuthorityKeyId = 0, true, old.Cert.SubjectKeyId
	})
	leaf := rolled.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
	o := pkix.Options{Anchors: []*x509.Certificate{root.Cert}, Intermediates: []*x509.Certificate{old.Cert, rolled.Cert}, Now: now}
	path, err := pkix.Verify(leaf, o)
	if err != nil || len(path.Chain) != 4 {
		t.Fatalf("%v, %v", path, err)
	}
	below := rolled.Sub("Below", now)
	leaf = below.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
	o.Intermediates = append(o.Intermediates, below.Cert)
	refused(t, second(pkix.Verify(leaf, o)), pkix.PathLength, below.Cert)

	// The name of a self-issued authority is beyond the constraints.
	permitted := pkixtest.Constraints(t, []pkixtest.General{pkixtest.Host(t, "nordhafen.example")}, nil)
	alt := pkixtest.Alternatives(t, pkixtest.Host(t, "elsewhere.example"))
	old.Cert = pkixtest.Forge(t, old.Cert, root.Key, set(t, permitted))
	rolled.Cert = pkixtest.Forge(t, rolled.Cert, old.Key, set(t, alt))
	leaf = rolled.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
	o.Intermediates = []*x509.Certificate{old.Cert, rolled.Cert}
	if _, err := pkix.Verify(leaf, o); err != nil {
		t.Fatal(err)
	}
	// As the leaf it is within.
	refused(t, second(pkix.Verify(rolled.Cert, o)), pkix.NameConstraints, rolled.Cert)
}

// TestParser holds crypto/x509 to what it refuses for us.
func TestParser(t *testing.T) {
	f := newFamily(t)
	for name, change := range map[string]func(*pkixtest.Body){
		"critical SKI":    critical(idSKI, true),
		"critical AKI":    critical(idAKI, true),
		"extension twice": func(b *pkixtest.Body) { b.Extensions = append(b.Extensions, b.Extensions[0]) },
		"negative serial": func(b *pkixtest.Body) { b.SerialNumber = big.NewInt(-5) },
		"policy twice":    set(t, pkixtest.Policies(t, policy(1), policy(1))),
	} {
		if _, ok := pkixtest.Reforge(t, f.sub.Cert, f.root.Key, change); ok {
			t.Errorf("%s: crypto/x509 reads it", name)
		}
	}
}

// TestPathLengths: what one authority takes away those below do not give back.
func TestPathLengths(t *testing.T) {
	length := func(n int) pkixtest.Change {
		return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
	}
	for _, c := range []struct {
		root, first, second int
		ok                  bool
	}{{2, 1, 0, true}, {-1, 1, 5, true}, {2, 5, 5, true}, {1, 5, 5, false}, {-1, 0, 5, false}} {
		root := pkixtest.Root(t, "Root", now, length(c.root))
		first := root.Sub("First", now, length(c.first))
		below := first.Sub("Second", now, length(c.second))
		leaf := below.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
		_, err := pkix.Verify(leaf, pkix.Options{Anchors: []*x509.Certificate{root.Cert}, Intermediates: []*x509.Certificate{first.Cert, below.Cert}, Now: now})
		if c.ok && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if !c.ok {
			refused(t, err, pkix.PathLength, below.Cert)
		}
	}
}

// TestCheck is Options.Check: asked from the anchor down, and last.
func TestCheck(t *testing.T) {
	f := newFamily(t)
	var asked []*x509.Certificate
	o := f.options()
	o.Check = func(cert, issuer *x509.Certificate, path []*x509.Certificate) error {
		if len(path) != 3 || cert == f.leaf && issuer != f.sub.Cert || cert == f.sub.Cert && issuer != f.root.Cert {
			t.Errorf("asked about %v of %v", cert.Subject, issuer.Subject)
		}
		asked = append(asked, cert)
		return nil
	}
	if _, err := pkix.Verify(f.leaf, o); err != nil || len(asked) != 2 || asked[0] != f.sub.Cert || asked[1] != f.leaf {
		t.Fatalf("%v, asked %d", err, len(asked))
	}
	no := errors.New("no list")
	o.Check = func(cert, _ *x509.Certificate, _ []*x509.Certificate) error {
		if cert == f.leaf {
			return no
		}
		return nil
	}
	if fault := refused(t, second(pkix.Verify(f.leaf, o)), pkix.RevocationUnknown, f.leaf); !errors.Is(fault, no) {
		t.Error("the detail is lost")
	}
	o.Check = func(cert, _ *x509.Certificate, _ []*x509.Certificate) error {
		return &pkix.Fault{Reason: pkix.Revoked}
	}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.Revoked, f.sub.Cert)
	o.Check = func(*x509.Certificate, *x509.Certificate, []*x509.Certificate) error {
		t.Error("asked about a path that does not hold")
		return nil
	}
	o.Now = now.Add(-48 * time.Hour)
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.NotYetValid, f.root.Cert)
}

// TestTells holds faults against what people read of them.
func TestTells(t *testing.T) {
	f := newFamily(t)
	f.reLeaf(func(b *pkixtest.Body) { b.Validity.NotAfter = now.Add(-time.Second) })
	_, err := pkix.Verify(f.leaf, f.options())
	if text := err.Error(); !strings.Contains(text, "expired") || !strings.Contains(text, "2026-11-20 11:59:59Z") {
		t.Error(text)
	}
}
