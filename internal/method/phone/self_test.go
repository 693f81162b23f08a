package phone_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/sqldb"
)

// TestSelf changes what a phone may change of itself.
func TestSelf(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p := w.enrol(t, w.Ada)
		name, app := " Ada's  new phone\u202e ", "Signet test phone 2.0"
		self, err := p.Change(phonewire.Change{Name: &name, App: &app, NoPush: true})
		if err != nil || self.Name != "Ada's new phone" || self.Push != "" || self.State != phonewire.Active || !self.Report {
			t.Fatalf("%+v, %v", self, err)
		}
		list, err := w.phones.Phones(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(list) != 1 || list[0].App != app || list[0].Push != "" {
			t.Errorf("phones %+v, %v", list, err)
		}
		if self, err = p.Change(phonewire.Change{Push: &phonewire.Push{Kind: push.WebPush, Endpoint: "https://push.example/2", P256DH: "AA", Auth: "AA"}}); err != nil || self.Push != push.WebPush {
			t.Errorf("%+v, %v", self, err)
		}
		if events := strings.Join(w.Events(t, w.Tenant.ID), "\n"); strings.Count(events, "phone.rename success") != 1 {
			t.Errorf("events:\n%s", events)
		}
		empty := "\u200b \t"
		for what, c := range map[string]phonewire.Change{
			"name":    {Name: &empty},
			"noPush":  {Push: &phonewire.Push{Kind: push.WebPush}, NoPush: true},
			"nowhere": {Push: &phonewire.Push{Kind: push.WebPush, Endpoint: "https://127.0.0.1/"}},
		} {
			_, err := p.Change(c)
			wantWord(t, what, err, 400, "request_malformed")
		}
		wantWord(t, "no JSON", p.Call("PUT", "/self", []byte("{"), true, nil), 400, "request_malformed")
		wantWord(t, "a member twice", p.Call("PUT", "/self", []byte(`{"app":"a","app":"b"}`), true, nil), 400, "request_malformed")
		wantWord(t, "a long body", p.Call("PUT", "/self", []byte(`{"app":"`+strings.Repeat("a", 64<<10)+`"}`), true, nil), 400, "request_malformed")
		if self, err := p.Self(); err != nil || self.Name != "Ada's new phone" || self.Push != push.WebPush {
			t.Errorf("after what was refused: %+v, %v", self, err)
		}
	})
}

// TestUsable: what a phone approves does not count without its passkey, or where
// the method is off.
func TestUsable(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p := w.enrol(t, w.Ada)
		usable := func(want bool, what string) {
			t.Helper()
			if self, err := p.Self(); err != nil || self.Usable != want {
				t.Errorf("%s: usable %t, %v", what, self.Usable, err)
			}
		}
		usable(true, "at first")
		w.Switch(t, w.Tenant.ID, phone.ID, false)
		usable(false, "the method is off")
		w.Switch(t, w.Tenant.ID, phone.ID, true)
		usable(true, "it is on again")
		w.removePasskey(t, w.Ada, p.Passkey)
		usable(false, "the passkey is gone")
	})
}

// TestLeave: a phone takes itself out, and leaves its passkey.
func TestLeave(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p := w.enrol(t, w.Ada)
		if err := p.Leave(); err != nil {
			t.Fatal(err)
		}
		_, err := p.Self()
		wantWord(t, "after it left", err, 401, "phone_unproven")
		if n := w.held(t, w.Ada); n != 0 {
			t.Errorf("%d places are taken", n)
		}
		if w.Count(t, "passkey", w.Tenant.ID) != 1 {
			t.Error("its passkey is gone, too")
		}
	})
}

// TestHistory has what became of requests, newest first, with where.
func TestHistory(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p, q := w.enrol(t, w.Ada), w.enrol(t, w.Ada)
		w.signsIn(t, w.Ada, p)
		w.Advance(minute)
		shown, _ := w.ask(t, w.Ada)
		if _, err := q.Deny(shown.Request, false); err != nil {
			t.Fatal(err)
		}
		w.Advance(minute)
		w.ask(t, w.Ada)
		w.Advance(3 * minute)
		bobs := w.enrol(t, w.Bob)
		w.signsIn(t, w.Bob, bobs)
		got, err := p.History()
		if err != nil || len(got) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		for n, want := range []struct {
			result string
			here   bool
		}{{phonewire.Expired, false}, {phonewire.Denied, false}, {phonewire.Approved, true}} {
			if got[n].Result != want.result || got[n].Here != want.here || !strings.Contains(got[n].Context, "Payroll") {
				t.Errorf("entry %d: %+v", n, got[n])
			}
		}
		if got[1].Phone != q.Name || !got[0].Time.After(got[1].Time) {
			t.Errorf("entries %+v", got)
		}
		w.Advance(31 * 24 * time.Hour)
		if got, err := p.History(); err != nil || len(got) != 0 {
			t.Errorf("a month later %+v, %v", got, err)
		}
	})
}

