package policy

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// decoder reads a tree into a Policy and refuses what it does not understand:
// a rule that is read past would be one that does not hold. encoding/json
// could do the reading, but says neither place nor line.
type decoder struct {
	form []byte
	read map[string]*node // by place
}

// wrong is the error about a place.
func (d *decoder) wrong(n *node, at, reason, format string, args ...any) error {
	at = cmp.Or(at, "policy")
	say := inLine(at, n.at(d.form)) + ": " + fmt.Sprintf(format, args...) + "."
	return idp.Invalidf(reason, "policy at %s", at).On(at).Say(say)
}

// located is a place that Complaints named as the form has it, and its line;
// own is how many built-in strengths stand before those of the form.
func (d *decoder) located(at string, own int) (place string, line int) {
	if rest, ok := strings.CutPrefix(at, "strengths["); ok {
		if number, rest, ok := strings.Cut(rest, "]"); ok {
			if i, err := strconv.Atoi(number); err == nil && i >= own {
				at = "strengths[" + strconv.Itoa(i-own) + "]" + rest
			}
		}
	}
	for place = at; place != ""; place = parent(place) {
		if line := d.read[place].at(d.form); line > 0 {
			return at, line
		}
	}
	return at, 0
}

func parent(place string) string { return place[:max(0, strings.LastIndexAny(place, ".["))] }

// into decodes n into v, which holds the default.
func (d *decoder) into(v reflect.Value, n *node, at string) error {
	d.read[at] = n
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

func under(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func (d *decoder) object(v reflect.Value, n *node, at string) error {
	if n.kind != kindObject {
		return d.wrong(n, at, "bad_value", "must be a mapping of names to values")
	}
	known := make(map[string]reflect.Value)
	fields(v, known)
	for _, m := range n.members {
		field, ok := known[m.name]
		if !ok {
			names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
			return d.wrong(m.key(), under(at, clip(m.name)), "unknown_property", "there is no such property; there are %s", names)
		}
		if err := d.into(field, m.value, under(at, m.name)); err != nil {
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

func (d *decoder) table(v reflect.Value, n *node, at string) error {
	if n.kind != kindObject {
		return d.wrong(n, at, "bad_value", "must be a mapping of names to values")
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, m := range n.members {
		key := reflect.ValueOf(m.name).Convert(v.Type().Key())
		value := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(key); old.IsValid() {
			value.Set(old)
		}
		if err := d.into(value, m.value, under(at, clip(m.name))); err != nil {
			return err
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

// list replaces the whole of a list.
func (d *decoder) list(v reflect.Value, n *node, at string) error {
	if n.kind != kindArray && n.kind != kindNull {
		return d.wrong(n, at, "bad_value", "must be a list")
	}
	if len(n.items) == 0 {
		v.SetZero()
		return nil
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		if err := d.into(out.Index(i), item, at+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func (d *decoder) scalar(v reflect.Value, n *node, at string) error {
	switch v.Kind() {
	case reflect.String:
		if n.kind != kindWord {
			return d.wrong(n, at, "bad_value", "must be text; put it in quotes")
		}
		if all := words[v.Type()]; all != nil && !slices.Contains(all, n.text) {
			return d.wrong(n, at, "unknown_member", "%q is not one of %s", clip(n.text), strings.Join(all, ", "))
		}
		v.SetString(n.text)
		return nil
	case reflect.Bool:
		if b, err := strconv.ParseBool(n.text); err == nil && n.kind == kindBoolean {
			v.SetBool(b)
			return nil
		}
		return d.wrong(n, at, "bad_value", "must be true or false")
	case reflect.Int:
		if i, err := strconv.Atoi(n.text); err == nil && n.kind == kindNumber {
			v.SetInt(int64(i))
			return nil
		}
	}
	return d.wrong(n, at, "bad_value", "must be a number")
}

func (d *decoder) duration(v reflect.Value, n *node, at string) error {
	t, err := time.ParseDuration(n.text)
	if err != nil || n.kind != kindWord {
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
