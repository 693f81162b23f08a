package filter

import (
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Kind is what a field holds.
type Kind int

// The kinds of fields. A Time is kept as Unix milliseconds.
const (
	Text Kind = iota
	Bool
	Int
	Time
)

// Field is something that can be asked about.
type Field struct {
	Kind   Kind
	Column string // as SQL may name it: a column, or an expression of ours
	// Fold, when set, is applied to values before they are compared, as it was
	// to what the column holds.
	Fold func(string) string
	// Words, when set, are the values that the field can have, with what the
	// column holds for each. Another value is Invalid and told with the list.
	Words map[string]any
	// List says that the field is a list of texts, asked with any(); Column
	// is then a condition with one %s for the value.
	List bool
}

// Fields are the fields of a noun by their name on the wire.
type Fields map[string]Field

// Bounds of a filter. They keep its cost small whatever it says.
const (
	maxText  = 4 << 10
	maxTerms = 50
	maxDepth = 20
	maxIn    = 100
)

// Expr is a condition. The zero Expr holds for everything.
type Expr struct{ node node }

// All says that e holds for everything.
func (e Expr) All() bool { return e.node == nil }

// SQL writes e as a condition whose first argument is $first, and gives the
// arguments. For the zero Expr it is "1 = 1".
func (e Expr) SQL(first int) (string, []any) {
	if e.node == nil {
		return "1 = 1", nil
	}
	w := &writer{next: first}
	e.node.write(w)
	return w.text.String(), w.args
}

// And is both conditions.
func And(a, b Expr) Expr {
	switch {
	case a.All():
		return b
	case b.All():
		return a
	}
	return Expr{group{" and ", []node{a.node, b.node}}}
}

type writer struct {
	text strings.Builder
	args []any
	next int
}

func (w *writer) arg(v any) string {
	w.args = append(w.args, v)
	w.next++
	return fmt.Sprintf("$%d", w.next-1)
}

type node interface {
	write(*writer)
	holds(value func(column string) any) bool
}

// group is several conditions joined by and, or by or.
type group struct {
	word  string
	nodes []node
}

func (g group) write(w *writer) {
	w.text.WriteByte('(')
	for i, n := range g.nodes {
		if i > 0 {
			w.text.WriteString(g.word)
		}
		n.write(w)
	}
	w.text.WriteByte(')')
}

type not struct{ node }

func (n not) write(w *writer) {
	w.text.WriteString("not ")
	n.node.write(w)
}

// compare is a field and a value.
type compare struct {
	field Field
	op    string
	value any
}

func (c compare) write(w *writer) {
	if c.field.List {
		fmt.Fprintf(&w.text, "("+c.field.Column+")", w.arg(c.value))
		return
	}
	w.text.WriteString(c.field.Column + " " + c.op + " " + w.arg(c.value))
}

// in is a field and a list of values.
type in struct {
	field  Field
	values []any
}

func (n in) write(w *writer) {
	w.text.WriteString(n.field.Column + " in (")
	for i, v := range n.values {
		if i > 0 {
			w.text.WriteString(", ")
		}
		w.text.WriteString(w.arg(v))
	}
	w.text.WriteByte(')')
}

// prefix is startswith.
type prefix struct {
	field Field
	value string
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (p prefix) write(w *writer) {
	w.text.WriteString(p.field.Column + " like " + w.arg(likeEscape.Replace(p.value)+"%") + ` escape '\'`)
}

// value makes of a literal what the column of f can be compared with.
func (f Field) value(lit literal, name string) (any, error) {
	switch {
	case f.Words != nil && lit.kind == textLit:
		for word, v := range f.Words {
			if strings.EqualFold(word, lit.text) {
				return v, nil
			}
		}
		return nil, invalid("%s has no value %q", name, clip(lit.text))
	case f.Kind == Text && lit.kind == textLit:
		if f.Fold != nil {
			return f.Fold(lit.text), nil
		}
		return lit.text, nil
	case f.Kind == Bool && lit.kind == wordLit && (lit.text == "true" || lit.text == "false"):
		return lit.text == "true", nil
	case f.Kind == Int && lit.kind == numberLit:
		return lit.number, nil
	case f.Kind == Time && lit.kind == timeLit:
		return lit.at.UnixMilli(), nil
	}
	return nil, invalid("%s cannot be compared with %s", name, clip(lit.text))
}

type literalKind int

const (
	textLit literalKind = iota
	wordLit
	numberLit
	timeLit
)

type literal struct {
	kind   literalKind
	text   string
	number int64
	at     time.Time
}

func invalid(format string, args ...any) error {
	return idp.Invalidf("bad_filter", format, args...).On("$filter").Say("Invalid filter: " + fmt.Sprintf(format, args...) + ".")
}

// clip keeps what is shown of somebody's text short.
func clip(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
