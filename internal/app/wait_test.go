package app_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
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
