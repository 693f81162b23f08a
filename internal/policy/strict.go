package policy

import (
	"cmp"
	"encoding/json"
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
	read  map[string]*node // by place
	wrong []Complaint
}

// mostWrong is where noting ends: nobody reads on, and a form of nothing but
// mistakes must not cost much.
const mostWrong = 1000

// complain notes what is wrong in a place; reading goes on, so that one look
// finds all of it.
func (d *decoder) complain(n *node, at, reason, format string, args ...any) {
	if len(d.wrong) == mostWrong {
		return
	}
	d.wrong = append(d.wrong, Complaint{
		At: cmp.Or(at, "policy"), Line: n.at(), Reason: reason, Say: fmt.Sprintf(format, args...) + ".",
	})
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
		if line := d.read[place].at(); line > 0 {
			return at, line
		}
	}
	return at, 0
}

func parent(place string) string { return place[:max(0, strings.LastIndexAny(place, ".["))] }

// into decodes n into v, which holds the default.
func (d *decoder) into(v reflect.Value, n *node, at string) {
	d.read[at] = n
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d.duration(v, n, at)
	case v.Type() == reflect.TypeFor[Target]():
		// One target replaces another: what the default names would be named
		// besides.
		v.SetZero()
		d.object(v, n, at)
	case v.Kind() == reflect.Struct:
		d.object(v, n, at)
	case v.Kind() == reflect.Map:
		d.table(v, n, at)
	case v.Kind() == reflect.Slice:
		d.list(v, n, at)
	default:
		d.scalar(v, n, at)
	}
}

func under(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func (d *decoder) object(v reflect.Value, n *node, at string) {
	if n.kind != kindObject {
		d.complain(n, at, "bad_value", "must be a mapping of names to values")
		return
	}
	known := make(map[string]reflect.Value)
	fields(v, known)
	for _, m := range n.members {
		field, ok := known[m.name]
		if !ok {
			names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
			d.complain(&node{line: m.line}, under(at, clip(m.name)), "unknown_property", "there is no such property; there are %s", names)
			continue
		}
		d.into(field, m.value, under(at, m.name))
	}
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

func (d *decoder) table(v reflect.Value, n *node, at string) {
	if n.kind != kindObject {
		d.complain(n, at, "bad_value", "must be a mapping of names to values")
		return
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
		d.into(value, m.value, under(at, clip(m.name)))
		v.SetMapIndex(key, value)
	}
}

// list replaces the whole of a list.
func (d *decoder) list(v reflect.Value, n *node, at string) {
	if n.kind != kindArray && n.kind != kindNull {
		d.complain(n, at, "bad_value", "must be a list")
		return
	}
	if len(n.items) == 0 {
		v.SetZero()
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.into(out.Index(i), item, at+"["+strconv.Itoa(i)+"]")
	}
	v.Set(out)
}

func (d *decoder) scalar(v reflect.Value, n *node, at string) {
	switch v.Kind() {
	case reflect.String:
		all := words[v.Type()]
		if v.Type() == reflect.TypeFor[idp.Mode]() && strings.HasPrefix(at, "certificate.") {
			all = []string{string(idp.ModeCertificateSingle), string(idp.ModeCertificateMulti)} // the others are no certificate's
		}
		switch {
		case n.kind != kindWord:
			d.complain(n, at, "bad_value", "must be text; put it in quotes")
		case all != nil && !slices.Contains(all, n.text):
			d.complain(n, at, "unknown_member", "%q is not one of %s", clip(n.text), strings.Join(all, ", "))
		default:
			v.SetString(n.text)
		}
	case reflect.Bool:
		b, err := strconv.ParseBool(n.text)
		if err != nil || n.kind != kindBoolean {
			d.complain(n, at, "bad_value", "must be true or false")
			return
		}
		v.SetBool(b)
	default:
		i, err := strconv.Atoi(n.text)
		if err != nil || n.kind != kindNumber || v.Kind() != reflect.Int {
			d.complain(n, at, "bad_value", "must be a number")
			return
		}
		v.SetInt(int64(i))
	}
}

func (d *decoder) duration(v reflect.Value, n *node, at string) {
	t, err := time.ParseDuration(n.text)
	if err != nil || n.kind != kindWord {
		d.complain(n, at, "bad_value", "must be a time, written like 90m or 8h")
		return
	}
	v.SetInt(int64(t))
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

// MarshalJSON writes times as people do.
func (r DeviceRules) MarshalJSON() ([]byte, error) {
	type plain DeviceRules
	return json.Marshal(struct {
		plain
		Idle     string `json:"idle"`
		Absolute string `json:"absolute"`
	}{plain(r), r.Idle.String(), r.Absolute.String()})
}

// MarshalJSON writes times as people do.
func (r CertificateRules) MarshalJSON() ([]byte, error) {
	type plain CertificateRules
	return json.Marshal(struct {
		plain
		StaleFor string `json:"staleFor"`
	}{plain(r), r.StaleFor.String()})
}

// MarshalJSON writes times as people do.
func (r MacRules) MarshalJSON() ([]byte, error) {
	type plain MacRules
	return json.Marshal(struct {
		plain
		LoginFrequency string `json:"loginFrequency"`
	}{plain(r), r.LoginFrequency.String()})
}
