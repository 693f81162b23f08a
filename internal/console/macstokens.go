package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/report"
	"github.com/signetid/signet/internal/sqldb"
)

// macTokensView is the fourth step: how the rest of the Macs register.
type macTokensView struct {
	listView
	Guide                       *guideView
	Roads                       []template.HTML
	Example                     string
	Problems                    []template.HTML
	Make                        string
	Serials, For, Count         string
	Lives                       []option
	BadSerials                  []template.HTML
	BadFor, BadCount, CountHint template.HTML
	Tokens                      []tokenRow
	Say                         template.HTML
	Shown                       []choice
}

// tokenRow is a registration token; what it is worth is nowhere any more.
type tokenRow struct {
	ID                     mac.TokenID
	For, Made, Until, Used template.HTML
	Note                   template.HTML
	State                  string
	StateText              template.HTML
	Revoke                 string
}

// mostTokens is how many tokens are made at once. A form with as many serial
// numbers still comes back after a gesture (mostCarried).
const mostTokens = 500

// tokenLives are the lifetimes that are offered.
var tokenLives = []time.Duration{8 * time.Hour, mac.DefaultTokenLife, 3 * day, mac.MaxTokenLife}

func (c *Console) macTokens(ctx context.Context, v *visit) error {
	return v.tokensPage(ctx, http.StatusOK, tokenForm{Count: "1", Life: lifeWord(mac.DefaultTokenLife)}, nil)
}

// lifeWord is a lifetime as it stands in the form: minutes.
func lifeWord(d time.Duration) string { return strconv.Itoa(int(d / time.Minute)) }

// tokenForm is what was typed.
type tokenForm struct{ Serials, For, Count, Life string }

// tokenWrong is what is wrong with it, by field: "serials", "for" or "count".
type tokenWrong struct {
	field string
	say   template.HTML
}

func (v *visit) tokensPage(ctx context.Context, status int, f tokenForm, wrongs []tokenWrong) error {
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	pg := v.page("macstokens", v.words().T("macs.title"), nil)
	view := macTokensView{
		listView: listView{Path: macTokensPath}, Make: macTokenPath, Serials: f.Serials, For: f.For, Count: f.Count,
		CountHint: pg.T("macs.tokens.count.hint", "most", mostTokens), Example: "ada@" + cmp.Or(v.tenant.Domain, "example.com"),
	}
	if view.Guide, err = v.guide(ctx, pg, "everybody", p); err != nil {
		return err
	}
	for _, word := range []string{"person", "token"} {
		view.Roads = append(view.Roads, pg.T("macs.give."+word))
	}
	for _, l := range tokenLives {
		view.Lives = append(view.Lives, option{lifeWord(l), lasting(pg, l), lifeWord(l) == f.Life})
	}
	for _, w := range wrongs {
		switch w.field {
		case "for":
			view.BadFor = w.say
		case "count":
			view.BadCount = w.say
		default:
			view.BadSerials = append(view.BadSerials, w.say)
		}
	}
	if len(wrongs) > 0 {
		view.Problems = []template.HTML{pg.N("macs.tokens.bad", len(wrongs))}
	}
	if err := v.tokenList(ctx, pg, &view); err != nil {
		return err
	}
	pg.V = &view
	return v.show(status, pg)
}

// tokenList fills in the tokens that there are: those that may still be used,
// or all that are kept.
func (v *visit) tokenList(ctx context.Context, pg *page.Page, view *macTokensView) error {
	q := v.r.URL.Query()
	all := q.Get("show") == "all"
	view.Shown = []choice{{pg.T("macs.tokens.good"), macTokensPath + "#b-tokens", !all}, {pg.T("macs.tokens.all"), macTokensPath + "?show=all#b-tokens", all}}
	list, next, err := v.cfg.Macs.Registry.Tokens.List(ctx, v.tenant.ID, mac.TokenPage{After: q.Get("after"), Limit: pageSize, Good: !all})
	if err != nil {
		return err
	}
	names := &names{visit: v}
	for _, t := range list {
		row, err := v.tokenRow(ctx, pg, names, t)
		if err != nil {
			return err
		}
		view.Tokens = append(view.Tokens, row)
	}
	if view.Say = pg.T("macs.tokens.none.good"); all {
		view.Say = pg.T("macs.tokens.none")
	}
	if v.r.Method == http.MethodGet {
		view.page(v.r, next)
	}
	return nil
}

