package pkix

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SubjectNames are what a certificate's subject alternative name says, in its
// order and exactly as it says it: no letter is folded, nothing is cut at a NUL,
// and names that come twice are there twice. Whoever maps names to people
// decides what is odd; Plain helps.
type SubjectNames struct {
	PrincipalNames []string // otherName 1.3.6.1.4.1.311.20.2.3, in UTF-8 whatever string type it had
	RFC822Names    []string
	DNSNames       []string
	URIs           []string
	IPs            []netip.Addr
	Directory      [][]byte // DER of each Name
}

// Tags of a GeneralName (RFC 5280 §4.2.1.6).
const (
	nameOther     = 0
	nameRFC822    = 1
	nameDNS       = 2
	nameX400      = 3
	nameDirectory = 4
	nameEDIParty  = 5
	nameURI       = 6
	nameIP        = 7
	nameID        = 8
)

// principalName is the contents of id-on-principalName, 1.3.6.1.4.1.311.20.2.3
// (MS-WCCE §2.2.2.7.5's user principal name), [K].
var principalName = []byte{0x2b, 6, 1, 4, 1, 0x82, 0x37, 20, 2, 3}

// general is one GeneralName.
type general struct {
	form  int
	other []byte // nameOther: contents of the type's OID
	// text is the name: of a principal name its text, of a directory name its
	// DER, else the contents.
	text []byte
}

// readGeneral takes one GeneralName off s.
func readGeneral(s *cryptobyte.String) (general, error) {
	var value cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadAnyASN1(&value, &tag) || byte(tag)&0xc0 != 0x80 {
		return general{}, errors.New("a general name is not DER")
	}
	g := general{form: int(tag & 0x1f), text: value}
	constructed := byte(tag)&0x20 != 0
	if want := g.form == nameOther || g.form == nameX400 || g.form == nameDirectory || g.form == nameEDIParty; constructed != want || g.form > nameID {
		return general{}, fmt.Errorf("a general name has tag %#x", byte(tag))
	}
	switch g.form {
	case nameRFC822, nameDNS, nameURI:
		if !isASCII(value) {
			return general{}, errors.New("a general name is not IA5String")
		}
	case nameOther:
		return readOther(value)
	case nameDirectory:
		if _, err := canonical(value); err != nil {
			return general{}, err
		}
	}
	return g, nil
}

func readOther(value cryptobyte.String) (general, error) {
	var oid, explicit, inner cryptobyte.String
	var tag cbasn1.Tag
	if !value.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) ||
		!value.ReadASN1(&explicit, cbasn1.Tag(0).ContextSpecific().Constructed()) || !value.Empty() ||
		!explicit.ReadAnyASN1(&inner, &tag) || !explicit.Empty() {
		return general{}, errors.New("an other name is not DER")
	}
	g := general{form: nameOther, other: oid, text: inner}
	if bytes.Equal(oid, principalName) {
		text, ok := decode(tag, inner)
		if !ok {
			return general{}, errors.New("a principal name is not text")
		}
		g.text = []byte(text)
	}
	return g, nil
}

