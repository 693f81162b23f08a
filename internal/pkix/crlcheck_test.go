package pkix_test

import (
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// lists is a small world: a root, an authority below it, somebody else, and
// what they say of one certificate.
type lists struct {
	t               *testing.T
	root, ca, other *pkixtest.Authority
	leaf            *x509.Certificate
	all             []*pkix.CRL
	signers         []*x509.Certificate
	stale           time.Duration
}

// newLists makes the world; the leaf has these extensions. Of the authority
// itself the root's list says nothing.
func newLists(t *testing.T, extensions ...stdpkix.Extension) *lists {
	t.Helper()
	w := &lists{t: t, root: pkixtest.Root(t, "Root", noon), other: pkixtest.Root(t, "Other", noon)}
	w.ca = w.root.Sub("Issuing", noon)
	w.leaf = w.ca.Leaf(pkixtest.ECKey(t).Public(), "Ann", "", noon, with(extensions...))
	return w.list(w.root, ordinary())
}

func with(extensions ...stdpkix.Extension) pkixtest.Change {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, extensions...) }
}

// list adds a list that by signs.
func (w *lists) list(by *pkixtest.Authority, l pkixtest.List, extensions ...stdpkix.Extension) *lists {
	w.t.Helper()
	l.Extensions = append(l.Extensions, extensions...)
	w.all = append(w.all, parse(w.t, by.List(l)))
	return w
}

func (w *lists) judge() (pkix.Status, error) {
	r := &pkix.Revocation{Lists: w.all, Signers: w.signers, Now: noon, Stale: w.stale}
	var s pkix.Status
	_, err := pkix.Verify(w.leaf, pkix.Options{
		Anchors: []*x509.Certificate{w.root.Cert}, Intermediates: []*x509.Certificate{w.ca.Cert}, Now: noon,
		Check: func(cert, issuer *x509.Certificate, path []*x509.Certificate) (err error) {
			s, err = r.Check(cert, issuer, path)
			return err
		},
	})
	return s, err
}

// want holds the judgement against what is expected: "" for not revoked,
// "revoked", or what the reason of an unknown says.
func (w *lists) want(what string) pkix.Status {
	w.t.Helper()
	s, err := w.judge()
	var f *pkix.Fault
	switch {
	case what == "":
		if err != nil {
			w.t.Errorf("%v, want it to pass", err)
		}
	case !errors.As(err, &f):
		w.t.Errorf("%v, want %q", err, what)
	case what == "revoked":
		var r *pkix.RevokedError
		if f.Reason != pkix.Revoked || !errors.As(err, &r) || r.When.IsZero() {
			w.t.Errorf("%v, want it revoked", err)
		}
	case f.Reason != pkix.RevocationUnknown || !strings.Contains(f.Error(), what):
		w.t.Errorf("%v, want %q", err, what)
	}
	return s
}

func (w *lists) revoked(code int, extensions ...stdpkix.Extension) pkixtest.ListEntry {
	if code != 0 {
		extensions = append(extensions, pkixtest.Because(w.t, code))
	}
	return pkixtest.ListEntry{Serial: w.leaf.SerialNumber, When: noon.Add(-time.Hour), Extensions: extensions}
}

// numbered is an ordinary list with another number, that came out so long
// after the others.
func numbered(n int64, later time.Duration, entries ...pkixtest.ListEntry) pkixtest.List {
	l := ordinary(entries...)
	l.Number, l.This = big.NewInt(n), l.This.Add(later)
	return l
}

func timed(this, next time.Duration, entries ...pkixtest.ListEntry) pkixtest.List {
	l := ordinary(entries...)
	l.This, l.Next = noon.Add(this), noon.Add(next)
	return l
}

