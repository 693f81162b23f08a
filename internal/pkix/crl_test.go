package pkix_test

import (
	"bytes"
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/corpustest"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// ordinary is a list around noon.
func ordinary(entries ...pkixtest.ListEntry) pkixtest.List {
	return pkixtest.List{This: noon.Add(-time.Minute), Next: noon.Add(time.Hour), Number: big.NewInt(7), Entries: entries}
}

func number(n int64) pkixtest.ListEntry {
	return pkixtest.ListEntry{Serial: big.NewInt(n), When: noon.Add(-time.Hour)}
}

func unknownExtension(critical bool) stdpkix.Extension {
	return stdpkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1}, Critical: critical, Value: []byte{5, 0}}
}

func parse(t testing.TB, der []byte) *pkix.CRL {
	t.Helper()
	c, err := pkix.ParseCRL(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantFault(t *testing.T, what string, err error, want pkix.Reason) {
	t.Helper()
	var f *pkix.Fault
	if !errors.As(err, &f) || f.Reason != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// TestCRLOfVectors reads every list of the corpus and finds in it what
// crypto/x509 finds.
func TestCRLOfVectors(t *testing.T) {
	dir := corpustest.Folder(t, "pkits")
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "crls", "*.crl"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d lists, %v", len(files), err)
	}
	for _, file := range files {
		der, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		std, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		c, err := pkix.ParseCRL(der)
		if unusable[filepath.Base(file)] {
			wantFault(t, file, err, pkix.UnknownCritical)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		if !c.ThisUpdate.Equal(std.ThisUpdate) || !c.NextUpdate.Equal(std.NextUpdate) || c.Number.Cmp(std.Number) != 0 || !bytes.Equal(c.Issuer, std.RawIssuer) ||
			!bytes.Equal(c.KeyID, std.AuthorityKeyId) || c.Len() != len(std.RevokedCertificateEntries) {
			t.Errorf("%s: %+v", filepath.Base(file), c)
		}
		if _, found := c.Find(big.NewInt(987654321)); found {
			t.Errorf("%s: a certificate that is not in it", filepath.Base(file))
		}
		if filepath.Base(file) == "indirectCRLCA5CRL.crl" {
			continue // of other issuers: TestPKITS and TestSec_T23_Indirect
		}
		for _, e := range std.RevokedCertificateEntries {
			got, found := c.Find(e.SerialNumber)
			if !found || !got.When.Equal(e.RevocationTime) || got.Reason != e.ReasonCode {
				t.Errorf("%s: %x is %+v, %v, want %v for %d", filepath.Base(file), e.SerialNumber, got, found, e.RevocationTime, e.ReasonCode)
			}
		}
	}
}

// unusable are lists of the corpus with an unknown critical extension.
var unusable = map[string]bool{"UnknownCRLEntryExtensionCACRL.crl": true, "UnknownCRLExtensionCACRL.crl": true}

func TestCRLEntries(t *testing.T) {
	ca := pkixtest.Root(t, "Root", noon)
	long := new(big.Int).SetBytes(bytes.Repeat([]byte{0xf1}, 20))
	list := ordinary(
		number(500), number(3), number(128), number(0), number(-1), number(-129),
		pkixtest.ListEntry{Serial: long, When: noon.Add(-2 * time.Hour), Extensions: []stdpkix.Extension{pkixtest.Because(t, 6), unknownExtension(false)}},
		number(3), // twice
		pkixtest.ListEntry{Serial: big.NewInt(9), When: time.Date(2051, 1, 2, 3, 4, 5, 0, time.UTC)},
		pkixtest.ListEntry{Serial: big.NewInt(10), When: time.Date(1951, 1, 2, 3, 4, 5, 0, time.UTC)},
	)
	list.Extensions = []stdpkix.Extension{unknownExtension(false), pkixtest.KeyID(t, ca.Cert.SubjectKeyId)}
	der := ca.List(list)
	for name, in := range map[string][]byte{
		"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}),
		"PEM after a mark": append([]byte("\ufeff\r\n"), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...),
	} {
		c := parse(t, in)
		if c.Len() != 9 || c.Delta() || c.Number.Int64() != 7 || !bytes.Equal(c.KeyID, ca.Cert.SubjectKeyId) || !c.NextUpdate.Equal(list.Next) {
			t.Errorf("%s: %d entries, %+v", name, c.Len(), c)
		}
		for n, want := range map[int64]time.Time{
			500: noon.Add(-time.Hour), 3: noon.Add(-time.Hour), 128: noon.Add(-time.Hour), 0: noon.Add(-time.Hour), -1: noon.Add(-time.Hour), -129: noon.Add(-time.Hour),
			9: time.Date(2051, 1, 2, 3, 4, 5, 0, time.UTC), 10: time.Unix(0, 0),
		} {
			if e, found := c.Find(big.NewInt(n)); !found || !e.When.Equal(want) || e.Reason != 0 {
				t.Errorf("%s: %d is %+v, %v", name, n, e, found)
			}
		}
		if e, found := c.Find(long); !found || e.Reason != 6 || !e.When.Equal(noon.Add(-2*time.Hour)) {
			t.Errorf("%s: the long one is %+v, %v", name, e, found)
		}
		for _, n := range []*big.Int{big.NewInt(1), big.NewInt(-3), big.NewInt(255), big.NewInt(256), big.NewInt(-128), new(big.Int).Lsh(long, 8), new(big.Int).Neg(long)} {
			if e, found := c.Find(n); found {
				t.Errorf("%s: %s is %+v", name, n, e)
			}
		}
	}
}

// TestCRLHead reads what a list says of itself.
func TestCRLHead(t *testing.T) {
	ca := pkixtest.Root(t, "Root", noon)
	list := ordinary()
	list.Extensions = []stdpkix.Extension{
		pkixtest.DeltaOf(t, 5),
		{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 4}, Value: pkixtest.DER(t, noon.Add(30*time.Minute))},
		{Id: asn1.ObjectIdentifier{2, 5, 29, 46}, Value: pkixtest.Points(pkixtest.Point{Full: [][]byte{pkixtest.URI("http://pki.example/delta.crl")}}).Value},
	}
	c := parse(t, ca.List(list))
	if !c.Delta() || c.Base.Int64() != 5 || !c.NextPublish.Equal(noon.Add(30*time.Minute)) || len(c.Freshest) != 1 || c.Freshest[0] != "http://pki.example/delta.crl" {
		t.Errorf("%+v", c)
	}
}

// TestSec_CBA04_ListRefused: each for that reason alone.
func TestSec_CBA04_ListRefused(t *testing.T) {
	ca := pkixtest.Root(t, "Root", noon)
	sha512 := []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4}
	entry := func(e pkixtest.ListEntry) func(*pkixtest.List) {
		return func(l *pkixtest.List) {
			if e.Raw == nil {
				e.Serial = big.NewInt(5)
			}
			if e.When.IsZero() {
				e.When = noon
			}
			l.Entries = append(l.Entries, e)
		}
	}
	extra := func(e ...stdpkix.Extension) func(*pkixtest.List) {
		return func(l *pkixtest.List) { l.Extensions = append(l.Extensions, e...) }
	}
	value := func(e stdpkix.Extension, value ...byte) stdpkix.Extension {
		e.Value = value
		return e
	}
	critical := func(e stdpkix.Extension, c bool) stdpkix.Extension {
		e.Critical = c
		return e
	}
	when := func(tag byte, text string) pkixtest.ListEntry {
		return pkixtest.ListEntry{WhenDER: append([]byte{tag, byte(len(text))}, text...)}
	}
	crlNumber := stdpkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 20}, Critical: true, Value: []byte{2, 1, 7}}
	other := pkixtest.Of(t, pkixtest.Name(t, "Other"))
	indirect := pkixtest.Scope(pkixtest.Issuing{Indirect: true})
	freshest := stdpkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 46}, Value: []byte{5, 0}}
	for name, c := range map[string]struct {
		change func(*pkixtest.List)
		want   pkix.Reason
	}{
		"version 1":                         {func(l *pkixtest.List) { l.Version = -1 }, pkix.Malformed},
		"version 3":                         {func(l *pkixtest.List) { l.Version = 3 }, pkix.Malformed},
		"two algorithms":                    {func(l *pkixtest.List) { l.Inner = sha512 }, pkix.Malformed},
		"no next update":                    {func(l *pkixtest.List) { l.NoNext = true }, pkix.Malformed},
		"no extensions":                     {func(l *pkixtest.List) { l.Number = nil }, pkix.Malformed},
		"no number":                         {func(l *pkixtest.List) { l.Number = nil; l.Extensions = []stdpkix.Extension{unknownExtension(false)} }, pkix.Malformed},
		"critical number":                   {func(l *pkixtest.List) { l.Number = nil; l.Extensions = []stdpkix.Extension{crlNumber} }, pkix.Malformed},
		"number below zero":                 {func(l *pkixtest.List) { l.Number = big.NewInt(-1) }, pkix.Malformed},
		"number of 21 octets":               {func(l *pkixtest.List) { l.Number = new(big.Int).Lsh(big.NewInt(1), 160) }, pkix.Malformed},
		"extension twice":                   {extra(unknownExtension(false), unknownExtension(false)), pkix.Malformed},
		"unknown critical extension":        {extra(unknownExtension(true)), pkix.UnknownCritical},
		"critical freshest":                 {extra(critical(stdpkix.Extension{Id: freshest.Id, Value: pkixtest.Points(pkixtest.Point{Full: [][]byte{pkixtest.URI("http://x")}}).Value}, true)), pkix.UnknownCritical},
		"freshest":                          {extra(freshest), pkix.Malformed},
		"base of a delta":                   {extra(value(pkixtest.DeltaOf(t, 1), 2, 1, 0xff)), pkix.Malformed},
		"scope: empty":                      {extra(value(indirect, 0x30, 0)), pkix.Malformed},
		"scope: odd flag":                   {extra(value(indirect, 0x30, 3, 0x84, 1, 1)), pkix.Malformed},
		"scope: users and authorities":      {extra(pkixtest.Scope(pkixtest.Issuing{Users: true, Authorities: true})), pkix.Malformed},
		"scope: authorities and attributes": {extra(pkixtest.Scope(pkixtest.Issuing{Authorities: true, Attributes: true})), pkix.Malformed},
		"scope: users and attributes":       {extra(pkixtest.Scope(pkixtest.Issuing{Users: true, Attributes: true})), pkix.Malformed},
		"scope: no reasons":                 {extra(value(indirect, 0x30, 3, 0x83, 1, 0)), pkix.Malformed},
		"scope: names":                      {extra(value(indirect, 0x30, 4, 0xa0, 2, 0xa0, 0)), pkix.Malformed},
		"scope: odd choice":                 {extra(value(indirect, 0x30, 7, 0xa0, 5, 0xa2, 3, 0x86, 1, 'x')), pkix.Malformed},
		"scope: more":                       {extra(value(indirect, 0x30, 6, 0x84, 1, 0xff, 0x86, 1, 0xff)), pkix.Malformed},
		"a long head":                       {extra(value(unknownExtension(false), make([]byte, 64<<10)...)), pkix.TooBig},

		"serial of 22 octets":           {entry(pkixtest.ListEntry{Raw: append([]byte{1}, make([]byte, 21)...)}), pkix.TooBig},
		"serial of none":                {entry(pkixtest.ListEntry{Raw: []byte{}}), pkix.Malformed},
		"serial that is too long":       {entry(pkixtest.ListEntry{Raw: []byte{0, 5}}), pkix.Malformed},
		"negative that is too long":     {entry(pkixtest.ListEntry{Raw: []byte{0xff, 0x85}}), pkix.Malformed},
		"the 31st of June":              {entry(when(0x17, "260631120000Z")), pkix.Malformed},
		"no second":                     {entry(when(0x17, "2606301200Z")), pkix.Malformed},
		"no zone":                       {entry(when(0x17, "2606301200000")), pkix.Malformed},
		"a letter":                      {entry(when(0x17, "26063012000aZ")), pkix.Malformed},
		"a letter in the year":          {entry(when(0x17, "a60630120000Z")), pkix.Malformed},
		"general: no zone":              {entry(when(0x18, "20510630120000+")), pkix.Malformed},
		"general: fractions":            {entry(when(0x18, "20510630120000.5Z")), pkix.Malformed},
		"general: a letter in the year": {entry(when(0x18, "2o510630120000Z")), pkix.Malformed},
		"no time":                       {entry(pkixtest.ListEntry{WhenDER: []byte{5, 0}}), pkix.Malformed},
		"unknown critical in an entry":  {entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{unknownExtension(true)}}), pkix.UnknownCritical},
		"two reasons":                   {entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{pkixtest.Because(t, 1), pkixtest.Because(t, 6)}}), pkix.Malformed},
		"reason that is none":           {entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{value(pkixtest.Because(t, 1), 2, 1, 1)}}), pkix.Malformed},
		"taken back in a complete one":  {entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{pkixtest.Because(t, 8)}}), pkix.Malformed},
		"other issuer, not indirect":    {entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{other}}), pkix.Malformed},
		"issuer that is none": {func(l *pkixtest.List) {
			extra(indirect)(l)
			entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{value(other, 0x30, 3, 0x86, 1, 'x')}})(l)
		}, pkix.Malformed},
		"two issuers": {func(l *pkixtest.List) {
			extra(indirect)(l)
			names := append(pkixtest.DirectoryName(pkixtest.Name(t, "A")), pkixtest.DirectoryName(pkixtest.Name(t, "B"))...)
			entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{value(other, append([]byte{0x30, byte(len(names))}, names...)...)}})(l)
		}, pkix.Malformed},
		"too many issuers": {func(l *pkixtest.List) {
			extra(indirect)(l)
			for i := range 4096 {
				entry(pkixtest.ListEntry{Extensions: []stdpkix.Extension{pkixtest.Of(t, pkixtest.Name(t, big.NewInt(int64(i)).String()))}})(l)
			}
		}, pkix.TooBig},
	} {
		t.Run(name, func(t *testing.T) {
			l := ordinary(number(1))
			c.change(&l)
			_, err := pkix.ParseCRL(ca.List(l))
			wantFault(t, "it", err, c.want)
		})
	}
	good := ca.List(ordinary(number(1)))
	for name, in := range map[string][]byte{
		"nothing": nil, "more behind": append(bytes.Clone(good), 0), "cut short": good[:len(good)-1], "a certificate": ca.Cert.Raw,
		"PEM of a certificate": pkixtest.PEM(ca.Cert), "PEM cut short": []byte("-----BEGIN X509 CRL-----\nAAAA"), "text": []byte("<html>not found</html>"),
	} {
		_, err := pkix.ParseCRL(in)
		wantFault(t, name, err, pkix.Malformed)
	}
	if _, err := pkix.ParseCRL(good); err != nil {
		t.Errorf("one of which nothing is wrong: %v", err)
	}
}

