package metadata

import (
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Model is a kind of key. Slices are shared and must not be changed.
type Model struct {
	AAGUID string   // lower-case GUID; "" for U2F keys, which KeyIDs tell apart
	KeyIDs []string // key identifiers of attestation certificates (RFC 5280 §4.2.1.2, method 1), lower-case hex
	Name   string   // "YubiKey 5 Series with NFC"
	Vendor string   // best guess from the name, or the roots' organisation; may be empty

	Certification string   // FIDO level in effect: "L1", "L1+" … "L3+", "FIDO" for the older scheme, or ""
	FIPS          string   // "FIPS 140 L2", or ""
	Protection    []string // key protection: "hardware", "secure_element", "tee", "software", …
	Transports    []string // hints how it is attached: "usb", "nfc", "internal", …
	Biometric     bool     // can verify its user by a body feature
	Icon          string   // data URI of a PNG or JPEG, checked; or ""

	Status Status
	Roots  [][]byte // DER of the anchors of its attestation
	Source Source
}

// Source is where a Model comes from.
type Source string

// The sources.
const (
	FromMDS Source = "mds"
	Bundled Source = "bundled" // a name only: nothing can be attested by it
)

// Verdict is what a model's status means for policy.
type Verdict = idp.ModelStatus

// The verdicts, from best to worst.
const (
	Fine   = idp.ModelFine
	Warn   = idp.ModelWarn
	Refuse = idp.ModelRefuse
)

// Status is the worst that status reports in effect say of a model.
type Status struct {
	Verdict Verdict
	Word    string    // the report's own word, "REVOKED"; "" when the verdict is Fine
	Since   time.Time // its effective date; zero: not said
	URL     string    // where it says more, if it does
}

// Level orders certifications, for rules such as "L2 or better": 0 for none,
// then "FIDO" 1, "L1" 2, "L1+" 3, "L2" 4, "L2+" 5, "L3" 6, "L3+" 7. An unknown
// word is -1.
func Level(certification string) int {
	return slices.Index([]string{"", "FIDO", "L1", "L1+", "L2", "L2+", "L3", "L3+"}, certification)
}

// entry is a model with what must be judged by the time of asking.
type entry struct {
	Model
	reports []report
	burnt   [][32]byte // SHA-256 of attestation certificates that are known to be stolen
	folded  string     // name and vendor in lower case, for Search

	pool func() (*x509.CertPool, int) // Roots, parsed when first needed, and how many
}

func (e *entry) parseRoots() (*x509.CertPool, int) {
	pool, n := x509.NewCertPool(), 0
	for _, der := range e.Roots {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
			n++
		}
	}
	return pool, n
}

// at is the model as it is at a time: reports have dates.
func (e *entry) at(now time.Time) Model {
	m := e.Model
	m.Status = statusOf(e.reports, now)
	if m.Status.Verdict != Refuse || m.Status.Word != revoked {
		m.Certification, m.FIPS = certified(e.reports, now)
	}
	return m
}

// set is everything that is known at one time. It never changes.
type set struct {
	number     int64
	nextUpdate time.Time
	fetched    time.Time
	source     string
	entries    []*entry          // those of the MDS by name, then bundled ones
	byAAGUID   map[string]*entry // lower case
	byKeyID    map[string]*entry // lower-case hex
	mds        int               // how many entries are of the MDS
	skipped    int               // entries that had nothing to be known by
	doubled    int               // entries for an AAGUID that was there before

	names func() map[string]string // by AAGUID, made when first needed
}

// index completes a set: bundled names for what the MDS does not have, order,
// and look-up tables.
func (s *set) index() {
	s.mds = len(s.entries)
	for _, aaguid := range sortedKeys(bundled) {
		if s.byAAGUID[aaguid] == nil {
			b := bundled[aaguid]
			e := &entry{Model: Model{AAGUID: aaguid, Name: b.name, Vendor: b.vendor, Source: Bundled}}
			s.entries = append(s.entries, e)
			s.byAAGUID[aaguid] = e
		}
	}
	for _, e := range s.entries {
		e.folded = strings.ToLower(e.Name + " " + e.Vendor)
		e.pool = sync.OnceValues(e.parseRoots)
	}
	slices.SortStableFunc(s.entries, func(a, b *entry) int {
		if c := strings.Compare(a.folded, b.folded); c != 0 {
			return c
		}
		return strings.Compare(a.AAGUID, b.AAGUID)
	})
	s.names = sync.OnceValue(s.listNames)
}

func (s *set) listNames() map[string]string {
	out := make(map[string]string, len(s.byAAGUID))
	for aaguid, e := range s.byAAGUID {
		out[aaguid] = e.Name
	}
	return out
}

// empty is what is known without the MDS.
func empty() *set {
	s := &set{byAAGUID: map[string]*entry{}, byKeyID: map[string]*entry{}}
	s.index()
	return s
}
