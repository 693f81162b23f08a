package portal

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/signin"
)

// ticks is how many the seal has: one for each second that a number lives
// (design, "Number display").
const ticks = 120

// helpAfter is when the page says what to do if nothing has come, and
// refreshAfter how soon one without script is loaded again; both in seconds
// (passkeys-and-phone.md §6.5).
const (
	helpAfter    = 8
	refreshAfter = 3
)

// shownNumber is what a page reads of what the method shows.
type shownNumber struct {
	Number  string    `json:"number"`
	Expires time.Time `json:"expires"`
	Request string    `json:"request"`
}

// numberView is the page that shows a number to type on the phone.
type numberView struct {
	Handle, UserName string
	Method           idp.MethodID
	Number, Spelled  string // "47", "4, 7"
	Left             int    // seconds
	Clock            string // "1:34"
	Ready, Over      bool   // the phone has answered; the time is up
	Late             bool   // the help may be shown at once
	Again            template.HTML
	QR               qrPicture
	Wait             string // where the script waits
	Others           string // where the other ways are
	OtherWays        template.HTML
	Known            string // the tenant, for the browser's signature
	Problem          *problem
	status           int
}

// numberPage shows what a flow waits for. It is the same for people who are
// asked and for names that nobody has.
func (p *Portal) numberPage(w http.ResponseWriter, r *http.Request, f signin.Flow, v numberView) error {
	var shown shownNumber
	if err := json.Unmarshal(f.Waiting.Show, &shown); err != nil {
		return fmt.Errorf("what %s shows: %w", f.Waiting.Method, err)
	}
	if !v.Over {
		v.Left = int(math.Ceil(shown.Expires.Sub(p.cfg.Now()).Seconds()))
		v.Over = v.Left <= 0
	}
	if v.Over {
		v.Left, shown.Number = 0, ""
	} else if err := p.isReady(r, f, &v); err != nil {
		return err
	}
	v.Left = min(v.Left, ticks)
	v.Handle, v.UserName, v.Method = f.Handle(), f.Waiting.UserName, f.Waiting.Method
	v.Number, v.Spelled = shown.Number, strings.Join(strings.Split(shown.Number, ""), ", ")
	v.Clock = fmt.Sprintf("%d:%02d", v.Left/60, v.Left%60)
	v.Wait, v.Others = "/"+string(f.Tenant)+"/signin/wait?flow="+f.Handle(), flowAddress(f)+"&other=1"
	pg := p.newPage(r, "wait", p.tenantOf(r.Context(), f.Tenant), "", &v)
	pg.LeadsTo = f.LeadsTo
	if err := p.otherWays(r, pg, f, &v); err != nil {
		return err
	}
	pg.Title = pg.T("wait.title")
	switch {
	case v.Over:
		pg.Title = pg.T("wait.title.over")
	case v.Ready:
		pg.Title = pg.T("wait.title.ready")
	default:
		pg.Refresh = refreshAfter
		v.Late = ticks-v.Left >= helpAfter || r.URL.Query().Has("again")
		v.Again = saidAgain(pg, r.URL.Query().Get("again"))
		var err error
		if v.QR, err = qrOf(p.cfg.BaseURL + "/phone#r=" + shown.Request); err != nil {
			return err
		}
	}
	if v.status == 0 {
		v.status = http.StatusOK
	}
	return p.show(w, v.status, pg)
}

// isReady asks whether the answer has come. What is over by then the next load
// says.
func (p *Portal) isReady(r *http.Request, f signin.Flow, v *numberView) error {
	ready, _, stop, err := p.cfg.Corridor.Watch(r.Context(), f)
	if err != nil {
		return err
	}
	stop()
	v.Ready = ready
	return nil
}

// otherWays says what else there is: a passkey by name, where it is one.
func (p *Portal) otherWays(r *http.Request, pg *page.Page, f signin.Flow, v *numberView) error {
	offers, err := p.cfg.Corridor.Offers(r.Context(), f)
	if err != nil {
		return err
	}
	if p.cfg.Browsers != nil {
		v.Known = string(f.Tenant)
	}
	for _, o := range offers {
		switch {
		case o.ID == passkey:
			v.OtherWays = pg.T("wait.passkey")
			return nil
		case !o.Waits:
			v.OtherWays = pg.T("signin.other")
		}
	}
	return nil
}

func saidAgain(pg *page.Page, told string) template.HTML {
	switch told {
	case "yes":
		return pg.T("wait.sent")
	case "no":
		return pg.T("wait.sent.enough")
	}
	return ""
}

// unanswered shows what came of a wait that opened nothing: the page with the
// number when it was only late, so that a new one is at hand, else the sign-in
// page.
func (p *Portal) unanswered(w http.ResponseWriter, r *http.Request, in answered, e *idp.Error) error {
	ws := p.pages.Pick(r)
	t := p.tell(r, ws, e, "", app{})
	said := &problem{Code: t.Code, Trace: t.Trace, Text: ws.T("signin.problem.proof")}
	if e.Kind == idp.Expired || e.Reason == "phone_late" {
		return p.numberPage(w, r, in.flow, numberView{Over: true, status: t.status, Problem: said})
	}
	switch e.Reason {
	case "phone_denied", "phone_reported", "phone_wrong_number":
		said.Text = ws.T("wait.problem." + strings.TrimPrefix(e.Reason, "phone_"))
	}
	// The flow waits for nothing now.
	f, err := p.cfg.Corridor.Resume(r.Context(), in.flow.Tenant, in.flow.Handle(), in.peer)
	if err != nil {
		return err
	}
	return p.showFlow(w, r, f, in.peer, signInView{Open: true, UserName: in.userName, status: t.status, Problem: said})
}