// TestSec_T23_Basic: PKITS 4.4, each for its reason.
func TestSec_T23_Basic(t *testing.T) {
	run := func(name string, f func(*lists)) { t.Run(name, func(t *testing.T) { f(newLists(t)) }) }
	run("listed nowhere", func(w *lists) {
		s := w.list(w.ca, ordinary(number(999))).want("")
		if len(s.Lists) != 1 || s.Stale || !s.NextUpdate.Equal(noon.Add(time.Hour)) || !s.ThisUpdate.Equal(noon.Add(-time.Minute)) {
			t.Errorf("%+v", s)
		}
	})
	run("no list", func(w *lists) { w.want("no list of its issuer") })
	run("no list of the authority", func(w *lists) { w.all = nil; w.list(w.ca, ordinary()).want("no list of its issuer") })
	run("revoked", func(w *lists) { w.list(w.ca, ordinary(w.revoked(1))).want("revoked") })
	run("on hold", func(w *lists) { w.list(w.ca, ordinary(w.revoked(6))).want("revoked") })
	run("revoked without a reason, from tomorrow on", func(w *lists) {
		e := w.revoked(0)
		e.When = noon.Add(24 * time.Hour)
		w.list(w.ca, ordinary(e)).want("revoked")
	})
	run("the authority is revoked", func(w *lists) {
		w.all = nil
		e := pkixtest.ListEntry{Serial: w.ca.Cert.SerialNumber, When: noon}
		w.list(w.root, ordinary(e)).list(w.ca, ordinary()).want("revoked")
	})
	run("another issuer's, of the same serial number", func(w *lists) {
		w.list(w.other, ordinary(w.revoked(1))).want("no list of its issuer")
		w.list(w.ca, ordinary()).want("")
	})
	run("another issuer's name", func(w *lists) {
		l := ordinary()
		l.Issuer = pkixtest.Name(t, "Issuer")
		w.list(w.ca, l).want("no list of its issuer")
	})
	run("the issuer's name in other letters", func(w *lists) {
		l := ordinary(w.revoked(1))
		l.Issuer = pkixtest.Name(t, "  issuing ")
		w.list(w.ca, l).want("revoked")
	})
	run("forged: another key", func(w *lists) {
		l := ordinary()
		l.Issuer = w.ca.Cert.RawSubject
		w.list(w.other, l).want("signature")
	})
	run("by SHA-1", func(w *lists) {
		l := ordinary()
		l.SHA1 = true
		w.list(w.ca, l).want("ECDSA-SHA1")
	})
	run("yet to come", func(w *lists) { w.list(w.ca, timed(time.Second, time.Hour)).want("yet to come") })
	run("over just now", func(w *lists) { w.list(w.ca, timed(-time.Hour, 0)).want("over since") })
	run("over, and believed", func(w *lists) {
		w.stale = 2 * time.Hour
		w.list(w.ca, timed(-3*time.Hour, -time.Hour))
		if s := w.want(""); !s.Stale || !s.NextUpdate.Equal(noon.Add(-time.Hour)) {
			t.Errorf("%+v", s)
		}
		w.stale = time.Hour
		w.want("over since")
	})
	run("over, believed, and revoked", func(w *lists) {
		w.stale = 2 * time.Hour
		w.list(w.ca, timed(-3*time.Hour, -time.Hour, w.revoked(1))).want("revoked")
	})
	run("of two, the newer", func(w *lists) {
		w.list(w.ca, timed(-2*time.Hour, time.Hour, w.revoked(6))).list(w.ca, timed(-time.Hour, time.Hour)).want("")
		w.list(w.ca, timed(-time.Minute, time.Hour, w.revoked(1))).want("revoked")
	})
	run("one that counts beside one that is over", func(w *lists) {
		w.list(w.ca, timed(-time.Minute, 0)).list(w.ca, timed(-time.Hour, time.Hour)).want("")
	})
	t.Run("the authority may sign certificates only", func(t *testing.T) {
		w := newLists(t)
		w.ca = w.root.Sub("Certs", noon, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
		w.leaf = w.ca.Leaf(pkixtest.ECKey(t).Public(), "Ann", "", noon)
		w.list(w.ca, ordinary()).want("no cRLSign")
	})
}

// TestSec_T23_OtherKeys: PKITS 4.4.19 to 4.4.21 and 4.5.6 to 4.5.8, lists by
// another key of the authority.
func TestSec_T23_OtherKeys(t *testing.T) {
	// signer is another key of the authority, by a certificate of by.
	signer := func(w *lists, by *pkixtest.Authority, changes ...pkixtest.Change) *pkixtest.Authority {
		s := by.Sub("Issuing", noon, append([]pkixtest.Change{func(c *x509.Certificate) {
			c.KeyUsage, c.IsCA, c.BasicConstraintsValid, c.MaxPathLen = x509.KeyUsageCRLSign, false, false, 0
			c.AuthorityKeyId = by.Cert.SubjectKeyId // crypto/x509 adds none to a self-issued one
		}}, changes...)...)
		w.signers = append(w.signers, s.Cert)
		return s
	}
	t.Run("by the root", func(t *testing.T) {
		w := newLists(t)
		s := signer(w, w.root)
		w.list(s, ordinary()).want("")
		w.signers = nil
		w.want("signature")
	})
	t.Run("revoked entry", func(t *testing.T) {
		w := newLists(t)
		w.list(signer(w, w.root), ordinary(w.revoked(1))).want("revoked")
	})
	t.Run("bound before", func(t *testing.T) {
		w := newLists(t)
		s := signer(w, w.root)
		w.list(s, ordinary())
		if err := w.all[1].Bind(s.Cert, false); err != nil {
			t.Fatal(err)
		}
		w.want("")
	})
	t.Run("the signer is revoked", func(t *testing.T) {
		w := newLists(t)
		s := signer(w, w.root)
		w.all = nil
		w.list(w.root, ordinary(pkixtest.ListEntry{Serial: s.Cert.SerialNumber, When: noon})).list(s, ordinary()).want("its issuer's list: ")
		w.all = nil
		w.list(w.root, ordinary()).list(s, ordinary()).want("")
	})
	t.Run("the signer is of another root", func(t *testing.T) {
		w := newLists(t)
		w.list(signer(w, w.other), ordinary()).want("no_path")
	})
	t.Run("the signer is expired", func(t *testing.T) {
		w := newLists(t)
		s := signer(w, w.root, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
		w.list(s, ordinary()).want("expired")
	})
	t.Run("the signer may not", func(t *testing.T) {
		w := newLists(t)
		s := signer(w, w.root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
		w.list(s, ordinary()).want("no cRLSign")
	})
	t.Run("it vouches for itself", func(t *testing.T) {
		w := newLists(t)
		w.list(signer(w, w.ca), ordinary()).want("vouch for itself")
	})
	t.Run("by the authority, of whose other list it is", func(t *testing.T) {
		w := newLists(t)
		at := pkixtest.Point{Full: [][]byte{pkixtest.URI("http://pki.example/keys.crl")}}
		s := signer(w, w.ca, with(pkixtest.Points(at)))
		w.list(s, ordinary()).list(w.ca, ordinary(), pkixtest.Scope(pkixtest.Issuing{Point: at})).want("")
	})
	t.Run("two that sign for each other", func(t *testing.T) {
		w := newLists(t)
		w.list(signer(w, w.ca), ordinary()).list(signer(w, w.ca), timed(-time.Hour, time.Hour)).want("vouch for itself")
	})
	t.Run("a row of signers", func(t *testing.T) {
		// Each signs the list that judges the one before; the authority the last.
		row := func(n int) *lists {
			w := newLists(t)
			var scope []stdpkix.Extension
			for i := range n {
				next := uri("http://pki.example/" + strconv.Itoa(i))
				w.list(signer(w, w.ca, with(pkixtest.Points(next))), ordinary(), scope...)
				scope = []stdpkix.Extension{pkixtest.Scope(pkixtest.Issuing{Point: next})}
			}
			return w.list(w.ca, ordinary(), scope...)
		}
		row(3).want("")
		row(4).want("its issuer's list")
	})
}

func uri(address string) pkixtest.Point { return pkixtest.Point{Full: [][]byte{pkixtest.URI(address)}} }

// TestSec_T23_Scope: PKITS 4.14.1 to 4.14.21, distribution points, kinds of
// certificates and reasons.
func TestSec_T23_Scope(t *testing.T) {
	dir := func(cn string) pkixtest.Point {
		return pkixtest.Point{Full: [][]byte{pkixtest.DirectoryName(pkixtest.Name(t, cn))}}
	}
	none := pkixtest.Point{}
	a, b := "http://pki.example/a.crl", "http://pki.example/b.crl"
	few, most := uint16(1<<1|1<<2), uint16(0x1fe&^(1<<1|1<<2)) // the key or the authority compromised, and the rest
	some := func(p pkixtest.Point, r uint16) pkixtest.Point { p.Reasons = r; return p }
	for name, c := range map[string]struct {
		points []pkixtest.Point
		issue  []pkixtest.Issuing // a list each
		code   []int              // of the entry in that list; absent or -1: none
		want   string
	}{
		"same address":                   {[]pkixtest.Point{uri(a)}, []pkixtest.Issuing{{Point: uri(a)}}, nil, ""},
		"same address, revoked":          {[]pkixtest.Point{uri(a)}, []pkixtest.Issuing{{Point: uri(a)}}, []int{1}, "revoked"},
		"another address":                {[]pkixtest.Point{uri(a)}, []pkixtest.Issuing{{Point: uri(b)}}, nil, "another distribution point"},
		"address in other letters":       {[]pkixtest.Point{uri(a)}, []pkixtest.Issuing{{Point: uri("http://pki.example/A.crl")}}, nil, "another distribution point"},
		"one of two addresses":           {[]pkixtest.Point{{Full: [][]byte{pkixtest.URI(a), pkixtest.URI(b)}}}, []pkixtest.Issuing{{Point: uri(b)}}, nil, ""},
		"second point":                   {[]pkixtest.Point{uri(a), uri(b)}, []pkixtest.Issuing{{Point: uri(b)}}, []int{1}, "revoked"},
		"same name":                      {[]pkixtest.Point{dir("CRL 1")}, []pkixtest.Issuing{{Point: dir("crl  1")}}, nil, ""},
		"another name":                   {[]pkixtest.Point{dir("CRL 1")}, []pkixtest.Issuing{{Point: dir("CRL 2")}}, nil, "another distribution point"},
		"name and address":               {[]pkixtest.Point{dir("CRL 1")}, []pkixtest.Issuing{{Point: uri(a)}}, nil, "another distribution point"},
		"list without a point":           {[]pkixtest.Point{uri(a)}, nil, nil, ""},
		"list of a point, and no point":  {nil, []pkixtest.Issuing{{Point: uri(a)}}, nil, "another distribution point"},
		"list of the issuer's name":      {nil, []pkixtest.Issuing{{Point: dir("Issuing")}}, nil, ""},
		"a list that no point names":     {[]pkixtest.Point{uri(a)}, []pkixtest.Issuing{{Point: dir("Issuing")}}, nil, ""},
		"users only":                     {nil, []pkixtest.Issuing{{Users: true}}, nil, ""},
		"users only, revoked":            {nil, []pkixtest.Issuing{{Users: true}}, []int{4}, "revoked"},
		"authorities only":               {nil, []pkixtest.Issuing{{Authorities: true}}, nil, "authorities only"},
		"attributes only":                {nil, []pkixtest.Issuing{{Attributes: true}}, nil, "attribute certificates"},
		"some reasons":                   {nil, []pkixtest.Issuing{{Point: some(none, few)}}, nil, "all reasons"},
		"some reasons, revoked":          {nil, []pkixtest.Issuing{{Point: some(none, few)}}, []int{1}, "revoked"},
		"some reasons, twice the same":   {nil, []pkixtest.Issuing{{Point: some(none, few)}, {Point: some(none, few)}}, nil, "all reasons"},
		"all reasons in two":             {nil, []pkixtest.Issuing{{Point: some(none, few)}, {Point: some(none, most)}}, nil, ""},
		"all but one reason":             {nil, []pkixtest.Issuing{{Point: some(none, few)}, {Point: some(none, most&^(1<<8))}}, nil, "all reasons"},
		"two, revoked in the first":      {nil, []pkixtest.Issuing{{Point: some(none, few)}, {Point: some(none, most)}}, []int{1}, "revoked"},
		"two, revoked in the second":     {nil, []pkixtest.Issuing{{Point: some(none, few)}, {Point: some(none, most)}}, []int{-1, 5}, "revoked"},
		"point of some reasons":          {[]pkixtest.Point{some(uri(a), few)}, []pkixtest.Issuing{{Point: uri(a)}}, nil, "all reasons"},
		"points of all reasons":          {[]pkixtest.Point{some(uri(a), few), some(uri(b), most)}, []pkixtest.Issuing{{Point: uri(a)}, {Point: uri(b)}}, nil, ""},
		"points of all, one list":        {[]pkixtest.Point{some(uri(a), few), some(uri(b), most)}, []pkixtest.Issuing{{Point: uri(a)}}, nil, "all reasons"},
		"point and list share no reason": {[]pkixtest.Point{some(uri(a), few)}, []pkixtest.Issuing{{Point: some(uri(a), most)}}, nil, "another distribution point"},
	} {
		t.Run(name, func(t *testing.T) {
			var ext []stdpkix.Extension
			if c.points != nil {
				ext = append(ext, pkixtest.Points(c.points...))
			}
			w := newLists(t, ext...)
			if c.issue == nil {
				w.list(w.ca, ordinary())
			}
			for i, scope := range c.issue {
				var entries []pkixtest.ListEntry
				if i < len(c.code) && c.code[i] >= 0 {
					entries = append(entries, w.revoked(c.code[i]))
				}
				w.list(w.ca, ordinary(entries...), pkixtest.Scope(scope))
			}
			w.want(c.want)
		})
	}
	t.Run("lists of authorities and of users", func(t *testing.T) {
		w := newLists(t)
		w.all = nil
		w.list(w.root, ordinary(), pkixtest.Scope(pkixtest.Issuing{Users: true})).list(w.ca, ordinary()).want("of users only")
		w.all = nil
		w.list(w.root, ordinary(), pkixtest.Scope(pkixtest.Issuing{Authorities: true})).list(w.ca, ordinary()).want("")
	})
	t.Run("as many points and names as may be", func(t *testing.T) {
		for n, want := range map[int]string{64: "", 65: "cannot be read"} {
			var points []pkixtest.Point
			p := pkixtest.Point{}
			for i := range n {
				points = append(points, uri(strconv.Itoa(i)))
				p.Full = append(p.Full, pkixtest.URI(strconv.Itoa(i)))
			}
			last := pkixtest.Issuing{Point: uri(strconv.Itoa(n - 1))}
			w := newLists(t, pkixtest.Points(points...))
			w.list(w.ca, ordinary(), pkixtest.Scope(last)).want(want)
			w = newLists(t, pkixtest.Points(p))
			w.list(w.ca, ordinary(), pkixtest.Scope(last)).want(want)
		}
	})
	t.Run("a point that cannot be read", func(t *testing.T) {
		w := newLists(t)
		w.leaf.Extensions = append(w.leaf.Extensions, stdpkix.Extension{Id: pkixtest.Points().Id, Value: []byte{0x30, 2, 5, 0}})
		w.list(w.ca, ordinary()).want("cannot be read")
	})
}

// TestSec_T23_RelativeNames: a name below that of the list's issuer (PKITS
// 4.14.4, 4.14.29). crypto/x509 does not read such certificates, so it is put
// into one that it has read.
func TestSec_T23_RelativeNames(t *testing.T) {
	relative := func(cn string) pkixtest.Point { return pkixtest.Point{Relative: pkixtest.RDN(t, cn)} }
	full := func(w *lists, base, cn string) pkixtest.Point {
		name := pkixtest.DER(t, append(stdpkix.Name{Organization: []string{"Nordhafen"}, CommonName: base}.ToRDNSequence(),
			stdpkix.Name{CommonName: cn}.ToRDNSequence()...))
		return pkixtest.Point{Full: [][]byte{pkixtest.DirectoryName(name)}}
	}
	at := func(p pkixtest.Point, issuers ...string) pkixtest.Point {
		for _, n := range issuers {
			p.Issuers = append(p.Issuers, pkixtest.DirectoryName(pkixtest.Name(t, n)))
		}
		return p
	}
	for name, c := range map[string]struct {
		point func(*lists) pkixtest.Point
		scope func(*lists) pkixtest.Issuing
		want  string
	}{
		"both relative":     {func(*lists) pkixtest.Point { return relative("CRL 1") }, func(*lists) pkixtest.Issuing { return pkixtest.Issuing{Point: relative("CRL 1")} }, ""},
		"relative and full": {func(*lists) pkixtest.Point { return relative("CRL 1") }, func(w *lists) pkixtest.Issuing { return pkixtest.Issuing{Point: full(w, "Issuing", "CRL 1")} }, ""},
		"full and relative": {func(w *lists) pkixtest.Point { return full(w, "Issuing", "CRL 1") }, func(*lists) pkixtest.Issuing { return pkixtest.Issuing{Point: relative("CRL 1")} }, ""},
		"another":           {func(*lists) pkixtest.Point { return relative("CRL 1") }, func(*lists) pkixtest.Issuing { return pkixtest.Issuing{Point: relative("CRL 2")} }, "another distribution point"},
		"below another":     {func(*lists) pkixtest.Point { return relative("CRL 1") }, func(w *lists) pkixtest.Issuing { return pkixtest.Issuing{Point: full(w, "Other", "CRL 1")} }, "another distribution point"},
		"below the list's issuer": {func(*lists) pkixtest.Point { return at(relative("CRL 1"), "Issuing") },
			func(w *lists) pkixtest.Issuing { return pkixtest.Issuing{Point: relative("CRL 1"), Indirect: true} }, ""},
		"below one of two issuers": {func(*lists) pkixtest.Point { return at(relative("CRL 1"), "Issuing", "Other") },
			func(w *lists) pkixtest.Issuing { return pkixtest.Issuing{Point: relative("CRL 1"), Indirect: true} }, "another distribution point"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLists(t)
			w.leaf.Extensions = append(w.leaf.Extensions, pkixtest.Points(c.point(w)))
			w.list(w.ca, ordinary(), pkixtest.Scope(c.scope(w))).want(c.want)
		})
	}
}

// TestSec_T23_Indirect: PKITS 4.14.22 to 4.14.35, lists that others issue.
func TestSec_T23_Indirect(t *testing.T) {
	// third is somebody that the root lets issue lists.
	third := func(w *lists, changes ...pkixtest.Change) *pkixtest.Authority {
		s := w.root.Sub("Lists", noon, append([]pkixtest.Change{func(c *x509.Certificate) {
			c.KeyUsage, c.IsCA, c.BasicConstraintsValid, c.MaxPathLen = x509.KeyUsageCRLSign, false, false, 0
		}}, changes...)...)
		w.signers = append(w.signers, s.Cert)
		return s
	}
	issuer := func(cn string) pkixtest.Point {
		return pkixtest.Point{Issuers: [][]byte{pkixtest.DirectoryName(pkixtest.Name(t, cn))}}
	}
	indirect := pkixtest.Scope(pkixtest.Issuing{Indirect: true})
	asked := pkixtest.Points(issuer("Lists"))
	of := func(w *lists) stdpkix.Extension { return pkixtest.Of(t, w.ca.Cert.RawSubject) }
	other := pkixtest.Of(t, pkixtest.Name(t, "Other"))
	run := func(name string, points stdpkix.Extension, f func(*lists)) {
		t.Run(name, func(t *testing.T) { f(newLists(t, points)) })
	}
	run("listed nowhere", asked, func(w *lists) { w.list(third(w), ordinary(), indirect).want("") })
	run("revoked", asked, func(w *lists) { w.list(third(w), ordinary(w.revoked(1, of(w))), indirect).want("revoked") })
	run("another issuer's of that number", asked, func(w *lists) {
		w.list(third(w), ordinary(w.revoked(1, other)), indirect).want("")
	})
	run("the list's issuer's own of that number", asked, func(w *lists) { w.list(third(w), ordinary(w.revoked(1)), indirect).want("") })
	run("the issuer holds on to the next that names one", asked, func(w *lists) {
		w.list(third(w), ordinary(pkixtest.ListEntry{Serial: big.NewInt(99), When: noon, Extensions: []stdpkix.Extension{of(w)}}, w.revoked(1)), indirect).want("revoked")
		w.all = w.all[:1]
		w.list(third(w), ordinary(pkixtest.ListEntry{Serial: big.NewInt(99), When: noon, Extensions: []stdpkix.Extension{of(w)}}, w.revoked(1, other)), indirect).want("")
	})
	run("two of that number", asked, func(w *lists) {
		w.list(third(w), ordinary(w.revoked(1, other), w.revoked(1, of(w))), indirect).want("revoked")
	})
	run("not indirect", asked, func(w *lists) { w.list(third(w), ordinary()).want("not indirect") })
	run("scope, but not indirect", asked, func(w *lists) {
		w.list(third(w), ordinary(), pkixtest.Scope(pkixtest.Issuing{Users: true})).want("not indirect")
	})
	run("another is to be asked", pkixtest.Points(issuer("Somebody")), func(w *lists) {
		w.list(third(w), ordinary(), indirect).want("the issuer that its distribution point names")
	})
	run("nobody else is to be asked", pkixtest.Points(uri("http://pki.example/a")), func(w *lists) {
		w.list(third(w), ordinary(w.revoked(1, of(w))), indirect).want("no list of its issuer")
	})
	run("the issuer's own", asked, func(w *lists) { w.list(w.ca, ordinary()).want("") })
	run("the issuer's own, indirect", pkixtest.Points(uri("http://pki.example/a")), func(w *lists) {
		w.list(w.ca, ordinary(), indirect).want("")
		w.all = w.all[:1]
		w.list(w.ca, ordinary(w.revoked(1)), indirect).want("revoked")
		w.all = w.all[:1]
		w.list(w.ca, ordinary(w.revoked(1, other)), indirect).want("")
	})
	run("named by who issues it", asked, func(w *lists) {
		p := pkixtest.Point{Full: [][]byte{pkixtest.DirectoryName(pkixtest.Name(t, "Lists"))}}
		w.list(third(w), ordinary(), pkixtest.Scope(pkixtest.Issuing{Point: p, Indirect: true})).want("")
	})
	run("unknown signer", asked, func(w *lists) {
		w.list(third(w), ordinary(), indirect)
		w.signers = nil
		w.want("nobody is known")
	})
	run("signer of another root", asked, func(w *lists) {
		s := w.other.Sub("Lists", noon)
		w.signers = append(w.signers, s.Cert)
		w.list(s, ordinary(), indirect).want("no_path")
	})
	t.Run("its own certificate by its own list", func(t *testing.T) {
		// PKITS 4.14.30: the authority says that just this issuer is to be asked.
		w := newLists(t, asked)
		s := third(w, with(asked))
		w.all = nil
		w.list(w.root, ordinary(pkixtest.ListEntry{Serial: big.NewInt(12345), When: noon})).list(s, ordinary(), indirect).want("")
		w.all = nil
		self := pkixtest.ListEntry{Serial: s.Cert.SerialNumber, When: noon, Extensions: []stdpkix.Extension{pkixtest.Of(t, w.root.Cert.RawSubject)}}
		w.list(w.root, ordinary()).list(s, ordinary(self), indirect).want("its issuer's list: ")
	})
}

// TestSec_T23_Deltas: PKITS 4.15 and RFC 5280 §5.2.4.
func TestSec_T23_Deltas(t *testing.T) {
	run := func(name string, f func(*lists)) { t.Run(name, func(t *testing.T) { f(newLists(t)) }) }
	delta := func(base int64) stdpkix.Extension { return pkixtest.DeltaOf(t, base) }
	run("no base", func(w *lists) { w.list(w.ca, numbered(8, 0), delta(7)).want("no list of its issuer") })
	run("nothing", func(w *lists) {
		s := w.list(w.ca, ordinary()).list(w.ca, numbered(8, time.Second), delta(7)).want("")
		if len(s.Lists) != 2 || !s.ThisUpdate.Equal(noon.Add(-time.Minute+time.Second)) {
			t.Errorf("%+v", s)
		}
	})
	run("revoked in the base", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(1))).list(w.ca, numbered(8, 0), delta(7)).want("revoked")
	})
	run("revoked in the delta", func(w *lists) {
		w.list(w.ca, ordinary()).list(w.ca, numbered(8, 0, w.revoked(1)), delta(7)).want("revoked")
	})
	run("on hold, taken back", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(8, 0, w.revoked(8)), delta(7)).want("")
	})
	run("on hold, then for good", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(8, 0, w.revoked(1)), delta(7)).want("revoked")
	})
	run("taken back and revoked at once", func(w *lists) {
		w.list(w.ca, ordinary()).list(w.ca, numbered(8, 0, w.revoked(8), w.revoked(1)), delta(7)).want("revoked")
	})
	run("of an older base", func(w *lists) {
		w.list(w.ca, ordinary()).list(w.ca, numbered(8, 0, w.revoked(1)), delta(3)).want("revoked")
	})
	run("of a newer base", func(w *lists) {
		// What happened between the two is unknown, but the base is of this time.
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(9, 0, w.revoked(8)), delta(8)).want("revoked")
	})
	run("of a newer base, and the base is over", func(w *lists) {
		w.list(w.ca, timed(-2*time.Hour, -time.Hour)).list(w.ca, numbered(9, 0), delta(8)).want("over since")
	})
	run("the base is over", func(w *lists) {
		s := w.list(w.ca, timed(-2*time.Hour, -time.Hour)).list(w.ca, numbered(8, 0), delta(7)).want("")
		if !s.NextUpdate.Equal(noon.Add(time.Hour)) || s.Stale {
			t.Errorf("%+v", s)
		}
	})
	run("both are over", func(w *lists) {
		l := timed(-2*time.Hour, -time.Minute)
		l.Number = big.NewInt(8)
		w.list(w.ca, timed(-2*time.Hour, -time.Hour)).list(w.ca, l, delta(7)).want("over since")
	})
	run("older than the base", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(6, -time.Hour, w.revoked(8)), delta(5)).want("revoked")
	})
	run("of the base's number", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(7, 0, w.revoked(8)), delta(5)).want("revoked")
	})
	run("over, and tells all the same", func(w *lists) {
		l := timed(-time.Hour, -time.Minute, w.revoked(1))
		l.Number = big.NewInt(8)
		w.list(w.ca, timed(-2*time.Hour, time.Hour)).list(w.ca, l, delta(7)).want("revoked")
	})
	run("yet to come", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(8, time.Hour, w.revoked(8)), delta(7)).want("revoked")
	})
	run("the newest of three", func(w *lists) {
		w.list(w.ca, ordinary()).list(w.ca, numbered(10, 0, w.revoked(8)), delta(7)).list(w.ca, numbered(8, 0, w.revoked(6)), delta(7)).
			list(w.ca, numbered(9, 0, w.revoked(6)), delta(7)).want("")
	})
	run("of another scope", func(w *lists) {
		users := pkixtest.Scope(pkixtest.Issuing{Users: true})
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(8, 0, w.revoked(8)), delta(7), users).want("revoked")
		w.all = w.all[:1]
		w.list(w.ca, ordinary(w.revoked(6)), users).list(w.ca, numbered(8, 0, w.revoked(8)), delta(7), users).want("")
	})
	run("of another key identifier", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(6))).list(w.ca, numbered(8, 0, w.revoked(8)), delta(7), pkixtest.KeyID(t, []byte{1})).want("revoked")
	})
	run("of another issuer", func(w *lists) {
		w.list(w.ca, ordinary(w.revoked(6))).list(w.other, numbered(8, 0, w.revoked(8)), delta(7)).want("revoked")
	})
	run("by another key", func(w *lists) {
		l := numbered(8, 0, w.revoked(8))
		l.Issuer = w.ca.Cert.RawSubject
		w.list(w.ca, ordinary(w.revoked(6))).list(w.other, l, delta(7)).want("signature")
	})
}
