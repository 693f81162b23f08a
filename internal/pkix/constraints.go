package pkix

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxComparisons bounds how often a name is held against a subtree within one
// Verify (security.md CBA11).
const maxComparisons = 1 << 16

var errWork = errors.New("too many names against too many name constraints")

// subtree is one GeneralSubtree.
type subtree struct {
	general
	keys []string // nameDirectory: canonical
	mask []byte   // nameIP; text is then the address
	fold string   // the text in lower case
}

// constraints are a CA's name constraints (RFC 5280 §4.2.1.10), by the form of
// name that they are of.
type constraints struct{ permitted, excluded [nameID + 1][]subtree }

// readConstraints reads the extension; nil when the certificate has none.
func readConstraints(cert *x509.Certificate) (*constraints, error) {
	ext := extension(cert, oidNameConstraints)
	if ext == nil {
		return nil, nil
	}
	in := cryptobyte.String(ext.Value)
	var seq, permitted, excluded cryptobyte.String
	var hasPermitted, hasExcluded bool
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() ||
		!seq.ReadOptionalASN1(&permitted, &hasPermitted, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!seq.ReadOptionalASN1(&excluded, &hasExcluded, cbasn1.Tag(1).ContextSpecific().Constructed()) ||
		!seq.Empty() {
		return nil, errors.New("the name constraints are not DER")
	}
	if !hasPermitted && !hasExcluded || hasPermitted && permitted.Empty() || hasExcluded && excluded.Empty() {
		return nil, errors.New("the name constraints are empty")
	}
	c := new(constraints)
	if err := readSubtrees(permitted, &c.permitted); err != nil {
		return nil, err
	}
	return c, readSubtrees(excluded, &c.excluded)
}

func readSubtrees(in cryptobyte.String, into *[nameID + 1][]subtree) error {
	for !in.Empty() {
		var seq cryptobyte.String
		if !in.ReadASN1(&seq, cbasn1.SEQUENCE) {
			return errors.New("the name constraints are not DER")
		}
		g, err := readGeneral(&seq)
		if err != nil {
			return err
		}
		// minimum is 0 and maximum absent, always (§4.2.1.10).
		if !seq.Empty() && !bytes.Equal(seq, []byte{0x80, 1, 0}) {
			return errors.New("a name constraint has a distance")
		}
		s := subtree{general: g, fold: strings.ToLower(string(g.text))}
		if err := s.check(); err != nil {
			return err
		}
		into[g.form] = append(into[g.form], s)
	}
	return nil
}

// check refuses constraints that say nothing certain.
func (s *subtree) check() error {
	ok := true
	switch {
	case s.form == nameDNS:
		ok = s.fold == "" || hostname(s.fold)
	case s.form == nameURI:
		// An address is no host name; "1.2.3.4" would be one by its letters.
		_, err := netip.ParseAddr(s.fold)
		ok = err != nil && hostname(strings.TrimPrefix(s.fold, "."))
	case s.form == nameRFC822, s.isPrincipal():
		_, host, at := cutLast(s.fold)
		if !at {
			host = strings.TrimPrefix(s.fold, ".")
		} else if strings.HasPrefix(s.fold, "@") && s.form == nameRFC822 {
			ok = false
		}
		ok = ok && hostname(host)
	case s.form == nameIP:
		half := len(s.text) / 2
		if half != 4 && half != 16 || len(s.text)%2 != 0 {
			return fmt.Errorf("an IP constraint has %d bytes", len(s.text))
		}
		s.text, s.mask = s.text[:half:half], s.text[half:]
		if ones, bits := net.IPMask(s.mask).Size(); ones == 0 && bits == 0 {
			ok = false
		}
	case s.form == nameDirectory:
		var err error
		s.keys, err = canonical(s.text)
		return err
	}
	if !ok {
		return fmt.Errorf("%q is no name constraint of form %d", s.text, s.form)
	}
	return nil
}

func (g general) isPrincipal() bool {
	return g.form == nameOther && bytes.Equal(g.other, principalName)
}

// cutLast cuts a mailbox or principal name at its last @.
func cutLast(s string) (local, host string, ok bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// hostname says whether s is labels of letters, digits and hyphens joined by
// dots (RFC 5280 §4.2.1.6, RFC 1034 §3.5 as RFC 1123 §2.1 widens it).
func hostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

// subject is a name of a certificate, ready for comparison.
type subject struct {
	general
	keys       []string
	local      string // of a mailbox or principal name, as it stands
	host       string // in lower case; of a URI, mailbox or principal name; a DNS name whole
	unreadable bool   // its form cannot be held against constraints
}

// subjects gives all names of a certificate that constraints apply to: the
// subject, the alternative names, and mail addresses within the subject. §4.2.1.10
// asks for those only where there is no alternative name; here they always
// count.
func subjects(cert *x509.Certificate, alt []general) ([]subject, error) {
	var all []subject
	for _, g := range alt {
		all = append(all, ready(g))
	}
	rdns, ok := readName(cert.RawSubject)
	if !ok {
		return nil, errName
	}
	if rdns.Empty() {
		return all, nil
	}
	all = append(all, ready(general{form: nameDirectory, text: cert.RawSubject}))
	var attrs []attribute
	for !rdns.Empty() {
		if attrs, ok = readRDN(&rdns, attrs[:0]); !ok {
			return nil, errName
		}
		for _, a := range attrs {
			if bytes.Equal(a.oid, emailAddress) {
				text, ok := a.text()
				s := ready(general{form: nameRFC822, text: []byte(text)})
				s.unreadable = s.unreadable || !ok
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// emailAddress is the contents of 1.2.840.113549.1.9.1 (PKCS#9).
var emailAddress = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1}

func ready(g general) subject {
	s := subject{general: g}
	switch {
	case g.form == nameDNS:
		s.host = strings.ToLower(string(g.text))
		s.unreadable = !hostname(strings.TrimPrefix(s.host, "*."))
	case g.form == nameRFC822, g.isPrincipal():
		var ok bool
		s.local, s.host, ok = cutLast(string(g.text))
		s.host = strings.ToLower(s.host)
		s.unreadable = !ok || s.local == "" || !hostname(s.host)
	case g.form == nameURI:
		// A constraint refuses what names no host, or an address (§4.2.1.10).
		u, err := url.Parse(string(g.text))
		if err != nil {
			s.unreadable = true
			break
		}
		s.host = strings.ToLower(u.Hostname())
		_, err = netip.ParseAddr(s.host)
		s.unreadable = err == nil || !hostname(s.host)
	case g.form == nameDirectory:
		keys, err := canonical(g.text)
		s.keys, s.unreadable = keys, err != nil
	case g.form == nameIP:
	default:
		s.unreadable = true
	}
	return s
}

// allow holds names against one CA's constraints. work counts down.
func (c *constraints) allow(names []subject, work *int) error {
	for i := range names {
		n := &names[i]
		for _, s := range c.excluded[n.form] {
			*work--
			if n.form == nameOther && !bytes.Equal(s.other, n.other) {
				continue
			}
			if n.unreadable || s.holds(n, true) {
				return fmt.Errorf("%q is excluded", n.text)
			}
		}
		bound, within := false, false
		for _, s := range c.permitted[n.form] {
			*work--
			if n.form == nameOther && !bytes.Equal(s.other, n.other) {
				continue
			}
			bound = true
			if within = !n.unreadable && s.holds(n, false); within {
				break
			}
		}
		if bound && !within {
			return fmt.Errorf("%q is not permitted", n.text)
		}
		if *work < 0 {
			return errWork
		}
	}
	return nil
}

// holds says whether a name lies in the subtree. For an excluded one the doubt
// is the name's: a wildcard that may stand for a name within counts, and letter
// case does not, and neither does a string type that cannot be compared.
func (s *subtree) holds(n *subject, excluded bool) bool {
	switch {
	case s.form == nameDNS:
		if s.fold == "" || n.host == s.fold || strings.HasSuffix(n.host, "."+s.fold) {
			return true
		}
		base, wild := strings.CutPrefix(n.host, "*.")
		_, parent, _ := strings.Cut(s.fold, ".")
		return excluded && wild && parent == base
	case s.form == nameURI:
		if strings.HasPrefix(s.fold, ".") {
			return strings.HasSuffix(n.host, s.fold)
		}
		return n.host == s.fold
	case s.form == nameRFC822, s.isPrincipal():
		return s.holdsMailbox(n, excluded)
	case s.form == nameDirectory:
		if len(s.keys) > len(n.keys) {
			return false
		}
		for i := len(s.keys) - 1; i >= 0; i-- { // the last part differs soonest
			if s.keys[i] != n.keys[i] && !(excluded && doubtful(s.keys[i], n.keys[i])) {
				return false
			}
		}
		return true
	case s.form == nameIP:
		if len(n.text) != len(s.text) {
			return false
		}
		for i := range s.text {
			if (n.text[i]^s.text[i])&s.mask[i] != 0 {
				return false
			}
		}
		return true
	}
	return true // a form that is not known: see ready
}

// holdsMailbox compares mail addresses (§4.2.1.10): a mailbox, a host, or with
// a dot before it all hosts below. Principal names follow the same rules, and
// "@host" means the host, as Windows writes it [K]; their letter case never
// counts.
func (s *subtree) holdsMailbox(n *subject, excluded bool) bool {
	local, host, at := cutLast(string(s.text))
	switch {
	case at && local != "":
		same := local == n.local || (excluded || s.form == nameOther) && strings.EqualFold(local, n.local)
		return same && strings.EqualFold(host, n.host)
	case at:
		return strings.EqualFold(host, n.host)
	case strings.HasPrefix(s.fold, "."):
		return strings.HasSuffix(n.host, s.fold)
	}
	return n.host == s.fold
}
