package filter_test

import (
	"testing"

	"github.com/signetid/signet/internal/filter"
)

func TestHolds(t *testing.T) {
	ada := map[string]any{"name_folded": "ada", "id": "a", "enabled": true, "created": int64(1795424400000), "code": int64(5), "user_type": "guest"}
	for text, want := range map[string]bool{
		"":                     true,
		"displayName eq 'ADA'": true, "displayName ne 'ada'": false, "displayName gt 'aa'": true, "displayName le 'aa'": false,
		"accountEnabled eq true": true, "accountEnabled ne true": false, "accountEnabled eq false": false,
		"userType eq 'Guest'": true, "userType ne 'guest'": false, "userType eq 'member'": false,
		"status/code ge 5": true, "status/code lt 5": false, "status/code gt 5": false, "status/code le 5": true,
		"createdDateTime ge 2026-11-23T09:00:00Z": true, "createdDateTime lt 2026-11-23T09:00:00Z": false,
		"id in ('x','a')": true, "id in ('x')": false, "not (id eq 'a')": false,
		"startswith(displayName,'AD')": true, "startswith(displayName,'da')": false,
		"id eq 'x' or id eq 'a' and accountEnabled eq true": true, "(id eq 'x' or id eq 'a') and accountEnabled eq false": false,
		"tags/any(t:t eq 'x')": false,
	} {
		e, err := filter.Parse(text, fields)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.Holds(func(column string) any { return ada[column] }); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	if e, err := filter.Parse("id eq 'a'", fields); err != nil || e.Holds(func(string) any { return nil }) {
		t.Errorf("what has no id has this one: %v", err)
	}
}
