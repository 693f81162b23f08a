package jose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
)

// The sizes of lenient JSON.
const (
	// MaxLoose is the longest text that Loosely reads: a body of a device
	// protocol (decisions 3.7).
	MaxLoose = 64 << 10
	// maxNames is how many members an object may have.
	maxNames = 128
)

// Loosely decodes one JSON value as the clients of device protocols write them
// (device-protocol.md §1.3): names are matched without regard to letter case.
// Two members of one object whose names are then the same are refused, wherever
// the object stands, and so is anything behind the value. Number, Bool, Text and
// Strings are types of fields that take more than one spelling. Errors are
// Invalid.
func Loosely(data []byte, v any) error {
	_, err := named(data, v)
	return err
}

// named is Loosely, and gives the names of the outermost object.
func named(data []byte, v any) ([][]byte, error) {
	names, err := distinct(data)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, idp.Invalidf("json_malformed", "%w", err)
	}
	return names, nil
}

// loose says whether data is JSON that Loosely decodes.
func loose(data []byte) error {
	if _, err := distinct(data); err != nil {
		return err
	}
	if !json.Valid(data) {
		return idp.Invalidf("json_malformed", "no JSON in %d bytes", len(data))
	}
	return nil
}

// object is one object, or array, that distinct is inside of.
type object struct {
	is    bool // an object
	name  bool // a name comes next
	first int  // where its names begin
}

// distinct refuses what is too long, no UTF-8 or deeper than maxDepth, and an
// object that has two names that the decoder takes for the same. It gives the
// names of the outermost object. Of what is no JSON it may say anything: the
// decoder refuses that, behind it.
func distinct(data []byte) ([][]byte, error) {
	if len(data) > MaxLoose {
		return nil, idp.Invalidf("json_too_large", "%d bytes", len(data))
	}
	// The decoder writes one replacement for whatever is no UTF-8, and could
	// make two names the same.
	if !utf8.Valid(data) {
		return nil, idp.Invalidf("json_malformed", "no UTF-8 in %d bytes", len(data))
	}
	var stack [maxDepth + 1]object
	var outermost [][]byte
	names := make([][]byte, 0, 16)
	at := 0
	for n := 0; n < len(data); n++ {
		top := &stack[at]
		switch data[n] {
		case '{', '[':
			if at++; at > maxDepth {
				return nil, idp.Invalidf("json_too_deep", "deeper than %d", maxDepth)
			}
			stack[at] = object{is: data[n] == '{', name: data[n] == '{', first: len(names)}
		case '}', ']':
			switch at {
			case 0:
				return nil, nil
			case 1:
				outermost = names
			}
			names = names[:top.first]
			at--
		case ',':
			top.name = top.is
		case ':':
			top.name = false
		case '"':
			end := quotedEnd(data, n)
			if top.name && end < len(data) {
				name := unquoted(data[n : end+1])
				if err := among(names[top.first:], name); err != nil {
					return nil, err
				}
				names = append(names, name)
			}
			n = end
		}
	}
	return outermost, nil
}

// quotedEnd is where the string that begins at n ends, if it does.
func quotedEnd(data []byte, n int) int {
	for n++; n < len(data) && data[n] != '"'; n++ {
		if data[n] == '\\' {
			n++
		}
	}
	return n
}

// unquoted is what a string says.
func unquoted(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return raw[1 : len(raw)-1]
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return raw // which is no JSON
	}
	return []byte(s)
}

func among(names [][]byte, name []byte) error {
	if len(names) == maxNames {
		return idp.Invalidf("json_too_many_names", "more than %d members in an object", maxNames)
	}
	for _, other := range names {
		if bytes.EqualFold(other, name) {
			return idp.Invalidf("json_malformed", "a member is given twice")
		}
	}
	return nil
}

// Number is a whole number, written as one or as a string of decimal digits.
type Number int64

// UnmarshalJSON reads either; null leaves the number as it is.
func (n *Number) UnmarshalJSON(raw []byte) error {
	text := string(unquote(raw))
	if text == "null" {
		return nil
	}
	i, err := strconv.ParseInt(text, 10, 64)
	*n = Number(i)
	return err
}

// Bool is true or false, written as such or as a string.
type Bool bool

// UnmarshalJSON reads either; null leaves the value as it is.
func (b *Bool) UnmarshalJSON(raw []byte) error {
	text := strings.ToLower(string(unquote(raw)))
	if text == "null" {
		return nil
	}
	is, err := strconv.ParseBool(text)
	*b = Bool(is)
	return err
}

// Text is a string; a number, true and false are read as they are spelled.
type Text string

// UnmarshalJSON reads either; null leaves the text as it is.
func (t *Text) UnmarshalJSON(raw []byte) error {
	switch {
	case raw[0] == '"':
		*t = Text(unquoted(raw))
	case raw[0] == '{', raw[0] == '[':
		return json.Unmarshal(raw, (*string)(t)) // for its error
	case string(raw) != "null":
		*t = Text(raw)
	}
	return nil
}

// Strings is a list of strings, or a single one written without the list.
type Strings []string

// UnmarshalJSON reads either; null gives none.
func (s *Strings) UnmarshalJSON(raw []byte) error {
	if raw[0] != '"' {
		return json.Unmarshal(raw, (*[]string)(s))
	}
	*s = Strings{string(unquoted(raw))}
	return nil
}

// unquote takes quotation marks away. What is escaped inside is no number and
// no truth, and stays what it is.
func unquote(raw []byte) []byte {
	if len(raw) >= 2 && raw[0] == '"' {
		return raw[1 : len(raw)-1]
	}
	return raw
}

// Unbase64 decodes both alphabets of base64 (RFC 4648, Sections 4 and 5), also
// mixed, padded or not. Stray bits, line breaks and everything else stay
// refused. Errors are Invalid.
func Unbase64(s string) ([]byte, error) {
	for range 2 {
		s = strings.TrimSuffix(s, "=")
	}
	if has(s, '\r', '\n') { // which the decoder would pass over
		return nil, idp.Invalidf("base64_malformed", "line break in base64")
	}
	encoding := base64.RawURLEncoding
	if has(s, '+', '/') {
		s = standard.Replace(s)
		encoding = base64.RawStdEncoding
	}
	out, err := encoding.Strict().DecodeString(s)
	if err != nil {
		return nil, idp.Invalidf("base64_malformed", "%w", err)
	}
	return out, nil
}

func has(s string, a, b byte) bool {
	return strings.IndexByte(s, a) >= 0 || strings.IndexByte(s, b) >= 0
}

var standard = strings.NewReplacer("-", "+", "_", "/")
