package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/test/running"
)

// office is the demo with a person at a desktop, and a push service in the
// vendors' place.
type office struct {
	*running.Demo
	t       *testing.T
	service *pushtest.WebPush
	user    running.User
	desktop *Person
	sub     *pushtest.Subscription // of the phone that was opened last
}

// newOffice starts it; the person has a passkey on the desktop.
func newOffice(t *testing.T) *office {
	t.Helper()
	service := pushtest.New(t)
	ca := filepath.Join(t.TempDir(), "push.pem")
	if err := os.WriteFile(ca, service.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, service: service, Demo: running.StartDemo(t, "--push-host", service.Host(), "--push-ca", ca, "--push-subject", "mailto:desk@nordhafen.example.com")}
	o.user = o.Users[1]
	o.desktop = NewPerson(t, Chromium(t))
	o.desktop.FirstDay(o.Demo, o.user)
	o.desktop.Presence(false) // from here on the passkey on the desktop is not touched
	return o
}

// newPhone is another phone, of the same browser program.
func (o *office) newPhone() *Person {
	o.t.Helper()
	o.sub = o.service.Subscribe("")
	return NewPhone(o.t, o.desktop.ctx, o.sub.Endpoint, o.sub.P256DH, o.sub.Auth)
}

// offer has the desktop show a code, and gives the link and the typed form.
func (o *office) offer() (link, typed string) {
	o.t.Helper()
	p := o.desktop
	p.Agent("Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36") // which is shown the link itself
	p.Open(o.Base + "/account/phone/add")
	p.Press("register-phone")
	typed = strings.TrimSpace(p.Read("#typed"))
	link = Eval[string](p, `document.querySelector(".code-sheet a[href]").href`)
	p.Agent("")
	return link, typed
}

// Agent has the browser say that it is another; "": itself.
func (p *Person) Agent(agent string) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent}); err != nil {
		p.t.Fatalf("set the browser's name: %v", err)
	}
}

// add takes a phone from the link to an account that works.
func (o *office) add(phone *Person) {
	o.t.Helper()
	link, _ := o.offer()
	phone.Enrol(link)
	o.compare(phone)
}

// compare finds the same two words on both screens and says so.
func (o *office) compare(phone *Person) {
	o.t.Helper()
	here, there := phone.Read(".words"), o.desktop.Read("#words")
	for _, word := range strings.Fields(here) {
		if !strings.Contains(there, word) {
			o.t.Errorf("the phone says %q, the page %q", here, there)
		}
	}
	o.desktop.Press("confirm")
	phone.View("done")
}

// ask begins a sign-in by phone at the desktop and gives the number it shows.
func (o *office) ask(p *Person) string {
	o.t.Helper()
	p.Open(o.App + "/login?prompt=login")
	p.See(`[data-action="signin-phone"]`)
	if p.visible(`[name="username"]`) { // a browser that knows nobody
		p.Type("username", o.user.Name)
	}
	p.Press("signin-phone")
	return p.Read("[data-number]")
}

// refused waits until the desktop has heard that nobody was let in.
func (o *office) refused() {
	o.t.Helper()
	o.desktop.Until("a page without a number", `document.readyState === "complete" && document.querySelector("main") && !document.querySelector("[data-number]")`)
	if strings.HasPrefix(Eval[string](o.desktop, "location.href"), o.App) {
		o.t.Errorf("the app was opened:\n%s", o.desktop.Where())
	}
}

// leftAlone waits until the app has asked twice more, and nothing came.
func (p *Person) leftAlone() {
	p.t.Helper()
	const asked = `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/phone/v1/requests")).length`
	n := Eval[float64](p, asked)
	p.Until("two more questions", fmt.Sprintf("%s > %v + 2", asked, n))
	if got := Eval[string](p, `document.body.dataset.view`); got != "home" {
		p.t.Errorf("the phone was not left alone: it shows %s", got)
	}
}

// closed leaves the app, as one who puts the phone away.
func (p *Person) closed() { p.t.Helper(); p.Open("about:blank") }

