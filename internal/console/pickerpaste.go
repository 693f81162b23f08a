package console

import (
	"strings"

	"github.com/signetid/signet/internal/metadata"
)

// modelList is what the registry of key models can be asked here.
type modelList interface {
	Model(aaguid string) (metadata.Model, bool)
	Nearest(aaguid string) (metadata.Model, bool)
	Search(text string, limit int) []metadata.Model
}

// pasted is a line of a pasted list that holds no model.
type pasted struct {
	Line    int // from 1
	Text    string
	Nearest metadata.Model // zero: none is alike
}

// mostPasted bounds a pasted list in bytes.
const mostPasted = 40_000

// readPaste reads AAGUIDs from text that people paste: one a line or several,
// with names, commas, quotes and braces about them, and remarks behind "#".
// Lines that hold anything else than AAGUIDs hold at least one. good are in
// lower case, each once.
func readPaste(text string, models modelList) (good []string, bad []pasted) {
	seen := make(map[string]bool)
	if len(text) > mostPasted {
		return nil, []pasted{{Line: strings.Count(text[:mostPasted], "\n") + 1, Text: "…"}}
	}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		found := 0
		for _, word := range strings.FieldsFunc(line, separates) {
			if !looksLikeGUID(word) {
				continue
			}
			found++
			guid := dashed(strings.ToLower(word))
			near, mistyped := doubtful(guid, models)
			if mistyped {
				bad = append(bad, pasted{Line: n + 1, Text: cut(word, 60), Nearest: near})
				continue
			}
			if !seen[guid] {
				seen[guid] = true
				good = append(good, guid)
			}
		}
		if found == 0 {
			bad = append(bad, pasted{Line: n + 1, Text: cut(line, 60)})
		}
	}
	return good, bad
}

func separates(r rune) bool { return strings.ContainsRune(" \t\r,;\"'{}()[]=|", r) }

// looksLikeGUID says that a word is meant to be one: long, and of little but
// hexadecimal digits and dashes.
func looksLikeGUID(word string) bool {
	if len(word) < 24 || len(word) > 60 {
		return false
	}
	hex := 0
	for _, r := range strings.ToLower(word) {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r == '-' {
			hex++
		}
	}
	return hex*10 >= len(word)*8
}

// dashed gives 32 digits their dashes.
func dashed(s string) string {
	if len(s) != 32 || strings.Contains(s, "-") {
		return s
	}
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// doubtful says that an AAGUID is none, or nobody's and all but one that is
// known: then a mistake of typing is likelier than a model nobody knows.
func doubtful(guid string, models modelList) (near metadata.Model, doubt bool) {
	if isGUID(guid) {
		if _, known := models.Model(guid); known {
			return metadata.Model{}, false
		}
		near, alike := models.Nearest(guid)
		return near, alike && apart(guid, near.AAGUID) <= 3
	}
	near, _ = models.Nearest(guid)
	return near, true
}

// apart counts the places in which two GUIDs differ.
func apart(a, b string) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
