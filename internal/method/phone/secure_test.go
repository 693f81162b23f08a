package phone

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// TestSec_PHN01_NoNumberNoSignIn: what has not the number opens nothing.
func TestSec_PHN01_NoNumberNoSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, typed := range []string{"", "0", "000", "x", "००"} {
			u := w.person()
			p := w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			if to, err := w.approve(t, p, q.Request, typed); err != nil || to != wrongNumber {
				t.Errorf("%q: %s, %v", typed, to, err)
			}
			_, err := w.redeem(t, q)
			wantReason(t, typed, err, idp.Unproven, "phone_wrong_number")
		}
	})
}

// TestSec_PHN02_Number: two digits, every pair as likely as any other, one try,
// and a short life.
func TestSec_PHN02_Number(t *testing.T) {
	met := map[string]int{}
	const draws = 20_000
	for range draws {
		n := number()
		if len(n) != 2 || strings.Trim(n, "0123456789") != "" {
			t.Fatalf("number %q", n)
		}
		met[n]++
	}
	// 99 degrees of freedom: above 180 once in some millions.
	chi := 0.0
	for n := range 100 {
		d := float64(met[string([]byte{byte('0' + n/10), byte('0' + n%10)})]) - draws/100
		chi += d * d / (draws / 100)
	}
	if chi > 180 || len(met) != 100 {
		t.Errorf("%d numbers, chi square %.0f", len(met), chi)
	}
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	q := w.ask(t, w.Ada.Name, from("desk"))
	if life := q.Expires.Sub(w.Now()); life > 5*minute || life != lives {
		t.Errorf("a request lives %s", life)
	}
	if _, err := w.approve(t, p, q.Request, other(q.Number)); err != nil {
		t.Fatal(err)
	}
	_, err := w.approve(t, p, q.Request, q.Number)
	wantReason(t, "a second try", err, idp.Expired, "request_over")
	_, err = w.redeem(t, q)
	wantReason(t, "its browser", err, idp.Unproven, "phone_wrong_number")
}

// TestSec_PHN03_RequestOfItsOwn: nonce and id are of one request, and nobody
// else's phone hears of them.
func TestSec_PHN03_RequestOfItsOwn(t *testing.T) {
	w := sqliteWorld(t)
	w.enrol(t, w.Ada)
	bobs := w.enrol(t, w.Bob)
	seen := map[string]bool{}
	for range 20 {
		a := w.ask(t, w.Ada.Name, from("desk", w.Ada))
		q, err := requestByID(t.Context(), w.DB, w.Tenant.ID, a.Request)
		if err != nil {
			t.Fatal(err)
		}
		if len(q.nonce) != 32 || len(q.id) != 22 || seen[q.id] || seen[string(q.nonce)] {
			t.Fatalf("request %s, nonce %x", q.id, q.nonce)
		}
		seen[q.id], seen[string(q.nonce)] = true, true
		if some, err := w.room.waitingFor(t.Context(), bobs, w.Now()); err != nil || len(some) != 0 {
			t.Errorf("Bob's phone is told %+v, %v", some, err)
		}
	}
}

// TestSec_PHN04_OneOpenRequest: however many browsers ask, one waits; what that
// costs the person is their phone and no other method.
func TestSec_PHN04_OneOpenRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		for n := range 12 {
			w.ask(t, w.Ada.Name, from(string(rune('a'+n))))
			some, err := w.room.waitingFor(t.Context(), p, w.Now())
			if err != nil || len(some) != 1 {
				t.Fatalf("%d wait, %v", len(some), err)
			}
		}
		if w.post.count() != 1 {
			t.Errorf("phones were told %d times, want once", w.post.count())
		}
		list, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(list) != 1 || !list[0].Usable() {
			t.Errorf("credentials %+v, %v", list, err)
		}
	})
}

