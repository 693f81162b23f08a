package macprofile

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// entry is a key of a dictionary with its value; a dict keeps their order, so
// that a profile reads the way it was thought.
type entry struct {
	key   string
	value any
}

// Values are dict, []any, string, int64, float64, bool, []byte and time.Time,
// as the property list's own types are.
type dict []entry

// get is the value of a key; nil when there is none.
func (d dict) get(key string) any {
	for _, e := range d {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// text is the string of a key; empty when there is none.
func (d dict) text(key string) string { s, _ := d.get(key).(string); return s }

func (d dict) is(key string) bool { b, _ := d.get(key).(bool); return b }

func (d dict) dict(key string) dict { v, _ := d.get(key).(dict); return v }

// texts are the strings of an array.
func (d dict) texts(key string) (out []string) {
	all, _ := d.get(key).([]any)
	for _, v := range all {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

const (
	plistHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n"
	// maxProfile and maxDepth bound what is read: profiles are small and flat.
	maxProfile = 1 << 20
	maxDepth   = 16
)

// write is a property list in XML, version 1.0.
func write(d dict) []byte {
	var b bytes.Buffer
	b.WriteString(plistHead + "<plist version=\"1.0\">\n")
	element(&b, d, 0)
	b.WriteString("</plist>\n")
	return b.Bytes()
}

func element(b *bytes.Buffer, v any, depth int) {
	pad := strings.Repeat("\t", depth)
	leaf := func(name, text string) {
		b.WriteString(pad + "<" + name + ">")
		_ = xml.EscapeText(b, []byte(text)) // a buffer refuses nothing
		b.WriteString("</" + name + ">\n")
	}
	switch v := v.(type) {
	case dict:
		b.WriteString(pad + "<dict>\n")
		for _, e := range v {
			b.WriteString(pad + "\t<key>")
			_ = xml.EscapeText(b, []byte(e.key))
			b.WriteString("</key>\n")
			element(b, e.value, depth+1)
		}
		b.WriteString(pad + "</dict>\n")
	case []any:
		b.WriteString(pad + "<array>\n")
		for _, one := range v {
			element(b, one, depth+1)
		}
		b.WriteString(pad + "</array>\n")
	case string:
		leaf("string", v)
	case int64:
		leaf("integer", strconv.FormatInt(v, 10))
	case float64:
		leaf("real", strconv.FormatFloat(v, 'g', -1, 64))
	case bool:
		b.WriteString(pad + "<" + strconv.FormatBool(v) + "/>\n")
	case []byte:
		leaf("data", base64.StdEncoding.EncodeToString(v))
	case time.Time:
		leaf("date", v.UTC().Format("2006-01-02T15:04:05Z"))
	}
}

// read takes a property list in XML apart: a dictionary, and nothing after it.
// A signed or binary profile is refused with a sentence that says so.
func read(text []byte) (dict, error) {
	switch {
	case len(text) > maxProfile:
		return nil, fmt.Errorf("it has %d bytes, more than a profile needs", len(text))
	case bytes.HasPrefix(text, []byte("bplist")):
		return nil, errors.New("it is a binary property list: convert it with plutil -convert xml1")
	case len(text) > 0 && text[0] == 0x30:
		return nil, errors.New("it is signed: look at what was signed, as XML")
	}
	p := &parser{xml.NewDecoder(bytes.NewReader(text))}
	start, err := p.start()
	if err != nil {
		return nil, err
	}
	if start.Name.Local != "plist" {
		return nil, fmt.Errorf("it begins with <%s>, where <plist> is expected", start.Name.Local)
	}
	if start, err = p.start(); err != nil {
		return nil, err
	}
	v, err := p.value(start, 0)
	if err != nil {
		return nil, err
	}
	top, ok := v.(dict)
	if !ok {
		return nil, fmt.Errorf("it holds <%s>, where a <dict> is expected", start.Name.Local)
	}
	if next, err := p.next(); err != nil || next != (xml.EndElement{Name: xml.Name{Local: "plist"}}) {
		return nil, errors.New("there is something after its dictionary")
	}
	if _, err := p.next(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after </plist>")
	}
	return top, nil
}

type parser struct{ *xml.Decoder }

// next is the next start or end of an element. Text between them is space.
func (p *parser) next() (xml.Token, error) {
	for {
		t, err := p.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement, xml.EndElement:
			return t, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, fmt.Errorf("there is text between its elements: %.40q", t)
			}
		case xml.Directive:
			if bytes.Contains(t, []byte("<!")) {
				return nil, errors.New("it declares entities")
			}
		}
	}
}

func (p *parser) start() (xml.StartElement, error) {
	t, err := p.next()
	if err != nil {
		return xml.StartElement{}, fmt.Errorf("it is no XML property list: %w", err)
	}
	s, ok := t.(xml.StartElement)
	if !ok {
		return s, errors.New("an element ends where one should begin")
	}
	return s, nil
}

func (p *parser) value(at xml.StartElement, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("its values are nested too deeply")
	}
	switch at.Name.Local {
	case "dict":
		return p.dict(depth)
	case "array":
		all := []any{}
		for {
			t, err := p.next()
			if err != nil {
				return nil, err
			}
			s, ok := t.(xml.StartElement)
			if !ok {
				return all, nil
			}
			v, err := p.value(s, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
	}
	text, err := p.leaf()
	if err != nil {
		return nil, fmt.Errorf("<%s>: %w", at.Name.Local, err)
	}
	v, err := scalar(at.Name.Local, text)
	if err != nil {
		return nil, fmt.Errorf("<%s> holds %.40q", at.Name.Local, text)
	}
	return v, nil
}

func (p *parser) dict(depth int) (dict, error) {
	d := dict{}
	for {
		t, err := p.next()
		if err != nil {
			return nil, err
		}
		s, ok := t.(xml.StartElement)
		if !ok {
			return d, nil
		}
		if s.Name.Local != "key" {
			return nil, fmt.Errorf("<%s> stands in a dictionary where <key> is expected", s.Name.Local)
		}
		key, err := p.leaf()
		if err != nil {
			return nil, err
		}
		if d.get(key) != nil {
			return nil, fmt.Errorf("the key %q is there twice", key)
		}
		if s, err = p.start(); err != nil {
			return nil, err
		}
		v, err := p.value(s, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		d = append(d, entry{key, v})
	}
}

// leaf is the text up to the end of the element.
func (p *parser) leaf() (string, error) {
	var b strings.Builder
	for {
		t, err := p.Token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.EndElement:
			return b.String(), nil
		case xml.StartElement:
			return "", fmt.Errorf("has <%s> in it", t.Name.Local)
		}
	}
}

func scalar(name, text string) (any, error) {
	switch name {
	case "string":
		return text, nil
	case "integer":
		return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	case "real":
		return strconv.ParseFloat(strings.TrimSpace(text), 64)
	case "true", "false":
		if text != "" {
			return nil, errors.New("not empty")
		}
		return name == "true", nil
	case "data":
		return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	case "date":
		return time.Parse("2006-01-02T15:04:05Z", text)
	}
	return nil, errors.New("no type of a property list")
}
