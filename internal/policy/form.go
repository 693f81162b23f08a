package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
)

// maxForm bounds a form that is read.
const maxForm = 1 << 20

// Parse reads the form of a policy, YAML or JSON: what it does not mention is
// as in Default, and of strengths it names the tenant's own only. Then it
// checks the policy. Invalid names every place and its line: an unknown
// property, a word that an enumeration has not, a duplicate, a wrong type, and
// everything that CheckWith finds. Version is 0.
func Parse(form []byte, known Models) (Policy, error) {
	root, err := read(form)
	if err != nil {
		return Policy{}, err
	}
	p, d := Default(), decoder{read: make(map[string]*node)}
	p.Strengths = nil
	if root != nil {
		d.into(reflect.ValueOf(&p).Elem(), root, "")
	}
	for i, s := range p.Strengths {
		if s.BuiltIn() {
			at := fmt.Sprintf("strengths[%d].id", i)
			d.complain(d.read[at], at, "built_in", "ids of built-in strengths are taken")
		}
	}
	own := len(builtIn())
	p.Strengths = append(builtIn(), p.Strengths...)
	p.normalize()
	return p, asError(append(d.wrong, d.rest(p.Complaints(known), own)...))
}

// rest are the complaints about what was read, less those about places that
// could not be read: they hold the default, or nothing.
func (d *decoder) rest(all []Complaint, own int) []Complaint {
	unread := func(place string) bool {
		return place != "" && slices.ContainsFunc(d.wrong, func(w Complaint) bool {
			return w.At == place || strings.HasPrefix(place, w.At+".") || strings.HasPrefix(place, w.At+"[") ||
				strings.HasPrefix(w.At, place+".") || strings.HasPrefix(w.At, place+"[")
		})
	}
	var out []Complaint
	for _, c := range all {
		c.At, c.Line = d.located(c.At, own)
		c.Other, c.OtherLine = d.located(c.Other, own)
		if !unread(c.At) && !unread(c.Other) {
			out = append(out, c)
		}
	}
	return out
}

// normalize writes GUIDs and key identifiers in the one way in which they are compared.
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
	p.Certificate.normalize()
}

// Format writes the form of p as YAML, every setting with its value.
func Format(p Policy) ([]byte, error) {
	all, err := tree(p)
	if err != nil {
		return nil, err
	}
	out, err := yaml.Parser().Marshal(emptyLists(all).(map[string]any))
	if err != nil {
		return nil, fmt.Errorf("format policy: %w", err)
	}
	return out, nil
}

// emptyLists writes lists without members as such, and whole numbers without a
// point: nothing else is null or a number here.
func emptyLists(v any) any {
	switch v := v.(type) {
	case nil:
		return []any{}
	case float64:
		return int(v)
	case []any:
		for i := range v {
			v[i] = emptyLists(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = emptyLists(v[name])
		}
	}
	return v
}

// json is the form with every setting.
func (p Policy) json() ([]byte, error) {
	p.Strengths = slices.DeleteFunc(slices.Clone(p.Strengths), Strength.BuiltIn)
	return json.Marshal(p)
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

// tree is the form as JSON has it.
func tree(p Policy) (map[string]any, error) {
	doc, err := p.json()
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(doc, &out)
}
