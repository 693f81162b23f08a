package pkix

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of revocation lists. Whoever reads one bounds its size.
const (
	// maxSerial is what RFC 5280 §4.1.2.2 asks for, 20 octets, and the zero that
	// keeps a number with its highest bit set from being negative.
	maxSerial = 21
	// maxIssuers is how many certificate issuers an indirect list may name.
	maxIssuers = 4096
	// maxListHead is how long everything but entries may be, in bytes.
	maxListHead = 64 << 10
)

// removeFromCRL is the reason by which a delta takes an entry back (RFC 5280
// §5.3.1).
const removeFromCRL = 8

// CRL is a revocation list. Its fields are read only. It is safe for
// concurrent use once nobody calls Bind any more.
type CRL struct {
	Issuer                 []byte    // the name, DER
	ThisUpdate, NextUpdate time.Time // of NextUpdate there is always one
	// NextPublish is when Microsoft's authorities say that the next list comes
	// out, before NextUpdate; zero: they do not.
	NextPublish time.Time
	Number      *big.Int // the CRL number
	// Base is the number of the complete list that a delta changes; nil: this
	// list is complete in its scope.
	Base      *big.Int
	KeyID     []byte   // authority key identifier; nil: none
	Freshest  []string // addresses of deltas, as the list gives them
	Algorithm x509.SignatureAlgorithm
	scope     *scope // nil: all of its issuer's certificates

	stub    []byte   // the list as it came, without entries
	signed  []byte   // what the signature is over; nil once bound
	sign    []byte   // the signature
	signer  [32]byte // SHA-256 of the key that made it, when bound
	bound   bool
	issuers [][]byte // certificate issuers of an indirect list; the first is Issuer
	entries []record // sorted
	marks   []uint64 // of each block of entries, for first
}

// record is an entry. A million of them are 32 MB, whatever the list is like:
// an entry of a list has at least 20 bytes, so that there is a bound of 1.6 of
// its size.
type record struct {
	serial [maxSerial]byte // as in DER, two's complement, filled up with zeros
	n      uint8           // how long serial is
	reason uint8
	when   uint32 // seconds since 1970
	issuer uint32 // index in CRL.issuers
}

// Entry is what a list says of a certificate.
type Entry struct {
	// When it was revoked, to the second; what lies outside 1970 to 2106 is
	// told as the nearest of these.
	When   time.Time
	Reason int // RFC 5280 §5.3.1; 0: unspecified
}

// Len is how many entries there are, duplicates counted once.
func (c *CRL) Len() int { return len(c.entries) }

// Size is about how many bytes of memory the entries take.
func (c *CRL) Size() int { return cap(c.entries)*32 + len(c.stub) + len(c.signed) }

// Delta says that the list only tells what changed since another.
func (c *CRL) Delta() bool { return c.Base != nil }

// Indirect says that the list may tell of certificates of other issuers (RFC
// 5280 §5.2.5).
func (c *CRL) Indirect() bool { return c.scope != nil && c.scope.indirect }

// Find looks for a certificate of the list's own issuer.
func (c *CRL) Find(serial *big.Int) (Entry, bool) { return c.find(serial, c.Issuer) }

// find looks for the certificate of issuer with that serial number.
func (c *CRL) find(serial *big.Int, issuer []byte) (Entry, bool) {
	var want record
	if !want.setNumber(serial) {
		return Entry{}, false
	}
	for at := c.first(&want); at < len(c.entries) && compareSerials(&c.entries[at], &want) == 0; at++ {
		r := &c.entries[at]
		if name := c.issuers[r.issuer]; bytes.Equal(name, issuer) || SameName(name, issuer) {
			return Entry{When: time.Unix(int64(r.when), 0).UTC(), Reason: int(r.reason)}, true
		}
	}
	return Entry{}, false
}

// block is how many entries lie between two marks.
const block = 64

// mark is the beginning of a record as a number, in the order of records: a
// search among a million of those stays in the processor's caches, as one among
// the records does not.
func (r *record) mark() uint64 { return uint64(r.n)<<59 | binary.BigEndian.Uint64(r.serial[:])>>5 }

// setMarks is for entries that are sorted.
func (c *CRL) setMarks() {
	c.marks = make([]uint64, 0, (len(c.entries)+block-1)/block)
	for at := 0; at < len(c.entries); at += block {
		c.marks = append(c.marks, c.entries[at].mark())
	}
}