func (v *visit) tokenRow(ctx context.Context, pg *page.Page, names *names, t mac.Token) (tokenRow, error) {
	row := tokenRow{ID: t.ID, Made: page.When(t.Created, ""), Until: page.When(t.Expires, "start"), Used: pg.T("macs.tokens.uses", "n", t.Used, "of", t.Uses)}
	var err error
	if row.For, err = tokenFor(ctx, pg, names, t); err != nil {
		return row, err
	}
	by, err := names.of(ctx, t.By)
	if err != nil {
		return row, err
	}
	if t.By == "" {
		by = pg.T("macs.tokens.cli")
	}
	if row.Note = pg.T("macs.tokens.by", "name", by); t.Note != "" {
		row.Note = pg.T("macs.tokens.by.note", "name", by, "note", t.Note)
	}
	if t.Used > 0 && t.Device != "" {
		row.Used = template.HTML(`<a href="`+template.HTMLEscapeString(devicePath(t.Device))+`">`) + row.Used + "</a>"
	}
	switch word := tokenState(t, v.cfg.Now()); word {
	case "open":
		row.State, row.StateText, row.Revoke = "good", pg.T("macs.tokens.state.open"), macTokenPath+"/"+string(t.ID)+"/ask"
	default:
		row.State, row.StateText = "off", pg.T("macs.tokens.state."+word)
	}
	return row, nil
}

// tokenFor says what a token is good for.
func tokenFor(ctx context.Context, pg *page.Page, names *names, t mac.Token) (template.HTML, error) {
	name, err := names.of(ctx, t.For)
	switch {
	case err != nil:
		return "", err
	case t.Serial == "":
		return pg.T("macs.tokens.for.person", "name", name), nil
	case t.For == "":
		return code(t.Serial), nil
	}
	return pg.T("macs.tokens.for.both", "serial", code(t.Serial), "name", name), nil
}

func tokenState(t mac.Token, now time.Time) string {
	switch {
	case t.Good(now):
		return "open"
	case !t.Revoked.IsZero():
		return "revoked"
	case t.Used >= t.Uses:
		return "used"
	}
	return "over"
}

// tokenWish is a token that is to be made.
type tokenWish struct {
	line   int // of what was typed; 0: of none
	serial string
	name   string // of the person, as typed
	person idp.User
}

// makeMacTokens makes tokens and shows them, once: on a page, or as a file.
func (c *Console) makeMacTokens(ctx context.Context, v *visit) error {
	f := tokenForm{v.form.Get("serials"), strings.TrimSpace(v.form.Get("for")), strings.TrimSpace(v.form.Get("count")), v.form.Get("life")}
	do := v.form.Get("do")
	life := time.Duration(0)
	for _, l := range tokenLives {
		if lifeWord(l) == f.Life {
			life = l
		}
	}
	if do != "show" && do != "csv" || life == 0 {
		return noSuchButton(do)
	}
	wishes, wrongs, err := v.tokenWishes(ctx, f)
	if err != nil {
		return err
	}
	if len(wrongs) > 0 {
		return v.tokensPage(ctx, http.StatusBadRequest, f, wrongs)
	}
	made, values, err := v.issueTokens(ctx, wishes, life)
	if err != nil {
		return err
	}
	file, err := tokenCSV(wishes, made, values)
	if err != nil {
		return err
	}
	name := "mac-tokens-" + c.cfg.Now().UTC().Format(time.DateOnly) + ".csv"
	if do == "csv" {
		v.attach(name)
		_, err = v.w.Write(file)
		return err
	}
	return v.showTokens(ctx, made, values, name, string(file))
}

