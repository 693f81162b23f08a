package filter_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
)

var fields = filter.Fields{
	"displayName":     {Kind: filter.Text, Column: "name_folded", Fold: strings.ToLower},
	"id":              {Kind: filter.Text, Column: "id"},
	"accountEnabled":  {Kind: filter.Bool, Column: "enabled"},
	"createdDateTime": {Kind: filter.Time, Column: "created"},
	"status/code":     {Kind: filter.Int, Column: "code"},
	"userType":        {Kind: filter.Text, Column: "user_type", Words: map[string]any{"Member": "member", "Guest": "guest"}},
	"tags":            {Kind: filter.Text, Column: "exists (select 1 from tag where tag = %s)", List: true},
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text, sql string
		args      []any
	}{
		{"", "1 = 1", nil},
		{"displayName eq 'Ada'", "name_folded = $3", []any{"ada"}},
		{"DISPLAYNAME eq 'Ada'", "name_folded = $3", []any{"ada"}},
		{"displayName eq 'O''Brien'", "name_folded = $3", []any{"o'brien"}},
		{"displayName eq 'x'' or 1 eq 1'", "name_folded = $3", []any{"x' or 1 eq 1"}},
		{"accountEnabled eq false", "enabled = $3", []any{false}},
		{"accountEnabled ne true and userType eq 'guest'", "(enabled <> $3 and user_type = $4)", []any{true, "guest"}},
		{"id eq 'a' or id eq 'b' and accountEnabled eq true", "(id = $3 or (id = $4 and enabled = $5))", []any{"a", "b", true}},
		{"(id eq 'a' or id eq 'b') and accountEnabled eq true", "((id = $3 or id = $4) and enabled = $5)", []any{"a", "b", true}},
		{"not (id eq 'a')", "not (id = $3)", []any{"a"}},
		{"not startswith(displayName,'Ad')", `not (name_folded like $3 escape '\')`, []any{"ad%"}},
		{"startsWith(displayName, '5%_\\')", `name_folded like $3 escape '\'`, []any{`5\%\_\\%`}},
		{"id in ('a', 'b','c')", "id in ($3, $4, $5)", []any{"a", "b", "c"}},
		{"createdDateTime ge 2026-11-23T09:00:00Z", "created >= $3", []any{int64(1795424400000)}},
		{"createdDateTime lt 2026-11-23T10:00:00+01:00", "created < $3", []any{int64(1795424400000)}},
		{"status/code gt 0 and status/code le -5", "(code > $3 and code <= $4)", []any{int64(0), int64(-5)}},
		{"tags/any(t:t eq 'x')", "(exists (select 1 from tag where tag = $3))", []any{"x"}},
		{"tags/any(t: t eq 'x')", "(exists (select 1 from tag where tag = $3))", []any{"x"}},
	} {
		e, err := filter.Parse(tt.text, fields)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		sql, args := e.SQL(3)
		if sql != tt.sql || !cmp.Equal(args, tt.args) {
			t.Errorf("%s: got %s with %v, want %s with %v", tt.text, sql, args, tt.sql, tt.args)
		}
	}
}

func TestSec_ADM05_Refused(t *testing.T) {
	for text, says := range map[string]string{
		"displayName":                                        "ends too early",
		"displayName eq":                                     "ends too early",
		"displayName eq Ada":                                 "cannot be compared with Ada",
		"displayName like 'x'":                               `"like" at position 13`,
		"password eq 'x'":                                    `"password" is none of accountEnabled, createdDateTime, displayName`,
		"displayName eq 'x":                                  "has no end",
		"displayName eq 'x'; drop table t":                   "character at position 19",
		"displayName eq 'x' displayName":                     `"displayName" at position 20`,
		"(id eq 'a'":                                         "ends too early",
		"id eq 'a')":                                         `")" at position 10`,
		"userType eq 'Owner'":                                `userType has no value "Owner"`,
		"userType gt 'Guest'":                                "only be compared by eq and ne",
		"accountEnabled gt true":                             "only be compared by eq and ne",
		"accountEnabled eq 'true'":                           "cannot be compared with true",
		"createdDateTime ge 'yesterday'":                     "cannot be compared with yesterday",
		"createdDateTime ge 2026-13-01":                      "cannot be compared with 2026-13-01",
		"status/code eq 1.5":                                 "cannot be compared with 1.5",
		"startswith(accountEnabled,'t')":                     "no beginning",
		"startswith(displayName 'x')":                        `"x" at position 24`,
		"id in ()":                                           `")" at position 8`,
		"tags eq 'x'":                                        "ask it with any()",
		"id/any(x:x eq 'a')":                                 "id is no list",
		"tags/any(x:y eq 'a')":                               `"y" at position 12`,
		"not":                                                "ends too early",
		strings.Repeat("(", 30) + "id eq 'a'":                "nested deeper",
		strings.Repeat("not ", 60) + "id eq 'a'":             "nested deeper",
		strings.Repeat("id eq 'a' or ", 60) + "id eq 'a'":    "more than 50 conditions",
		"id in ('a'" + strings.Repeat(",'b'", 101) + ")":     "more than 100 values",
		"displayName eq '" + strings.Repeat("x", 5000) + "'": "longer than",
	} {
		_, err := filter.Parse(text, fields)
		var e *idp.Error
		if !errors.As(err, &e) || e.Kind != idp.Invalid || e.Field != "$filter" || !strings.Contains(e.Public, says) {
			t.Errorf("%.60s: got %v, want %q", text, err, says)
		}
	}
}

func TestAnd(t *testing.T) {
	a, _ := filter.Parse("id eq 'a'", fields)
	b, _ := filter.Parse("id eq 'b' or id eq 'c'", fields)
	sql, args := filter.And(a, b).SQL(1)
	if sql != "(id = $1 and (id = $2 or id = $3))" || len(args) != 3 {
		t.Errorf("%s with %v", sql, args)
	}
	if e := filter.And(filter.Expr{}, filter.Expr{}); !e.All() {
		t.Error("nothing and nothing is something")
	}
}

// FuzzParse looks for panics, and for text that gets into the SQL.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"displayName eq 'Ada' and not (accountEnabled eq true)", "id in ('a','b')", "tags/any(t:t eq 'x')",
		"startswith(displayName,'A') or createdDateTime ge 2026-11-23T09:00:00Z", "((((", "'", "a:b", "status/code eq -1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := filter.Parse(text, fields)
		if err != nil {
			if !errors.Is(err, idp.Invalid) {
				t.Fatal(err)
			}
			return
		}
		sql, args := e.SQL(1)
		if strings.Count(sql, "$") != len(args) {
			t.Fatalf("%q: %s with %d arguments", text, sql, len(args))
		}
		if !ours.MatchString(sql) {
			t.Fatalf("%q became %s", text, sql)
		}
	})
}

// ours is all that SQL may be made of: our columns, our signs and arguments.
var ours = regexp.MustCompile(`^(1 = 1|\(|\)| and | or |not |, | (=|<>|>=|>|<=|<) | in | like | escape '\\'|\$\d+|` +
	`name_folded|id|enabled|created|code|user_type|exists \(select 1 from tag where tag = \$\d+\))*$`)
