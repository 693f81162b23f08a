package app

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestUntouched(t *testing.T) {
	const path = "/opt/si gnet"
	mapping := func(header, anonymous string) string {
		return header + "\nSize:  4 kB\nRss:  4 kB\nAnonymous:    " + anonymous + "\nVmFlags: rd mr\n"
	}
	for _, c := range []struct {
		what, smaps string
		want        []span
	}{
		{"code and tables", mapping("00400000-01640000 r-xp 00000000 fe:00 1234 /opt/si gnet", "0 kB") +
			mapping("01640000-02911000 r--p 01240000 fe:00 1234 /opt/si gnet", "0 kB"), []span{{0x400000, 0x1640000}, {0x1640000, 0x2911000}}},
		{"a page of its own", mapping("00400000-01640000 r-xp 00000000 fe:00 1234 /opt/si gnet", "4 kB"), nil},
		{"a page of its own that is swapped out", mapping("02911000-029d5000 r--p 02511000 fe:00 1234 /opt/si gnet", "0 kB\nSwap:   4 kB\nSwapPss:   4 kB"), nil},
		{"nothing swapped out", mapping("02911000-029d5000 r--p 02511000 fe:00 1234 /opt/si gnet", "0 kB\nSwap:   0 kB\nSwapPss:   0 kB"), []span{{0x2911000, 0x29d5000}}},
		{"writable", mapping("02911000-029d5000 rw-p 02511000 fe:00 1234 /opt/si gnet", "0 kB"), nil},
		{"shared", mapping("02911000-029d5000 r--s 02511000 fe:00 1234 /opt/si gnet", "0 kB"), nil},
		{"another file", mapping("7f231ecb0000-7f231f100000 r-xp 00000000 fe:00 99 /lib/libc.so", "0 kB"), nil},
		{"no file", mapping("7f231ecb0000-7f231f100000 r--p 00000000 00:00 0", "0 kB"), nil},
	} {
		got, err := untouched(strings.NewReader(c.smaps), path)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.what, got, err, c.want)
		}
	}
	for _, bad := range []string{"nonsense", "12-zz r-xp", "20-10 r-xp"} {
		if _, err := untouched(strings.NewReader(bad+"\n"), path); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// TestGiveBackProgram: this very program goes on without its pages, and has
// fewer of them.
func TestGiveBackProgram(t *testing.T) {
	before := resident(t)
	if err := giveBackProgram(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t); after >= before {
		t.Errorf("resident of files: %d kB before, %d kB after", before, after)
	}
}

// resident is how many kB of files are resident for this process.
func resident(t *testing.T) (kB int) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if _, err := fmt.Sscanf(line, "RssFile: %d kB", &kB); err == nil {
			return kB
		}
	}
	t.Fatal("no RssFile")
	return 0
}
