package pkixtest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// List is a revocation list that is about to be signed, part by part, so that
// each can be as it must not be. Zero values give an ordinary one.
type List struct {
	Issuer     []byte // the name, DER; nil: the authority's
	Version    int    // 0: 2; below 0: it tells none
	This, Next time.Time
	NoNext     bool
	Number     *big.Int // nil: none
	Entries    []ListEntry
	Raw        []byte // entries as they are, instead of Entries
	Extensions []pkix.Extension
	// Algorithms of the list and of its signed part, DER; nil: ECDSA with SHA-256.
	Outer, Inner []byte
	SHA1         bool // sign so
}

// ListEntry is an entry of a list.
type ListEntry struct {
	Serial     *big.Int
	Raw        []byte // the serial number as it is; instead of Serial
	When       time.Time
	WhenDER    []byte // instead of When
	Extensions []pkix.Extension
}

var (
	ecdsaSHA256 = []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}
	ecdsaSHA1   = []byte{0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1}
)

// List signs l by the authority's key, which must be of P-256.
func (a *Authority) List(l List) []byte {
	a.t.Helper()
	algorithm := ecdsaSHA256
	if l.SHA1 {
		algorithm = ecdsaSHA1
	}
	if l.Issuer == nil {
		l.Issuer = a.Cert.RawSubject
	}
	if l.Inner == nil {
		l.Inner = algorithm
	}
	if l.Outer == nil {
		l.Outer = algorithm
	}
	tbs := l.tbs(a.t)
	hash := crypto.SHA256
	if l.SHA1 {
		hash = crypto.SHA1
	}
	h := hash.New()
	h.Write(tbs)
	sig, err := a.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		a.t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(l.Outer)
		b.AddASN1BitString(sig)
	})
	return finish(a.t, &b)
}

func (l List) tbs(t testing.TB) []byte {
	t.Helper()
	extensions := l.Extensions
	if l.Number != nil {
		extensions = append([]pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 20}, Value: DER(t, l.Number)}}, extensions...)
	}
	var b cryptobyte.Builder
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		switch {
		case l.Version == 0:
			b.AddASN1Int64(1)
		case l.Version > 0:
			b.AddASN1Int64(int64(l.Version - 1))
		}
		b.AddBytes(l.Inner)
		b.AddBytes(l.Issuer)
		b.AddASN1UTCTime(l.This.UTC())
		if !l.NoNext {
			b.AddASN1UTCTime(l.Next.UTC())
		}
		if l.Raw != nil {
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(l.Raw) })
		}
		if len(l.Entries) > 0 {
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, e := range l.Entries {
					e.add(t, b)
				}
			})
		}
		if extensions != nil {
			b.AddASN1(tags.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(DER(t, extensions)) })
		}
	})
	return finish(t, &b)
}

func (e ListEntry) add(t testing.TB, b *cryptobyte.Builder) {
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		if e.Raw != nil {
			b.AddASN1(tags.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(e.Raw) })
		} else {
			b.AddASN1BigInt(e.Serial)
		}
		switch {
		case e.WhenDER != nil:
			b.AddBytes(e.WhenDER)
		case e.When.Year() >= 2050:
			b.AddASN1GeneralizedTime(e.When.UTC())
		default:
			b.AddASN1UTCTime(e.When.UTC())
		}
		if e.Extensions != nil {
			b.AddBytes(DER(t, e.Extensions))
		}
	})
}

func finish(t testing.TB, b *cryptobyte.Builder) []byte {
	t.Helper()
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Because is the reason of an entry (RFC 5280 §5.3.1).
func Because(t testing.TB, code int) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 21}, Value: DER(t, asn1.Enumerated(code))}
}

// Of names the certificate issuer of an entry (RFC 5280 §5.3.3).
func Of(t testing.TB, name []byte) pkix.Extension {
	var b cryptobyte.Builder
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(DirectoryName(name)) })
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: finish(t, &b)}
}

// DeltaOf makes a list a delta of that base (RFC 5280 §5.2.4).
func DeltaOf(t testing.TB, base int64) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: DER(t, big.NewInt(base))}
}

// KeyID is an authority key identifier.
func KeyID(t testing.TB, id []byte) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 35}, Value: DER(t, struct {
		ID []byte `asn1:"optional,tag:0"`
	}{id})}
}

// DirectoryName is a general name with a Name (its DER) in it.
func DirectoryName(name []byte) []byte { return wrap(0xa4, name) }

