package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
)

var searched = filter.Fields{"displayName": fields["displayName"], "mail": {Kind: filter.Text, Column: "code"}}

func TestParseSearch(t *testing.T) {
	begins := func(column, a, b string) string {
		return "((" + column + " like $" + a + ` escape '\' or ` + column + " like $" + b + ` escape '\'))`
	}
	for _, tt := range []struct {
		text, sql string
		args      []any
	}{
		{`"displayName:Ann"`, "(" + begins("name_folded", "3", "4")[1:], []any{"ann%", "% ann%"}},
		{` "DisplayName: An_n " `, "(" + begins("name_folded", "3", "4")[1:], []any{`an\_n%`, `% an\_n%`}},
		{`"displayName:a" OR "mail:b"`, "((" + begins("name_folded", "3", "4") + ") or (" + begins("code", "5", "6") + "))", []any{"a%", "% a%", "b%", "% b%"}},
	} {
		e, err := filter.ParseSearch(tt.text, searched)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		sql, args := e.SQL(3)
		if strings.Trim(sql, "()") != strings.Trim(tt.sql, "()") || !cmp.Equal(args, tt.args) {
			t.Errorf("%s: got %s with %v, want %s with %v", tt.text, sql, args, tt.sql, tt.args)
		}
	}
	for text, says := range map[string]string{
		"":                          "a clause stands in double quotes",
		"anna":                      "a clause stands in double quotes",
		`"anna"`:                    "does not name what to search",
		`"displayName:anna`:         "a clause does not end",
		`"displayName:`:             "a clause does not end",
		`"displayName: "`:           "a clause has 1 to 10 words",
		`"id:x"`:                    "cannot be searched",
		`"displayName:a" AND`:       "is not expected there",
		`"displayName:a" XOR "x:y"`: "is not expected there",
		`"displayName:a""mail:b"`:   "is not expected there",
		"\"displayName:a\x00\"":     "it is no text",
		strings.Repeat("x", 5000):   "longer than",
		`"displayName:` + strings.Repeat("a ", 11) + `"`:                      "a clause has 1 to 10 words",
		strings.TrimSuffix(strings.Repeat(`"displayName:a" OR `, 51), " OR "): "more than 50 clauses",
	} {
		_, err := filter.ParseSearch(text, searched)
		e := idp.AsError(err)
		if e == nil || e.Kind != idp.Invalid || e.Field != "$search" || !strings.Contains(e.Public, says) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzParseSearch(f *testing.F) {
	for _, s := range []string{`"displayName:ann"`, `"displayName:a \"b\"" AND "mail:c" OR "mail:d"`, `"`, `"a:" OR`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := filter.ParseSearch(text, searched)
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