// first is the place of the first entry that is not before want. A sign-in
// waits for it.
func (c *CRL) first(want *record) int {
	mark := want.mark()
	from, found := slices.BinarySearch(c.marks, mark)
	to := from
	if found { // records may begin alike
		to += sort.Search(len(c.marks)-from, func(i int) bool { return c.marks[from+i] > mark })
	}
	low, high := max(from-1, 0)*block, min(to*block, len(c.entries))
	for low < high {
		if mid := int(uint(low+high) / 2); compareSerials(&c.entries[mid], want) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func (r *record) setSerial(b []byte) bool {
	if len(b) == 0 || len(b) > maxSerial {
		return false
	}
	copy(r.serial[:], b)
	r.n = uint8(len(b))
	return true
}

// setNumber is setSerial of a number, without a detour.
func (r *record) setNumber(n *big.Int) bool {
	if n.Sign() < 0 {
		return r.setSerial(serialBytes(n))
	}
	size := n.BitLen()/8 + 1
	if size > maxSerial {
		return false
	}
	n.FillBytes(r.serial[:size])
	r.n = uint8(size)
	return true
}

func compareSerials(a, b *record) int {
	if a.n != b.n {
		return int(a.n) - int(b.n)
	}
	if x, y := binary.BigEndian.Uint64(a.serial[:]), binary.BigEndian.Uint64(b.serial[:]); x != y {
		return cmp.Compare(x, y)
	}
	return bytes.Compare(a.serial[8:], b.serial[8:])
}

// compare orders records of one serial number and issuer so that what is
// revoked comes before what is taken back: when in doubt it is revoked.
func compare(a, b record) int {
	if by := compareSerials(&a, &b); by != 0 {
		return by
	}
	if by := cmp.Compare(a.issuer, b.issuer); by != 0 {
		return by
	}
	if back := a.reason == removeFromCRL; back != (b.reason == removeFromCRL) {
		if back {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.when, b.when)
}

// serialBytes is a number as DER has it, without tag and length.
func serialBytes(n *big.Int) []byte {
	if n.Sign() >= 0 {
		b := make([]byte, n.BitLen()/8+1)
		return n.FillBytes(b)
	}
	// Two's complement of the shortest length that holds it.
	size := new(big.Int).Not(n).BitLen()/8 + 1
	return new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(size)*8)).FillBytes(make([]byte, size))
}

// ParseCRL reads a list, DER or PEM, of any order and with duplicates. It
// keeps der until Bind. What it refuses is a *Fault: Malformed, UnknownCritical
// (an extension of list or entry that decides and is not known, RFC 5280 §5.2
// and §5.3) or TooBig. The signature is not looked at.
//
// A list without number or without a time by which the next comes is refused:
// both are duties of whoever issues it (§5.1.2.5, §5.2.3).
func ParseCRL(der []byte) (*CRL, error) {
	if start := bytes.TrimLeft(der, "\ufeff \t\r\n"); bytes.HasPrefix(start, []byte("-----BEGIN")) {
		block, _ := pem.Decode(start)
		if block == nil || block.Type != "X509 CRL" {
			return nil, malformed("PEM, but not of a list")
		}
		der = block.Bytes
	}
	p, err := splitCRL(der)
	if err != nil {
		return nil, err
	}
	c, err := readHead(p.stub)
	if err != nil {
		return nil, err
	}
	c.signed = p.tbs
	if err := c.readEntries(p.entries); err != nil {
		return nil, err
	}
	return c, nil
}

// parts are those of a list.
type parts struct {
	tbs     []byte            // what is signed
	entries cryptobyte.String // of the sequence of entries
	stub    []byte            // a list like it without entries
}

// splitCRL takes the entries out of a list, so that crypto/x509 can read the
// rest.
func splitCRL(der []byte) (parts, error) {
	in := cryptobyte.String(der)
	var list, element, tbs, algorithm, sign, version, inner, issuer, this, next, extensions cryptobyte.String
	if !in.ReadASN1(&list, asn1.SEQUENCE) || !in.Empty() {
		return parts{}, malformed("not a list, or followed by something")
	}
	if !list.ReadASN1Element(&element, asn1.SEQUENCE) || !list.ReadASN1Element(&algorithm, asn1.SEQUENCE) ||
		!list.ReadASN1Element(&sign, asn1.BIT_STRING) || !list.Empty() {
		return parts{}, malformed("not a list")
	}
	p := parts{tbs: element}
	tbs = element
	if !tbs.ReadASN1(&tbs, asn1.SEQUENCE) || !tbs.ReadASN1Element(&version, asn1.INTEGER) {
		return parts{}, malformed("not a list of version 2")
	}
	if !tbs.ReadASN1Element(&inner, asn1.SEQUENCE) || !tbs.ReadASN1Element(&issuer, asn1.SEQUENCE) || !readTime(&tbs, &this) {
		return parts{}, malformed("head of the list")
	}
	if !readTime(&tbs, &next) {
		return parts{}, malformed("it does not say when the next list comes")
	}
	if tbs.PeekASN1Tag(asn1.SEQUENCE) && !tbs.ReadASN1(&p.entries, asn1.SEQUENCE) {
		return parts{}, malformed("entries")
	}
	if !tbs.ReadASN1Element(&extensions, asn1.Tag(0).Constructed().ContextSpecific()) || !tbs.Empty() {
		return parts{}, malformed("extensions of the list")
	}
	if len(issuer)+len(extensions)+len(sign)+len(algorithm)+len(inner) > maxListHead {
		return parts{}, &Fault{Reason: TooBig, Err: fmt.Errorf("list: its head has more than %d bytes", maxListHead)}
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, e := range []cryptobyte.String{version, inner, issuer, this, next, extensions} {
				b.AddBytes(e)
			}
		})
		b.AddBytes(algorithm)
		b.AddBytes(sign)
	})
	var err error
	p.stub, err = b.Bytes()
	return p, err
}

