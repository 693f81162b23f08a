package pkix_test

import (
	"encoding/asn1"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// Tags of string types.
const (
	utf8Str   = 12
	printable = 19
	teletex   = 20
	ia5       = 22
	universal = 28
	bmp       = 30
)

var (
	idCN = asn1.ObjectIdentifier{2, 5, 4, 3}
	idOU = asn1.ObjectIdentifier{2, 5, 4, 11}
	idO  = asn1.ObjectIdentifier{2, 5, 4, 10}
	idDC = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	idE  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
)

// attr is an AttributeTypeAndValue.
func attr(t testing.TB, id asn1.ObjectIdentifier, tag byte, value string) []byte {
	return pkixtest.Wrap(t, 0x30, pkixtest.DER(t, id), pkixtest.Wrap(t, tag, []byte(value)))
}

// dn is a Name of RDNs that each have these attributes.
func dn(t testing.TB, rdns ...[][]byte) []byte {
	var sets [][]byte
	for _, r := range rdns {
		sets = append(sets, pkixtest.Wrap(t, 0x31, r...))
	}
	return pkixtest.Wrap(t, 0x30, sets...)
}

// cn is a Name of one common name.
func cn(t testing.TB, tag byte, value string) []byte {
	return dn(t, [][]byte{attr(t, idCN, tag, value)})
}

func one(a []byte) [][]byte { return [][]byte{a} }

func TestSameName(t *testing.T) {
	nordhafen := cn(t, printable, "Nordhafen CA")
	cases := []struct {
		name string
		a, b []byte
		same bool
	}{
		{"itself", nordhafen, nordhafen, true},
		{"string types", nordhafen, cn(t, utf8Str, "Nordhafen CA"), true},
		{"BMPString", nordhafen, cn(t, bmp, "\x00N\x00o\x00r\x00d\x00h\x00a\x00f\x00e\x00n\x00 \x00C\x00A"), true},
		{"UniversalString", cn(t, universal, "\x00\x00\x00C\x00\x00\x00A"), cn(t, printable, "ca"), true},
		{"case", nordhafen, cn(t, printable, "nORDHAFEN ca"), true},
		{"spaces within", nordhafen, cn(t, printable, "Nordhafen    CA"), true},
		{"spaces around", nordhafen, cn(t, printable, "  Nordhafen CA "), true},
		{"tab for a space", nordhafen, cn(t, utf8Str, "Nordhafen\tCA"), true},
		{"a space less", nordhafen, cn(t, printable, "NordhafenCA"), false},
		{"a letter more", nordhafen, cn(t, printable, "Nordhafen CAs"), false},
		{"other type", nordhafen, dn(t, one(attr(t, idO, printable, "Nordhafen CA"))), false},
		{"one RDN more", nordhafen, dn(t, one(attr(t, idCN, printable, "Nordhafen CA")), one(attr(t, idOU, printable, "x"))), false},
		{"folding", cn(t, utf8Str, "STRASSE"), cn(t, utf8Str, "straße"), true},
		{"Greek sigmas", cn(t, utf8Str, "ΣΑΣ"), cn(t, utf8Str, "σας"), true},
		{"composed and decomposed", cn(t, utf8Str, "\u00e9"), cn(t, utf8Str, "e\u0301"), true},
		{"compatibility", cn(t, utf8Str, "ﬁn"), cn(t, printable, "fin"), true},
		{"soft hyphen", cn(t, utf8Str, "Nord\u00adhafen"), cn(t, utf8Str, "Nordhafen"), true},
		{"no-break space", cn(t, utf8Str, "Nord\u00a0hafen"), cn(t, utf8Str, "Nord hafen"), true},
		{"look-alikes", cn(t, utf8Str, "Nоrd"), cn(t, utf8Str, "Nord"), false},
		{"private use, itself", cn(t, utf8Str, "\ue000a"), cn(t, utf8Str, "\ue000a"), true},
		{"private use, case", cn(t, utf8Str, "\ue000a"), cn(t, utf8Str, "\ue000A"), false},
		{"Teletex, itself", cn(t, teletex, "Nord"), cn(t, teletex, "Nord"), true},
		{"Teletex, as another", cn(t, teletex, "Nord"), cn(t, printable, "Nord"), false},
		{"domain parts", dn(t, one(attr(t, idDC, ia5, "COM"))), dn(t, one(attr(t, idDC, ia5, "com"))), true},
		{"order of RDNs", dn(t, one(attr(t, idOU, printable, "a")), one(attr(t, idOU, printable, "b"))),
			dn(t, one(attr(t, idOU, printable, "b")), one(attr(t, idOU, printable, "a"))), false},
		{"order within an RDN", dn(t, [][]byte{attr(t, idOU, printable, "a"), attr(t, idCN, printable, "b")}),
			dn(t, [][]byte{attr(t, idCN, utf8Str, "B"), attr(t, idOU, utf8Str, "A")}), true},
		{"one RDN or two", dn(t, [][]byte{attr(t, idOU, printable, "a"), attr(t, idCN, printable, "b")}),
			dn(t, one(attr(t, idOU, printable, "a")), one(attr(t, idCN, printable, "b"))), false},
		{"empty", dn(t), dn(t), true},
		{"no name", []byte{5, 0}, []byte{5, 0}, false},
		{"nothing", nil, nil, false},
		{"cut", nordhafen[:len(nordhafen)-1], nordhafen[:len(nordhafen)-1], false},
	}
	for _, c := range cases {
		for _, way := range [][2][]byte{{c.a, c.b}, {c.b, c.a}} {
			if got := pkix.SameName(way[0], way[1]); got != c.same {
				t.Errorf("%s: %v", c.name, got)
			}
		}
	}
}

func TestRootFirst(t *testing.T) {
	cases := []struct {
		name string
		der  []byte
		want string // "!": refused
	}{
		{"as documented", dn(t, one(attr(t, idDC, ia5, "com")), one(attr(t, idDC, ia5, "contoso")), one(attr(t, idOU, printable, "UserAccounts")),
			one(attr(t, idCN, utf8Str, "mfatest"))), "DC=com,DC=contoso,OU=UserAccounts,CN=mfatest"},
		{"empty", dn(t), ""},
		{"comma", cn(t, utf8Str, "Lovelace, Ada"), `CN=Lovelace\, Ada`},
		{"a name within", cn(t, utf8Str, "Ada,OU=Admins"), `CN=Ada\,OU=Admins`},
		{"brackets", cn(t, utf8Str, "a<SR>b"), `CN=a\<SR\>b`},
		{"edges", cn(t, utf8Str, " a "), `CN=\ a\ `},
		{"only a space", cn(t, utf8Str, " "), `CN=\ `},
		{"hash", cn(t, utf8Str, "#a#"), `CN=\#a#`},
		{"backslash, quote, plus, semicolon", cn(t, utf8Str, `\"+;`), `CN=\\\"\+\;`},
		{"two in one", dn(t, [][]byte{attr(t, idCN, printable, "a"), attr(t, idOU, printable, "b")}), "CN=a+OU=b"},
		{"letters beyond ASCII", cn(t, utf8Str, "Zoë"), "CN=Zoë"},
		{"BMPString", cn(t, bmp, "\x00Z\x00o\x00\xeb"), "CN=Zoë"},
		{"mail address", dn(t, one(attr(t, idE, ia5, "a@b.example"))), "E=a@b.example"},
		{"unknown type", dn(t, one(attr(t, asn1.ObjectIdentifier{2, 999, 1}, printable, "a"))), "2.999.1=#130161"},
		{"no string", cn(t, 2, "\x05"), "CN=#020105"},
		{"Teletex", cn(t, teletex, "a"), "CN=#140161"},
		{"NUL", cn(t, utf8Str, "ada\x00.evil"), "!"},
		{"newline", cn(t, printable, "ada\n"), "!"},
		{"C1", cn(t, utf8Str, "ada\u0085"), "!"},
		{"NUL in BMPString", cn(t, bmp, "\x00a\x00\x00"), "!"},
		{"NUL in an unknown type", dn(t, one(attr(t, asn1.ObjectIdentifier{2, 999, 1}, printable, "\x00"))), "!"},
		{"no DER", []byte{0x30, 5}, "!"},
		{"empty RDN", []byte{0x30, 2, 0x31, 0}, "!"},
		{"more behind", append(cn(t, utf8Str, "a"), 0), "!"},
	}
	for _, c := range cases {
		got, err := pkix.RootFirst(c.der)
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q (%v)", c.name, got, c.want, err)
		}
	}
}

