package push_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestWebPush: what arrives is what a browser is to show, and the headers say
// what a push service has to know.
func TestWebPush(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	s := w.node(t)
	key, err := s.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sub := w.service.Subscribe(key)
	m := message("r1")
	m.Topic = "dG9waWM_-"
	m.Lives = 90*time.Second + 900*time.Millisecond
	if res := s.Send(t.Context(), target(sub), m); res.Outcome != push.Delivered || res.Err != nil || res.Text() != "" {
		t.Fatalf("%+v", res)
	}
	got := sub.Arrived(t)
	if got.TTL != 90 || got.Urgency != "high" || got.Topic != m.Topic || got.Subject != "mailto:help@signet.example.com" || got.Key != key || got.Size != push.Record {
		t.Errorf("%+v", got)
	}
	var body map[string]any
	if err := json.Unmarshal(got.Plain, &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"web_push": 8030.0, "id": "r1",
		"notification": map[string]any{"title": m.Title, "body": m.Body, "navigate": m.Navigate, "lang": "en", "silent": false},
	}
	if fmt.Sprint(body) != fmt.Sprint(want) {
		t.Errorf("body %v, want %v", body, want)
	}
	// A life that is longer than a message is worth, and one that is over.
	m.Lives = time.Hour
	if res := s.Send(t.Context(), target(sub), m); res.Outcome != push.Delivered || sub.Arrived(t).TTL != 120 {
		t.Errorf("long life: %+v", res)
	}
	m.Lives = 0
	if res := s.Send(t.Context(), target(sub), m); res.Outcome != push.Faulty {
		t.Errorf("no life: %+v", res)
	}
}

// TestOneSize: the length tells nothing of what is inside.
func TestOneSize(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	s := w.node(t)
	sub := w.service.Subscribe("")
	m := message("r1")
	for _, m.Body = range []string{"", "x", strings.Repeat("long ", 100)} {
		if res := s.Send(t.Context(), target(sub), m); res.Outcome != push.Delivered {
			t.Fatalf("%+v", res)
		}
		if got := sub.Arrived(t); got.Size != push.Record {
			t.Errorf("%d bytes for a body of %d", got.Size, len(m.Body))
		}
	}
	m.Body = strings.Repeat("far too long", 1000)
	res := s.Send(t.Context(), target(sub), m)
	if res.Outcome != push.Faulty {
		t.Errorf("%+v", res)
	}
	reason(t, res.Err, "push_too_large")
}

// TestAnswers: each status means what §6.8 says.
func TestAnswers(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	s := w.node(t)
	sub := w.service.Subscribe("")
	date := w.now().Add(30 * time.Second).UTC().Truncate(time.Second)
	for _, c := range []struct {
		answer pushtest.Answer
		want   push.Outcome
		reason string
		after  time.Duration
	}{
		{pushtest.Answer{Status: 201}, push.Delivered, "", 0},
		{pushtest.Answer{Status: 200}, push.Delivered, "", 0},
		{pushtest.Answer{Status: 202}, push.Delivered, "", 0},
		{pushtest.Answer{Status: 404}, push.Gone, "push_gone", 0},
		{pushtest.Answer{Status: 410}, push.Gone, "push_gone", 0},
		{pushtest.Answer{Status: 413}, push.Faulty, "push_too_large", 0},
		{pushtest.Answer{Status: 429, RetryAfter: "7"}, push.Later, "push_busy", 7 * time.Second},
		{pushtest.Answer{Status: 429}, push.Later, "push_busy", 0},
		{pushtest.Answer{Status: 503, RetryAfter: date.Format(http.TimeFormat)}, push.Later, "push_busy", date.Sub(w.now())},
		{pushtest.Answer{Status: 500}, push.Later, "push_busy", 0},
		{pushtest.Answer{Status: 400}, push.Faulty, "push_vapid", 0},
		{pushtest.Answer{Status: 401}, push.Faulty, "push_vapid", 0},
		{pushtest.Answer{Status: 403, Body: `{"reason":"BadJwtToken"}`}, push.Faulty, "push_vapid", 0},
		{pushtest.Answer{Status: 418}, push.Faulty, "push_status", 0},
		{pushtest.Answer{Status: 201, Body: strings.Repeat("x", 1<<20)}, push.Delivered, "", 0},
		{pushtest.Answer{Status: 307, Location: w.service.URL() + "/p/other"}, push.Faulty, "push_redirect", 0},
		{pushtest.Answer{Status: 301, Location: "https://push.example.com/"}, push.Faulty, "push_redirect", 0},
		{pushtest.Answer{Status: 308}, push.Faulty, "push_redirect", 0},
		{pushtest.Answer{Status: 300}, push.Faulty, "push_status", 0},
	} {
		t.Run(fmt.Sprint(c.answer.Status, " ", c.reason, " ", c.answer.RetryAfter), func(t *testing.T) {
			sub.Answer(c.answer)
			res := s.Send(t.Context(), target(sub), message("r"))
			if res.Outcome != c.want || res.After != c.after {
				t.Errorf("%+v, want %s after %s", res, c.want, c.after)
			}
			if c.reason != "" {
				reason(t, res.Err, c.reason)
			}
			secretFree(t, res.Err, target(sub))
		})
	}
	sub.Answer(pushtest.Answer{Status: 403, Body: `{"reason":"BadJwtToken"}`})
	if res := s.Send(t.Context(), target(sub), message("r")); !strings.Contains(res.Text(), "BadJwtToken") {
		t.Errorf("Apple's reason is not in %q", res.Text())
	}
	sub.Answer(pushtest.Answer{Status: 403, Body: `{"reason":"<b>not a word"}`})
	if res := s.Send(t.Context(), target(sub), message("r")); strings.Contains(res.Text(), "<b>") {
		t.Errorf("a stranger's words are in %q", res.Text())
	}
}

