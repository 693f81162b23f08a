package phonewire

import (
	"bytes"
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	if len(list) != 256 {
		t.Fatalf("%d words, want 256", len(list))
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	if n := len(slices.Compact(sorted)); n != 256 {
		t.Errorf("%d different words, want 256", n)
	}
	begins := map[string]string{}
	for _, w := range list {
		if len(w) < 4 || len(w) > 10 || bytes.ContainsFunc([]byte(w), func(r rune) bool { return r < 'a' || r > 'z' }) {
			t.Errorf("word %q is not 4 to 10 plain letters", w)
		}
		if other, ok := begins[w[:4]]; ok && len(w) == len(other) {
			t.Errorf("%q and %q begin and end alike", w, other)
		}
		begins[w[:4]] = w
	}
}

// The words depend on each part of what was signed.
func TestWordsFollowTheMessage(t *testing.T) {
	base := [][]byte{[]byte("code"), []byte("challenge"), []byte("thumb"), []byte("passkey")}
	of := func(p [][]byte) []string { return Words(EnrolMessage(string(p[0]), p[1], p[2], p[3])) }
	for n := range base {
		differs := false
		for extra := byte('a'); extra <= 'd'; extra++ { // four times the same would be one in 2^64
			bent := slices.Clone(base)
			bent[n] = append(slices.Clone(base[n]), extra)
			differs = differs || !slices.Equal(of(bent), of(base))
		}
		if !differs {
			t.Errorf("part %d changes nothing", n)
		}
	}
	if w := of(base); len(w) != 2 || !slices.Equal(w, of(base)) {
		t.Errorf("words %q", w)
	}
}
