package jose

import (
	"github.com/go-jose/go-jose/v4/json"

	"github.com/signetid/signet/internal/idp"
)

// maxDepth is how deep arrays and objects may nest.
const maxDepth = 32

// Strict decodes one JSON value: names are matched exactly, one given twice in
// the same object is refused, wherever the object stands, and so is anything
// behind the value (security.md TOK08). Errors are Invalid.
func Strict(data []byte, v any) error {
	if len(data) > MaxToken {
		return idp.Invalidf("json_too_large", "%d bytes", len(data))
	}
	depth, objects := shape(data)
	if depth > maxDepth {
		return idp.Invalidf("json_too_deep", "deeper than %d", maxDepth)
	}
	if objects > 1 {
		// The decoder passes over what v has no field for, and would not see
		// a name given twice in there.
		if err := json.Unmarshal(data, new(any)); err != nil {
			return idp.Invalidf("json_malformed", "%w", err)
		}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return idp.Invalidf("json_malformed", "%w", err)
	}
	return nil
}

// shape is how deep arrays and objects nest and how many objects there are,
// strings passed over. Of what is no JSON it may say anything.
func shape(data []byte) (deepest, objects int) {
	now, quoted := 0, false
	for n := 0; n < len(data); n++ {
		switch c := data[n]; {
		case quoted && c == '\\':
			n++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if c == '{' {
				objects++
			}
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest, objects
}