// readTime reads a time of either kind as it is.
func readTime(in, out *cryptobyte.String) bool {
	var tag asn1.Tag
	return (in.PeekASN1Tag(asn1.UTCTime) || in.PeekASN1Tag(asn1.GeneralizedTime)) && in.ReadAnyASN1Element(out, &tag)
}

// readEntries reads the entries: counted first, so that they are put in an
// array of just that size.
func (c *CRL) readEntries(in cryptobyte.String) error {
	n := 0
	for left := in; !left.Empty(); n++ {
		if !left.SkipASN1(asn1.SEQUENCE) {
			return malformed("entry %d", n+1)
		}
	}
	c.entries = make([]record, 0, n)
	known := map[string]uint32{string(c.Issuer): 0}
	c.issuers = [][]byte{c.Issuer}
	issuer := uint32(0) // that of the entry before (RFC 5280 §5.3.3)
	for i := 1; !in.Empty(); i++ {
		e, err := readEntry(&in)
		if err != nil {
			return fault(err, "entry %d", i)
		}
		if e.issuer != nil {
			if c.scope == nil || !c.scope.indirect {
				return malformed("entry %d: of another issuer in a list that is not indirect", i)
			}
			at, ok := known[string(e.issuer)]
			if !ok {
				if at = uint32(len(c.issuers)); at >= maxIssuers {
					return &Fault{Reason: TooBig, Err: fmt.Errorf("list: more than %d issuers", maxIssuers)}
				}
				name := bytes.Clone(e.issuer)
				known[string(name)], c.issuers = at, append(c.issuers, name)
			}
			issuer = at
		}
		if e.reason == removeFromCRL && c.Base == nil {
			return malformed("entry %d: taken back in a list that is complete", i)
		}
		r := record{reason: e.reason, when: e.when, issuer: issuer}
		if !r.setSerial(e.serial) {
			return &Fault{Reason: TooBig, Err: fmt.Errorf("list: serial number of entry %d", i)}
		}
		c.entries = append(c.entries, r)
	}
	if !slices.IsSortedFunc(c.entries, compare) {
		slices.SortFunc(c.entries, compare)
	}
	c.entries = slices.CompactFunc(c.entries, func(a, b record) bool { return compareSerials(&a, &b) == 0 && a.issuer == b.issuer })
	c.setMarks()
	return nil
}

// entry is one as it is read.
type entry struct {
	serial []byte
	when   uint32
	reason uint8
	issuer []byte // nil: that of the entry before
}

// readEntry reads an entry of RFC 5280 §5.1.2.6.
func readEntry(in *cryptobyte.String) (entry, error) {
	var e entry
	var seq, serial, extensions cryptobyte.String
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1(&serial, asn1.INTEGER) || !minimal(serial) {
		return e, errors.New("serial number")
	}
	e.serial = serial
	var ok bool
	if e.when, ok = readSeconds(&seq); !ok {
		return e, errors.New("time")
	}
	if seq.Empty() {
		return e, nil
	}
	if !seq.ReadASN1(&extensions, asn1.SEQUENCE) || !seq.Empty() {
		return e, errors.New("extensions")
	}
	return e, e.readExtensions(extensions)
}

// minimal says that an integer is no longer than it must be.
func minimal(b []byte) bool {
	return len(b) > 0 && (len(b) == 1 || !(b[0] == 0 && b[1] < 0x80) && !(b[0] == 0xff && b[1] >= 0x80))
}