// TestSec_CBA04_ListSignature: by the right key, with the right to, by an
// algorithm that is believed.
func TestSec_CBA04_ListSignature(t *testing.T) {
	ca, other := pkixtest.Root(t, "Root", noon), pkixtest.Root(t, "Root", noon)
	may := func(usage x509.KeyUsage) *x509.Certificate {
		return ca.Sub("x", noon, func(c *x509.Certificate) { c.KeyUsage = usage }).Cert
	}
	with := func(signer *pkixtest.Authority, change func(*pkixtest.List)) *pkix.CRL {
		l := ordinary(number(1))
		change(&l)
		return parse(t, signer.List(l))
	}
	plain := func(*pkixtest.List) {}
	weak := func(l *pkixtest.List) { l.SHA1 = true }
	if err := with(ca, plain).CheckSignature(ca.Cert, false); err != nil {
		t.Error(err)
	}
	wantFault(t, "another key", with(other, plain).CheckSignature(ca.Cert, false), pkix.BadSignature)
	wantFault(t, "SHA-1", with(ca, weak).CheckSignature(ca.Cert, false), pkix.WeakAlgorithm)
	if err := with(ca, weak).CheckSignature(ca.Cert, true); err != nil {
		t.Errorf("SHA-1 where it is let pass: %v", err)
	}
	der := ca.List(ordinary(number(1)))
	for name, at := range map[string]int{"an entry": bytes.Index(der, []byte{2, 1, 1, 0x17}) + 2, "the time": bytes.Index(der, []byte("2611261159")) + 3} {
		forged := bytes.Clone(der)
		forged[at] ^= 1
		c, err := pkix.ParseCRL(forged)
		if err == nil {
			err = c.CheckSignature(ca.Cert, false)
		}
		wantFault(t, name+" changed", err, pkix.BadSignature)
	}
	key := with(ca, plain)
	for name, c := range map[string]struct {
		usage x509.KeyUsage
		want  pkix.Reason
	}{
		// The certificate of another key: what is told is the first thing wrong.
		"may sign certificates only": {x509.KeyUsageCertSign, pkix.Usage},
		"may sign lists only":        {x509.KeyUsageCRLSign, pkix.BadSignature},
		"tells no usage":             {0, pkix.BadSignature},
		"tells a far one only":       {x509.KeyUsageDecipherOnly, pkix.Usage},
	} {
		wantFault(t, name, key.CheckSignature(may(c.usage), false), c.want)
	}
	// The same when the signature was checked before.
	bound := with(ca, weak)
	if _, err := bound.MarshalBinary(); err == nil {
		t.Error("written before anybody looked at the signature")
	}
	wantFault(t, "bound to another", bound.Bind(other.Cert, true), pkix.BadSignature)
	if err := bound.Bind(ca.Cert, true); err != nil {
		t.Fatal(err)
	}
	stored, err := bound.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := pkix.UnmarshalCRL(stored)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*pkix.CRL{"bound": bound, "stored": again} {
		if err := c.CheckSignature(ca.Cert, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantFault(t, name+", SHA-1", c.CheckSignature(ca.Cert, false), pkix.WeakAlgorithm)
		wantFault(t, name+", another key", c.CheckSignature(other.Cert, true), pkix.BadSignature)
		wantFault(t, name+", no right", c.CheckSignature(may(x509.KeyUsageCertSign), true), pkix.Usage)
	}
}

// TestCRLSearch finds what is there and nothing else, in lists of every size
// about a block, of numbers that begin alike and of several lengths.
func TestCRLSearch(t *testing.T) {
	ca := pkixtest.Root(t, "Root", noon)
	far := new(big.Int).Lsh(big.NewInt(0x51), 120)
	for name, of := range map[string]func(i int) *big.Int{
		"in a row":        func(i int) *big.Int { return big.NewInt(int64(2*i + 1)) },
		"beginning alike": func(i int) *big.Int { return new(big.Int).Add(far, big.NewInt(int64(2*i+1))) },
		"anywhere":        func(i int) *big.Int { return new(big.Int).SetBit(pkixtest.BigSerial(i), 0, 1) },
		"of all lengths": func(i int) *big.Int {
			n := new(big.Int).Rsh(pkixtest.BigSerial(i), uint(8*(i%10)))
			return n.SetBit(n, 0, 1)
		},
	} {
		for _, n := range []int{0, 1, 2, 63, 64, 65, 127, 128, 129, 300} {
			var entries []pkixtest.ListEntry
			for i := range n {
				entries = append(entries, pkixtest.ListEntry{Serial: of(i), When: noon})
			}
			c := parse(t, ca.List(ordinary(entries...)))
			if c.Len() != n {
				t.Errorf("%s: %d of %d", name, c.Len(), n)
			}
			for i := range n + 2 {
				if _, found := c.Find(of(i)); found != (i < n) {
					t.Errorf("%s: %d of %d: %v", name, i, n, found)
				}
				// What lies between them is even.
				if _, found := c.Find(new(big.Int).Add(of(i), big.NewInt(1))); found {
					t.Errorf("%s: after %d of %d", name, i, n)
				}
			}
		}
	}
}

// TestStoredCRL: what is read back says the same, and damage is noticed.
func TestStoredCRL(t *testing.T) {
	ca := pkixtest.Root(t, "Root", noon)
	a, b := pkixtest.Name(t, "A"), pkixtest.Name(t, "B")
	list := ordinary(number(5), pkixtest.ListEntry{Serial: big.NewInt(5), When: noon, Extensions: []stdpkix.Extension{pkixtest.Of(t, a), pkixtest.Because(t, 1)}}, number(6),
		pkixtest.ListEntry{Serial: big.NewInt(7), When: noon, Extensions: []stdpkix.Extension{pkixtest.Of(t, b)}})
	list.Extensions = []stdpkix.Extension{pkixtest.Scope(pkixtest.Issuing{Indirect: true}), pkixtest.KeyID(t, []byte{1, 2})}
	big := ca.BigList(noon, 3000)
	for name, der := range map[string][]byte{"empty": ca.List(ordinary()), "direct": ca.List(ordinary(number(300), number(2), number(1))), "indirect": ca.List(list), "big": big} {
		t.Run(name, func(t *testing.T) {
			c := parse(t, der)
			if err := c.Bind(ca.Cert, false); err != nil {
				t.Fatal(err)
			}
			stored, err := c.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			got, err := pkix.UnmarshalCRL(stored)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := got.MarshalBinary(); err != nil || !bytes.Equal(again, stored) {
				t.Errorf("it is not the same: %v", err)
			}
			if got.Len() != c.Len() || got.Number.Cmp(c.Number) != 0 || !got.NextUpdate.Equal(c.NextUpdate) || !bytes.Equal(got.KeyID, c.KeyID) {
				t.Errorf("%+v, want %+v", got, c)
			}
			for n := range int64(10) {
				x, here := c.Find(bigInt(n))
				if y, there := got.Find(bigInt(n)); here != there || x != y {
					t.Errorf("%d: %+v, want %+v", n, y, x)
				}
			}
			if len(stored) > len(der)+200 {
				t.Errorf("%d bytes for a list of %d", len(stored), len(der))
			}
			step := 1 + len(stored)/500
			for i := 0; i < len(stored); i += step {
				if _, err := pkix.UnmarshalCRL(stored[:i]); err == nil {
					t.Errorf("cut at %d, it is read", i)
				}
			}
			if _, err := pkix.UnmarshalCRL(append(bytes.Clone(stored), 0)); err == nil {
				t.Error("it is read with something behind it")
			}
		})
	}
	c := parse(t, ca.List(ordinary(number(1), number(2))))
	if err := c.Bind(ca.Cert, false); err != nil {
		t.Fatal(err)
	}
	stored, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	n := len(stored)
	copy(stored[n-14:], append(bytes.Clone(stored[n-7:]), stored[n-14:n-7]...))
	if _, err := pkix.UnmarshalCRL(stored); err == nil {
		t.Error("entries out of order are read, which a search would miss")
	}
}

func bigInt(n int64) *big.Int { return big.NewInt(n) }

// TestSec_T23_MillionEntries: a list of 10^6 entries within the limit of 45 MB
// takes at most eight times its size while it is read (decisions 5.7).
func TestSec_T23_MillionEntries(t *testing.T) {
	ca := pkixtest.Root(t, "Root", noon)
	der := ca.BigList(noon, 1_000_000)
	if len(der) > 45_000_000 {
		t.Fatalf("%d bytes", len(der))
	}
	debug.FreeOSMemory()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := watchHeap(t)
	start := time.Now()
	c := parse(t, der)
	parsed := time.Since(start)
	if err := c.Bind(ca.Cert, false); err != nil {
		t.Fatal(err)
	}
	stored, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := pkix.UnmarshalCRL(stored)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	most := peak() - before.HeapAlloc + uint64(len(der)) // the file is there before
	t.Logf("%d bytes, %d entries: parsed in %s, bound, stored (%d bytes) and read again in %s; %d MB at most, %.1f of the file",
		len(der), c.Len(), parsed, len(stored), took, most>>20, float64(most)/float64(len(der)))
	if most > 8*uint64(len(der)) {
		t.Errorf("%d bytes of memory for a file of %d", most, len(der))
	}
	for _, i := range []int{0, 1, 500_000, 999_999} {
		if e, found := again.Find(pkixtest.BigSerial(i)); !found || e.Reason != 1-i%2 {
			t.Errorf("%d: %+v, %v", i, e, found)
		}
	}
	if _, found := again.Find(pkixtest.BigSerial(1_000_000)); found || again.Len() != 1_000_000 {
		t.Errorf("%d entries, or one too many", again.Len())
	}
	runtime.KeepAlive(der)
}

// watchHeap looks at the heap all the time and gives its highest size.
func watchHeap(t *testing.T) (peak func() uint64) {
	var most atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > most.Load() {
				most.Store(m.HeapAlloc)
			}
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return most.Load()
	}
}

func BenchmarkCRLFind(b *testing.B) {
	ca := pkixtest.Root(b, "Root", noon)
	c := parse(b, ca.BigList(noon, 1_000_000))
	serials := make([]*big.Int, 4096)
	for i := range serials {
		serials[i] = pkixtest.BigSerial(i * 400)
	}
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		c.Find(serials[i%len(serials)])
	}
}

func BenchmarkCRLParse(b *testing.B) {
	ca := pkixtest.Root(b, "Root", noon)
	der := ca.BigList(noon, 1_000_000)
	b.SetBytes(int64(len(der)))
	for b.Loop() {
		parse(b, der)
	}
}