// TestSec_T12_PushFatigue: fifty requests in ten minutes from unknown browsers.
func TestSec_T12_PushFatigue(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		told := 0
		for n := range 50 {
			a := w.ask(t, w.Ada.Name, from(string(rune('a'+n))))
			if w.state(t, a) == pending {
				told++
				// Tired, and the number is not at hand.
				if to, err := w.approve(t, p, a.Request, ""); err != nil || to == approved {
					t.Errorf("approved without the number: %s, %v", to, err)
				}
			}
			w.Advance(12 * time.Second)
		}
		if told != askMost || w.post.count() != askMost {
			t.Errorf("%d requests were told in %d messages, want %d", told, w.post.count(), askMost)
		}
		// The person's own browser asks all the same, and others in a while.
		wantState(t, "known", w.state(t, w.ask(t, w.Ada.Name, from("desk", w.Ada))), pending)
		w.Advance(askWithin)
		wantState(t, "later", w.state(t, w.ask(t, w.Ada.Name, from("desk2"))), pending)
	})
}

// TestSec_PHN05_Report: "this was not me" closes and is an event.
func TestSec_PHN05_Report(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, forGood := range []bool{false, true} {
			w.rules(t, func(r *policy.PhoneRules) { r.Report.Block = forGood })
			u := w.person()
			p := w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			if to, err := w.deny(t, p, q.Request, true); err != nil || to != reported {
				t.Fatalf("report: %s, %v", to, err)
			}
			blocks, err := w.room.Blocks(t.Context(), u.Tenant, u.ID)
			if err != nil || len(blocks) != 2 || blocks[0].Address != everywhere || blocks[1].Address != "203.0.113.7" ||
				blocks[0].Until.IsZero() != forGood || !blocks[1].Until.Equal(w.Now().Add(blockLives)) {
				t.Errorf("for good %t: blocks %+v, %v", forGood, blocks, err)
			}
			far := from("desk", u)
			far.IP = "192.0.2.200"
			wantState(t, "asked by a known browser from elsewhere", w.state(t, w.ask(t, u.Name, far)), silent)
			w.Advance(blockLives)
			want := pending
			if forGood {
				want = silent
			}
			wantState(t, "a day later", w.state(t, w.ask(t, u.Name, far)), want)
			unblock := func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Unblock(ctx, tx, u.Tenant, u.ID) }
			if forGood {
				if all, err := w.room.Blocked(t.Context(), u.Tenant); err != nil || !slices.Equal(all, []idp.UserID{u.ID}) {
					t.Errorf("closed for %v, %v", all, err)
				}
				w.Write(t, unblock)
				wantState(t, "somebody has looked", w.state(t, w.ask(t, u.Name, far)), pending)
			}
			wantReason(t, "nothing is closed", w.DB.Write(t.Context(), unblock), idp.NotFound, "phone_not_blocked")
		}
		list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list, func(e audit.Event) bool {
			return e.Activity == "phone.reported" && e.Method == ID && e.Credential != "" && e.Detail["asked"] == "203.0.113.7"
		}) {
			t.Errorf("events %+v", list)
		}
	})
}

