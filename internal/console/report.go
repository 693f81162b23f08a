package console

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/report"
	"github.com/signetid/signet/internal/web"
)

// Report is what the console needs of package report.
type Report interface {
	CSV(ctx context.Context, w io.Writer, t idp.TenantID) (rows int, err error)
	Store(context.Context, idp.TenantID) (report.Day, error)
	History(ctx context.Context, t idp.TenantID, from, to time.Time) ([]report.Day, error)
}

func (c *Console) reportRoutes() []route {
	return []route{
		{"GET /admin/report", directory.Helpdesk, c.report, ""},
		{"POST /admin/report/count", directory.Helpdesk, c.countNow, ""},
		{"GET /admin/report/csv", directory.Administrator, c.reportCSV, ""},
	}
}

// reportView is the registration report.
type reportView struct {
	Lead    template.HTML
	Now     *dayView // the newest count; nil: there is none yet
	Classes []classRow
	Plate   []area // a hundred ticks, of the newest count
	Chart   []area // a column a day
	From    template.HTML
	To      template.HTML
	Ranges  []choice
	Days    []dayView
	CSV     string
}

// area is what one class covers of a picture.
type area struct{ Class, Path string }

// classRow is one class of the newest count, and what it was at the beginning
// of the range.
type classRow struct {
	Class       report.Class
	Label, Note template.HTML
	People      int
	Share       template.HTML
	Since       template.HTML
}

// dayView is one day of the table.
type dayView struct {
	Day    template.HTML
	Total  int
	Shares []template.HTML // in the order of report.Classes
}

// ranges are how far back the picture goes, in days, by the word in the
// address.
var ranges = []struct {
	word string
	days int
}{{"month", 30}, {"quarter", 90}, {"year", 365}}