// issueTokens makes them all, or none.
func (v *visit) issueTokens(ctx context.Context, wishes []tokenWish, life time.Duration) (made []mac.Token, values []string, err error) {
	err = v.change(ctx, "mac.token.issue", idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		made, values = nil, nil
		var serials []string
		for _, w := range wishes {
			t, value, err := v.cfg.Macs.Registry.Tokens.Issue(ctx, tx, mac.TokenRequest{
				Tenant: v.tenant.ID, By: v.user.ID, For: w.person.ID, Serial: w.serial, Lives: life,
			})
			if err != nil {
				return err
			}
			made, values = append(made, t), append(values, value)
			if w.serial != "" {
				serials = append(serials, w.serial)
			}
		}
		e.Detail["tokens"], e.Detail["expires"] = strconv.Itoa(len(made)), made[0].Expires.Format(time.RFC3339)
		if len(serials) > 0 {
			e.Detail["serials"] = audit.Clean(strings.Join(serials, " "), 1000)
		}
		if len(made) == 1 {
			e.Detail["token"] = string(made[0].ID)
		}
		return nil
	})
	return made, values, err
}

// tokenHeader are the columns of the file.
var tokenHeader = []string{"serial", "user", "registrationToken", "expires", "id"}

func tokenCSV(wishes []tokenWish, made []mac.Token, values []string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(tokenHeader); err != nil {
		return nil, err
	}
	for i, t := range made {
		// A value is of the alphabet of base64url, and may begin with a hyphen: in a
		// file for an MDM it stands as it is.
		row := []string{report.Cell(t.Serial), report.Cell(wishes[i].person.Name), values[i], t.Expires.UTC().Format(time.RFC3339), string(t.ID)}
		if err := w.Write(row); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// macMadeView shows new tokens, once.
type macMadeView struct {
	Lead template.HTML
	Back string
	File string
	CSV  string
	Rows []madeRow
}

type madeRow struct {
	For   template.HTML
	Token string
	Until template.HTML
}

func (v *visit) showTokens(ctx context.Context, made []mac.Token, values []string, name, file string) error {
	pg := v.page("macsmade", "", nil)
	pg.Title = pg.N("macs.made.title", len(made))
	view := macMadeView{Lead: pg.T("macs.made.lead"), Back: macTokensPath, File: name, CSV: file}
	names := &names{visit: v}
	for i, t := range made {
		what, err := tokenFor(ctx, pg, names, t)
		if err != nil {
			return err
		}
		view.Rows = append(view.Rows, madeRow{what, values[i], page.When(t.Expires, "start")})
	}
	pg.V = view
	v.w.Header().Set("Cache-Control", "no-store")
	return v.show(http.StatusOK, pg)
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

// askMacToken asks before a token is taken back.
func (c *Console) askMacToken(ctx context.Context, v *visit) error {
	t, err := c.cfg.Macs.Registry.Tokens.Get(ctx, c.cfg.DB, v.tenant.ID, mac.TokenID(v.r.PathValue("id")))
	if err != nil {
		return err
	}
	pg := v.page("ask", "", nil)
	what, err := tokenFor(ctx, pg, &names{visit: v}, t)
	if err != nil {
		return err
	}
	return v.ask(pg.T("macs.tokens.ask.title"), askView{
		Action: macTokenPath + "/" + string(t.ID) + "/revoke", Keep: macTokensPath, Harm: true, Yes: pg.T("macs.tokens.ask.yes"), No: pg.T("ask.no"),
		Text: []template.HTML{pg.T("macs.tokens.ask.for", "what", what), pg.T("macs.tokens.ask.text")},
	})
}

func (c *Console) revokeMacToken(ctx context.Context, v *visit) error {
	id := mac.TokenID(v.r.PathValue("id"))
	err := v.change(ctx, "mac.token.revoke", idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		t, err := c.cfg.Macs.Registry.Tokens.Revoke(ctx, tx, v.tenant.ID, id)
		if e.Detail["token"] = string(t.ID); t.Serial != "" {
			e.Detail["serial"] = t.Serial
		}
		return err
	})
	if err != nil {
		return err
	}
	return v.leave(macTokensPath, "token-revoked")
}
