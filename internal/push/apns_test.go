package push_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var device = push.Target{Kind: push.APNs, Token: strings.Repeat("0a1B", 16)}

// apple is a service that sends to Apple's stand-in.
func apple(t *testing.T) (*world, *push.Service, *pushtest.APNs) {
	t.Helper()
	w := newWorld(t, sqldbtest.Open(t, sources))
	stand := pushtest.NewAPNs(t, w.now, "com.example.app", "com.example.other")
	return w, w.node(t, func(c *push.Config) {
		c.Hosts, c.Roots = hosts(t, stand.Host()), stand.Roots()
		c.APNs = &push.APNsConfig{Key: stand.P8(), KeyID: pushtest.APNsKeyID, Team: pushtest.APNsTeam, Topics: stand.Topics, Base: stand.URL()}
	}), stand
}

func TestAPNs(t *testing.T) {
	w, s, stand := apple(t)
	m := message("r1")
	m.Topic = "topic-1"
	if res := s.Send(t.Context(), device, m); res.Outcome != push.Delivered {
		t.Fatalf("%+v", res)
	}
	got := stand.Arrived(t)
	if got.Token != device.Token || got.Topic != "com.example.app" || got.Collapse != "topic-1" || got.Proto != 2 ||
		!got.Expiration.Equal(w.now().Add(time.Minute).Truncate(time.Second)) {
		t.Errorf("%+v", got)
	}
	want := map[string]any{
		"aps": map[string]any{"alert": map[string]any{"title": m.Title, "body": m.Body}, "sound": "default"}, "id": "r1", "navigate": m.Navigate,
	}
	if fmt.Sprint(got.Body) != fmt.Sprint(want) {
		t.Errorf("body %v, want %v", got.Body, want)
	}
	// The token serves for a while and is then made anew.
	other := device
	other.Topic = "com.example.other"
	send := func() pushtest.APNsMessage {
		t.Helper()
		if res := s.Send(t.Context(), other, m); res.Outcome != push.Delivered {
			t.Fatalf("%+v", res)
		}
		return stand.Arrived(t)
	}
	w.advance(39 * time.Minute)
	if again := send(); again.Bearer != got.Bearer || again.Topic != other.Topic {
		t.Errorf("%+v", again)
	}
	w.advance(time.Minute)
	if again := send(); again.Bearer == got.Bearer {
		t.Error("an old token is used")
	}
}

// TestAPNsExpired: a token that is refused for its age is replaced at once,
// and not for ever.
func TestAPNsExpired(t *testing.T) {
	w, s, stand := apple(t)
	if res := s.Send(t.Context(), device, message("r1")); res.Outcome != push.Delivered {
		t.Fatalf("%+v", res)
	}
	first := stand.Arrived(t).Bearer
	w.advance(time.Second) // so that a new token differs
	expired := pushtest.Answer{Status: 403, Body: `{"reason":"ExpiredProviderToken"}`}
	stand.Answer(expired)
	if res := s.Send(t.Context(), device, message("r2")); res.Outcome != push.Delivered || stand.Arrived(t).Bearer == first {
		t.Errorf("%+v", res)
	}
	stand.Answer(expired, expired)
	res := s.Send(t.Context(), device, message("r3"))
	if res.Outcome != push.Faulty {
		t.Errorf("%+v", res)
	}
	reason(t, res.Err, "push_apns")
}

func TestAPNsAnswers(t *testing.T) {
	_, s, stand := apple(t)
	for _, c := range []struct {
		status int
		why    string
		want   push.Outcome
		reason string
	}{
		{410, "Unregistered", push.Gone, "push_gone"},
		{410, "ExpiredToken", push.Gone, "push_gone"},
		{400, "BadDeviceToken", push.Gone, "push_gone"},
		{400, "DeviceTokenNotForTopic", push.Faulty, "push_apns"},
		{403, "InvalidProviderToken", push.Faulty, "push_apns"},
		{413, "PayloadTooLarge", push.Faulty, "push_apns"},
		{429, "TooManyRequests", push.Later, "push_busy"},
		{429, "TooManyProviderTokenUpdates", push.Later, "push_busy"},
		{500, "InternalServerError", push.Later, "push_busy"},
		{503, "Shutdown", push.Later, "push_busy"},
		{302, "", push.Faulty, "push_redirect"},
	} {
		t.Run(fmt.Sprint(c.status, c.why), func(t *testing.T) {
			stand.Answer(pushtest.Answer{Status: c.status, Body: `{"reason":"` + c.why + `"}`, RetryAfter: "3", Location: "https://evil.example/"})
			res := s.Send(t.Context(), device, message("r"))
			if res.Outcome != c.want || res.Outcome == push.Later && res.After != 3*time.Second {
				t.Errorf("%+v", res)
			}
			reason(t, res.Err, c.reason)
			secretFree(t, res.Err, device)
		})
	}
}

func TestAPNsConfig(t *testing.T) {
	stand := pushtest.NewAPNs(t, time.Now)
	good := push.APNsConfig{Key: stand.P8(), KeyID: "K", Team: "T", Topics: []string{"com.example.app"}}
	if _, err := push.New(push.Config{APNs: &good}); err != nil {
		t.Fatal(err)
	}
	larger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(larger)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*push.APNsConfig){
		"no key": func(c *push.APNsConfig) { c.Key = nil },
		"damaged key": func(c *push.APNsConfig) {
			c.Key = []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
		},
		"other key": func(c *push.APNsConfig) { c.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}) },
		"no key id": func(c *push.APNsConfig) { c.KeyID = "" },
		"no team":   func(c *push.APNsConfig) { c.Team = "" },
		"no topic":  func(c *push.APNsConfig) { c.Topics = nil },
	} {
		c := good
		change(&c)
		if _, err := push.New(push.Config{APNs: &c}); err == nil || !strings.Contains(err.Error(), "apns-key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAPNsByTheQueue: an app that was removed is forgotten.
func TestAPNsByTheQueue(t *testing.T) {
	w, s, stand := apple(t)
	var cleared int
	s.OnGone(func(_ context.Context, _ *sqldb.Tx, r push.Ref) error {
		if r == ref {
			cleared++
		}
		return nil
	})
	lanes(t, s)
	w.queue(t, s, device, message("r1"))
	if got := stand.Arrived(t); got.Body["id"] != "r1" {
		t.Errorf("%+v", got)
	}
	s.Idle()
	stand.Answer(pushtest.Answer{Status: 410, Body: `{"reason":"Unregistered"}`})
	w.queue(t, s, device, message("r2"))
	s.Idle()
	if cleared != 1 || w.rows(t) != 0 {
		t.Errorf("cleared %d, %d rows", cleared, w.rows(t))
	}
}
