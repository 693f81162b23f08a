package directory

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
)

// What a user may have of certificateUserIds (entra-behaviours.md §0).
const (
	MaxCertificateIDs   = 10
	MaxCertificateIDLen = 1024 // characters
)

// The beginnings of certificateUserIds, letter case and all
// (entra-behaviours.md §5.2). What follows is, in this order: names as the
// certificate has them; distinguished names root first (pkix.RootFirst); bytes
// in lower-case hex.
const (
	CertificatePN     = "X509:<PN>"         // principal name: ada@contoso.example
	CertificateRFC822 = "X509:<RFC822>"     // mail address
	CertificateS      = "X509:<S>"          // subject
	CertificateI      = "X509:<I>"          // issuer, and then CertificateThenS or CertificateThenSR
	CertificateSKI    = "X509:<SKI>"        // subject key identifier
	CertificateSHA1   = "X509:<SHA1-PUKEY>" // SHA-1 of the public key
	// CertificateThenS comes before the subject, CertificateThenSR before the
	// serial number, behind the issuer.
	CertificateThenS  = "<S>"
	CertificateThenSR = "<SR>"
)

// CheckCertificateID says what is wrong with a value of certificateUserIds, or
// nil. It is Invalid on certificateUserIds, with a sentence.
func CheckCertificateID(value string) error {
	if say := wrongCertificateID(value); say != "" {
		return idp.Invalidf("bad_certificate_id", "certificateUserIds value %q", audit.Clean(value, 150)).
			On("certificateUserIds").Say("certificateUserIds: " + say)
	}
	return nil
}

func wrongCertificateID(value string) string {
	switch {
	case value == "":
		return "a value is empty."
	case !utf8.ValidString(value):
		return "a value is not UTF-8."
	case utf8.RuneCountInString(value) > MaxCertificateIDLen:
		return "a value may have 1024 characters."
	case strings.ContainsFunc(value, unprintable):
		return "a value has a control character, or one that shows nothing."
	case strings.TrimSpace(value) != value && !strings.HasSuffix(value, `\ `):
		// An escaped space may end a distinguished name.
		return "a value begins or ends with a space."
	}
	for _, form := range []struct {
		prefix string
		wrong  func(rest string) string
	}{
		{CertificatePN, wrongName}, {CertificateRFC822, wrongName}, {CertificateS, wrongDN}, {CertificateI, wrongIssuerAnd},
		{CertificateSKI, func(rest string) string { return wrongHex(rest, 1, 64) }},
		{CertificateSHA1, func(rest string) string { return wrongHex(rest, 20, 20) }},
	} {
		rest, ok := strings.CutPrefix(value, form.prefix)
		if ok {
			if say := form.wrong(rest); say != "" {
				return "behind " + form.prefix + " " + say
			}
			return ""
		}
		if len(value) >= len(form.prefix) && strings.EqualFold(value[:len(form.prefix)], form.prefix) {
			return "letter case counts: write " + form.prefix + "."
		}
	}
	return "a value begins with one of " + strings.Join([]string{CertificatePN, CertificateRFC822, CertificateS, CertificateI,
		CertificateSKI, CertificateSHA1}, ", ") + "."
}

func unprintable(r rune) bool { return audit.Unprintable(r) || r == utf8.RuneError }

func wrongName(rest string) string {
	if at := strings.LastIndexByte(rest, '@'); at <= 0 || at == len(rest)-1 || strings.ContainsFunc(rest, unicode.IsSpace) {
		return "there is a name like ada@contoso.example."
	}
	return ""
}

// attribute is the beginning of an RDN: a short name or an object identifier.
var attribute = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)=`)

// wrongDN looks at the frame of a distinguished name only: what it says is
// compared as text.
func wrongDN(rest string) string {
	parts, ok := splitDN(rest)
	if !ok {
		return `there is a distinguished name in which < and > are written \< and \>, and which no backslash ends.`
	}
	for _, part := range parts {
		if !attribute.MatchString(part) {
			if strings.HasPrefix(part, " ") {
				return "there is a distinguished name without spaces behind its commas, root first, like DC=com,DC=contoso,CN=ada."
			}
			return "there is a distinguished name, root first, like DC=com,DC=contoso,CN=ada."
		}
	}
	return ""
}

// splitDN cuts a distinguished name at the commas and plus signs that no
// backslash stands before. false: a sign of the value's own form stands in it,
// or a backslash before nothing.
func splitDN(dn string) (parts []string, ok bool) {
	start := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			if i++; i == len(dn) {
				return nil, false
			}
		case '<', '>':
			return nil, false
		case ',', '+':
			parts = append(parts, dn[start:i])
			start = i + 1
		}
	}
	return append(parts, dn[start:]), true
}

func wrongIssuerAnd(rest string) string {
	at := unescaped(rest, '<')
	if at < 0 {
		return "there is the issuer, and then " + CertificateThenS + " and the subject or " + CertificateThenSR + " and the serial number."
	}
	if say := wrongDN(rest[:at]); say != "" {
		return say
	}
	if serial, ok := strings.CutPrefix(rest[at:], CertificateThenSR); ok {
		if say := wrongHex(serial, 1, 64); say != "" {
			return "and " + CertificateThenSR + " " + say
		}
		return ""
	}
	if subject, ok := strings.CutPrefix(rest[at:], CertificateThenS); ok {
		if say := wrongDN(subject); say != "" {
			return "and " + CertificateThenS + " " + say
		}
		return ""
	}
	return "and the issuer there is " + CertificateThenS + " or " + CertificateThenSR + "."
}

// unescaped is where the first b stands that no backslash is before, or -1.
func unescaped(s string, b byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case b:
			return i
		}
	}
	return -1
}

func wrongHex(rest string, least, most int) string {
	// Compared exactly: one that is written otherwise would never match.
	if len(rest)%2 != 0 || len(rest) < 2*least || len(rest) > 2*most || strings.ContainsFunc(rest, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f')
	}) {
		if least == most {
			return "there are " + strconv.Itoa(2*most) + " digits of lower-case hex."
		}
		return "there are " + strconv.Itoa(2*least) + " to " + strconv.Itoa(2*most) + " digits of lower-case hex, two for each byte."
	}
	return ""
}
