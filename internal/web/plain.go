package web

import (
	"bytes"
	"reflect"
	"strings"
	"sync"
)

// Most JSON that is sent to us is an object of texts, some of them long, none
// with an escape in it. encoding/json goes over every byte of it five times,
// and Strict once more. plainly reads such an object in one pass, by the rules
// of Strict, and takes nothing else: what it does not take is for encoding/json
// to read, or to refuse. It may have filled v in part then, with what stands in
// data.
func plainly(data []byte, v any) bool {
	into := reflect.ValueOf(v)
	if into.Kind() != reflect.Pointer || into.IsNil() {
		return false
	}
	if t := named(into.Type()); t == nil || t.Kind() != reflect.Struct {
		return false
	}
	p := plain{walk{data: data}}
	return p.value(into.Elem(), 0) && p.next() == 0 && p.at == len(data)
}

type plain struct{ walk }

// value reads one value into what it is meant for.
func (p *plain) value(into reflect.Value, depth int) bool {
	switch into.Kind() {
	case reflect.Pointer:
		if p.next() == 'n' {
			return false // null
		}
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		return p.value(into.Elem(), depth)
	case reflect.Struct:
		return p.object(into, depth+1)
	case reflect.String:
		text, ok := p.text()
		if ok {
			into.SetString(string(text))
		}
		return ok
	case reflect.Bool:
		is := p.word("true")
		if is || p.word("false") {
			into.SetBool(is)
			return true
		}
	case reflect.Map:
		if into.IsNil() && p.word("{}") {
			into.Set(reflect.MakeMap(into.Type()))
			return true
		}
	case reflect.Slice:
		return into.IsNil() && into.Type().Elem().Kind() == reflect.String && named(into.Type().Elem()) != nil && p.texts(into)
	}
	return false
}

// texts reads a list of texts, one at least.
func (p *plain) texts(into reflect.Value) bool {
	if !p.word("[") {
		return false
	}
	for {
		text, ok := p.text()
		if !ok {
			return false
		}
		into.Set(reflect.Append(into, reflect.ValueOf(string(text)).Convert(into.Type().Elem())))
		if p.word("]") {
			return true
		}
		if !p.word(",") {
			return false
		}
	}
}

func (p *plain) object(into reflect.Value, depth int) bool {
	fields := fieldsOf(into.Type())
	if fields == nil || depth > maxDepth || p.next() != '{' {
		return false
	}
	p.at++
	if p.next() == '}' {
		p.at++
		return true
	}
	var room [12]string
	names := room[:0]
	for {
		raw, ok := p.text()
		if !ok || p.next() != ':' || len(names) == cap(names) {
			return false
		}
		p.at++
		name, field, known := fields.of(raw)
		for _, earlier := range names {
			if earlier == name {
				return false
			}
		}
		names = append(names, name)
		switch {
		case known:
			ok = field.plain && p.value(into.Field(field.index), depth)
		case fields.looksLike(name):
			return false
		default:
			_, ok = p.text()
		}
		if !ok {
			return false
		}
		switch p.next() {
		case ',':
			p.at++
		case '}':
			p.at++
			return true
		default:
			return false
		}
	}
}

// text reads a string that says what stands in it.
func (p *plain) text() ([]byte, bool) {
	if p.next() != '"' {
		return nil, false
	}
	start := p.at + 1
	length := bytes.IndexByte(p.data[start:], '"')
	if length < 0 {
		return nil, false
	}
	said := p.data[start : start+length]
	for _, c := range said {
		if c < 0x20 || c >= 0x80 || c == '\\' {
			return nil, false
		}
	}
	p.at = start + length + 1
	return said, true
}

// word passes over a word, if it is the next thing.
func (p *plain) word(w string) bool {
	p.next()
	if !bytes.HasPrefix(p.data[p.at:], []byte(w)) {
		return false
	}
	p.at += len(w)
	return true
}

// fields are where the members of a struct go.
type fields map[string]place

type place struct {
	name  string
	index int
	plain bool // it does not decode itself
}

// of finds the field of a member, and gives the name without a copy if there is
// one.
func (f fields) of(raw []byte) (name string, field place, known bool) {
	if at, ok := f[string(raw)]; ok {
		return at.name, at, true
	}
	return string(raw), place{}, false
}

// looksLike says that a name differs from a field's by letter case alone.
func (f fields) looksLike(name string) bool {
	for known := range f {
		if strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}

// planned has the fields of every struct type that was read into plainly.
var planned sync.Map

// fieldsOf gives the fields of a struct type; nil for one that decodes itself,
// embeds another, or has options of encoding/json other than omitempty.
func fieldsOf(t reflect.Type) fields {
	if f, ok := planned.Load(t); ok {
		return f.(fields)
	}
	f := plan(t)
	planned.Store(t, f)
	return f
}

func plan(t reflect.Type) fields {
	if named(t) == nil {
		return nil
	}
	out := fields{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous, options != "" && options != "omitempty":
			return nil
		case tag == "-", !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		if _, twice := out[name]; twice {
			return nil
		}
		out[name] = place{name, i, named(f.Type) != nil}
	}
	return out
}
