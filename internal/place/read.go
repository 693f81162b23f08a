package place

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a table. Today's complete ones have some 700,000 ranges in 35 MB.
const (
	maxBytes = 512 << 20
	maxLines = 8 << 20
	maxLine  = 4 << 10
	maxName  = 100 // of a network, as it is shown; longer ones are cut
)

func load(path, hosting string) (*ranges, error) {
	centres := map[uint32]bool{}
	if hosting != "" {
		f, err := os.Open(hosting)
		if err != nil {
			return nil, fmt.Errorf("the list of data centres cannot be read: %w", err)
		}
		defer f.Close()
		if centres, err = readASNs(f); err != nil {
			return nil, fmt.Errorf("the list of data centres %s cannot be used: %w", hosting, err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the table of places cannot be read: %w", err)
	}
	defer f.Close()
	r, err := read(f, centres)
	if err != nil {
		return nil, fmt.Errorf("the table of places %s cannot be used: %w", path, err)
	}
	return r, nil
}

// readASNs reads lines such as "16509" or "AS16509 # somebody".
func readASNs(in io.Reader) (map[uint32]bool, error) {
	all := map[uint32]bool{}
	s := bufio.NewScanner(io.LimitReader(in, maxBytes))
	s.Buffer(nil, maxLine)
	n := 0
	for s.Scan() {
		n++
		text, _, _ := strings.Cut(s.Text(), "#")
		fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == '\r' })
		if len(fields) == 0 {
			continue
		}
		asn, err := number(fields[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all[asn] = true
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return all, nil
}

// number reads an AS number.
func number(s string) (uint32, error) {
	if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
		s = s[2:]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no number of a network", s)
	}
	return uint32(n), nil
}

// reader makes ranges of lines.
type reader struct {
	n       int // of the line
	v4      []lined[range4]
	v6      []lined[range6]
	of      []info
	index   map[info]uint32
	names   map[string]string
	centres map[uint32]bool
}

// lined is a range and where it was read.
type lined[R any] struct {
	of   R
	line int
}

// read reads a table in either form, plain or compressed.
func read(in io.Reader, centres map[uint32]bool) (*ranges, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		b = bufio.NewReaderSize(z, 64<<10)
	}
	r := &reader{index: map[info]uint32{}, names: map[string]string{}, centres: centres}
	s := bufio.NewScanner(io.LimitReader(b, maxBytes))
	s.Buffer(nil, maxLine)
	for s.Scan() {
		r.n++
		if r.n > maxLines {
			return nil, fmt.Errorf("line %d: no table has so many", r.n)
		}
		line := strings.TrimSuffix(s.Text(), "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", r.n, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", r.n+1, err)
	}
	return r.finish()
}

func (r *reader) line(line string) error {
	if strings.IndexByte(line, '\t') >= 0 {
		return r.tabs(strings.Split(line, "\t"))
	}
	c := csv.NewReader(strings.NewReader(line))
	c.FieldsPerRecord = -1
	fields, err := c.Read()
	if err != nil {
		return errors.New("it is neither tab-separated nor comma-separated")
	}
	return r.commas(fields)
}

// tabs reads start, end, AS number, country, name.
func (r *reader) tabs(f []string) error {
	if len(f) != 5 {
		return fmt.Errorf("it has %d columns, and should have start, end, AS number, country and name", len(f))
	}
	first, err := netip.ParseAddr(f[0])
	if err != nil {
		return fmt.Errorf("%.60q is no address", f[0])
	}
	last, err := netip.ParseAddr(f[1])
	if err != nil {
		return fmt.Errorf("%.60q is no address", f[1])
	}
	asn, err := number(f[2])
	if err != nil {
		return err
	}
	name := f[4]
	if asn == 0 {
		name = "" // "Not routed"
	}
	return r.add(first, last, asn, f[3], name, false)
}

// commas reads network, country, AS number, name, hosting; the last three may
// be missing.
func (r *reader) commas(f []string) error {
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	if len(f) < 2 || len(f) > 5 {
		return fmt.Errorf("it has %d columns, and should have network, country, and then AS number, name and hosting", len(f))
	}
	p, err := netip.ParsePrefix(f[0])
	if err != nil || p != p.Masked() {
		return fmt.Errorf("%.60q is no network such as 192.0.2.0/24", f[0])
	}
	f = append(f, "", "", "")[:5]
	var asn uint32
	if f[2] != "" {
		if asn, err = number(f[2]); err != nil {
			return err
		}
	}
	if f[4] != "" && f[4] != "hosting" {
		return fmt.Errorf("the last column is %.40q: write hosting, or nothing", f[4])
	}
	return r.add(p.Addr(), lastOf(p), asn, f[1], f[3], f[4] != "")
}

// lastOf is the highest address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

func (r *reader) add(first, last netip.Addr, asn uint32, country, name string, hosting bool) error {
	if first.Zone() != "" || last.Zone() != "" || first.Is4() != last.Is4() || first.Is4In6() || last.Is4In6() || last.Less(first) {
		return fmt.Errorf("%s to %s is no range", first, last)
	}
	i := info{asn: asn, hosting: hosting || r.centres[asn] && asn != 0, name: r.name(name)}
	switch c := strings.ToUpper(country); {
	case c == "" || c == "-" || c == "NONE" || c == "ZZ" || c == "UNKNOWN":
	case len(c) == 2 && c[0] >= 'A' && c[0] <= 'Z' && c[1] >= 'A' && c[1] <= 'Z':
		i.country = [2]byte{c[0], c[1]}
	default:
		return fmt.Errorf("%.40q is no country of two letters", country)
	}
	if i == (info{}) {
		return nil // it says nothing
	}
	at, known := r.index[i]
	if !known {
		at = uint32(len(r.of))
		r.index[i] = at
		r.of = append(r.of, i)
	}
	if first.Is4() {
		a, b := first.As4(), last.As4()
		r.v4 = append(r.v4, lined[range4]{range4{binary.BigEndian.Uint32(a[:]), binary.BigEndian.Uint32(b[:]), at}, r.n})
		return nil
	}
	r.v6 = append(r.v6, lined[range6]{range6{first.As16(), last.As16(), at}, r.n})
	return nil
}

// name is what is kept of a network's name: one copy, printable, not too long.
func (r *reader) name(s string) string {
	s = strings.TrimSpace(s)
	if kept, ok := r.names[s]; ok {
		return kept
	}
	kept := strings.ToValidUTF8(s, "�")
	kept = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c >= 0x200b && c <= 0x200f || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0xfeff {
			return -1 // nor what turns the direction of a text
		}
		return c
	}, kept)
	for len(kept) > maxName {
		_, size := utf8.DecodeLastRuneInString(kept)
		kept = kept[:len(kept)-size]
	}
	kept = strings.Clone(kept)
	r.names[strings.Clone(s)] = kept
	return kept
}

