package oddphone

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/test/person"
)

// desk is a browser in which nobody is known, with a number on its page.
type desk struct {
	*person.Person
	site *site
	page person.Page
}

// asks opens the application in a new browser and asks the phones of a person.
func (w *somebody) asks() *desk {
	w.site.t.Helper()
	return w.site.asks(w.upn)
}

func (s *site) asks(upn string) *desk {
	t := s.t
	t.Helper()
	d := &desk{Person: s.browser(), site: s}
	page, _, err := d.Authorize(t.Context(), s.app, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.page, err = d.AskPhone(t.Context(), page, upn); err != nil {
		t.Fatal(err)
	}
	if d.page.Number() == "" {
		t.Fatalf("no number: %d %s", d.page.Status, d.page.Text)
	}
	return d
}

// event waits for what the page hears.
func (d *desk) event(want string) {
	d.site.t.Helper()
	w, err := d.Wait(d.site.t.Context(), d.page)
	if err != nil {
		d.site.t.Fatal(err)
	}
	defer w.Close()
	if got, err := w.Event(); err != nil || got != want {
		d.site.t.Errorf("the page heard %q, %v; want %q", got, err, want)
	}
}

// in says whether the browser is let in.
func (d *desk) in() bool {
	d.site.t.Helper()
	page, err := d.Collect(d.site.t.Context(), d.page)
	if err != nil {
		d.site.t.Fatal(err)
	}
	_, err = page.Code()
	return err == nil
}

// one is the request that waits.
func (p *Phone) one(t *testing.T) Waiting {
	t.Helper()
	all, err := p.Requests(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("waiting: %+v, %v", all, err)
	}
	w := all[0]
	if w.Created.IsZero() || !w.Expires.After(w.Created) || !json.Valid([]byte(w.Context)) {
		t.Errorf("the request is %+v", w)
	}
	return w
}

// result holds an answer to what came of it.
func result(t *testing.T, what string, a Answer, err error, want string) {
	t.Helper()
	var got struct{ Result string }
	if err != nil || a.into(&got) != nil || got.Result != want {
		t.Errorf("%s: %+v, %v; want %s", what, a, err, want)
	}
}

// other is a number that is not this one.
func other(number string) string {
	if number == "47" {
		return "48"
	}
	return "47"
}

// Yes, no, not me, a wrong number: what the phone is told, what the page hears,
// and what the history says.
func TestAnswers(t *testing.T) {
	s := newSite(t)
	for i, c := range []struct {
		name   string
		answer func(*Phone, Waiting, string) (Answer, error)
		want   string
		in     bool
	}{
		{"yes", func(p *Phone, w Waiting, n string) (Answer, error) { return p.Approve(t.Context(), w, n) }, "approved", true},
		{"wrong number", func(p *Phone, w Waiting, n string) (Answer, error) { return p.Approve(t.Context(), w, other(n)) }, "wrong_number", false},
		{"no", func(p *Phone, w Waiting, _ string) (Answer, error) { return p.Deny(t.Context(), w, false) }, "denied", false},
		{"not me", func(p *Phone, w Waiting, _ string) (Answer, error) { return p.Deny(t.Context(), w, true) }, "reported", false},
	} {
		who := s.somebody("person" + string(rune('a'+i)))
		p, second := who.phone(), who.phone()
		d := who.asks()
		w := p.one(t)
		if same := second.one(t); same.ID != w.ID {
			t.Errorf("%s: the second phone is asked something else", c.name)
		}
		a, err := c.answer(p, w, d.page.Number())
		result(t, c.name, a, err, c.want)
		d.event("ready")
		// Whatever it was, it was the only try.
		for again, a := range map[string]func() (Answer, error){
			"yes":    func() (Answer, error) { return p.Approve(t.Context(), w, d.page.Number()) },
			"no":     func() (Answer, error) { return p.Deny(t.Context(), w, false) },
			"second": func() (Answer, error) { return second.Approve(t.Context(), w, d.page.Number()) },
		} {
			a, err := a()
			refused(t, c.name+", then "+again, a, err, http.StatusGone, "request_over")
		}
		if left, err := p.Requests(t.Context()); err != nil || len(left) != 0 {
			t.Errorf("%s: still waiting: %+v, %v", c.name, left, err)
		}
		if in := d.in(); in != c.in {
			t.Errorf("%s: let in: %v", c.name, in)
		}
		if d.in() {
			t.Errorf("%s: let in twice", c.name)
		}
		p.history(t, c.name, w.ID, c.want)
	}
}

// history holds the latest entry to its result.
func (p *Phone) history(t *testing.T, what, id, want string) {
	t.Helper()
	a, err := p.Do(t.Context(), http.MethodGet, "/history", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Entries []struct{ ID, Result, Context, Created string }
	}
	if err := a.into(&got); err != nil || len(got.Entries) != 1 || got.Entries[0].Result != want || got.Entries[0].ID != id {
		t.Errorf("%s: history %s, %v", what, a.Body, err)
	}
}

// What is signed must be what was asked, each part swapped alone. A request
// outlives a wrong signature: that is no try.
func TestApproveRefused(t *testing.T) {
	s := newSite(t)
	ada, bela := s.somebody("ada"), s.somebody("bela")
	q, second := bela.phone(), ada.phone()
	// No phone may try so often as this test.
	phones := []*Phone{ada.phone(), ada.phone(), ada.phone(), ada.phone(), ada.phone()}
	turn := 0
	next := func() *Phone { turn++; return phones[turn%len(phones)] }
	d := ada.asks()
	w, number := second.one(t), d.page.Number()
	for name, spoil := range map[string]func(*approval){
		"tenant":         func(a *approval) { a.Tenant = bela.id },
		"user":           func(a *approval) { a.User = bela.id },
		"request":        func(a *approval) { a.Request = random(len(a.Request)) },
		"nonce":          func(a *approval) { a.Nonce = random(len(a.Nonce)) },
		"number":         func(a *approval) { a.Number = other(number) },
		"number sent":    func(a *approval) { a.sent = other(number) },
		"context":        func(a *approval) { a.Context = strings.Replace(a.Context, "{", "{ ", 1) },
		"phone":          func(a *approval) { a.ID = second.ID },
		"not verified":   func(a *approval) { a.flags = flagPresent },
		"not present":    func(a *approval) { a.flags = flagVerified },
		"another's key":  func(a *approval) { a.passkey = q.Passkey },
		"another origin": func(a *approval) { k := *a.passkey; k.Origin = "https://evil.example"; a.passkey = &k },
		"another site":   func(a *approval) { k := *a.passkey; k.RPID = "evil.example"; a.passkey = &k },
		"another passkey of hers": func(a *approval) {
			a.passkey = second.Passkey
		},
		"no assertion":     func(a *approval) { a.body = func(b map[string]any) { delete(b, "assertion") } },
		"assertion a word": func(a *approval) { a.body = func(b map[string]any) { b["assertion"] = "yes" } },
		"no signature":     func(a *approval) { a.body = func(b map[string]any) { delete(b, "signature") } },
		"signature cut":    func(a *approval) { a.body = func(b map[string]any) { b["signature"] = b64.EncodeToString(random(64)) } },
		"a spoilt assertion": func(a *approval) {
			a.body = func(b map[string]any) {
				b["assertion"].(map[string]any)["response"].(map[string]any)["signature"] = b64.EncodeToString(random(70))
			}
		},
		"the key of another phone": func(a *approval) {
			a.body = func(b map[string]any) { b["signature"] = b64.EncodeToString(sign(second.Key, []byte("x"))) }
		},
	} {
		a, err := next().Approve(t.Context(), w, number, spoil)
		refused(t, name, a, err, http.StatusUnauthorized, "answer_unproven")
	}
	for name, spoil := range map[string]func(map[string]any){
		"no number":    func(b map[string]any) { delete(b, "number") },
		"one digit":    func(b map[string]any) { b["number"] = "4" },
		"three digits": func(b map[string]any) { b["number"] = "047" },
		"letters":      func(b map[string]any) { b["number"] = "4x" },
		"other digits": func(b map[string]any) { b["number"] = "٤٧" },
		"a number":     func(b map[string]any) { b["number"] = 47 },
	} {
		a, err := next().Approve(t.Context(), w, number, func(a *approval) { a.body = spoil })
		refused(t, name, a, err, http.StatusBadRequest, "request_malformed")
	}
	a, err := q.Approve(t.Context(), w, number)
	refused(t, "another's phone says yes", a, err, http.StatusNotFound, "request_unknown")
	a, err = q.Deny(t.Context(), w, false)
	refused(t, "another's phone says no", a, err, http.StatusNotFound, "request_unknown")
	a, err = second.Do(t.Context(), http.MethodPost, "/requests/x/deny", map[string]bool{"report": false})
	refused(t, "an id that is none", a, err, http.StatusNotFound, "request_unknown")
	if d.in() {
		t.Error("let in before anybody said yes")
	}
	if a, err = second.Approve(t.Context(), w, number, func(a *approval) { a.body = func(b map[string]any) { b["mood"] = "good" } }); err != nil {
		t.Fatal(err)
	}
	result(t, "yes, at last", a, err, "approved")
	if !d.in() {
		t.Error("not let in")
	}
}

// Of several phones the first wins.
func TestRace(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	phones := []*Phone{ada.phone(), ada.phone(), ada.phone()}
	d := ada.asks()
	answers := make(chan Answer, len(phones))
	w := phones[0].one(t)
	for _, p := range phones {
		go func() {
			a, err := p.Approve(t.Context(), w, d.page.Number())
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
	}
	won := 0
	for range phones {
		if a := <-answers; a.Status == http.StatusOK {
			won++
			result(t, "the winner", a, nil, "approved")
		} else {
			refused(t, "a loser", a, nil, http.StatusGone, "request_over")
		}
	}
	if won != 1 || !d.in() {
		t.Errorf("%d won", won)
	}
}

// A phone that is taken out of the account while something waits.
func TestRemovedPhone(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	p, second := ada.phone(), ada.phone()
	d := ada.asks()
	w := p.one(t)
	if a, err := p.Do(t.Context(), http.MethodDelete, "/self", nil); err != nil || a.Status/100 != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	a, err := p.Approve(t.Context(), w, d.page.Number())
	refused(t, "a removed phone", a, err, http.StatusUnauthorized, "phone_unproven")
	a, err = second.Approve(t.Context(), second.one(t), d.page.Number())
	result(t, "the other one", a, err, "approved")
	if !d.in() {
		t.Error("not let in")
	}
}

// A request that is withdrawn at the desk.
func TestWithdrawn(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	p := ada.phone()
	d := ada.asks()
	w := p.one(t)
	again, err := d.AskPhone(t.Context(), d.page, ada.upn)
	if err != nil || again.Number() == "" {
		t.Fatalf("asked anew: %d, %v", again.Status, err)
	}
	a, err := p.Approve(t.Context(), w, d.page.Number())
	refused(t, "yes to what was withdrawn", a, err, http.StatusGone, "request_over")
	a, err = p.Approve(t.Context(), p.one(t), again.Number())
	result(t, "yes to the new one", a, err, "approved")
}

// A phone that answers without end is told when to come back.
func TestTooMany(t *testing.T) {
	s := newSite(t)
	p := s.somebody("ada").phone()
	for range 100 {
		a, err := p.Deny(t.Context(), Waiting{ID: b64.EncodeToString(random(16))}, false)
		if err == nil && a.Status == http.StatusNotFound {
			continue
		}
		refused(t, "too many", a, err, http.StatusTooManyRequests, "too_many")
		if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 600 {
			t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
		}
		return
	}
	t.Error("a hundred answers passed")
}

// Phones that the organisation does not allow any more.
func TestPolicy(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	p := ada.phone()
	d := ada.asks()
	w := p.one(t)
	s.admin(nil, "policy", "set", "method.phone", "false")
	a, err := p.Approve(t.Context(), w, d.page.Number())
	refused(t, "yes where phones are off", a, err, http.StatusForbidden, "phone_refused")
}

// What was denied may still be reported.
func TestReportLater(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	p := ada.phone()
	d := ada.asks()
	w := p.one(t)
	a, err := p.Deny(t.Context(), w, false)
	result(t, "no", a, err, "denied")
	a, err = p.Deny(t.Context(), w, true)
	result(t, "no, and report", a, err, "reported")
	a, err = p.Deny(t.Context(), w, true)
	refused(t, "report it twice", a, err, http.StatusGone, "request_over")
	p.history(t, "report", w.ID, "reported")
	if d.in() {
		t.Error("let in")
	}
}

// Who may not be asked is told nothing, and the page looks the same: a name that
// nobody has, somebody without a phone, a browser that the rules shut out, and
// one that asks too often.
func TestNobodyHears(t *testing.T) {
	s := newSite(t)
	ada, bela := s.somebody("ada"), s.somebody("bela")
	p := ada.phone()
	s.asks("nobody@corp.example")
	bela.asks()
	for range 3 {
		d := ada.asks()
		if a, err := p.Deny(t.Context(), p.one(t), false); err != nil || a.Status != http.StatusOK {
			t.Errorf("%+v, %v", a, err)
		}
		if d.in() {
			t.Error("let in")
		}
	}
	ada.asks()
	p.hearsNothing(t, "the fourth time")
	s.admin(nil, "policy", "set", "phone.from", "known")
	carmen := s.somebody("carmen")
	q := carmen.phone()
	carmen.asks()
	q.hearsNothing(t, "a browser that does not know her")
}

func (p *Phone) hearsNothing(t *testing.T, why string) {
	t.Helper()
	if all, err := p.Requests(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%s: %+v, %v", why, all, err)
	}
}

// Where the organisation takes no reports, a report is a no.
func TestNoReports(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	p := ada.phone()
	s.admin(nil, "policy", "set", "phone.report", "false")
	var self struct{ Report bool }
	if a, err := p.Do(t.Context(), http.MethodGet, "/self", nil); err != nil || a.into(&self) != nil || self.Report {
		t.Errorf("self: %+v, %v", a, err)
	}
	ada.asks()
	a, err := p.Deny(t.Context(), p.one(t), true)
	result(t, "a report", a, err, "denied")
}

// What the organisation does not show is not there.
func TestContext(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	p := ada.phone()
	type context struct {
		App     string
		Browser *string
		Known   *bool
		Place   *struct{ Kind string }
		Time    time.Time
	}
	read := func() (c context) {
		d := ada.asks()
		w := p.one(t)
		if err := json.Unmarshal([]byte(w.Context), &c); err != nil {
			t.Fatal(err)
		}
		a, err := p.Approve(t.Context(), w, d.page.Number())
		result(t, "yes", a, err, "approved")
		return c
	}
	c := read()
	if c.App != "Wiki" || c.Browser == nil || c.Known == nil || *c.Known || c.Place == nil || c.Place.Kind == "" || time.Since(c.Time).Abs() > time.Minute {
		t.Errorf("shown: %+v", c)
	}
	s.admin(nil, "policy", "set", "phone.showApp", "false")
	s.admin(nil, "policy", "set", "phone.showPlace", "false")
	if c := read(); c.App != "" || c.Place != nil || c.Browser == nil || c.Known == nil {
		t.Errorf("shown all the same: %+v", c)
	}
}
