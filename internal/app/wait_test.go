package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// TestStopLetsGoOfWaits: pages that wait for a phone hold no stop up. They are
// told nothing, so that they go on where they are sent next.
func TestStopLetsGoOfWaits(t *testing.T) {
	s := newSite(t, func(c *app.Config) { c.Stop = 10 * time.Second })
	client := &http.Client{
		Jar: must(cookiejar.New(nil)), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	at := s.BaseURL() + "/" + s.made.TenantID + "/signin"
	res := must(client.Get(at))
	page := string(must(io.ReadAll(res.Body)))
	res.Body.Close()
	handle := regexp.MustCompile(`name="handle" value="([^"]+)"`).FindStringSubmatch(page)
	if handle == nil || !strings.Contains(page, `data-action="signin-phone"`) {
		t.Fatalf("no phone is offered:\n%s", page)
	}
	res = must(client.PostForm(at+"/ask", url.Values{"handle": {handle[1]}, "username": {"zoe@example.org"}, "method": {"phone"}}))
	res.Body.Close()
	flow := must(res.Location()).Query().Get("flow")
	if res.StatusCode != http.StatusSeeOther || flow == "" {
		t.Fatalf("ask: %d", res.StatusCode)
	}
	wait := func(accept string) *http.Response {
		t.Helper()
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/wait?flow="+flow, nil))
		r.Header.Set("Accept", accept)
		return must(client.Do(r))
	}
	events := wait("text/event-stream")
	defer events.Body.Close()
	if events.StatusCode != http.StatusOK {
		t.Fatalf("events: %d", events.StatusCode)
	}
	polled := make(chan string, 1)
	go func() {
		res, err := client.Get(at + "/wait?flow=" + flow)
		if err != nil {
			polled <- err.Error()
			return
		}
		defer res.Body.Close()
		said, _ := io.ReadAll(res.Body)
		polled <- string(said)
	}()
	// The poll is being served, and this request.
	for busy := ""; busy != "2"; time.Sleep(time.Millisecond) {
		res := must(http.Get(s.BaseURL() + "/metrics"))
		found := regexp.MustCompile(`(?m)^signet_http_requests_in_flight (\d+)$`).FindSubmatch(must(io.ReadAll(res.Body)))
		res.Body.Close()
		busy = string(found[1])
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := <-polled; !strings.Contains(got, `"state":"waiting"`) {
		t.Errorf("the poll is told %q", got)
	}
	if said := string(must(io.ReadAll(events.Body))); strings.Contains(said, "event") {
		t.Errorf("the events are %q", said)
	}
	if strings.Contains(s.log.String(), "were cut off") {
		t.Error("the stop had to wait for them")
	}
}

// TestSignInByPhone is the whole way, with the phone of package phonetest: a
// phone is added, a page shows a number, the phone types it, and the page hears of
// it and opens.
func TestSignInByPhone(t *testing.T) {
	s := newSite(t, nil)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	b.firstDay(s, bela)
	p := s.addPhone(t, idp.TenantID(s.made.TenantID), idp.UserID(bela.ID))

	at := s.BaseURL() + "/" + s.made.TenantID + "/signin"
	desk := newBrowser(t, s.BaseURL())
	number := desk.ask(at, bela.UserName)
	shown := number.field(t, `data-number="(\d\d)"`)
	flow := number.url.Query().Get("flow")
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/wait?flow="+flow, nil))
	r.Header.Set("Accept", "text/event-stream")
	events := must(desk.http.Do(r))
	defer events.Body.Close()
	lines := bufio.NewReader(events.Body)
	hears := func(want string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("the events end before %q: %v", want, err)
			}
			if strings.HasPrefix(line, want) {
				return
			}
		}
	}
	hears("retry")
	all, err := p.Requests()
	if err != nil || len(all) != 1 {
		t.Fatalf("the phone sees %+v, %v", all, err)
	}
	if _, err := p.Approve(all[0], shown); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	hears("event: ready")
	// Nobody else has anything of it.
	if got := newBrowser(t, s.BaseURL()).get(number.url.String()); got.status != http.StatusUnauthorized {
		t.Errorf("another browser with the address: %d", got.status)
	}
	form := url.Values{"handle": {flow}, "method": {"phone"}, "username": {bela.UserName}}
	home := desk.post(number, "/"+s.made.TenantID+"/signin/answer", form)
	if home.status != http.StatusOK || home.url.Path != "/account" || !strings.Contains(home.text, "How you sign in") {
		t.Fatalf("the page ends at %d %s", home.status, home.url)
	}
	t.Logf("from the approval to the page: %s", time.Since(start))

	// The wrong number, and no.
	number = desk.ask(at, bela.UserName)
	shown = number.field(t, `data-number="(\d\d)"`)
	if all, err = p.Requests(); err != nil || len(all) != 1 {
		t.Fatalf("the phone sees %+v, %v", all, err)
	}
	wrong := string('0'+'9'-shown[0]) + shown[1:] // never the same: no digit is its own rest to nine
	if state, err := p.Approve(all[0], wrong); err != nil || state != "wrong_number" {
		t.Errorf("a wrong number: %q, %v", state, err)
	}
	form.Set("handle", number.url.Query().Get("flow"))
	got := desk.post(number, "/"+s.made.TenantID+"/signin/answer", form)
	if got.status != http.StatusUnauthorized || !strings.Contains(got.text, "That was not the number") {
		t.Errorf("after a wrong number: %d", got.status)
	}
	// Cancelled: the phone has nothing to answer any more.
	number = desk.ask(at, bela.UserName)
	if all, err = p.Requests(); err != nil || len(all) != 1 {
		t.Fatalf("the phone sees %+v, %v", all, err)
	}
	form.Set("handle", number.url.Query().Get("flow"))
	desk.post(number, "/"+s.made.TenantID+"/signin/cancel", form)
	if all, err = p.Requests(); err != nil || len(all) != 0 {
		t.Errorf("after it was cancelled the phone sees %+v, %v", all, err)
	}
}

// ask presses "Use my phone", signed out.
func (b *browser) ask(at, name string) page {
	b.t.Helper()
	b.http.Jar = must(cookiejar.New(nil))
	p := b.get(at)
	number := b.post(p, p.url.Path+"/ask", url.Values{"handle": {p.field(b.t, `name="handle" value="([^"]+)"`)}, "username": {name}, "method": {"phone"}})
	if number.status != http.StatusOK || !strings.Contains(number.text, "Type this number") {
		b.t.Fatalf("asked: %d\n%s", number.status, number.text)
	}
	return number
}

// addPhone is what the account page does for somebody who has signed in just now.
func (s *site) addPhone(t *testing.T, tenant idp.TenantID, user idp.UserID) *phonetest.Phone {
	t.Helper()
	sessions := must(s.Sessions.List(t.Context(), tenant, user))
	if len(sessions) == 0 {
		t.Fatal("nobody has signed in")
	}
	begun := must(s.Corridor.BeginRegister(t.Context(), sessions[0], policy.Phone, signin.Peer{}))
	var shown struct {
		Link string `json:"link"`
	}
	if err := json.Unmarshal(begun.Show, &shown); err != nil {
		t.Fatal(err)
	}
	p := phonetest.Over(s.BaseURL(), newBrowser(t, s.BaseURL()).http, time.Now)
	must(p.Enrol(shown.Link))
	must(s.Corridor.FinishRegister(t.Context(), sessions[0], begun.Ceremony, []byte(`{"confirm":true}`), signin.Peer{}))
	return p
}