// finish sorts, and refuses what says two things of one address.
func (r *reader) finish() (*ranges, error) {
	if len(r.v4)+len(r.v6) == 0 {
		return nil, errors.New("it has no ranges")
	}
	v4, err := sorted(r.v4, func(a, b range4) int { return cmp.Compare(a.first, b.first) }, func(a, b range4) bool { return b.first > a.last })
	if err != nil {
		return nil, err
	}
	v6, err := sorted(r.v6, func(a, b range6) int { return bytes.Compare(a.first[:], b.first[:]) },
		func(a, b range6) bool { return bytes.Compare(b.first[:], a.last[:]) > 0 })
	if err != nil {
		return nil, err
	}
	return &ranges{v4, v6, slices.Clip(r.of)}, nil
}

func sorted[R any](all []lined[R], order func(a, b R) int, apart func(a, b R) bool) ([]R, error) {
	slices.SortFunc(all, func(a, b lined[R]) int { return cmp.Or(order(a.of, b.of), cmp.Compare(a.line, b.line)) })
	out := make([]R, len(all))
	for i, l := range all {
		out[i] = l.of
		if i > 0 && !apart(all[i-1].of, l.of) {
			return nil, fmt.Errorf("line %d: it has addresses that line %d has, too", max(l.line, all[i-1].line), min(l.line, all[i-1].line))
		}
	}
	return out, nil
}
