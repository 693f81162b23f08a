package browser

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	p.Type("username", o.user.Name)
	p.Press("signin-phone")
	return p.Read("[data-number]")
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
	o.desktop.Until("a new number to ask for", `!document.querySelector("[data-number]")`)
	phone.Press("done")

	// Not me; then a report, after which the phone is left alone.
	o.ask(o.desktop)
	phone.View("request")
	phone.Press("deny")
	phone.View("end-denied")
	o.desktop.Until("no number", `!document.querySelector("[data-number]")`)
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
	time.Sleep(4 * time.Second)
	if Eval[string](phone, `document.body.dataset.view`) != "home" {
		t.Error("a request came after the report")
	}
	phone.Sound()
}
