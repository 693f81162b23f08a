package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/signetid/signet/internal/idp"
)

// maxForm bounds a form that is read.
const maxForm = 1 << 20

// Parse reads the form of a policy, YAML or JSON: what it does not mention is
// as in Default, and of strengths it names the tenant's own only. Then it
// checks the policy. Invalid names the place and the line: an unknown
// property, a word that an enumeration has not, a duplicate, a wrong type,
// and everything that CheckWith finds. Version is 0.
func Parse(form []byte, known Models) (Policy, error) {
	root, err := read(form)
	if err != nil {
		return Policy{}, err
	}
	p, d := Default(), decoder{lines: make(map[string]int)}
	p.Strengths = nil
	if root != nil {
		if err := d.into(reflect.ValueOf(&p).Elem(), root, ""); err != nil {
			return Policy{}, err
		}
	}
	if i := slices.IndexFunc(p.Strengths, Strength.BuiltIn); i >= 0 {
		return Policy{}, d.wrong(root, fmt.Sprintf("strengths[%d].id", i), "built_in", "ids of built-in strengths are taken")
	}
	own := len(builtIn())
	p.Strengths = append(builtIn(), p.Strengths...)
	p.normalize()
	complaints := p.Complaints(known)
	for i := range complaints {
		complaints[i].At = d.located(complaints[i].At, own)
		if complaints[i].Other != "" {
			complaints[i].Other = d.located(complaints[i].Other, own)
		}
	}
	return p, asError(complaints)
}

// normalize writes GUIDs in the one way in which they are compared.
func (p *Policy) normalize() {
	for i, g := range p.Passkey.AAGUIDs.List {
		p.Passkey.AAGUIDs.List[i] = strings.ToLower(g)
	}
	for i := range p.Passkey.Profiles {
		f := &p.Passkey.Profiles[i]
		f.ID = strings.ToLower(f.ID)
		for n, g := range f.AAGUIDs.List {
			f.AAGUIDs.List[n] = strings.ToLower(g)
		}
	}
}

// Format writes the form of p as YAML, every setting with its value.
func Format(p Policy) ([]byte, error) {
	doc, err := p.json()
	if err != nil {
		return nil, err
	}
	root, err := read(doc)
	if err != nil {
		return nil, err
	}
	emptyLists(root)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("format policy: %w", err)
	}
	return out.Bytes(), e.Close()
}

// emptyLists writes lists without members as such: nothing else is null here.
func emptyLists(n *yaml.Node) {
	if n.Tag == "!!null" {
		*n = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	}
	for _, c := range n.Content {
		emptyLists(c)
	}
}

// json is the form with every setting.
func (p Policy) json() ([]byte, error) {
	p.Strengths = slices.DeleteFunc(slices.Clone(p.Strengths), Strength.BuiltIn)
	return json.Marshal(p)
}

// read makes a tree with lines of YAML or JSON; nil for an empty form.
func read(form []byte) (*yaml.Node, error) {
	if len(form) > maxForm {
		return nil, idp.Invalidf("form_too_long", "policy of %d bytes", len(form)).Say("A policy has at most 1 MB.")
	}
	if b := bytes.TrimSpace(form); len(b) > 0 && b[0] == '{' {
		return readJSON(form)
	}
	d := yaml.NewDecoder(bytes.NewReader(form))
	var doc, more yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil && !errors.Is(d.Decode(&more), io.EOF) {
		err = errors.New("more than one document")
	}
	if err != nil {
		return nil, idp.Invalidf("form_malformed", "%w", err).Say("This is neither YAML nor JSON: " + clip(err.Error()) + ".")
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	return doc.Content[0], nil
}

// readJSON is for JSON what the YAML reader is for YAML. JSON is not quite
// YAML: what a name may hold differs.
func readJSON(form []byte) (*yaml.Node, error) {
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
		return nil, idp.Invalidf("form_malformed", "%w", err).Say(fmt.Sprintf("This is not JSON, near line %d.", r.at()))
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

// maxDepth is deeper than any form.
const maxDepth = 20

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	t, err := r.d.Token()
	if err != nil || depth > maxDepth {
		return nil, errors.Join(err, errors.New("value"))
	}
	n := &yaml.Node{Line: r.at()}
	switch t := t.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if t == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for r.d.More() {
			child, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err = r.d.Token()
		return n, err
	case string:
		n.Tag, n.Value = "!!str", t
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(t)
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
		if !strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!int"
		}
	default:
		n.Tag = "!!null"
	}
	n.Kind = yaml.ScalarNode
	return n, nil
}

// without is what is left of doc when all that base has the same is taken
// away. Both are JSON objects.
func without(doc, base map[string]any) map[string]any {
	out := maps.Clone(doc)
	for name, value := range base {
		inner, isMap := out[name].(map[string]any)
		baseInner, baseIsMap := value.(map[string]any)
		switch {
		case isMap && baseIsMap:
			if left := without(inner, baseInner); len(left) > 0 {
				out[name] = left
				continue
			}
			delete(out, name)
		case reflect.DeepEqual(out[name], value):
			delete(out, name)
		}
	}
	return out
}
