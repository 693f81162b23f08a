package pkix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Universal tags that cryptobyte has no name for (X.680 §8.6).
const (
	tagNumericString   asn1.Tag = 18
	tagVisibleString   asn1.Tag = 26
	tagUniversalString asn1.Tag = 28
	tagBMPString       asn1.Tag = 30
)

var errName = errors.New("a name is not DER of RFC 5280 §4.1.2.4")

// attribute is one AttributeTypeAndValue as it stands in the DER.
type attribute struct {
	oid   []byte // contents
	tag   asn1.Tag
	value []byte // contents
	whole []byte // tag, length, contents of the value
}

// readRDN takes one RelativeDistinguishedName off rest.
func readRDN(rest *cryptobyte.String, into []attribute) ([]attribute, bool) {
	var set cryptobyte.String
	if !rest.ReadASN1(&set, asn1.SET) || set.Empty() {
		return nil, false
	}
	for !set.Empty() {
		var seq, oid, whole, value cryptobyte.String
		var tag asn1.Tag
		if !set.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) || len(oid) == 0 ||
			!seq.ReadAnyASN1Element(&whole, &tag) || !seq.Empty() {
			return nil, false
		}
		inner := whole
		if !inner.ReadAnyASN1(&value, &tag) {
			return nil, false
		}
		into = append(into, attribute{oid: oid, tag: tag, value: value, whole: whole})
	}
	return into, true
}

func readName(raw []byte) (cryptobyte.String, bool) {
	in := cryptobyte.String(raw)
	var rdns cryptobyte.String
	ok := in.ReadASN1(&rdns, asn1.SEQUENCE) && in.Empty()
	return rdns, ok
}

// canonical gives one key per RDN, such that two Names match by RFC 5280 §7.1
// if and only if their keys are equal one by one, and a Name is in the subtree
// of another if the other's keys are the first of its own.
func canonical(raw []byte) ([]string, error) {
	rdns, ok := readName(raw)
	if !ok {
		return nil, errName
	}
	var keys []string
	var attrs []attribute
	for !rdns.Empty() {
		if attrs, ok = readRDN(&rdns, attrs[:0]); !ok {
			return nil, errName
		}
		if len(attrs) == 1 {
			keys = append(keys, string(attrs[0].key()))
			continue
		}
		// A SET has no order.
		parts := make([]string, len(attrs))
		for i, a := range attrs {
			parts[i] = string(a.key())
		}
		slices.Sort(parts)
		keys = append(keys, strings.Join(parts, ""))
	}
	return keys, nil
}

// key is the attribute's type and its value as it is compared. Lengths stand
// before the parts, so that keys can be joined.
func (a attribute) key() []byte {
	kind, value := byte('t'), []byte(nil)
	text, ok := a.text()
	if ok {
		value, ok = prepare(text)
	}
	if !ok { // not a string, or not one that can be prepared: compared as bytes
		kind, value = 'b', a.whole
	}
	out := make([]byte, 0, len(a.oid)+len(value)+9)
	out = binary.BigEndian.AppendUint32(out, uint32(len(a.oid)))
	out = append(append(out, a.oid...), kind)
	out = binary.BigEndian.AppendUint32(out, uint32(len(value)))
	return append(out, value...)
}

// doubtful says of the keys of two RDNs whether their first attributes are of one
// type and could only not be compared: the one as text, the other as bytes.
func doubtful(a, b string) bool {
	kind := func(k string) int { return 4 + int(binary.BigEndian.Uint32([]byte(k[:4]))) }
	i, j := kind(a), kind(b)
	return a[:i] == b[:j] && a[i] != b[j]
}

// text decodes the string types of RFC 5280 §4.1.2.4 and the two of its
// attributes. TeletexString is left out: programs differ on its letters, so it
// matches byte by byte only.
func (a attribute) text() (string, bool) { return decode(a.tag, a.value) }

func decode(tag asn1.Tag, value []byte) (string, bool) {
	switch tag {
	case asn1.UTF8String:
		return string(value), utf8.Valid(value)
	case asn1.PrintableString, asn1.IA5String, tagNumericString, tagVisibleString:
		return string(value), isASCII(value)
	case tagBMPString:
		return decodeWide(value, 2)
	case tagUniversalString:
		return decodeWide(value, 4)
	}
	return "", false
}

