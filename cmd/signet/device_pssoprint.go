package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/macagent"
)

// script is what a stand-in does, printed as it goes: as text, or as one JSON
// object in the end.
type script struct {
	w    io.Writer
	json bool
	full bool

	said struct {
		StandIn string `json:"standIn"`
		Steps   []step `json:"steps"`
	}
}

// step is one thing that it does.
type step struct {
	Step     string             `json:"step"`
	Messages []macagent.Message `json:"messages,omitempty"`
	Result   json.RawMessage    `json:"result,omitempty"`
}

// label is on everything that is printed.
const label = "This is a stand-in for a Mac, with keys in files: for demos and tests."

func (s *script) begin(folder string) {
	s.said.StandIn = label
	if !s.json {
		fmt.Fprintf(s.w, "%s\nIts folder is %s.\n", label, printable(folder))
	}
}

// step begins another thing.
func (s *script) step(name string) {
	s.said.Steps = append(s.said.Steps, step{Step: name})
	if !s.json {
		fmt.Fprintf(s.w, "\n%d. %s\n", len(s.said.Steps), strings.ToUpper(name[:1])+name[1:])
	}
}

// message prints one exchange; see macagent.Config.Tell.
func (s *script) message(m macagent.Message) {
	if len(s.said.Steps) == 0 {
		s.step(m.Name)
	}
	last := &s.said.Steps[len(s.said.Steps)-1]
	last.Messages = append(last.Messages, m)
	if s.json {
		return
	}
	fmt.Fprintf(s.w, "   %s: %s %s\n", m.Name, m.Method, printable(m.URL))
	for _, name := range slices.Sorted(maps.Keys(m.Form)) {
		fmt.Fprintf(s.w, "      %s = %s\n", name, printable(m.Form[name]))
	}
	if m.Signed != nil {
		s.part("header", m.Signed.Header)
		s.part("claims", m.Signed.Claims)
	}
	if m.Inner != nil {
		s.part("header inside", m.Inner.Header)
		s.part("claims inside", m.Inner.Claims)
	}
	if m.Status != 0 {
		fmt.Fprintf(s.w, "   answer: %d %s\n", m.Status, printable(m.Type))
	}
	s.part("header", m.Sealed)
	s.part("content", m.Answer)
	s.part("ID token", m.Token)
	if m.Fault != "" {
		fmt.Fprintf(s.w, "      refused: %s\n", oneLine(m.Fault))
	}
}

// long are texts that say nothing to a reader: tokens, keys, signatures.
var long = regexp.MustCompile(`"[^"\\]{72,}"`)

func (s *script) part(name string, raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "        ", "  ") != nil {
		return
	}
	text := b.String()
	if !s.full {
		text = long.ReplaceAllStringFunc(text, func(q string) string {
			if strings.HasPrefix(q, `"http`) {
				return q
			}
			return fmt.Sprintf(`%s…" (%d characters)`, q[:25], len(q)-2)
		})
	}
	fmt.Fprintf(s.w, "      %s:\n        %s\n", name, printableLines(text))
}

// printableLines is printable of each line.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n")
}

// result prints what a step came to.
func (s *script) result(v any, fields ...string) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.said.Steps[len(s.said.Steps)-1].Result = raw
	if s.json {
		return nil
	}
	var b bytes.Buffer
	if err := show(&b, "table", raw, columns(fields...)); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprintf(s.w, "   > %s", line)
	}
	return nil
}

// end prints everything, when it was to be JSON.
func (s *script) end() error {
	if !s.json {
		return nil
	}
	raw, err := json.Marshal(s.said)
	if err != nil {
		return err
	}
	return show(s.w, "json", raw, nil)
}