// TestSec_PHN05_ReportLater: what was denied, came too late, or ended with a
// wrong number may still be reported; what was approved may not, nor twice.
func TestSec_PHN05_ReportLater(t *testing.T) {
	w := sqliteWorld(t)
	for _, c := range []struct {
		name string
		end  func(u idp.User, p phoneRow, q asked)
		want bool
	}{
		{"denied", func(_ idp.User, p phoneRow, q asked) { w.deny(t, p, q.Request, false) }, true},
		{"late", func(idp.User, phoneRow, asked) { w.Advance(lives) }, true},
		{"late, and asked anew", func(u idp.User, _ phoneRow, _ asked) { w.Advance(lives); w.ask(t, u.Name, from("desk")) }, true},
		{"a wrong number", func(_ idp.User, p phoneRow, q asked) { w.approve(t, p, q.Request, other(q.Number)) }, true},
		{"approved", func(_ idp.User, p phoneRow, q asked) { w.approve(t, p, q.Request, q.Number) }, false},
		{"reported", func(_ idp.User, p phoneRow, q asked) { w.deny(t, p, q.Request, true) }, false},
		{"withdrawn", func(_ idp.User, _ phoneRow, q asked) { w.Write(t, w.room.Withdraw(q.at(w.Now()))) }, false},
	} {
		u := w.person()
		p := w.enrol(t, u)
		q := w.ask(t, u.Name, from("desk"))
		c.end(u, p, q)
		to, err := w.deny(t, p, q.Request, true)
		if c.want && (err != nil || to != reported || w.state(t, q) != reported) {
			t.Errorf("%s: %s, %v", c.name, to, err)
		}
		if !c.want {
			wantReason(t, c.name, err, idp.Expired, "request_over")
		}
	}
	// Where the organisation has no use for reports they are denials.
	w.rules(t, func(r *policy.PhoneRules) { r.Report.On = false })
	p := w.enrol(t, w.Ada)
	q := w.ask(t, w.Ada.Name, from("desk"))
	if to, err := w.deny(t, p, q.Request, true); err != nil || to != denied {
		t.Errorf("reports are off: %s, %v", to, err)
	}
	if blocks, err := w.room.Blocks(t.Context(), w.Tenant.ID, w.Ada.ID); err != nil || len(blocks) != 0 {
		t.Errorf("reports are off: %+v, %v", blocks, err)
	}
}

// TestSec_PHN06_Payload: a message says that something waits, never what.
func TestSec_PHN06_Payload(t *testing.T) {
	w := sqliteWorld(t)
	w.enrol(t, w.Ada)
	a := w.ask(t, w.Ada.Name, from("desk"))
	q, err := requestByID(t.Context(), w.DB, w.Tenant.ID, a.Request)
	if err != nil {
		t.Fatal(err)
	}
	m := w.post.sent[0].msg
	if m.Title != tellTitle || m.Body != tellBody || m.Navigate != "https://id.nordhafen.example/phone/#"+a.Request || m.ID != a.Request {
		t.Errorf("message %+v", m)
	}
	raw, err := json.Marshal([]string{m.ID, m.Title, m.Body, m.Topic})
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string]string{
		"user name": w.Ada.Name, "user": string(w.Ada.ID), "tenant": string(w.Tenant.ID), "app": "Payroll", "address": q.address, "nonce": string(q.nonce),
	} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the message %s has the %s", raw, what)
		}
	}
	for _, text := range []string{m.Title, m.Body} {
		if strings.ContainsAny(text, "0123456789") {
			t.Errorf("the message has a number: %q", text)
		}
	}
}

// TestSec_PHN06_NoRoad: without a push service the open app finds the request.
func TestSec_PHN06_NoRoad(t *testing.T) {
	w := sqliteWorld(t)
	w.room.cfg.Push = nil
	p := w.enrol(t, w.Ada)
	a := w.ask(t, w.Ada.Name, from("desk"))
	some, err := w.room.waitingFor(t.Context(), p, w.Now())
	if err != nil || len(some) != 1 {
		t.Fatalf("%d wait, %v", len(some), err)
	}
	if to, err := w.approve(t, p, some[0].id, a.Number); err != nil || to != approved {
		t.Errorf("%s, %v", to, err)
	}
}

// TestSec_PHN07_OtherBrowser: who asked is who gets the answer. Whoever has the
// request's id, its page's value or its number in another browser gets nothing.
func TestSec_PHN07_OtherBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		mine, theirs := w.Peer("desk"), w.Peer("mallory")
		f := w.Flow(t, signin.Flow{}, mine)
		f = w.Ask(t, f, ID, w.Ada.Name, mine)
		q := w.shown(t, method.Challenge{Show: f.Waiting.Show})
		if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, f.Handle(), theirs); reason(err) == "" {
			t.Error("another browser goes on with the flow")
		}
		other := w.Flow(t, signin.Flow{}, theirs)
		if _, err := w.Corridor.Answer(t.Context(), other, ID, f.Waiting.Ceremony, nil, nil, theirs); idp.AsError(err) == nil || idp.AsError(err).Kind != idp.Unproven {
			t.Errorf("another browser's flow with this ceremony: %v", err)
		}
		step, err := w.Corridor.Answer(t.Context(), w.Resume(t, w.Tenant.ID, f.Handle(), mine), ID, f.Waiting.Ceremony, nil, nil, mine)
		if err != nil || step.Kind != signin.Done || step.Session.User != w.Ada.ID {
			t.Errorf("the browser that asked: step %s, %v", step.Kind, err)
		}
	})
}