// alternatives gives the names of a certificate's subject alternative name.
func alternatives(cert *x509.Certificate) ([]general, error) {
	ext := extension(cert, oidSubjectAltName)
	if ext == nil {
		return nil, nil
	}
	in := cryptobyte.String(ext.Value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || seq.Empty() {
		return nil, errors.New("the subject alternative name is not DER, or empty")
	}
	var all []general
	for !seq.Empty() {
		g, err := readGeneral(&seq)
		if err != nil {
			return nil, err
		}
		if g.form == nameIP && len(g.text) != 4 && len(g.text) != 16 {
			return nil, fmt.Errorf("an IP address has %d bytes", len(g.text))
		}
		if all = append(all, g); len(all) > maxNames {
			return nil, errNames
		}
	}
	return all, nil
}

var errNames = fmt.Errorf("more than %d subject alternative names", maxNames)

// Names reads a certificate's subject alternative name (RFC 5280 §4.2.1.6). A
// certificate without one has no names. The error is a *Fault: Malformed, or
// TooBig when there are too many.
func Names(cert *x509.Certificate) (SubjectNames, error) {
	var n SubjectNames
	all, err := alternatives(cert)
	if err != nil {
		return n, readFault(cert, err)
	}
	for _, g := range all {
		switch g.form {
		case nameOther:
			if bytes.Equal(g.other, principalName) {
				n.PrincipalNames = append(n.PrincipalNames, string(g.text))
			}
		case nameRFC822:
			n.RFC822Names = append(n.RFC822Names, string(g.text))
		case nameDNS:
			n.DNSNames = append(n.DNSNames, string(g.text))
		case nameURI:
			n.URIs = append(n.URIs, string(g.text))
		case nameIP:
			ip, _ := netip.AddrFromSlice(g.text) // its length is checked
			n.IPs = append(n.IPs, ip)
		case nameDirectory:
			n.Directory = append(n.Directory, g.text)
		}
	}
	return n, nil
}

// Plain says whether a name is text without tricks: not empty, valid UTF-8,
// with no control characters or invisible ones (Unicode Cc and Cf) and no space
// at either end.
func Plain(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) })
}

// short are the names of attribute types as certificateUserIds spell them:
// those of Windows' own text form of a name, which writes S for the state and E
// for the mail address [K]. Other types are written as dotted numbers. The keys
// are the contents of their OIDs.
var short = contentsOf(map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "S",
	"2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "T", "2.5.4.42": "G", "2.5.4.43": "I",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "E",
})

// contentsOf has the contents of OIDs in the place of their dotted form.
func contentsOf(dotted map[string]string) map[string]string {
	out := make(map[string]string, len(dotted))
	for d, name := range dotted {
		oid, err := x509.ParseOID(d)
		if err != nil {
			panic(err) // they are ours
		}
		der, err := oid.MarshalBinary()
		if err != nil {
			panic(err)
		}
		out[string(der)] = name
	}
	return out
}

// RootFirst writes a Name (its DER) as text, the root's part first, as
// certificateUserIds have it: "DC=com,DC=contoso,OU=UserAccounts,CN=mfatest".
// Parts are joined by commas without spaces, the attributes of a multi-valued
// RDN by "+" in the order of the DER. Values are escaped as RFC 4514 §2.4 does
// it, "<" and ">" too, so different names never give one text but for the
// string type; a value that is no string, or of a type without a short name,
// is "#" and its DER in hex. The empty name is the empty text. Control
// characters, NUL among them, are refused.
func RootFirst(raw []byte) (string, error) {
	rdns, ok := readName(raw)
	if !ok {
		return "", errName
	}
	var b strings.Builder
	var attrs []attribute
	for first := true; !rdns.Empty(); first = false {
		if attrs, ok = readRDN(&rdns, attrs[:0]); !ok {
			return "", errName
		}
		if !first {
			b.WriteByte(',')
		}
		for i, a := range attrs {
			if i > 0 {
				b.WriteByte('+')
			}
			if err := a.write(&b); err != nil {
				return "", err
			}
		}
	}
	return b.String(), nil
}

// dotted is the attribute's type; empty for what is no OID.
func (a attribute) dotted() string {
	var oid asn1.ObjectIdentifier
	s := cryptobyte.String(append([]byte{6, byte(len(a.oid))}, a.oid...))
	if len(a.oid) > 127 || !s.ReadASN1ObjectIdentifier(&oid) {
		return ""
	}
	return oid.String()
}

func (a attribute) write(b *strings.Builder) error {
	name, known := short[string(a.oid)]
	if !known {
		if name = a.dotted(); name == "" {
			return errName
		}
	}
	text, ok := a.text()
	if ok && strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("attribute %s has a control character", a.dotted())
	}
	b.WriteString(name)
	if !ok || !known {
		b.WriteString("=#" + hex.EncodeToString(a.whole))
		return nil
	}
	b.WriteByte('=')
	for i, r := range text {
		edge := r == ' ' && (i == 0 || i == len(text)-1)
		if edge || strings.ContainsRune(`"+,;<>\`, r) || r == '#' && i == 0 {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return nil
}
