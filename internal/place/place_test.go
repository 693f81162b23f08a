package place

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const tabs = "1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET\n" +
	"1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n" +
	"1.0.4.0\t1.0.7.255\t38803\tAU\tGTELECOM Gtelecom Pty Ltd\n" +
	"2001:200::\t2001:200:5ff:ffff:ffff:ffff:ffff:ffff\t2500\tJP\tWIDE-BB WIDE Project\n"

const commas = "# ours\n10.0.0.0/8,\n198.51.100.0/24,DE,64500,\"Example, Inc.\",hosting\r\n" +
	"203.0.113.0/24,fr\n2a00:1450::/32,IE,15169,GOOGLE\n"

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, text, hosting string) *Table {
	t.Helper()
	if hosting != "" {
		hosting = write(t, "hosting", hosting)
	}
	table, err := Open(write(t, "table", text), hosting)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLook(t *testing.T) {
	for _, c := range []struct {
		name, text, hosting, ip string
		want                    Answer
	}{
		{"first of a range", tabs, "", "1.0.0.0", Answer{Country, "US", 13335, "CLOUDFLARENET", false}},
		{"last of a range", tabs, "", "1.0.0.255", Answer{Country, "US", 13335, "CLOUDFLARENET", false}},
		{"not routed", tabs, "", "1.0.2.1", Answer{Kind: Unknown}},
		{"before the first", tabs, "", "0.255.255.255", Answer{Kind: Unknown}},
		{"after the last", tabs, "", "1.0.8.0", Answer{Kind: Unknown}},
		{"mapped", tabs, "", "::ffff:1.0.4.9", Answer{Country, "AU", 38803, "GTELECOM Gtelecom Pty Ltd", false}},
		{"first of IPv6", tabs, "", "2001:200::", Answer{Country, "JP", 2500, "WIDE-BB WIDE Project", false}},
		{"last of IPv6", tabs, "", "2001:200:5ff:ffff:ffff:ffff:ffff:ffff", Answer{Country, "JP", 2500, "WIDE-BB WIDE Project", false}},
		{"after IPv6", tabs, "", "2001:200:600::", Answer{Kind: Unknown}},
		{"a data centre by the list", tabs, "# known\nAS13335 # somebody\n\n64500\n", "1.0.0.7", Answer{Country, "US", 13335, "CLOUDFLARENET", true}},
		{"not on the list", tabs, "13335", "1.0.4.7", Answer{Country, "AU", 38803, "GTELECOM Gtelecom Pty Ltd", false}},
		{"comma-separated", commas, "", "198.51.100.255", Answer{Country, "DE", 64500, "Example, Inc.", true}},
		{"country only", commas, "", "203.0.113.1", Answer{Country, "FR", 0, "", false}},
		{"comma-separated IPv6", commas, "", "2a00:1450:ffff::1", Answer{Country, "IE", 15169, "GOOGLE", false}},
		{"private, whatever a table says", commas, "", "10.1.2.3", Answer{Kind: Private}},
		{"private", tabs, "", "192.168.7.7", Answer{Kind: Private}},
		{"between provider and customer", tabs, "", "100.64.0.1", Answer{Kind: Private}},
		{"unique local", tabs, "", "fd00::1", Answer{Kind: Private}},
		{"link-local", tabs, "", "fe80::1%eth0", Answer{Kind: Private}},
		{"this machine", tabs, "", "127.0.0.1", Answer{Kind: This}},
		{"this machine by IPv6", tabs, "", "::1", Answer{Kind: This}},
		{"mapped loopback", tabs, "", "::ffff:127.0.0.1", Answer{Kind: This}},
		{"no address in particular", tabs, "", "0.0.0.0", Answer{Kind: Unknown}},
		{"multicast", tabs, "", "224.0.0.1", Answer{Kind: Unknown}},
		{"compressed", zipped(t, tabs), "", "1.0.0.1", Answer{Country, "US", 13335, "CLOUDFLARENET", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := open(t, c.text, c.hosting).Look(netip.MustParseAddr(c.ip)); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	if got := open(t, tabs, "").Look(netip.Addr{}); got != (Answer{Kind: Unknown}) {
		t.Errorf("of no address: %+v", got)
	}
}

func TestWithoutATable(t *testing.T) {
	table, err := Open("", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Look(netip.MustParseAddr("1.0.0.1")); got != (Answer{Kind: Unknown}) {
		t.Errorf("%+v", got)
	}
	if got := table.Look(netip.MustParseAddr("192.168.0.1")).Kind; got != Private {
		t.Errorf("private: %s", got)
	}
	if changed, err := table.Refresh(); changed || err != nil {
		t.Error(changed, err)
	}
}

// TestNames: what a file calls a network is shown to people, so it turns no
// text around and is not endless.
func TestNames(t *testing.T) {
	table := open(t, "1.0.0.0\t1.0.0.255\t1\tUS\tA\u202eB\x07C\xff"+strings.Repeat("é", 100)+"\n", "")
	got := table.Look(netip.MustParseAddr("1.0.0.1")).Network
	if !strings.HasPrefix(got, "ABC�é") || len(got) > maxName || strings.ToValidUTF8(got, "?") != got {
		t.Errorf("%q", got)
	}
}

func TestRefused(t *testing.T) {
	good := "9.0.0.0\t9.0.0.255\t1\tUS\tX\n"
	for _, c := range []struct{ name, text, want string }{
		{"no address", good + "x\t1.0.0.1\t1\tUS\tX\n", "line 2"},
		{"no second address", good + "1.0.0.0\tx\t1\tUS\tX\n", "line 2"},
		{"backwards", good + "1.0.0.9\t1.0.0.1\t1\tUS\tX\n", "line 2: 1.0.0.9 to 1.0.0.1 is no range"},
		{"of two kinds", good + "1.0.0.9\t::1\t1\tUS\tX\n", "line 2"},
		{"mapped", good + "::ffff:1.0.0.0\t::ffff:1.0.0.9\t1\tUS\tX\n", "line 2"},
		{"AS number", good + "1.0.0.0\t1.0.0.1\tmany\tUS\tX\n", `line 2: "many" is no number`},
		{"AS number too large", good + "1.0.0.0\t1.0.0.1\t4294967296\tUS\tX\n", "line 2"},
		{"country", good + "1.0.0.0\t1.0.0.1\t1\tUSA\tX\n", `line 2: "USA" is no country`},
		{"columns", good + "1.0.0.0\t1.0.0.1\t1\tUS\n", "line 2: it has 4 columns"},
		{"overlap", good + "1.0.0.0\t1.0.0.9\t1\tUS\tX\n" + good, "line 3: it has addresses that line 1 has, too"},
		{"overlap of IPv6", "::/16,DE\n1::/16,DE\n0:1::/32,FR\n", "line 3: it has addresses that line 1"},
		{"host bits", "1.0.0.1/24,DE\n", "line 1"},
		{"one column", "1.0.0.0/24\n", "line 1: it has 1 columns"},
		{"six columns", "1.0.0.0/24,DE,1,X,hosting,more\n", "line 1: it has 6 columns"},
		{"last column", "1.0.0.0/24,DE,1,X,yes\n", `line 1: the last column is "yes"`},
		{"quotes", "1.0.0.0/24,\"DE\n", "line 1"},
		{"endless line", good + strings.Repeat("x", maxLine+1), "line 2"},
		{"empty", "", "no ranges"},
		{"nothing said", "1.0.0.0\t1.0.0.1\t0\tNone\tNot routed\n", "no ranges"},
		{"damaged gzip", zipped(t, tabs)[:40], "line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "table", c.text)
			_, err := Open(path, "")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := Open(write(t, "table", tabs), write(t, "list", "1\nmany\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("list of data centres: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "missing"), ""); err == nil {
		t.Error("a missing table is opened")
	}
	if _, err := Open(write(t, "table", tabs), filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing list is opened")
	}
}

// TestReplaced: a new file is taken in, a bad one changes nothing and is told
// of once.
func TestReplaced(t *testing.T) {
	table := open(t, tabs, "")
	ip := netip.MustParseAddr("1.0.0.1")
	at := time.Now()
	put := func(text string) {
		t.Helper()
		at = at.Add(time.Hour)
		if err := os.WriteFile(table.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(table.path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	want := func(country string, changed, fails bool) {
		t.Helper()
		got, err := table.Refresh()
		if got != changed || (err != nil) != fails {
			t.Errorf("changed %v, %v", got, err)
		}
		if got := table.Look(ip).Country; got != country {
			t.Errorf("country %s, want %s", got, country)
		}
	}
	want("US", false, false)
	put(strings.Replace(tabs, "US", "CA", 1))
	want("CA", true, false)
	want("CA", false, false)
	put("garbage\n")
	want("CA", false, true)
	want("CA", false, false)
	if err := os.Remove(table.path); err != nil {
		t.Fatal(err)
	}
	want("CA", false, true)
	want("CA", false, false)
	put(tabs)
	want("US", true, false)
	if n := table.Ranges(); n != 3 {
		t.Errorf("%d ranges", n)
	}
}

// TestAgainstALinearSearch compares with the simplest way there is.
func TestAgainstALinearSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r, err := read(strings.NewReader(big(random, 500)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		ip := someAddress(random)
		want := Answer{Kind: Unknown}
		for _, e := range r.v6 {
			if !ip.Is4() && !ip.Less(netip.AddrFrom16(e.first)) && !netip.AddrFrom16(e.last).Less(ip) {
				want = r.of[e.info].answer()
			}
		}
		for _, e := range r.v4 {
			if ip.Is4() && !ip.Less(addr4(e.first)) && !addr4(e.last).Less(ip) {
				want = r.of[e.info].answer()
			}
		}
		if got := r.look(ip); got != want {
			t.Fatalf("%s: %+v, want %+v", ip, got, want)
		}
	}
}

func addr4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func someAddress(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		return addr4(r.Uint32())
	}
	var raw [16]byte
	raw[0], raw[1], raw[2], raw[3], raw[4] = 0x20, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
	return netip.AddrFrom16(raw)
}

// big makes a table of n ranges, four fifths of them IPv4, of as many networks
// as real tables have.
func big(r *rand.Rand, n int) string {
	var b strings.Builder
	line := func(first, last netip.Addr) {
		asn := r.IntN(max(n/6, 1)) + 1
		fmt.Fprintf(&b, "%s\t%s\t%d\t%c%c\tNETWORK-%d of somebody or other\n", first, last, asn, 'A'+byte(asn%26), 'A'+byte(asn/26%26), asn)
	}
	step := uint32(1) << 31 / uint32(n) * 2
	for i := range uint32(n * 4 / 5) {
		line(addr4(i*step), addr4(i*step+step/2+r.Uint32N(step/4)))
	}
	step6 := uint32(1) << 29 / uint32(n)
	for i := range uint32(n / 5) {
		at := 0x20000000 + i*step6
		first, last := [16]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}, [16]byte{}
		at += step6/2 + r.Uint32N(step6/4)
		for i := range last {
			last[i] = 0xff
		}
		last[0], last[1], last[2], last[3] = byte(at>>24), byte(at>>16), byte(at>>8), byte(at)
		line(netip.AddrFrom16(first), netip.AddrFrom16(last))
	}
	return b.String()
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{tabs, commas, "", "1.0.0.0/24,DE", "::/0,DE,1,X,hosting", "\x1f\x8b\x08", "1.0.0.0\t1.0.0.0\t1\tDE\tx"} {
		f.Add([]byte(s), "1.0.0.0")
	}
	f.Fuzz(func(t *testing.T, text []byte, ip string) {
		r, err := read(bytes.NewReader(text), map[uint32]bool{1: true})
		if err != nil {
			return
		}
		a, err := netip.ParseAddr(ip)
		if err != nil {
			a = netip.IPv4Unspecified()
		}
		got := r.look(a.Unmap())
		if (got.Kind == Country) != (len(got.Country) == 2) || len(got.Network) > maxName {
			t.Errorf("%+v", got)
		}
		for _, e := range r.v4 {
			if got := r.look(addr4(e.first)); got != r.of[e.info].answer() {
				t.Errorf("%s: %+v", addr4(e.first), got)
			}
		}
	})
}

func FuzzReadASNs(f *testing.F) {
	f.Add("AS1\n2 # two\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := readASNs(strings.NewReader(text)); err != nil && !strings.Contains(err.Error(), "line ") {
			t.Error(err)
		}
	})
}

// BenchmarkLook looks in a table of 500,000 ranges, and tells what that takes
// of memory.
func BenchmarkLook(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	text := big(random, 500_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := read(strings.NewReader(text), nil)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	table := &Table{}
	table.ranges.Store(r)
	ips := make([]netip.Addr, 4096)
	for i := range ips {
		ips[i] = someAddress(random)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Look(ips[i%len(ips)])
		i++
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
	runtime.KeepAlive(text)
}

// BenchmarkRead reads such a table.
func BenchmarkRead(b *testing.B) {
	text := big(rand.New(rand.NewPCG(1, 2)), 500_000)
	for b.Loop() {
		if _, err := read(strings.NewReader(text), nil); err != nil {
			b.Fatal(err)
		}
	}
}