func decodeWide(value []byte, width int) (string, bool) {
	if len(value)%width != 0 {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(value); i += width {
		r := uint32(binary.BigEndian.Uint16(value[i+width-2:]))
		if width == 4 {
			r = binary.BigEndian.Uint32(value[i:])
		}
		if r > unicode.MaxRune || !utf8.ValidRune(rune(r)) {
			return "", false
		}
		b.WriteRune(rune(r))
	}
	return b.String(), true
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// prepare is the string preparation of RFC 4518 §2 as RFC 5280 §7.1 takes it
// for caseIgnoreMatch: map, fold, normalise (NFKC), prohibit, and spaces. ok is
// false for what must not occur. Tables are those of today's Unicode, not of
// 3.2, so no assigned character is prohibited for being young.
func prepare(s string) (out []byte, ok bool) {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if !ascii {
		s = strings.Map(mapped, s)
		// Folding undoes normal forms and the other way round; twice is stable.
		for range 2 {
			s = norm.NFKC.String(cases.Fold().String(s))
		}
		if strings.ContainsFunc(s, prohibited) {
			return nil, false
		}
	}
	out = make([]byte, 0, len(s))
	space := false
	for i := range len(s) {
		c, drop := lower(s[i])
		switch {
		case drop:
		case c == ' ':
			space = len(out) > 0
		default:
			if space {
				out, space = append(out, ' '), false
			}
			out = append(out, c)
		}
	}
	return out, true
}

// lower maps a byte of prepared text: upper case down, white space to a space,
// other control characters to nothing (RFC 4518 §2.2).
func lower(c byte) (to byte, drop bool) {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A', false
	case 9 <= c && c <= 13:
		return ' ', false
	case c < ' ' || c == 0x7f:
		return 0, true
	}
	return c, false
}

// mapped is RFC 4518 §2.2 for what is not ASCII: a space, nothing (-1) or the
// character itself.
func mapped(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		return r
	case r == 0x85 || unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp):
		return ' '
	case r == 0x200b, r == 0x34f, r == 0xfffc, 0x180b <= r && r <= 0x180d, 0xfe00 <= r && r <= 0xfe0f:
		return -1
	case unicode.In(r, unicode.Cc, unicode.Cf):
		return -1
	}
	return r
}

// prohibited is RFC 4518 §2.4.
func prohibited(r rune) bool {
	return r == utf8.RuneError || unicode.Is(unicode.Co, r) || r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef
}

// SameName compares two Names (their DER) as RFC 5280 §7.1 says: attributes of
// one type match when their texts do, without regard to string type, letter
// case and surplus spaces; the attributes of a multi-valued RDN have no order.
// What is no Name is the same as nothing, itself included.
func SameName(a, b []byte) bool { return (&dn{raw: a}).same(&dn{raw: b}) }

// NameKey is a text that two Names have in common if and only if SameName says
// that they are the same: who looks a Name up among many reads each once. It is
// empty for what is no Name, and for one that is longer than those of a path may
// be.
func NameKey(raw []byte) string {
	if len(raw) > maxName {
		return ""
	}
	keys, err := canonical(raw)
	if err != nil {
		return ""
	}
	out := []byte{byte('n')}
	for _, k := range keys {
		out = binary.BigEndian.AppendUint32(out, uint32(len(k)))
		out = append(out, k...)
	}
	return string(out)
}

// dn is a Name that is compared more than once.
type dn struct {
	raw  []byte
	keys []string // canonical
	err  error
	done bool
}

func (d *dn) canonical() ([]string, error) {
	if !d.done {
		d.keys, d.err = canonical(d.raw)
		d.done = true
	}
	return d.keys, d.err
}

func (d *dn) same(o *dn) bool {
	if same, sure := quick(d.raw, o.raw); sure {
		return same
	}
	a, err := d.canonical()
	if err != nil {
		return false
	}
	b, err := o.canonical()
	return err == nil && slices.Equal(a, b)
}

// quick decides without allocating where it can: names of one ASCII attribute
// per RDN.
func quick(a, b []byte) (same, sure bool) {
	ra, ok := readName(a)
	if !ok {
		return false, true
	}
	rb, ok := readName(b)
	if !ok {
		return false, true
	}
	var bufA, bufB [1]attribute
	for !ra.Empty() && !rb.Empty() {
		aa, ok := readRDN(&ra, bufA[:0])
		if !ok {
			return false, true
		}
		ab, ok := readRDN(&rb, bufB[:0])
		if !ok {
			return false, true
		}
		if len(aa) != len(ab) {
			return false, true
		}
		if len(aa) != 1 {
			return false, false
		}
		x, y := aa[0], ab[0]
		if !bytes.Equal(x.oid, y.oid) {
			return false, true
		}
		if bytes.Equal(x.whole, y.whole) {
			continue
		}
		if !plainText(x) || !plainText(y) {
			return false, false
		}
		if !equalASCII(x.value, y.value) {
			return false, true
		}
	}
	return ra.Empty() && rb.Empty(), true
}

func plainText(a attribute) bool {
	switch a.tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String, tagNumericString, tagVisibleString:
		return isASCII(a.value)
	}
	return false
}

// equalASCII compares two ASCII strings as prepare would write them.
func equalASCII(a, b []byte) bool {
	i, j, begun := 0, 0, false
	for {
		x, sx := next(a, &i)
		y, sy := next(b, &j)
		if x != y || x != 0 && begun && sx != sy {
			return false
		}
		if x == 0 {
			return true
		}
		begun = true
	}
}

// next gives the next letter and whether spaces stood before it; 0 at the end.
func next(s []byte, i *int) (c byte, space bool) {
	for ; *i < len(s); *i++ {
		c, drop := lower(s[*i])
		switch {
		case drop:
		case c == ' ':
			space = true
		default:
			*i++
			return c, space
		}
	}
	return 0, space
}