// delivered hands the newest message of the push service to the phone's worker,
// as its browser does.
func (o *office) delivered(phone *Person) pushtest.Message {
	o.t.Helper()
	m := o.sub.Arrived(o.t)
	ctx, cancel := context.WithTimeout(phone.ctx, patience)
	defer cancel()
	updates := chromedp.Events(ctx, serviceworker.WorkerRegistrationUpdated)
	if _, err := chromedp.Call(ctx, serviceworker.Enable, cdp.Empty{}); err != nil {
		o.t.Fatalf("watch workers: %v", err)
	}
	defer chromedp.Call(phone.ctx, serviceworker.Disable, cdp.Empty{})
	for e, err := range updates {
		if err != nil {
			o.t.Fatalf("watch workers: %v", err)
		}
		for _, r := range e.Registrations {
			if r.ScopeURL != o.Base+"/phone/" {
				continue
			}
			if _, err := chromedp.Call(ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{
				Origin: o.Base, RegistrationID: r.RegistrationID, Data: string(m.Plain),
			}); err != nil {
				o.t.Fatalf("deliver: %v", err)
			}
			return m
		}
	}
	o.t.Fatal("the phone has no worker")
	return m
}

// TestPhoneSignIn: a phone is added by its link, is told of a sign-in, and lets
// the desktop in; the number alone is the difference between yes and no.
func TestPhoneSignIn(t *testing.T) {
	o := newOffice(t)
	phone := o.newPhone()
	o.add(phone)
	phone.Press("done")
	phone.told("Nothing to approve")
	phone.Until("a worker in charge", `navigator.serviceWorker.controller`)

	phone.closed()
	number := o.ask(o.desktop)
	m := o.delivered(phone)
	var said struct {
		Type         int `json:"web_push"`
		Notification struct{ Title, Body, Navigate string }
		ID           string
	}
	if err := json.Unmarshal(m.Plain, &said); err != nil {
		t.Fatal(err)
	}
	if said.Type != 8030 || said.ID == "" || strings.Contains(string(m.Plain), number) && strings.Contains(string(m.Plain), o.user.Name) {
		t.Errorf("the message says %s", m.Plain)
	}
	// What the notification leads to is the app, at that request.
	phone.Open(said.Notification.Navigate)
	phone.View("request")
	phone.told("Are you signing in to")
	phone.digits(number)
	phone.Press("approve")
	phone.View("end-approved")
	claims := o.desktop.Claims()
	if claims["preferred_username"] != o.user.Name {
		t.Errorf("signed in as %v", claims["preferred_username"])
	}
	phone.Press("done")

	// The wrong number: nobody is let in, and the page says so.
	number = o.ask(o.desktop)
	phone.View("request")
	other := "10"
	if number == other {
		other = "11"
	}
	phone.digits(other)
	phone.Press("approve")
	phone.View("end-wrong_number")
	o.refused()
	phone.Press("done")

	// Not me; then a report, after which the phone is left alone.
	o.ask(o.desktop)
	phone.View("request")
	phone.Press("deny")
	phone.View("end-denied")
	o.refused()
	phone.Press("mistake")
	phone.Press("done")

	phone.Click(`[data-tab="history"]`)
	phone.told("Wrong number")
	phone.told("Refused")
	phone.told("Approved")
	phone.PhonePictures("history-real")

	o.ask(o.desktop)
	phone.Click(`[data-tab="home"]`)
	phone.View("request")
	phone.Press("deny")
	phone.Press("report")
	phone.View("end-reported")
	phone.Press("done")
	phone.told("Nothing to approve")
	o.ask(o.desktop) // looks the same there
	phone.leftAlone()
	phone.Sound()
}

