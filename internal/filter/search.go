package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
)

// maxWords bounds the words of one clause of a search.
const maxWords = 10

// ParseSearch reads an OData $search as directories take it: clauses like
// "displayName:anna b" in double quotes, joined by AND and OR, of which AND
// binds the closer. A clause holds where every one of its words begins a word
// of the field. fields are those that can be searched. Errors are those of
// Parse.
func ParseSearch(text string, fields Fields) (Expr, error) {
	if len(text) > maxText {
		return Expr{}, badSearch("it is longer than %d bytes", maxText)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return Expr{}, badSearch("it is no text")
	}
	s := &searcher{rest: strings.TrimSpace(text), p: parser{fields: fields}}
	var any []node
	for {
		n, err := s.all()
		if err != nil {
			return Expr{}, err
		}
		any = append(any, n)
		if s.rest == "" {
			break
		}
		if !s.word("OR") {
			return Expr{}, badSearch("%q is not expected there", clip(s.rest))
		}
	}
	if len(any) == 1 {
		return Expr{any[0]}, nil
	}
	return Expr{group{" or ", any}}, nil
}

func badSearch(format string, args ...any) error {
	e := idp.AsError(invalid(format, args...))
	return e.On("$search").Say(strings.Replace(e.Public, "filter", "search", 1))
}

type searcher struct {
	rest  string
	p     parser
	terms int
}

// word takes a word that stands alone.
func (s *searcher) word(w string) bool {
	after, ok := strings.CutPrefix(s.rest, w+" ")
	if ok {
		s.rest = strings.TrimSpace(after)
	}
	return ok
}

func (s *searcher) all() (node, error) {
	var all []node
	for {
		n, err := s.clause()
		if err != nil {
			return nil, err
		}
		if all = append(all, n); !s.word("AND") {
			return group{" and ", all}, nil
		}
	}
}

// clause takes one "name:words".
func (s *searcher) clause() (node, error) {
	text, err := s.quoted()
	if err != nil {
		return nil, err
	}
	if s.terms++; s.terms > maxTerms {
		return nil, badSearch("it has more than %d clauses", maxTerms)
	}
	name, value, ok := strings.Cut(text, ":")
	if !ok {
		return nil, badSearch("%q does not name what to search, as in \"displayName:anna\"", clip(text))
	}
	f, err := s.p.field(strings.TrimSpace(name))
	if err != nil {
		return nil, badSearch("%q cannot be searched", clip(name))
	}
	if f.Fold != nil {
		value = f.Fold(value)
	}
	words := strings.Fields(value)
	if len(words) == 0 || len(words) > maxWords {
		return nil, badSearch("a clause has 1 to %d words", maxWords)
	}
	out := make([]node, 0, len(words))
	for _, w := range words {
		out = append(out, begins{f, w})
	}
	return group{" and ", out}, nil
}

// quoted takes a text in double quotes, in which \ escapes.
func (s *searcher) quoted() (string, error) {
	if !strings.HasPrefix(s.rest, `"`) {
		return "", badSearch("a clause stands in double quotes")
	}
	var out strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '\\' && i+1 < len(s.rest):
			i++
			out.WriteByte(s.rest[i])
		case c == '"':
			s.rest = strings.TrimSpace(s.rest[i+1:])
			return out.String(), nil
		default:
			out.WriteByte(c)
		}
	}
	return "", badSearch("a clause does not end")
}

// begins holds where a word of the field begins so.
type begins struct {
	field Field
	value string
}

func (b begins) write(w *writer) {
	v := likeEscape.Replace(b.value)
	w.text.WriteString("(" + b.field.Column + " like " + w.arg(v+"%") + ` escape '\' or ` + b.field.Column + " like " + w.arg("% "+v+"%") + ` escape '\')`)
}
