package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	lines "go.yaml.in/yaml/v3"

	"github.com/signetid/signet/internal/idp"
)

// node is a value of a form, before anybody knows what it means.
type node struct {
	kind    kind
	text    string // of a word, number or boolean
	members []member
	items   []*node
	line    int // 0: not known
}

type kind int

const (
	kindNull kind = iota
	kindWord
	kindNumber
	kindBoolean
	kindArray
	kindObject
	kindStrange // a YAML value that JSON has not, such as a date
)

type member struct {
	name  string
	value *node
	line  int
}

// at is the line on which the node stands, 0 when that is not plain.
func (n *node) at() int {
	if n == nil {
		return 0
	}
	return n.line
}

// read makes a tree of YAML or JSON; nil of an empty form.
func read(form []byte) (*node, error) {
	if len(form) > maxForm {
		return nil, idp.Invalidf("form_too_long", "policy of %d bytes", len(form)).Say("A policy has at most 1 MB.")
	}
	if b := bytes.TrimSpace(form); len(b) > 0 && b[0] == '{' {
		return readJSON(form)
	}
	root, err := readYAML(form)
	if err != nil {
		return nil, idp.Invalidf("form_malformed", "%w", err).
			Say("This is neither YAML nor JSON: " + strings.Join(strings.Fields(clipTo(err.Error(), maxName)), " ") + ".")
	}
	return root, nil
}

// next is a line with which YAML begins another document, or ends one.
var next = regexp.MustCompile(`(?m)^(---|\.\.\.)(\s|$)`)

func readYAML(form []byte) (*node, error) {
	// The parser reads the first document only; what it would read past must
	// not look as if it held.
	for i, at := range next.FindAllIndex(form, -1) {
		if i > 0 || form[at[0]] == '.' || hasContent(form[:at[0]]) {
			return nil, errors.New("more than one document")
		}
	}
	var document lines.Node
	if lines.Unmarshal(form, &document) == nil && crowded(&document) {
		return nil, fmt.Errorf("an object with more than %d members", maxMembers)
	}
	all, err := yaml.Parser().Unmarshal(form)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	root, err := nodeOf(all, 0)
	if err != nil {
		return nil, err
	}
	if len(document.Content) > 0 {
		root.locate(document.Content[0])
	}
	return root, nil
}

// maxMembers is more than any object of a form has. The YAML parser compares
// each member of an object with all others: 30,000 take it ten seconds.
const maxMembers = 1000

// crowded says whether an object has more members than that.
func crowded(n *lines.Node) bool {
	return n.Kind == lines.MappingNode && len(n.Content) > 2*maxMembers || slices.ContainsFunc(n.Content, crowded)
}

// locate notes on which lines the parts of n stand. from is the same form as
// its author wrote it; where the two part ways, at a merge (<<), lines stay
// unknown.
func (n *node) locate(from *lines.Node) {
	n.line = from.Line
	if from.Alias != nil {
		from = from.Alias
	}
	switch {
	case n.kind == kindArray && from.Kind == lines.SequenceNode && len(from.Content) == len(n.items):
		for i, item := range n.items {
			item.locate(from.Content[i])
		}
	case n.kind == kindObject && from.Kind == lines.MappingNode:
		at := make(map[string]int, len(from.Content)/2)
		for i := 0; i+1 < len(from.Content); i += 2 {
			at[from.Content[i].Value] = i
		}
		for i := range n.members {
			m := &n.members[i]
			if k, ok := at[m.name]; ok {
				m.line = from.Content[k].Line
				m.value.locate(from.Content[k+1])
			}
		}
	}
}

func hasContent(before []byte) bool {
	for line := range bytes.Lines(before) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}

// maxDepth is deeper than any form.
const maxDepth = 20

func nodeOf(v any, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errors.New("too deep")
	}
	n := &node{text: fmt.Sprint(v)}
	switch v := v.(type) {
	case nil:
		n.kind, n.text = kindNull, ""
	case string:
		n.kind = kindWord
	case bool:
		n.kind = kindBoolean
	case int, int64, uint64:
		n.kind = kindNumber
	case []any:
		n.kind, n.text = kindArray, ""
		for _, item := range v {
			child, err := nodeOf(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, child)
		}
	case map[string]any:
		n.kind, n.text = kindObject, ""
		for _, name := range slices.Sorted(maps.Keys(v)) {
			child, err := nodeOf(v[name], depth+1)
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, member{name: name, value: child})
		}
	default:
		n.kind, n.text = kindStrange, ""
	}
	return n, nil
}

func readJSON(form []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(form))
	d.UseNumber()
	r := jsonReader{form: form, d: d, line: 1}
	root, err := r.value(0)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		return nil, idp.Invalidf("form_malformed", "%w", err).
			Say("This is not JSON, near line " + strconv.Itoa(r.at()) + ": " + clip(err.Error()) + ".")
	}
	return root, nil
}

type jsonReader struct {
	form []byte
	d    *json.Decoder
	line int
	done int // bytes whose lines are counted
}

// at is the line that the decoder has come to.
func (r *jsonReader) at() int {
	now := int(r.d.InputOffset())
	r.line += bytes.Count(r.form[r.done:now], []byte("\n"))
	r.done = now
	return r.line
}

func (r *jsonReader) value(depth int) (*node, error) {
	t, err := r.d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errors.New("too deep")
	}
	n := &node{line: r.at()}
	switch t := t.(type) {
	case json.Delim:
		if n.kind = kindArray; t == '{' {
			n.kind = kindObject
		}
		err = r.inside(n, depth)
	case string:
		n.kind, n.text = kindWord, t
	case bool:
		n.kind, n.text = kindBoolean, strconv.FormatBool(t)
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	}
	return n, err
}

// inside reads the members or items of n to its end.
func (r *jsonReader) inside(n *node, depth int) error {
	seen := make(map[string]bool)
	for r.d.More() {
		var m member
		if n.kind == kindObject {
			t, err := r.d.Token()
			if err != nil {
				return err
			}
			m.name, _ = t.(string)
			if m.line = r.at(); seen[m.name] {
				return fmt.Errorf("%q stands there twice", clip(m.name))
			}
			seen[m.name] = true
		}
		child, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		if m.value = child; n.kind == kindObject {
			n.members = append(n.members, m)
		} else {
			n.items = append(n.items, child)
		}
	}
	_, err := r.d.Token()
	return err
}
