package console

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/report"
)

// mostExported bounds a file of the log; the page says so.
const mostExported = 10_000

// lookExported is how many records are looked at for one.
const lookExported = 500_000

// logHeader are the columns of the file.
var logHeader = []string{"time", "user", "user_id", "app_id", "activity", "result", "method", "rule", "reason", "code", "ip", "browser", "trace", "session", "times", "id"}

// signInsCSV gives the filtered log as a file: RFC 4180, UTF-8, the newest
// first, times in UTC. It is gathered before it is sent, so that a file is
// whole or not there.
func (c *Console) signInsCSV(ctx context.Context, v *visit) error {
	f := readLogFilter(v.r.URL.Query())
	ask := f.query(audit.SignIns, c.cfg.Now())
	meant, err := v.understand(ctx, &f, audit.SignIns, &ask)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(logHeader); err != nil {
		return err
	}
	left, look := mostExported, lookExported
	for !meant.nobody && len(meant.people) == 0 && left > 0 && look > 0 {
		ask.Limit, ask.Look = min(left, 999), min(look, 20_000)
		part, err := c.cfg.Audit.Search(ctx, c.cfg.DB, v.tenant.ID, ask)
		if err != nil {
			return err
		}
		for _, e := range part.Events {
			if err := w.Write(logRecord(e)); err != nil {
				return err
			}
		}
		left -= len(part.Events)
		look -= max(len(part.Events), 1)
		if !part.Back.IsZero() {
			look -= ask.Look
		}
		if ask.Before = part.Next; ask.Before == "" {
			break
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	v.attach("sign-ins-" + c.cfg.Now().UTC().Format(time.DateOnly) + ".csv")
	_, err = v.w.Write(b.Bytes())
	return err
}

// attach makes the reply a file of comma-separated values.
func (v *visit) attach(name string) {
	h := v.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

func logRecord(e audit.Event) []string {
	cell := report.Cell
	return []string{
		e.At.UTC().Format(time.RFC3339), cell(e.UserName), cell(string(e.User)), cell(string(e.Client)), e.Activity, e.Outcome, cell(string(e.Method)),
		cell(e.Rule), cell(e.Reason), strconv.Itoa(e.Code), cell(e.IP), cell(e.Agent), cell(e.Trace), cell(string(e.Session)), strconv.Itoa(max(e.Times, 1)), string(e.ID),
	}
}
