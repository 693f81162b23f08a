package policy

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/signetid/signet/internal/idp"
)

// decoder reads a tree into a Policy and refuses what it does not understand:
// a rule that is read past would be one that does not hold. encoding/json
// could do the reading, but says neither place nor line.
type decoder struct {
	lines map[string]int // of every place that was read
}

// wrong is the error about a place.
func (d *decoder) wrong(n *yaml.Node, at, reason, format string, args ...any) error {
	at = cmp.Or(at, "policy")
	say := fmt.Sprintf(format, args...)
	if n != nil && n.Line > 0 {
		say = fmt.Sprintf("%s, line %d: %s.", at, n.Line, say)
	} else {
		say = at + ": " + say + "."
	}
	return idp.Invalidf(reason, "policy at %s", at).On(at).Say(say)
}

// located adds its line to a place that Complaints named; own is how many
// built-in strengths stand before those of the form.
func (d *decoder) located(at string, own int) string {
	if rest, ok := strings.CutPrefix(at, "strengths["); ok {
		if number, rest, ok := strings.Cut(rest, "]"); ok {
			if i, err := strconv.Atoi(number); err == nil && i >= own {
				at = "strengths[" + strconv.Itoa(i-own) + "]" + rest
			}
		}
	}
	for place := at; place != ""; place = parent(place) {
		if line := d.lines[place]; line > 0 {
			return at + ", line " + strconv.Itoa(line)
		}
	}
	return at
}

func parent(place string) string { return place[:max(0, strings.LastIndexAny(place, ".["))] }

// into decodes n into v, which holds the default.
func (d *decoder) into(v reflect.Value, n *yaml.Node, at string) error {
	d.lines[at] = n.Line
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return d.wrong(n, at, "bad_value", "anchors and aliases are not read")
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return d.duration(v, n, at)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.object(v, n, at)
	case reflect.Map:
		return d.table(v, n, at)
	case reflect.Slice:
		return d.list(v, n, at)
	}
	return d.scalar(v, n, at)
}

// pairs gives the members of a mapping, refusing one that comes twice.
func (d *decoder) pairs(n *yaml.Node, at string) ([][2]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, d.wrong(n, at, "bad_value", "must be a mapping of names to values")
	}
	seen := make(map[string]bool)
	var out [][2]*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			return nil, d.wrong(key, under(at, clip(key.Value)), "duplicate_property", "the name stands there twice, or is none")
		}
		seen[key.Value] = true
		out = append(out, [2]*yaml.Node{key, n.Content[i+1]})
	}
	return out, nil
}

func under(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func (d *decoder) object(v reflect.Value, n *yaml.Node, at string) error {
	members, err := d.pairs(n, at)
	if err != nil {
		return err
	}
	known := make(map[string]reflect.Value)
	fields(v, known)
	for _, m := range members {
		field, ok := known[m[0].Value]
		if !ok {
			names := make([]string, 0, len(known))
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			return d.wrong(m[0], under(at, clip(m[0].Value)), "unknown_property", "there is no such property; there are %s", strings.Join(names, ", "))
		}
		if err := d.into(field, m[1], under(at, m[0].Value)); err != nil {
			return err
		}
	}
	return nil
}

// fields lists the members of a struct by their JSON names.
func fields(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			fields(v.Field(i), into)
		case name != "" && name != "-":
			into[name] = v.Field(i)
		}
	}
}

func (d *decoder) table(v reflect.Value, n *yaml.Node, at string) error {
	members, err := d.pairs(n, at)
	if err != nil {
		return err
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, m := range members {
		key := reflect.ValueOf(m[0].Value).Convert(v.Type().Key())
		value := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(key); old.IsValid() {
			value.Set(old)
		}
		if err := d.into(value, m[1], under(at, clip(m[0].Value))); err != nil {
			return err
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

// list replaces the whole of a list.
func (d *decoder) list(v reflect.Value, n *yaml.Node, at string) error {
	if n.Tag == "!!null" {
		v.SetZero()
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return d.wrong(n, at, "bad_value", "must be a list")
	}
	if len(n.Content) == 0 {
		v.SetZero()
		return nil
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if err := d.into(out.Index(i), item, at+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func (d *decoder) scalar(v reflect.Value, n *yaml.Node, at string) error {
	switch v.Kind() {
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			return d.wrong(n, at, "bad_value", "must be text; put it in quotes")
		}
		if all := words[v.Type()]; all != nil && !slices.Contains(all, n.Value) {
			return d.wrong(n, at, "unknown_member", "%q is not one of %s", clip(n.Value), strings.Join(all, ", "))
		}
		v.SetString(n.Value)
		return nil
	case reflect.Bool:
		if b, err := strconv.ParseBool(n.Value); err == nil && n.Tag == "!!bool" {
			v.SetBool(b)
			return nil
		}
		return d.wrong(n, at, "bad_value", "must be true or false")
	case reflect.Int:
		if i, err := strconv.Atoi(n.Value); err == nil && n.Tag == "!!int" {
			v.SetInt(int64(i))
			return nil
		}
	}
	return d.wrong(n, at, "bad_value", "must be a number")
}

func (d *decoder) duration(v reflect.Value, n *yaml.Node, at string) error {
	t, err := time.ParseDuration(n.Value)
	if err != nil || n.Tag != "!!str" {
		return d.wrong(n, at, "bad_value", "must be a time, written like 90m or 8h")
	}
	v.SetInt(int64(t))
	return nil
}

// MarshalJSON writes times as people do.
func (r AccessPassRules) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"appSignIn":%t,"default":%q,"min":%q,"max":%q,"length":%d,"once":%t}`,
		r.AppSignIn, r.Default, r.Min, r.Max, r.Length, r.Once), nil
}

// MarshalJSON writes times as people do.
func (r SessionRules) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"idle":%q,"absolute":%q}`, r.Idle, r.Absolute), nil
}
