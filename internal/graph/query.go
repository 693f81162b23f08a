package graph

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
)

// options are the OData system query options that an operation takes. Others
// are an error that names them: an option that is passed over in silence would
// answer another question than the one asked.
type options struct {
	list   bool          // $top, $skiptoken
	fields filter.Fields // $filter
	count  bool          // $count=true
	order  []string      // $orderby: the orders that the list has, as clients write them
	expand []string
	search []string // $search: the properties of fields that can be searched
	params []string // further parameters, without $
}

// query is what a request asked of a list or an object.
type query struct {
	selected []string // empty: all
	top      int      // 0: the default
	after    string   // the cursor behind the page before
	where    filter.Expr
	searched filter.Expr
	count    bool
	order    string
	expand   []expansion
	raw      url.Values
}

// expansion is a related list that is to come along, and what of it.
type expansion struct {
	name     string
	selected []string // empty: all
}

func (q query) expands(name string) bool {
	return slices.ContainsFunc(q.expand, func(e expansion) bool { return e.name == name })
}

const (
	maxTop      = 999
	maxSelect   = 100
	maxQuery    = 8 << 10
	maxExpanded = 20  // related objects that come along with one
	mostWith    = 100 // objects on a page when others come along with each
)

// limit is how long a page is to be; 0: as long as lists are.
func (c *call) limit() int {
	if len(c.query.expand) > 0 {
		return min(cmp.Or(c.query.top, mostWith), mostWith)
	}
	return c.query.top
}

// parseQuery reads the options of a request. Names are taken with and without
// the $ (OData 4.01, Part 2, Section 5.1) and in any letters.
func parseQuery(u *url.URL, o options) (query, error) {
	q := query{}
	if len(u.RawQuery) > maxQuery {
		return q, badOption("$filter", "The query is too long.")
	}
	raw, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return q, badOption("", "The query string is malformed.")
	}
	q.raw = raw
	for name, values := range raw {
		if len(values) != 1 {
			return q, badOption(name, "The query option '"+clip(name)+"' was given more than once.")
		}
		if slices.ContainsFunc(o.params, func(p string) bool { return strings.EqualFold(p, name) }) {
			continue
		}
		if err := q.option(strings.ToLower(strings.TrimPrefix(name, "$")), values[0], o); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (q *query) option(name, value string, o options) (err error) {
	switch {
	case name == "select":
		q.selected, err = names(name, value)
	case name == "filter" && o.fields != nil:
		q.where, err = filter.Parse(value, o.fields)
	case name == "top" && o.list:
		q.top, err = strconv.Atoi(value)
		if err != nil || q.top < 1 || q.top > maxTop {
			return badOption("$top", "Invalid page size specified: '"+clip(value)+"'. Must be between 1 and 999 inclusive.")
		}
	case (name == "skiptoken") && o.list:
		q.after, err = cursorOf(value)
	case name == "count" && o.count:
		if value != "true" && value != "false" {
			return badOption("$count", "$count is true or false.")
		}
		q.count = value == "true"
	case name == "orderby" && len(o.order) > 0:
		q.order = strings.Join(strings.Fields(value), " ")
		if !slices.ContainsFunc(o.order, func(s string) bool { return strings.EqualFold(s, q.order) }) {
			return badOption("$orderby", "This list can be ordered by: "+strings.Join(o.order, ", ")+".")
		}
	case name == "expand" && len(o.expand) > 0:
		q.expand, err = expansions(value, o.expand)
	case name == "search" && len(o.search) > 0:
		fields := filter.Fields{}
		for _, n := range o.search {
			fields[n] = o.fields[n]
		}
		q.searched, err = filter.ParseSearch(value, fields)
	default:
		return badOption("$"+name, "The query option '$"+clip(name)+"' is not supported here.")
	}
	return err
}

// expansions reads $expand: names with commas between, each with what is
// selected of it in parentheses, as in members($select=id,displayName).
func expansions(value string, there []string) (out []expansion, err error) {
	for rest := value; rest != ""; {
		end := strings.IndexAny(rest, ",(")
		if end < 0 {
			end = len(rest)
		}
		e := expansion{name: strings.TrimSpace(rest[:end])}
		if !slices.Contains(there, e.name) {
			return nil, badOption("$expand", "Could not find a property named '"+clip(e.name)+"' to expand.")
		}
		if slices.ContainsFunc(out, func(o expansion) bool { return o.name == e.name }) {
			return nil, badOption("$expand", "The property '"+e.name+"' is expanded twice.")
		}
		if rest = rest[end:]; strings.HasPrefix(rest, "(") {
			inner, behind, ok := strings.Cut(rest[1:], ")")
			chosen, isSelect := strings.CutPrefix(strings.TrimSpace(inner), "$select=")
			if !ok || !isSelect {
				return nil, badOption("$expand", "Only $select can stand in the parentheses of $expand.")
			}
			if e.selected, err = names("expand", chosen); err != nil {
				return nil, err
			}
			rest = strings.TrimSpace(behind)
		}
		out = append(out, e)
		if rest == "" {
			return out, nil
		}
		if !strings.HasPrefix(rest, ",") || strings.TrimSpace(rest[1:]) == "" {
			return nil, badOption("$expand", "The list of properties is malformed.")
		}
		rest = rest[1:]
	}
	return nil, badOption("$expand", "The list of properties is malformed.")
}

func names(option, value string) ([]string, error) {
	all := strings.Split(value, ",")
	if len(all) > maxSelect {
		return nil, badOption("$"+option, "Too many properties.")
	}
	for i, n := range all {
		all[i] = strings.TrimSpace(n)
		if all[i] == "" || !plain(all[i]) {
			return nil, badOption("$"+option, "The list of properties is malformed.")
		}
	}
	return all, nil
}

// skipToken hides a list's cursor in a nextLink, so that nobody builds on how
// it looks.
func skipToken(cursor string) string { return base64.RawURLEncoding.EncodeToString([]byte(cursor)) }

func cursorOf(token string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) > 256 || !plain(string(raw)) {
		return "", badOption("$skiptoken", "The skip token is none that this list gave.")
	}
	return string(raw), nil
}

func badOption(field, says string) error {
	return idp.Invalidf("bad_query", "%s", says).On(field).Say(says)
}

func clip(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
