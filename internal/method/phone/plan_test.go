package phone

import (
	"strings"
	"testing"
)

// TestSec_NON04_WhatStrangersLeave: rows that nobody was told of, of which a
// stranger can have many, are passed over when a person's requests are counted.
func TestSec_NON04_WhatStrangersLeave(t *testing.T) {
	w := sqliteWorld(t)
	for what, query := range map[string]string{
		"lately":      `select count(*) from phone_request o where o.tenant_id = $1 and o.subject = $3 and o.created > $2 and o.state <> 'silent' and not o.known`,
		"own browser": strings.ReplaceAll(`select `+ownBrowser, "$4", "$2"),
	} {
		rows, err := w.DB.Query(t.Context(), `explain query plan `+query, "t", 1, "u")
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int64
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
		if !strings.Contains(strings.Join(plan, "\n"), "phone_request_told") {
			t.Errorf("%s: %q", what, plan)
		}
	}
}