// TestReport ends the request, and closes asking.
func TestReport(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		a := w.asked(t)
		if got, err := a.Deny(a.q.ID, true); err != nil || got != phonewire.Reported {
			t.Fatalf("%q, %v", got, err)
		}
		_, err := a.Deny(a.q.ID, true)
		wantWord(t, "again", err, 410, "request_over")
		if blocks, err := w.phones.Blocks(t.Context(), w.Tenant.ID, w.Ada.ID); err != nil || len(blocks) == 0 {
			t.Errorf("blocks %+v, %v", blocks, err)
		}
	})
	each(t, func(t *testing.T, w *house) {
		w.phoneRules(t, func(r *policy.PhoneRules) { r.Report.On = false })
		a := w.asked(t)
		if self, err := a.Self(); err != nil || self.Report {
			t.Errorf("self %+v, %v", self, err)
		}
		if got, err := a.Deny(a.q.ID, true); err != nil || got != phonewire.Denied {
			t.Errorf("a report where there are none: %q, %v", got, err)
		}
	})
}

// TestMessages says in words what became of one.
func TestMessages(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p := w.enrol(t, w.Ada)
		for outcome, want := range map[push.Outcome]string{push.Delivered: "sent", push.Later: "later", push.Outcome("config"): "config"} {
			w.post.result = push.Result{Outcome: outcome}
			if got, err := p.Test(); err != nil || got.Result != want || got.Text == "" {
				t.Errorf("%s: %+v, %v", outcome, got, err)
			}
		}
		w.post.result = push.Result{Outcome: push.Gone, Err: idp.Invalidf("push_gone", "410").Say("That subscription is over.")}
		got, err := w.phones.Test(t.Context(), w.Tenant.ID, w.Ada.ID, idp.CredentialID(p.ID))
		if err != nil || got.Result != "gone" || got.Text != "That subscription is over." {
			t.Errorf("gone: %+v, %v", got, err)
		}
		if self, err := p.Self(); err != nil || self.Push != "" {
			t.Errorf("what is gone is kept: %+v, %v", self, err)
		}
		if got, err := p.Test(); err != nil || got.Result != "none" {
			t.Errorf("none: %+v, %v", got, err)
		}
		for range 3 { // three were sent above, and one by the page
			_, err = p.Test()
		}
		wantWord(t, "too many", err, 429, "too_many")
		if _, err := w.phones.Test(t.Context(), w.Tenant.ID, w.Bob.ID, idp.CredentialID(p.ID)); !errors.Is(err, idp.NotFound) {
			t.Errorf("by somebody else: %v", err)
		}
	})
}

// TestSeen: it is noted once a minute that a phone asked, and from where; asking
// what waits writes nothing, and reads the phone and what waits.
func TestSeen(t *testing.T) {
	w := onSQLite(t)
	p := w.enrol(t, w.Ada)
	work := func(do func() error) (reads, writes int64) {
		t.Helper()
		var m sqldb.Meter
		was := p.Do
		defer func() { p.Do = was }()
		p.Do = func(r *http.Request) (*http.Response, error) {
			return was(r.WithContext(sqldb.WithMeter(r.Context(), &m)))
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		return m.Reads.Load(), m.Writes.Load()
	}
	self := func() error { _, err := p.Self(); return err }
	w.Advance(minute)
	p.Address = "198.51.100.200"
	if _, writes := work(self); writes != 1 {
		t.Errorf("%d writes at first", writes)
	}
	p.Address = "198.51.100.201"
	w.Advance(minute - time.Second)
	if _, writes := work(self); writes != 0 {
		t.Errorf("%d writes within a minute", writes)
	}
	if list, err := w.phones.Phones(t.Context(), w.Tenant.ID, w.Ada.ID); err != nil || list[0].Address != "198.51.100.200" {
		t.Errorf("%+v, %v", list, err)
	}
	w.ask(t, w.Ada)
	reads, writes := work(func() error { _, err := p.Requests(); return err })
	if reads != 2 || writes != 0 {
		t.Errorf("what waits costs %d reads and %d writes", reads, writes)
	}
}

// TestReplies are stored nowhere, and no page of another origin reads them.
func TestReplies(t *testing.T) {
	w := onSQLite(t)
	p := w.enrol(t, w.Ada)
	do := p.Do
	var got http.Header
	p.Do = func(r *http.Request) (*http.Response, error) {
		r.Header.Set("Origin", "https://evil.example")
		resp, err := do(r)
		got = resp.Header
		return resp, err
	}
	if _, err := p.Self(); err != nil {
		t.Fatal(err)
	}
	if got.Get("Cache-Control") != "no-store" || got.Get("Access-Control-Allow-Origin") != "" || got.Get("Set-Cookie") != "" {
		t.Errorf("headers %v", got)
	}
	// What a form of another site can post is not read.
	b := w.begin(t, w.Session(t, w.Ada))
	p.OnRequest = func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	wantWord(t, "a form's type", p.Open(b.Link), 400, "request_malformed")
	p.OnRequest = nil
	wantWord(t, "a long body", p.Call("POST", "/enrolments/open", []byte(`{"code":"`+strings.Repeat("A", 64<<10)+`"}`), false, nil), 400, "request_malformed")
	var r *phonetest.Refusal
	if err := p.Call("POST", "/enrolments/open", []byte(`{"code":["A"]}`), false, nil); !errors.As(err, &r) || strings.Contains(r.Text, "json") {
		t.Errorf("%v", err)
	}
}
