package push_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var android = push.Target{Kind: push.FCM, Token: "abc:APA91b-_token"}

func firebase(t *testing.T) (*world, *push.Service, *pushtest.FCM) {
	t.Helper()
	w := newWorld(t, sqldbtest.Open(t, sources))
	stand := pushtest.NewFCM(t, w.now)
	// The address for tokens is in the credentials, and is a private one here.
	return w, w.node(t, func(c *push.Config) {
		c.Hosts, c.Roots = hosts(t, stand.Host()), stand.Roots()
		c.FCM = &push.FCMConfig{Credentials: stand.Credentials(), Base: stand.URL()}
	}), stand
}

func TestFCM(t *testing.T) {
	w, s, stand := firebase(t)
	m := message("r1")
	m.Topic = "topic-1"
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if res := s.Send(t.Context(), android, m); res.Outcome != push.Delivered {
				t.Errorf("%+v", res)
			}
		})
	}
	wg.Wait()
	for range 5 {
		got := stand.Arrived(t)
		if got.Token != android.Token || got.Priority != "HIGH" || got.TTL != "60s" || got.Collapse != "topic-1" || fmt.Sprint(got.Data) != "map[id:r1]" {
			t.Errorf("%+v", got)
		}
	}
	if n := stand.Asked(); n != 1 {
		t.Errorf("%d tokens for five messages at once", n)
	}
	w.advance(59*time.Minute - time.Second)
	if res := s.Send(t.Context(), android, m); res.Outcome != push.Delivered || stand.Asked() != 1 {
		t.Errorf("%+v, %d tokens", res, stand.Asked())
	}
	w.advance(time.Second)
	if res := s.Send(t.Context(), android, m); res.Outcome != push.Delivered || stand.Asked() != 2 {
		t.Errorf("%+v, %d tokens", res, stand.Asked())
	}
	// One that is refused before its time is replaced, once.
	stand.Forget()
	if res := s.Send(t.Context(), android, m); res.Outcome != push.Delivered || stand.Asked() != 3 {
		t.Errorf("%+v, %d tokens", res, stand.Asked())
	}
	unauthenticated := pushtest.Answer{Status: 401, Body: `{"error":{"status":"UNAUTHENTICATED"}}`}
	stand.Answer(unauthenticated, unauthenticated)
	res := s.Send(t.Context(), android, m)
	if res.Outcome != push.Faulty || stand.Asked() != 4 {
		t.Errorf("%+v, %d tokens", res, stand.Asked())
	}
	reason(t, res.Err, "push_fcm")
}

func TestFCMAnswers(t *testing.T) {
	_, s, stand := firebase(t)
	for _, c := range []struct {
		status       int
		general, own string
		want         push.Outcome
		reason       string
	}{
		{404, "NOT_FOUND", "UNREGISTERED", push.Gone, "push_gone"},
		{404, "NOT_FOUND", "", push.Faulty, "push_fcm"}, // the project, perhaps
		{403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", push.Faulty, "push_fcm"},
		{429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", push.Later, "push_busy"},
		{503, "UNAVAILABLE", "UNAVAILABLE", push.Later, "push_busy"},
		{500, "INTERNAL", "INTERNAL", push.Later, "push_busy"},
		{400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", push.Faulty, "push_fcm"},
		{400, "INVALID_ARGUMENT", "token", push.Gone, "push_gone"},
		{400, "INVALID_ARGUMENT", "data", push.Faulty, "push_fcm"},
		{401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", push.Faulty, "push_fcm"},
	} {
		t.Run(fmt.Sprint(c.status, c.own), func(t *testing.T) {
			details := ""
			if c.own == "token" {
				details = `,"details":[{"errorCode":"INVALID_ARGUMENT"},{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token"}]}]`
			} else if c.own == "data" {
				details = `,"details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.data[0].value"}]}]`
			} else if c.own != "" {
				details = `,"details":[{"@type":"other"},{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + c.own + `"}]`
			}
			stand.Answer(pushtest.Answer{Status: c.status, RetryAfter: "9", Body: fmt.Sprintf(`{"error":{"code":%d,"status":"%s"%s}}`, c.status, c.general, details)})
			res := s.Send(t.Context(), android, message("r"))
			if res.Outcome != c.want || res.Outcome == push.Later && res.After != 9*time.Second {
				t.Errorf("%+v", res)
			}
			reason(t, res.Err, c.reason)
			secretFree(t, res.Err, android)
		})
	}
}

// TestFCMToken: without a token nothing is sent, and a reply with one is told
// to nobody.
func TestFCMToken(t *testing.T) {
	for _, c := range []struct {
		answer pushtest.Answer
		want   push.Outcome
	}{
		{pushtest.Answer{Status: 400, Body: `{"error":"invalid_grant"}`}, push.Faulty},
		{pushtest.Answer{Status: 200, Body: `no JSON with secret-token`}, push.Faulty},
		{pushtest.Answer{Status: 200, Body: `{"access_token":"secret-token"}`}, push.Faulty},
		{pushtest.Answer{Status: 200, Body: `{"access_token":"","expires_in":3600}`}, push.Faulty},
		{pushtest.Answer{Status: 503, RetryAfter: "4"}, push.Later},
		{pushtest.Answer{Status: 302, Location: "https://evil.example/"}, push.Faulty},
	} {
		_, s, stand := firebase(t)
		stand.Tokens.Answer(c.answer)
		res := s.Send(t.Context(), android, message("r"))
		if res.Outcome != c.want || res.Err == nil || strings.Contains(res.Err.Error(), "secret-token") {
			t.Errorf("%+v: %+v", c.answer, res)
		}
		if res := s.Send(t.Context(), android, message("r")); res.Outcome != push.Delivered {
			t.Errorf("and then: %+v", res)
		}
	}
}

func TestFCMConfig(t *testing.T) {
	stand := pushtest.NewFCM(t, time.Now)
	for name, change := range map[string]func(map[string]string){
		"another type":      func(m map[string]string) { m["type"] = "authorized_user" },
		"no project":        func(m map[string]string) { m["project_id"] = "" },
		"project of a path": func(m map[string]string) { m["project_id"] = "a/../b" },
		"no key":            func(m map[string]string) { m["private_key"] = "" },
		"no address":        func(m map[string]string) { m["token_uri"] = "" },
		"plain address":     func(m map[string]string) { m["token_uri"] = "http://oauth2.googleapis.com/token" },
		"good":              func(map[string]string) {},
	} {
		var m map[string]string
		if err := json.Unmarshal(stand.Credentials(), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = push.New(push.Config{FCM: &push.FCMConfig{Credentials: text}})
		if (err == nil) != (name == "good") || err != nil && (!strings.Contains(err.Error(), "fcm-credentials") || strings.Contains(err.Error(), "PRIVATE KEY")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := push.New(push.Config{FCM: &push.FCMConfig{Credentials: []byte("-----BEGIN PRIVATE KEY")}}); err == nil || strings.Contains(err.Error(), "BEGIN") {
		t.Errorf("%v", err)
	}
}