// TestSec_PHN09_SamePage: what a browser is shown of somebody with a phone,
// without one, and of nobody, is alike in all but what is random.
func TestSec_PHN09_SamePage(t *testing.T) {
	w := sqliteWorld(t)
	w.enrol(t, w.Ada)
	var first map[string]any
	for _, name := range []string{w.Ada.Name, w.Bob.Name, "nobody@nordhafen.example"} {
		c := w.challenge(t, name, from("desk"))
		w.Write(t, c.Settle)
		var got map[string]any
		if err := json.Unmarshal(c.Show, &got); err != nil {
			t.Fatal(err)
		}
		if len(got["number"].(string)) != 2 || len(got["request"].(string)) != 22 {
			t.Errorf("%s: shown %s", name, c.Show)
		}
		delete(got, "number")
		delete(got, "request")
		if first == nil {
			first = maps.Clone(got)
		}
		if !reflect.DeepEqual(got, first) || c.Lives != lives+grace {
			t.Errorf("%s: shown %v for %s, others %v", name, got, c.Lives, first)
		}
		a := w.shown(t, c)
		for range tellMost - 1 {
			w.again(t, a)
		}
		settle, _ := w.room.Again(t.Context(), a.at(w.Now()))
		wantReason(t, name+": again", w.DB.Write(t.Context(), settle), idp.Limited, "phone_told")
		if w.ready(t, a) {
			t.Errorf("%s: ready", name)
		}
		w.Advance(lives)
		if !w.ready(t, a) {
			t.Errorf("%s: not over when it is late", name)
		}
		v, err := w.verify(t, a)
		wantReason(t, name, err, idp.Unproven, "phone_late")
		if v.Proof.User != "" {
			t.Errorf("%s: the record names %s", name, v.Proof.User)
		}
		w.Advance(-lives)
	}
}

// TestSec_T34_EqualWork counts what asking, asking again, waiting and being
// late cost the database, for people with many phones, with one, without, who
// have closed it, and for names that nobody has.
func TestSec_T34_EqualWork(t *testing.T) {
	db, statements := signintest.Counted(t, sources...)
	if db == nil {
		return // the log says why
	}
	w := newWorld(t, db)
	one, many, none, closed := w.person(), w.person(), w.person(), w.person()
	for _, u := range []idp.User{one, many, many, many, closed} {
		w.enrol(t, u)
	}
	w.block(t, closed, everywhere)
	cost := func(name string, browser string) (all [5]int64) {
		t.Helper()
		n := 0
		count := func(do func()) {
			before := statements()
			do()
			all[n] = statements() - before
			n++
		}
		var c method.Challenge
		count(func() { c = w.challenge(t, name, from(browser)) })
		count(func() { w.Write(t, c.Settle) })
		a := w.shown(t, c)
		count(func() { w.ready(t, a) })
		count(func() { w.again(t, a) })
		w.Advance(lives)
		count(func() { w.verify(t, a) })
		w.Advance(-lives)
		return all
	}
	cost("warm@nordhafen.example", "warm") // the first one fills caches
	for round := range 6 {                 // past the limit of requests
		browser := "desk"
		if round == 1 {
			browser = "other" // which does not displace
		}
		want := cost("nobody@nordhafen.example", browser)
		for _, n := range want {
			if n == 0 {
				t.Fatalf("statements %v: nothing was counted", want)
			}
		}
		for who, u := range map[string]idp.User{"one phone": one, "three": many, "none": none, "closed": closed} {
			if got := cost(u.Name, browser); got != want {
				t.Errorf("round %d: %v statements for somebody with %s, %v for nobody", round, got, who, want)
			}
		}
	}
}

