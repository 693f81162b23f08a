package console

import (
	"context"
	"encoding/csv"
	"errors"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/page"
)

// tokenWish is a token that is to be made.
type tokenWish struct {
	line   int // of what was typed; 0: of none
	serial string
	name   string // of the person, as typed
	person idp.User
}

// tokenWishes reads what was typed: a token for each serial number, or so many
// for a person.
func (v *visit) tokenWishes(ctx context.Context, f tokenForm) (wishes []tokenWish, wrongs []tokenWrong, err error) {
	pg := v.page("macstokens", "", nil)
	bad := func(field string, say template.HTML) { wrongs = append(wrongs, tokenWrong{field, say}) }
	wishes, wrongs = readSerials(pg, f.Serials)
	if len(wishes) == 0 && len(wrongs) == 0 {
		n, err := strconv.Atoi(f.Count)
		switch {
		case f.For == "":
			bad("serials", pg.T("macs.tokens.bad.nothing"))
		case err != nil || n < 1 || n > mostTokens:
			bad("count", pg.T("macs.tokens.bad.count", "most", mostTokens))
		default:
			wishes = make([]tokenWish, n)
		}
	}
	people := map[string]idp.User{}
	for i := range wishes {
		w := &wishes[i]
		name, field := w.name, "serials"
		if name == "" {
			name, field = f.For, "for"
		}
		if name == "" {
			continue
		}
		u, known := people[name]
		if !known {
			u, err = v.cfg.Directory.UserByName(ctx, v.cfg.DB, v.tenant.ID, name)
			if e := idp.AsError(err); err != nil && (e == nil || e.Kind != idp.NotFound && e.Kind != idp.Invalid) {
				return nil, nil, err
			}
			people[name] = u
			if !u.Known() {
				say := pg.T("macs.tokens.bad.person", "name", page.Clip(name, 80))
				if field == "serials" {
					say = pg.T("macs.tokens.bad.line", "line", w.line, "what", say)
				}
				bad(field, say)
			}
		}
		w.person = u
	}
	return wishes, wrongs, nil
}

// mostWrongLines is how many lines are complained about.
const mostWrongLines = 10

// readSerials reads serial numbers, one a line, or a file of comma-separated
// values that has a column of them and perhaps one of people.
func readSerials(pg *page.Page, text string) (out []tokenWish, wrongs []tokenWrong) {
	bad := func(line int, what template.HTML) {
		if len(wrongs) < mostWrongLines {
			wrongs = append(wrongs, tokenWrong{"serials", pg.T("macs.tokens.bad.line", "line", line, "what", what)})
		}
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = -1, true, true
	if head, _, _ := strings.Cut(text, "\n"); !strings.Contains(head, ",") && strings.Contains(head, ";") {
		r.Comma = ';' // as spreadsheets write where the comma is in numbers
	}
	serialAt, userAt := 0, -1
	seen := map[string]bool{}
	for first := true; ; first = false {
		row, err := r.Read()
		if err != nil {
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				bad(parse.Line, pg.T("macs.tokens.bad.csv"))
			}
			return out, wrongs // a reader of text has no other end
		}
		line, _ := r.FieldPos(0)
		if first {
			if s, u, head := columns(row); head {
				if serialAt, userAt = s, u; s < 0 {
					bad(line, pg.T("macs.tokens.bad.column"))
					return nil, wrongs
				}
				continue
			}
			if len(row) > 1 {
				bad(line, pg.T("macs.tokens.bad.column"))
				return nil, wrongs
			}
		}
		w := tokenWish{line: line}
		typed := ""
		if serialAt < len(row) {
			typed = strings.TrimSpace(row[serialAt])
		}
		if userAt >= 0 && userAt < len(row) {
			w.name = strings.TrimSpace(row[userAt])
		}
		if typed == "" && w.name == "" {
			continue
		}
		w.serial = mac.CleanSerial(typed)
		switch {
		case w.serial == "":
			bad(line, pg.T("macs.tokens.bad.serial", "text", page.Clip(typed, 40)))
		case seen[w.serial]:
			bad(line, pg.T("macs.tokens.bad.twice", "text", w.serial))
		case len(out) == mostTokens:
			bad(line, pg.T("macs.tokens.bad.many", "most", mostTokens))
			return out, wrongs
		}
		seen[w.serial] = true
		out = append(out, w)
	}
}

// The names that columns go by, folded, without spaces, hyphens and underscores.
var (
	serialColumns = []string{"serial", "serialnumber", "deviceserial", "deviceserialnumber"}
	userColumns   = []string{"user", "username", "userprincipalname", "upn", "email", "owner"}
)

// columns finds the columns of a head; head is false when the row is none.
func columns(row []string) (serial, user int, head bool) {
	serial, user = -1, -1
	for i, cell := range row {
		word := strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(cell))
		switch {
		case serial < 0 && slices.Contains(serialColumns, word):
			serial, head = i, true
		case user < 0 && slices.Contains(userColumns, word):
			user, head = i, true
		}
	}
	return serial, user, head
}