func TestNames(t *testing.T) {
	f := newFamily(t)
	directory := cn(t, utf8Str, "Ada")
	f.reLeaf(set(t, pkixtest.Alternatives(t, pkixtest.Principal(t, "ada@nordhafen.example"), pkixtest.Mail(t, "Ada@nordhafen.example"),
		pkixtest.Host(t, "pc1.nordhafen.example"), pkixtest.Web(t, "https://nordhafen.example/ada"), pkixtest.Address(t, 192, 0, 2, 1),
		pkixtest.Directory(t, directory), pkixtest.Other(t, asn1.ObjectIdentifier{2, 999}, []byte{5, 0}))))
	got, err := pkix.Names(f.leaf)
	want := pkix.SubjectNames{
		PrincipalNames: []string{"ada@nordhafen.example"}, RFC822Names: []string{"Ada@nordhafen.example"},
		DNSNames: []string{"pc1.nordhafen.example"}, URIs: []string{"https://nordhafen.example/ada"},
		IPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Directory: [][]byte{directory},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	f.reLeaf(drop(idSAN))
	if got, err := pkix.Names(f.leaf); err != nil || !reflect.DeepEqual(got, pkix.SubjectNames{}) {
		t.Errorf("without any: %+v, %v", got, err)
	}
}

// TestSec_T22_NamesAsTheyAre: names are neither cut nor folded nor chosen from.
func TestSec_T22_NamesAsTheyAre(t *testing.T) {
	upn := func(tag byte, value string) pkixtest.General {
		return pkixtest.Other(t, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}, pkixtest.Wrap(t, tag, []byte(value)))
	}
	cases := []struct {
		name  string
		names []pkixtest.General
		want  []string // nil: malformed
		plain bool     // all of them
	}{
		{"NUL", []pkixtest.General{upn(utf8Str, "ada\x00@nordhafen.example")}, []string{"ada\x00@nordhafen.example"}, false},
		{"NUL and more", []pkixtest.General{upn(utf8Str, "eve@x.example\x00ada@nordhafen.example")}, []string{"eve@x.example\x00ada@nordhafen.example"}, false},
		{"two", []pkixtest.General{upn(utf8Str, "ada@x.example"), upn(utf8Str, "eve@x.example")}, []string{"ada@x.example", "eve@x.example"}, true},
		{"twice the same", []pkixtest.General{upn(utf8Str, "ada@x.example"), upn(utf8Str, "ada@x.example")}, []string{"ada@x.example", "ada@x.example"}, true},
		{"BMPString", []pkixtest.General{upn(bmp, "\x00a\x00d\x00a")}, []string{"ada"}, true},
		{"BMPString with half a letter", []pkixtest.General{upn(bmp, "\x00a\x00")}, nil, false},
		{"BMPString with a surrogate", []pkixtest.General{upn(bmp, "\xd8\x00")}, nil, false},
		{"not UTF-8", []pkixtest.General{upn(utf8Str, "ad\xffa")}, nil, false},
		{"IA5String beyond ASCII", []pkixtest.General{upn(ia5, "ad\xe4")}, nil, false},
		{"no string", []pkixtest.General{upn(4, "ada")}, nil, false},
		{"decomposed", []pkixtest.General{upn(utf8Str, "zoe\u0308@x.example")}, []string{"zoe\u0308@x.example"}, true},
		{"upper case", []pkixtest.General{upn(utf8Str, "ADA@X.example")}, []string{"ADA@X.example"}, true},
		{"space behind", []pkixtest.General{upn(utf8Str, "ada@x.example ")}, []string{"ada@x.example "}, false},
		{"invisible", []pkixtest.General{upn(utf8Str, "ada\u200b@x.example")}, []string{"ada\u200b@x.example"}, false},
		{"written from the right", []pkixtest.General{upn(utf8Str, "\u202eada@x.example")}, []string{"\u202eada@x.example"}, false},
		{"empty", []pkixtest.General{upn(utf8Str, "")}, []string{""}, false},
	}
	f := newFamily(t)
	for _, c := range cases {
		f.reLeaf(set(t, pkixtest.Alternatives(t, c.names...)))
		got, err := pkix.Names(f.leaf)
		if c.want == nil {
			refusedOnly(t, c.name, err)
			if _, err := pkix.Verify(f.leaf, f.options()); err == nil {
				t.Errorf("%s: Verify takes it", c.name)
			}
			continue
		}
		if err != nil || !slices.Equal(got.PrincipalNames, c.want) {
			t.Errorf("%s: %q, %v", c.name, got.PrincipalNames, err)
		}
		plain := !slices.ContainsFunc(got.PrincipalNames, func(s string) bool { return !pkix.Plain(s) })
		if plain != c.plain {
			t.Errorf("%s: plain is %v", c.name, plain)
		}
	}
}

func refusedOnly(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), string(pkix.Malformed)) {
		t.Errorf("%s: %v", name, err)
	}
}
