package filter

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parse reads a $filter. What is wrong is idp.Invalid with a sentence that
// names the place; an unknown name is told with those that there are.
func Parse(text string, fields Fields) (Expr, error) {
	if strings.TrimSpace(text) == "" {
		return Expr{}, nil
	}
	if len(text) > maxText {
		return Expr{}, invalid("it is longer than %d bytes", maxText)
	}
	tokens, err := scan(text)
	if err != nil {
		return Expr{}, err
	}
	p := &parser{tokens: tokens, fields: fields}
	n, err := p.or(0)
	if err != nil {
		return Expr{}, err
	}
	if !p.at("") {
		return Expr{}, p.unexpected()
	}
	return Expr{n}, nil
}

type parser struct {
	tokens []token
	pos    int
	terms  int
	fields Fields
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) take() token {
	t := p.tokens[p.pos]
	if t.kind != endToken {
		p.pos++
	}
	return t
}

// at says whether the next token is this word or sign; "" is the end.
func (p *parser) at(s string) bool {
	t := p.peek()
	if s == "" {
		return t.kind == endToken
	}
	return t.kind != textToken && t.text == s
}

func (p *parser) want(s string) error {
	if !p.at(s) {
		return p.unexpected()
	}
	p.pos++
	return nil
}

// back is the complaint about a token that was taken.
func (p *parser) back(t token) error {
	if t.kind != endToken {
		p.pos--
	}
	return p.unexpected()
}

func (p *parser) unexpected() error {
	t := p.peek()
	if t.kind == endToken {
		return invalid("it ends too early")
	}
	return invalid("%q at position %d is not expected there", clip(t.text), t.pos+1)
}

func (p *parser) or(depth int) (node, error) { return p.joined(depth, "or", p.and) }

func (p *parser) and(depth int) (node, error) { return p.joined(depth, "and", p.unary) }

func (p *parser) joined(depth int, word string, part func(int) (node, error)) (node, error) {
	if depth > maxDepth {
		return nil, invalid("it is nested deeper than %d", maxDepth)
	}
	var all []node
	for {
		n, err := part(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		if !p.at(word) {
			break
		}
		p.pos++
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return group{" " + word + " ", all}, nil
}

func (p *parser) unary(depth int) (node, error) {
	switch {
	case p.at("not"):
		p.pos++
		n, err := p.unary(depth + 1)
		if err != nil {
			return nil, err
		}
		if depth > maxDepth {
			return nil, invalid("it is nested deeper than %d", maxDepth)
		}
		return not{group{"", []node{n}}}, nil
	case p.at("("):
		p.pos++
		n, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return n, p.want(")")
	}
	if p.terms++; p.terms > maxTerms {
		return nil, invalid("it has more than %d conditions", maxTerms)
	}
	return p.term()
}

func (p *parser) term() (node, error) {
	name := p.take()
	if name.kind != nameToken {
		return nil, p.back(name)
	}
	if strings.EqualFold(name.text, "startswith") && p.at("(") {
		return p.startsWith()
	}
	if list, ok := strings.CutSuffix(name.text, "/any"); ok && p.at("(") {
		return p.any(list)
	}
	f, err := p.field(name.text)
	if err != nil {
		return nil, err
	}
	if f.List {
		return nil, invalid("%s is a list; ask it with any()", name.text)
	}
	op := p.take()
	if op.text == "in" {
		return p.in(f, name.text)
	}
	sign, ok := signs[op.text]
	if op.kind != nameToken || !ok {
		return nil, p.back(op)
	}
	if (f.Kind == Bool || f.Words != nil) && op.text != "eq" && op.text != "ne" {
		return nil, invalid("%s can only be compared by eq and ne", name.text)
	}
	v, err := p.value(f, name.text)
	return compare{f, sign, v}, err
}

var signs = map[string]string{"eq": "=", "ne": "<>", "ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

// field finds a field by name, in whatever letters: clients differ.
func (p *parser) field(name string) (Field, error) {
	if f, ok := p.fields[name]; ok {
		return f, nil
	}
	for n, f := range p.fields {
		if strings.EqualFold(n, name) {
			return f, nil
		}
	}
	return Field{}, invalid("%q is none of %s", clip(name), strings.Join(slices.Sorted(maps.Keys(p.fields)), ", "))
}

func (p *parser) startsWith() (node, error) {
	p.pos++ // (
	name := p.take()
	f, err := p.field(name.text)
	if err != nil {
		return nil, err
	}
	if f.Kind != Text || f.Words != nil || f.List {
		return nil, invalid("%s has no beginning to ask for", name.text)
	}
	if err := p.want(","); err != nil {
		return nil, err
	}
	v, err := p.value(f, name.text)
	if err != nil {
		return nil, err
	}
	return prefix{f, v.(string)}, p.want(")")
}

func (p *parser) in(f Field, name string) (node, error) {
	if err := p.want("("); err != nil {
		return nil, err
	}
	var values []any
	for {
		v, err := p.value(f, name)
		if err != nil {
			return nil, err
		}
		if values = append(values, v); len(values) > maxIn {
			return nil, invalid("in has more than %d values", maxIn)
		}
		if !p.at(",") {
			break
		}
		p.pos++
	}
	return in{f, values}, p.want(")")
}

// any reads list/any(x:x eq 'value'), the one form that lists of texts need.
func (p *parser) any(name string) (node, error) {
	f, err := p.field(name)
	if err != nil {
		return nil, err
	}
	if !f.List {
		return nil, invalid("%s is no list", name)
	}
	p.pos++ // (
	v := p.take()
	if v.kind != nameToken {
		return nil, p.back(v)
	}
	for _, s := range []string{":", v.text, "eq"} {
		if err := p.want(s); err != nil {
			return nil, err
		}
	}
	value, err := p.value(Field{Kind: f.Kind, Fold: f.Fold, Words: f.Words}, name)
	if err != nil {
		return nil, err
	}
	return compare{f, "", value}, p.want(")")
}

func (p *parser) value(f Field, name string) (any, error) {
	t := p.take()
	switch t.kind {
	case textToken:
		return f.value(literal{kind: textLit, text: t.text}, name)
	case nameToken:
		if at, err := time.Parse(time.RFC3339, t.text); err == nil {
			return f.value(literal{kind: timeLit, text: t.text, at: at}, name)
		}
		if n, err := strconv.ParseInt(t.text, 10, 64); err == nil {
			return f.value(literal{kind: numberLit, text: t.text, number: n}, name)
		}
		return f.value(literal{kind: wordLit, text: t.text}, name)
	}
	return nil, p.back(t)
}