// Object identifiers of extensions, DER without tag and length.
var (
	rawReason            = []byte{0x55, 29, 21}
	rawInvalidityDate    = []byte{0x55, 29, 24}
	rawCertificateIssuer = []byte{0x55, 29, 29}
)

// readExtensions reads those of an entry: RFC 5280 §5.3. An unknown one that is
// critical means that the whole list is not to be used.
func (e *entry) readExtensions(in cryptobyte.String) error {
	var seen [3]bool
	once := func(i int) error {
		if seen[i] {
			return errors.New("an extension twice")
		}
		seen[i] = true
		return nil
	}
	for !in.Empty() {
		var ext, id, value cryptobyte.String
		var critical bool
		if !in.ReadASN1(&ext, asn1.SEQUENCE) || !ext.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) ||
			ext.PeekASN1Tag(asn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical) || !ext.ReadASN1(&value, asn1.OCTET_STRING) || !ext.Empty() {
			return errors.New("extension")
		}
		var err error
		switch {
		case bytes.Equal(id, rawReason):
			var reason int
			if err = once(0); err == nil && (!value.ReadASN1Enum(&reason) || !value.Empty() || reason < 0 || reason > math.MaxUint8) {
				err = errors.New("reason")
			}
			e.reason = uint8(reason)
		case bytes.Equal(id, rawInvalidityDate):
			// When the key was lost may lie before the time of the entry, which is
			// nothing that a sign-in of now could use.
			err = once(1)
		case bytes.Equal(id, rawCertificateIssuer):
			if err = once(2); err == nil {
				e.issuer, err = directoryNameOf(value)
			}
		case critical:
			err = &Fault{Reason: UnknownCritical, Err: fmt.Errorf("extension %x", []byte(id))}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// directoryNameOf reads the one directory name of general names.
func directoryNameOf(in cryptobyte.String) ([]byte, error) {
	names, ok := readGeneralNames(&in)
	if !ok || !in.Empty() {
		return nil, errors.New("certificate issuer")
	}
	var found []byte
	for _, n := range names {
		if n.tag != directoryName {
			continue
		}
		if found != nil {
			return nil, errors.New("two certificate issuers")
		}
		found = n.value
	}
	if found == nil {
		return nil, errors.New("no certificate issuer")
	}
	return found, nil
}

// readSeconds reads a time, to the second and within what an Entry tells.
func readSeconds(in *cryptobyte.String) (uint32, bool) {
	var raw cryptobyte.String
	at, ok := time.Time{}, false
	switch {
	case in.PeekASN1Tag(asn1.UTCTime):
		if !in.ReadASN1(&raw, asn1.UTCTime) || len(raw) != 13 {
			return 0, false
		}
		year, fine := digits(raw[:2])
		if year += 1900; year < 1950 { // RFC 5280 §4.1.2.5.1
			year += 100
		}
		at, ok = clock(year, raw[2:])
		ok = ok && fine
	case in.PeekASN1Tag(asn1.GeneralizedTime):
		if !in.ReadASN1(&raw, asn1.GeneralizedTime) || len(raw) != 15 {
			return 0, false
		}
		year, fine := digits(raw[:4])
		at, ok = clock(year, raw[4:])
		ok = ok && fine
	}
	return uint32(min(max(at.Unix(), 0), math.MaxUint32)), ok
}

// clock reads month to second and the Z after them.
func clock(year int, b []byte) (time.Time, bool) {
	var v [5]int
	for i := range v {
		var ok bool
		if v[i], ok = digits(b[2*i : 2*i+2]); !ok {
			return time.Time{}, false
		}
	}
	at := time.Date(year, time.Month(v[0]), v[1], v[2], v[3], v[4], 0, time.UTC)
	// What does not exist, the 31st of June, comes out as something else.
	same := int(at.Month()) == v[0] && at.Day() == v[1] && at.Hour() == v[2] && at.Minute() == v[3] && at.Second() == v[4]
	return at, same && b[10] == 'Z'
}

func digits(b []byte) (n int, ok bool) {
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, true
}

// keyHash names a key by which a list was signed.
func keyHash(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func malformed(format string, args ...any) *Fault {
	return &Fault{Reason: Malformed, Err: fmt.Errorf("list: "+format, args...)}
}

// fault puts what was read before an error, and keeps the reason it has.
func fault(err error, format string, args ...any) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return &Fault{Reason: f.Reason, Err: fmt.Errorf("list: "+format+": %w", append(args, f.Err)...)}
	}
	return malformed(format+": %w", append(args, err)...)
}