// TestNoAnswer: a service that says nothing, is not there, or has a
// certificate of somebody else's.
func TestNoAnswer(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	s := w.node(t)
	sub := w.service.Subscribe("")
	send := func(s *push.Service, want push.Outcome, why string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		res := s.Send(ctx, target(sub), message("r"))
		if res.Outcome != want {
			t.Errorf("%+v", res)
		}
		reason(t, res.Err, why)
		secretFree(t, res.Err, target(sub))
	}
	if _, err := s.PublicKey(t.Context()); err != nil { // so that it is not made in that second
		t.Fatal(err)
	}
	sub.Answer(pushtest.Answer{Hang: true})
	send(s, push.Later, "push_slow")
	sub.Answer(pushtest.Answer{Status: 403, Stall: true})
	send(s, push.Later, "push_slow")
	// What was taken was taken, whatever comes after the status.
	sub.Answer(pushtest.Answer{Status: 201, Stall: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if res := s.Send(ctx, target(sub), message("r")); res.Outcome != push.Delivered {
		t.Errorf("%+v", res)
	}
	stranger := w.node(t, func(c *push.Config) { c.Roots = noRoots() })
	send(stranger, push.Faulty, "push_certificate")
	w.service.Close()
	w.service = pushtest.New(t)
	send(s, push.Later, "push_unreachable")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, " 5 ": 5 * time.Second, "-5": 0, "soon": 0, "1e3": 0, "99999999": time.Hour, "99999999999999999999": 0,
		"Thu, 26 Nov 2026 12:00:09 GMT": 9 * time.Second, "Thu, 26 Nov 2026 11:00:00 GMT": 0, "Thu, 26 Nov 2099 11:00:00 GMT": time.Hour,
	} {
		if got := push.RetryAfter(v, now); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(push.WebPush, 403, `{"reason":"BadJwtToken"}`, "5")
	f.Add(push.APNs, 400, `{"reason":"BadDeviceToken"}`, "Thu, 26 Nov 2026 12:00:09 GMT")
	f.Add(push.FCM, 404, `{"error":{"status":"NOT_FOUND","details":[{"errorCode":"UNREGISTERED"}]}}`, "")
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, kind string, status int, body, after string) {
		if d := push.RetryAfter(after, now); d < 0 || d > time.Hour {
			t.Errorf("%q: %s", after, d)
		}
		res := push.Judge(kind, status, body, now)
		if (res.Outcome == push.Delivered) != (res.Err == nil) || res.Outcome == push.Delivered && status/100 != 2 {
			t.Errorf("%d %q: %+v", status, body, res)
		}
		if res.Err != nil && (res.Text() == "" || strings.ContainsAny(res.Text(), "<>\n")) {
			t.Errorf("%d %q: %q", status, body, res.Text())
		}
	})
}