func (c *Console) report(ctx context.Context, v *visit) error {
	pg := v.page("report", "", nil)
	pg.Title = pg.T("report.title")
	days := ranges[1].days
	view := reportView{}
	word := v.r.URL.Query().Get("range")
	for _, r := range ranges {
		if r.word == word {
			days = r.days
		}
	}
	for _, r := range ranges {
		view.Ranges = append(view.Ranges, choice{pg.T("report.range." + r.word), "/admin/report?range=" + r.word, r.days == days})
	}
	now := c.cfg.Now().UTC()
	from := now.Truncate(day).AddDate(0, 0, 1-days)
	list, err := c.cfg.Report.History(ctx, v.tenant.ID, from, now)
	if err != nil {
		return err
	}
	view.fill(pg, list, from, days)
	if v.admin() {
		view.CSV = "/admin/report/csv"
	}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// fill draws the days.
func (r *reportView) fill(pg *page.Page, list []report.Day, from time.Time, days int) {
	r.Lead = pg.T("report.lead.none")
	if len(list) == 0 {
		return
	}
	newest := list[len(list)-1]
	total := newest.People.Total()
	r.Lead = pg.N("report.lead", total, "when", page.When(newest.Counted, ""))
	r.Plate, r.Chart = plate(newest.People), chart(list, from, days)
	r.From, r.To = dayName(from), dayName(from.AddDate(0, 0, days-1))
	for _, c := range report.Classes {
		n := newest.People[c]
		row := classRow{Class: c, Label: pg.T("report.class." + string(c)), Note: pg.T("report.note." + string(c)), People: n, Share: percent(n, total)}
		if len(list) > 1 {
			row.Since = percent(list[0].People[c], list[0].People.Total())
		}
		r.Classes = append(r.Classes, row)
	}
	for i := len(list) - 1; i >= 0; i-- {
		r.Days = append(r.Days, dayViewOf(list[i]))
	}
	r.Now = &r.Days[0]
}

func dayViewOf(d report.Day) dayView {
	out := dayView{Day: dayName(d.Day), Total: d.People.Total()}
	for _, c := range report.Classes {
		out.Shares = append(out.Shares, percent(d.People[c], out.Total))
	}
	return out
}

// dayName is a day, which is one of UTC and the same for every reader.
func dayName(t time.Time) template.HTML { return template.HTML(t.UTC().Format("2 Jan 2006")) }

// percent is a share in whole percent; what is there is never told as none.
func percent(n, of int) template.HTML {
	switch {
	case of == 0 || n == 0:
		return "0 %"
	case n*200 < of:
		return "&lt; 1 %"
	case n < of && n*200 >= of*199:
		return "&gt; 99 %"
	}
	return template.HTML(strconv.Itoa((n*200+of)/(2*of)) + " %")
}

// The pictures are drawn in boxes of these units; the style stretches them.
const (
	plateWide, plateHigh = 1000, 40
	chartWide, chartHigh = 1000, 200
)

// plate draws a hundred ticks and gives each class its share of them, by
// largest remainders: who is there has a tick.
func plate(n report.Counts) []area {
	shares := ticksOf(n, 100)
	out := make([]area, 0, len(report.Classes))
	at := 0
	for i, c := range report.Classes {
		// The weaker, the lower: the picture works without its colours.
		high := plateHigh * float64(len(report.Classes)-i) / float64(len(report.Classes))
		var b strings.Builder
		for range shares[c] {
			rect(&b, float64(at)*10+2, plateHigh-high, 6, high)
			at++
		}
		out = append(out, area{string(c), b.String()})
	}
	return out
}

// ticksOf divides so many ticks among the classes.
func ticksOf(n report.Counts, ticks int) map[report.Class]int {
	total := n.Total()
	out := make(map[report.Class]int, len(report.Classes))
	if total == 0 {
		return out
	}
	left := ticks
	for _, c := range report.Classes {
		out[c] = n[c] * ticks / total
		if n[c] > 0 && out[c] == 0 {
			out[c] = 1
		}
		left -= out[c]
	}
	for ; left != 0; left -= sign(left) {
		// What is over goes to whom it is owed most; what is missing is taken
		// from the largest.
		best := report.Classes[0]
		for _, c := range report.Classes {
			if left > 0 && owed(n[c], total, out[c], ticks) > owed(n[best], total, out[best], ticks) || left < 0 && out[c] > out[best] {
				best = c
			}
		}
		out[best] += sign(left)
	}
	return out
}

func owed(n, total, has, ticks int) int { return n*ticks - has*total }

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// chart draws a column for each day that was counted; days without a count
// stay empty.
func chart(list []report.Day, from time.Time, days int) []area {
	step := float64(chartWide) / float64(days)
	wide := max(step*.64, 1)
	paths := make(map[report.Class]*strings.Builder, len(report.Classes))
	for _, c := range report.Classes {
		paths[c] = &strings.Builder{}
	}
	for _, d := range list {
		total := d.People.Total()
		if total == 0 {
			continue
		}
		x := float64(int(d.Day.Sub(from)/day))*step + (step-wide)/2
		y := float64(chartHigh)
		for _, c := range report.Classes {
			high := float64(d.People[c]) * chartHigh / float64(total)
			y -= high
			if high > 0 {
				rect(paths[c], x, y, wide, high)
			}
		}
	}
	out := make([]area, 0, len(report.Classes))
	for _, c := range report.Classes {
		out = append(out, area{string(c), paths[c].String()})
	}
	return out
}

func rect(b *strings.Builder, x, y, wide, high float64) {
	fmt.Fprintf(b, "M%s %sh%sv%sh-%sz", coordinate(x), coordinate(y), coordinate(wide), coordinate(high), coordinate(wide))
}

// countNow counts again, for whoever does not want to wait for the job.
func (c *Console) countNow(ctx context.Context, v *visit) error {
	if _, err := c.cfg.Report.Store(ctx, v.tenant.ID); err != nil {
		return err
	}
	return v.leave("/admin/report", "counted")
}

// reportCSV gives the report person by person, while it is read. A file that
// could not be finished is cut off as a broken connection, never as a shorter
// list of people.
func (c *Console) reportCSV(ctx context.Context, v *visit) error {
	v.attach("registration-" + c.cfg.Now().UTC().Format(time.DateOnly) + ".csv")
	sent := &counted{w: v.w}
	_, err := c.cfg.Report.CSV(ctx, sent, v.tenant.ID)
	if err == nil {
		return nil
	}
	if sent.n == 0 {
		v.w.Header().Del("Content-Disposition") // an error page is no file
		return err
	}
	web.Note(v.r, err, http.StatusInternalServerError)
	panic(http.ErrAbortHandler)
}

// counted knows whether anything was sent.
type counted struct {
	w io.Writer
	n int
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}
