package report

import (
	"context"
	"encoding/csv"
	"io"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// Header are the columns of the CSV.
var Header = []string{"user", "name", "methods", "strongest", "registered", "capable", "last_sign_in", "type", "enabled"}

// CSV writes the registration report person by person while it is read: RFC
// 4180, UTF-8, times in UTC (RFC 3339). last_sign_in is the last use of
// something that the person still holds; empty: never.
func (r *Report) CSV(ctx context.Context, w io.Writer, t idp.TenantID) (rows int, err error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(Header); err != nil {
		return 0, err
	}
	for p, err := range r.People(ctx, t) {
		if err != nil {
			return rows, err
		}
		last := ""
		if !p.LastSignIn.IsZero() {
			last = p.LastSignIn.UTC().Format(time.RFC3339)
		}
		err := out.Write([]string{
			Cell(p.Name), Cell(p.DisplayName), Cell(strings.Join(p.Methods, "; ")), string(p.Strongest),
			yes(p.Registered), yes(p.Capable), last, string(p.Type), yes(p.Enabled),
		})
		if err != nil {
			return rows, err
		}
		rows++
	}
	out.Flush()
	return rows, out.Error()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Cell makes a text harmless in a spreadsheet: see web.Cell.
func Cell(s string) string { return web.Cell(s) }