// TestSec_PHN10_NeverPhishingResistant: neither a proof nor a list claims it.
func TestSec_PHN10_NeverPhishingResistant(t *testing.T) {
	w := sqliteWorld(t)
	w.keys.fact = idp.Facts{Attested: true, AAGUID: "01020304-0506-0708-0102-030405060708"}
	p := w.enrol(t, w.Ada)
	q := w.ask(t, w.Ada.Name, from("desk", w.Ada))
	if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
		t.Fatal(err)
	}
	v, err := w.verify(t, q)
	if err != nil {
		t.Fatal(err)
	}
	list, err := w.room.List(t.Context(), w.Tenant.ID, w.Ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	for what, claims := range map[string][]idp.Property{"proof": v.Proof.Properties, "list": list[0].Properties} {
		for _, never := range []idp.Property{idp.PhishingResistant, idp.HardwareBound} {
			if slices.Contains(claims, never) {
				t.Errorf("%s claims %s", what, never)
			}
		}
	}
	if v.Proof.Facts.Attested || v.Proof.Facts.AAGUID != "" {
		t.Errorf("the phone has its passkey's attestation: %+v", v.Proof.Facts)
	}
}

// TestSec_T13_NotWherePhishingResistanceIsAsked: an app that asks for it is not
// opened by a phone, and the session's proofs say nothing of it.
func TestSec_T13_NotWherePhishingResistanceIsAsked(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		peer := w.Peer("desk")
		for _, c := range []struct {
			flow signin.Flow
			want signin.StepKind
		}{
			{signin.Flow{Required: policy.IDPhishingResistant}, signin.StepUp},
			{signin.Flow{ACR: []string{policy.ACRPhishingResistant}}, signin.StepUp},
			{signin.Flow{ACR: []string{policy.ACRHardwareBound}}, signin.StepUp},
			{signin.Flow{Required: policy.IDPasswordless}, signin.Done},
			{signin.Flow{Required: policy.IDMFA}, signin.Done},
		} {
			f := w.Ask(t, w.Flow(t, c.flow, peer), ID, w.Ada.Name, peer)
			q := w.shown(t, method.Challenge{Show: f.Waiting.Show})
			if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
				t.Fatal(err)
			}
			step, err := w.Corridor.Answer(t.Context(), f, ID, f.Waiting.Ceremony, nil, nil, peer)
			if err != nil || step.Kind != c.want {
				t.Errorf("%+v: step %s, %v, want %s", c.flow, step.Kind, err, c.want)
				continue
			}
			if step.Kind != signin.Done {
				continue
			}
			got := step.Session.Proofs[0]
			if !slices.Equal(got.AMR, []string{"swk", "user", "mfa"}) || got.Has(idp.PhishingResistant) {
				t.Errorf("proof %+v", got)
			}
		}
	})
}

// TestSec_PHN08_WaitingPhoneIsNone: before its person has compared the words a
// phone is in no list, is no way in, and hears nothing.
func TestSec_PHN08_WaitingPhoneIsNone(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	w.exec(t, `update phone set state = 'waiting' where tenant_id = $1 and id = $2`, p.tenant, p.id)
	if list, err := w.room.List(t.Context(), w.Tenant.ID, w.Ada.ID); err != nil || len(list) != 0 {
		t.Errorf("list %+v, %v", list, err)
	}
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := w.room.Count(ctx, tx, w.Tenant.ID, w.Ada.ID)
		if n != 0 {
			t.Errorf("%d ways in", n)
		}
		return err
	})
	wantState(t, "asked", w.state(t, w.ask(t, w.Ada.Name, from("desk"))), silent)
	if w.post.count() != 0 {
		t.Error("it was told")
	}
	err := w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return w.room.Rename(ctx, tx, w.Tenant.ID, w.Ada.ID, p.id, "x")
	})
	wantReason(t, "rename", err, idp.NotFound, "phone_missing")
}