// URI is a general name with an address in it.
func URI(address string) []byte { return wrap(0x86, []byte(address)) }

func wrap(tag uint8, content ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tags.Tag(tag), func(b *cryptobyte.Builder) {
		for _, c := range content {
			b.AddBytes(c)
		}
	})
	return b.BytesOrPanic()
}

// Point is a distribution point: full names or a relative one (the content of
// the set), reasons as their flags, 1<<1 for keyCompromise and so on, and who
// issues the list. Each may be absent.
type Point struct {
	Full     [][]byte // general names
	Relative []byte
	Reasons  uint16
	Issuers  [][]byte
}

func (p Point) name() []byte {
	switch {
	case p.Full != nil:
		return wrap(0xa0, wrap(0xa0, p.Full...))
	case p.Relative != nil:
		return wrap(0xa0, wrap(0xa1, p.Relative))
	}
	return nil
}

// flags is the content of a bit string of nine named bits.
func flags(r uint16) []byte {
	out := []byte{7, 0, 0}
	for i := range 9 {
		if r&(1<<i) != 0 {
			out[1+i/8] |= 0x80 >> (i % 8)
		}
	}
	return out
}

// Points are the distribution points of a certificate (RFC 5280 §4.2.1.13).
func Points(points ...Point) pkix.Extension {
	var all [][]byte
	for _, p := range points {
		parts := [][]byte{p.name()}
		if p.Reasons != 0 {
			parts = append(parts, wrap(0x81, flags(p.Reasons)))
		}
		if p.Issuers != nil {
			parts = append(parts, wrap(0xa2, p.Issuers...))
		}
		all = append(all, wrap(0x30, parts...))
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: wrap(0x30, all...)}
}

// Issuing is the issuing distribution point of a list (RFC 5280 §5.2.5); of
// Point, Issuers are not used.
type Issuing struct {
	Point
	Users, Authorities, Attributes, Indirect bool
}

// Scope is that extension.
func Scope(s Issuing) pkix.Extension {
	parts := [][]byte{s.name()}
	flag := func(tag uint8, on bool) {
		if on {
			parts = append(parts, []byte{tag, 1, 0xff})
		}
	}
	flag(0x81, s.Users)
	flag(0x82, s.Authorities)
	if s.Reasons != 0 {
		parts = append(parts, wrap(0x83, flags(s.Reasons)))
	}
	flag(0x84, s.Indirect)
	flag(0x85, s.Attributes)
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: wrap(0x30, parts...)}
}

// Name is a Name of one common name, and RDN the content of the set that is
// below it in a relative one.
func Name(t testing.TB, cn string) []byte {
	return DER(t, pkix.Name{Organization: []string{"Nordhafen"}, CommonName: cn}.ToRDNSequence())
}

// RDN is the content of a set with a common name.
func RDN(t testing.TB, cn string) []byte {
	return DER(t, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: cn})
}

// BigList signs a list of n entries with serial numbers of 16 octets, half of
// them with a reason: about 42 bytes an entry.
func (a *Authority) BigList(now time.Time, n int) []byte {
	a.t.Helper()
	var entry cryptobyte.Builder
	ListEntry{Raw: make([]byte, 16), When: now.Add(-time.Hour)}.add(a.t, &entry)
	plain := finish(a.t, &entry)[2:] // the serial number, the time
	reason := DER(a.t, []pkix.Extension{Because(a.t, 1)})
	entries := make([]byte, 0, n*(len(plain)+len(reason)/2+3))
	for i := range n {
		more := reason
		if i%2 != 0 {
			more = nil
		}
		serial := bigSerial(i)
		entries = append(entries, 0x30, byte(len(plain)+len(more)))
		entries = append(append(append(entries, plain[:2]...), serial[:]...), plain[18:]...)
		entries = append(entries, more...)
	}
	return a.List(List{This: now.Add(-time.Minute), Next: now.Add(7 * 24 * time.Hour), Number: big.NewInt(1), Raw: entries})
}

func bigSerial(i int) [16]byte {
	sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)})
	sum[0] = sum[0]&0x7f | 0x40
	return [16]byte(sum[:16])
}

// BigSerial is the serial number of an entry of BigList; those of even numbers
// have a reason, 1.
func BigSerial(i int) *big.Int {
	b := bigSerial(i)
	return new(big.Int).SetBytes(b[:])
}
