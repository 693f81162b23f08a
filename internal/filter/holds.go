package filter

import (
	"cmp"
	"slices"
	"strings"
)

// Holds says whether e holds for something that is in no table: value gives
// what it has under a field's Column, as the column would have it (string, bool
// or int64). Fields that are lists, and searches, are for tables only: they
// never hold.
func (e Expr) Holds(value func(column string) any) bool { return e.node == nil || e.node.holds(value) }

func (g group) holds(value func(string) any) bool {
	holds := func(n node) bool { return n.holds(value) }
	if strings.TrimSpace(g.word) == "or" {
		return slices.ContainsFunc(g.nodes, holds)
	}
	return !slices.ContainsFunc(g.nodes, func(n node) bool { return !holds(n) })
}

func (n not) holds(value func(string) any) bool { return !n.node.holds(value) }

func (c compare) holds(value func(string) any) bool {
	if c.field.List {
		return false
	}
	switch have := value(c.field.Column).(type) {
	case string:
		want, ok := c.value.(string)
		return ok && ordered(cmp.Compare(have, want), c.op)
	case int64:
		want, ok := c.value.(int64)
		return ok && ordered(cmp.Compare(have, want), c.op)
	case bool:
		want, ok := c.value.(bool)
		return ok && (have == want) == (c.op == "=")
	}
	return false
}

// ordered says whether two values that compare so stand in the relation op.
func ordered(n int, op string) bool {
	switch op {
	case "=":
		return n == 0
	case "<>":
		return n != 0
	case ">=":
		return n >= 0
	case ">":
		return n > 0
	case "<=":
		return n <= 0
	}
	return n < 0
}

func (n in) holds(value func(string) any) bool {
	return slices.Contains(n.values, value(n.field.Column))
}

func (p prefix) holds(value func(string) any) bool {
	have, _ := value(p.field.Column).(string)
	return strings.HasPrefix(have, p.value)
}

func (begins) holds(func(string) any) bool { return false }
