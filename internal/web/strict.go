package web

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// maxDepth is how deep arrays and objects may nest.
const maxDepth = 32

// Strict decodes one JSON value into what v points to, and has one reading of
// it (security.md TOK08): names of members are matched by case, a name given
// twice in one object is refused, wherever the object stands, and so is what
// nests too deep and anything behind the value. Members that v has no field
// for are passed over. The errors have no kind of their own; with one, v is
// not to be used.
func Strict(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	return OneReading(data, v)
}

// OneReading is what Strict asks beyond encoding/json, for callers with a
// decoder of their own: data is what was decoded into v.
func OneReading(data []byte, v any) error {
	w := walk{data: data}
	return w.value(reflect.TypeOf(v), 0)
}

// walk goes through JSON that a decoder has found to be valid.
type walk struct {
	data []byte
	at   int
}

var errNotJSON = errors.New("no JSON")

// next is the next byte that is no white space; 0 at the end.
func (w *walk) next() byte {
	for ; w.at < len(w.data); w.at++ {
		switch c := w.data[w.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// value passes over one value that was decoded into a t; nil: into nothing that
// has names.
func (w *walk) value(t reflect.Type, depth int) error {
	switch c := w.next(); {
	case c == '{' || c == '[':
		if depth == maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if c == '{' {
			return w.object(t, depth+1)
		}
		return w.array(t, depth+1)
	case c == '"':
		return w.pass()
	case c == 0:
		return errNotJSON
	}
	for w.at < len(w.data) && !strings.ContainsRune(",]} \t\r\n", rune(w.data[w.at])) {
		w.at++
	}
	return nil
}

func (w *walk) array(t reflect.Type, depth int) error {
	of := inside(t, reflect.Slice, reflect.Array)
	w.at++
	for {
		switch w.next() {
		case 0:
			return errNotJSON
		case ']':
			w.at++
			return nil
		case ',':
			w.at++
		default:
			before := w.at
			if err := w.value(of, depth); err != nil {
				return err
			}
			if w.at == before {
				return errNotJSON
			}
		}
	}
}

func (w *walk) object(t reflect.Type, depth int) error {
	known, of := membersOf(t), inside(t, reflect.Map)
	seen := make(map[string]bool, 8)
	w.at++
	for {
		switch w.next() {
		case '}':
			w.at++
			return nil
		case ',':
			w.at++
			continue
		case '"':
		default:
			return errNotJSON
		}
		name, err := w.text()
		if err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("member %.40q twice", name)
		}
		seen[name] = true
		into, err := known.of(name)
		if err != nil {
			return err
		}
		if w.next() != ':' {
			return errNotJSON
		}
		w.at++
		if into == nil {
			into = of
		}
		if err := w.value(into, depth); err != nil {
			return err
		}
	}
}

// pass passes over a string.
func (w *walk) pass() error {
	for w.at++; w.at < len(w.data); {
		end := bytes.IndexByte(w.data[w.at:], '"')
		if end < 0 {
			break
		}
		escape := bytes.IndexByte(w.data[w.at:w.at+end], '\\')
		if escape < 0 {
			w.at += end + 1
			return nil
		}
		w.at += escape + 2
	}
	return errNotJSON
}

// text passes over a string and gives what it says.
func (w *walk) text() (string, error) {
	start := w.at
	if err := w.pass(); err != nil {
		return "", err
	}
	for _, c := range w.data[start+1 : w.at-1] {
		if c == '\\' || c >= 0x80 { // what is no UTF-8 is read as something else
			var s string
			return s, json.Unmarshal(w.data[start:w.at], &s)
		}
	}
	return string(w.data[start+1 : w.at-1]), nil
}

// members are the names that a struct has fields for.
type members map[string]reflect.Type

// of gives the type of the field that name is decoded into, and nil when there
// is none. A name that differs from a field's by case alone is refused: the
// decoder would take it.
func (m members) of(name string) (reflect.Type, error) {
	if t, ok := m[name]; ok {
		return t, nil
	}
	for known := range m {
		if strings.EqualFold(known, name) {
			return nil, fmt.Errorf("member %.40q is not %q", name, known)
		}
	}
	return nil, nil
}

// known has the members of every struct type that was decoded into.
var known sync.Map

// membersOf gives the members of a struct, and none for other types and for
// those that decode themselves.
func membersOf(t reflect.Type) members {
	if t = named(t); t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	if m, ok := known.Load(t); ok {
		return m.(members)
	}
	m := members{}
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-", !f.IsExported(), f.Anonymous && name == "":
			continue // what is embedded has its own fields among the visible ones
		case name == "":
			name = f.Name
		}
		m[name] = f.Type
	}
	known.Store(t, m)
	return m
}

// inside is the type of the elements of t, if it is of one of the kinds.
func inside(t reflect.Type, kinds ...reflect.Kind) reflect.Type {
	if t = named(t); t != nil {
		for _, k := range kinds {
			if t.Kind() == k {
				return t.Elem()
			}
		}
	}
	return nil
}

var (
	decodesJSON = reflect.TypeFor[json.Unmarshaler]()
	decodesText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// named is t without pointers; nil for what decodes itself.
func named(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(decodesJSON) || reflect.PointerTo(t).Implements(decodesText) {
		return nil
	}
	return t
}