// TestPhoneTyped: the code is typed, messages are not allowed; then the phone
// was offline when it was asked, and answers when it is opened.
func TestPhoneTyped(t *testing.T) {
	o := newOffice(t)
	phone := o.newPhone()
	_, typed := o.offer()
	phone.Open(o.Base + "/phone/add")
	phone.Type("code", strings.ToLower(typed))
	phone.Press("next")
	phone.View("whose")
	phone.told(o.user.Show)
	phone.Retype("phone", "Béla’s old phone")
	phone.Press("make-passkey")
	phone.View("messages")
	phone.Press("skip-push")
	phone.View("words")
	o.desktop.told("Béla’s old phone")
	o.compare(phone)
	phone.Press("done")
	phone.told("Nothing to approve")
	phone.Until("a worker in charge", `navigator.serviceWorker.controller`)
	// The same code again is as unknown as any other.
	phone.Open(o.Base + "/phone/add")
	phone.Type("code", typed)
	phone.Press("next")
	phone.told("Get a new one")

	phone.closed()
	phone.Online(false)
	number := o.ask(o.desktop)
	phone.Open(o.Base + "/phone/")
	phone.told("No connection")
	phone.told("Nordhafen")
	phone.Online(true)
	phone.View("request")
	phone.digits(number)
	phone.Press("approve")
	phone.View("end-approved")
	if got := o.desktop.Claims()["preferred_username"]; got != o.user.Name {
		t.Errorf("signed in as %v", got)
	}
	phone.Press("done")

	// Messages are allowed later, and tried.
	phone.Click(`[data-tab="phone"]`)
	phone.told("Open this app when you sign in, or allow messages.")
	phone.Press("allow-push")
	phone.told("A message comes when someone signs in")
	phone.Press("test-push")
	m := o.delivered(phone)
	if !strings.Contains(string(m.Plain), "This is a test") {
		t.Errorf("the test says %s", m.Plain)
	}
	phone.told("The message came.")
	// The person takes the phone out; the page says so.
	phone.Press("remove")
	phone.Click(`dialog [data-action="confirm"]`)
	phone.told("Add the account that you want")
	o.desktop.Open(o.Base + "/account")
	if strings.Contains(o.desktop.Read("main"), "Béla’s old phone") {
		t.Error("the account still has the phone")
	}
	phone.Sound()
}

// TestPhoneRace: two phones answer one request at the same moment. One wins,
// the other is told that it is over.
func TestPhoneRace(t *testing.T) {
	o := newOffice(t)
	one := o.newPhone()
	o.add(one)
	two := o.newPhone()
	o.add(two)
	one.Press("done")
	two.Press("done")
	for range 2 {
		number := o.ask(o.desktop)
		for _, p := range []*Person{one, two} {
			p.View("request")
			p.digits(number)
		}
		// Pressed by their own scripts at one time, so that neither waits for
		// this test to have pressed the other.
		at := Eval[float64](one, `Date.now() + 1500`)
		for _, p := range []*Person{one, two} {
			Eval[bool](p, fmt.Sprintf(`setTimeout(() => document.querySelector('[data-action="approve"]').click(), %v - Date.now()), true`, at))
		}
		for _, p := range []*Person{one, two} {
			p.Until("an end", `document.body.dataset.view.startsWith("end-")`)
		}
		views := []string{Eval[string](one, `document.body.dataset.view`), Eval[string](two, `document.body.dataset.view`)}
		slices.Sort(views)
		if !slices.Equal(views, []string{"end-approved", "end-over"}) {
			t.Errorf("the phones show %q", views)
		}
		o.desktop.Claims()
		one.Press("done")
		two.Press("done")
	}
	one.Sound()
	two.Sound()
}

// TestPhoneFromWhere: a browser that is not known asks, under each rule; and
// the one that asked is closed before the phone answers.
func TestPhoneFromWhere(t *testing.T) {
	o := newOffice(t)
	phone := o.newPhone()
	o.add(phone)
	phone.Press("done")
	yes := func(number string) {
		t.Helper()
		phone.View("request")
		phone.digits(number)
		phone.Press("approve")
		phone.View("end-approved")
		phone.Press("done")
	}
	stranger := func() *Person {
		p := NewPerson(t, o.desktop.ctx)
		p.Presence(false)
		return p
	}

	s := stranger()
	number := o.ask(s)
	phone.told("new for you")
	yes(number)
	if c := s.Claims(); c["preferred_username"] != o.user.Name || c["acr"] == "phr" {
		t.Errorf("the stranger's browser was told %v, acr %v", c["preferred_username"], c["acr"])
	}

	setPolicy(t, o.Demo, [2]string{"phone.from", "known"})
	s = stranger()
	o.ask(s) // is shown a number, as anybody is
	phone.leftAlone()
	number = o.ask(o.desktop)
	phone.told("used before")
	yes(number)
	o.desktop.Claims()

	setPolicy(t, o.Demo, [2]string{"phone.from", "knownOrNetwork"})
	s = stranger()
	number = o.ask(s) // both are on this machine
	yes(number)
	s.Claims()

	// The browser that asked was closed: the approval opens nothing elsewhere.
	number = o.ask(o.desktop)
	o.desktop.closed()
	yes(number)
	s = stranger()
	s.Open(o.App + "/login")
	s.See(`[data-action="signin-phone"]`)
	o.desktop.Open(o.App + "/login?prompt=login")
	o.desktop.See(`[data-action="signin-phone"]`)
	phone.Sound()
}
