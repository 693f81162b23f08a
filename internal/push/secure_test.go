package push_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// offline makes a service without a database, for what needs none.
func offline(t testing.TB, all ...string) *push.Service {
	t.Helper()
	s, err := push.New(push.Config{Subject: "mailto:help@signet.example.com", Hosts: hosts(t, all...)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// subscription is a good one, with the endpoint changed.
func subscription(endpoint string) push.Target {
	return push.Target{
		Kind: push.WebPush, Endpoint: endpoint, Auth: "BTBZMqHH6r4Tts7J_aSIgg",
		P256DH: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
	}
}

// TestSec_NET04_PushEndpoints: where a phone may have messages sent. Each
// refusal is for its own reason, and nothing of the endpoint is told.
func TestSec_NET04_PushEndpoints(t *testing.T) {
	s := offline(t, "ntfy.example.com", "push.corp.example:8443/private", "10.1.2.3:9000/private", "[fd00::1]:9000/private")
	for _, good := range []string{
		"https://web.push.apple.com/QMabc", "https://fcm.googleapis.com/fcm/send/abc:def", "https://updates.push.services.mozilla.com/wpush/v2/abc",
		"https://db5p.notify.windows.com/w/?token=abc", "https://fcm.googleapis.com:443/x", "https://FCM.googleapis.com/x", "HTTPS://fcm.googleapis.com/x",
		"https://ntfy.example.com/up123?up=1", "https://push.corp.example:8443/x", "https://10.1.2.3:9000/x", "https://[fd00::1]:9000/x", "https://[FD00:0::1]:9000/x",
	} {
		if err := s.Check(subscription(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, c := range []struct{ name, endpoint, reason string }{
		{"empty", "", "push_endpoint_malformed"},
		{"endless", "https://fcm.googleapis.com/" + strings.Repeat("x", 3000), "push_endpoint_malformed"},
		{"no URL", "fcm.googleapis.com/x", "push_endpoint_malformed"},
		{"opaque", "https:fcm.googleapis.com/x", "push_endpoint_malformed"},
		{"user in it", "https://fcm.googleapis.com@fcm.googleapis.com/x", "push_endpoint_malformed"},
		{"another host behind a user", "https://fcm.googleapis.com:443@evil.example/x", "push_endpoint_malformed"},
		{"backslash", `https://fcm.googleapis.com\@evil.example/x`, "push_endpoint_malformed"},
		{"line break", "https://fcm.googleapis.com/x\r\nHost: y", "push_endpoint_malformed"},
		{"space", "https://fcm.googleapis.com/ x", "push_endpoint_malformed"},
		{"other letters", "https://fcm.googleapis.com/é", "push_endpoint_malformed"},
		{"fragment", "https://fcm.googleapis.com/x#y", "push_endpoint_malformed"},
		{"empty port", "https://fcm.googleapis.com:/x", "push_endpoint_malformed"},
		{"port no number", "https://fcm.googleapis.com:x/x", "push_endpoint_malformed"},
		{"http", "http://fcm.googleapis.com/x", "push_endpoint_scheme"},
		{"file", "file://fcm.googleapis.com/etc/passwd", "push_endpoint_scheme"},
		{"gopher", "gopher://fcm.googleapis.com/x", "push_endpoint_scheme"},
		{"http at a host of ours", "http://push.corp.example:8443/x", "push_endpoint_scheme"},
		{"loopback", "https://127.0.0.1/x", "push_endpoint_number"},
		{"loopback of IPv6", "https://[::1]/x", "push_endpoint_number"},
		{"mapped", "https://[::ffff:127.0.0.1]/x", "push_endpoint_number"},
		{"zone", "https://[fe80::1%25eth0]/x", "push_endpoint_number"},
		{"metadata of a cloud", "https://169.254.169.254/latest", "push_endpoint_number"},
		{"everything", "https://0.0.0.0/x", "push_endpoint_number"},
		{"decimal", "https://2130706433/x", "push_endpoint_number"},
		{"hexadecimal", "https://0x7f000001/x", "push_endpoint_number"},
		{"octal", "https://0177.0.0.1/x", "push_endpoint_number"},
		{"short", "https://127.1/x", "push_endpoint_number"},
		{"public number", "https://8.8.8.8/x", "push_endpoint_number"},
		{"number of ours on another port", "https://10.1.2.3/x", "push_endpoint_number"},
		{"localhost", "https://localhost/x", "push_endpoint_host"},
		{"another host", "https://push.example.com/x", "push_endpoint_host"},
		{"beginning like one", "https://fcm.googleapis.com.evil.example/x", "push_endpoint_host"},
		{"ending like one", "https://evilfcm.googleapis.com/x", "push_endpoint_host"},
		{"ending like a star", "https://evilpush.apple.com/x", "push_endpoint_host"},
		{"star without a label", "https://push.apple.com/x", "push_endpoint_host"},
		{"empty label", "https://.push.apple.com/x", "push_endpoint_host"},
		{"dot at the end", "https://fcm.googleapis.com./x", "push_endpoint_host"},
		{"escaped", "https://fcm%2egoogleapis.com/x", "push_endpoint_malformed"},
		{"host of ours on another port", "https://push.corp.example/x", "push_endpoint_host"},
		{"vendor on another port", "https://fcm.googleapis.com:8443/x", "push_endpoint_port"},
		{"vendor on port 80", "https://web.push.apple.com:80/x", "push_endpoint_port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := subscription(c.endpoint)
			err := s.Check(to)
			if !errors.Is(err, idp.Invalid) {
				t.Fatalf("%v", err)
			}
			reason(t, err, c.reason)
			if e := idp.AsError(err); e.Field != "push.endpoint" {
				t.Errorf("field %q", e.Field)
			}
			if _, path, ok := strings.Cut(c.endpoint, "/x"); ok && path != "" && strings.Contains(err.Error(), path) {
				t.Errorf("%v tells the path", err)
			}
			if res := s.Send(t.Context(), to, message("r")); res.Outcome != push.Faulty {
				t.Errorf("sent: %+v", res)
			}
		})
	}
}

// TestSec_NET04_PushTargets: what else a phone may register.
func TestSec_NET04_PushTargets(t *testing.T) {
	apple, firebase := pushtest.NewAPNs(t, nil, "com.example.app"), pushtest.NewFCM(t, nil)
	s, err := push.New(push.Config{
		Subject: "mailto:help@signet.example.com",
		APNs:    &push.APNsConfig{Key: apple.P8(), KeyID: pushtest.APNsKeyID, Team: pushtest.APNsTeam, Topics: apple.Topics},
		FCM:     &push.FCMConfig{Credentials: firebase.Credentials()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Kinds()); got != "[webpush apns fcm]" {
		t.Errorf("kinds %s", got)
	}
	device := strings.Repeat("0a", 32)
	good := subscription("https://fcm.googleapis.com/x")
	for _, to := range []push.Target{
		good,
		{Kind: push.APNs, Token: device}, {Kind: push.APNs, Token: device, Topic: "com.example.app", Sandbox: true},
		{Kind: push.FCM, Token: "abc:APA91b-_x.y"},
	} {
		if err := s.Check(to); err != nil {
			t.Errorf("%s: %v", to.Kind, err)
		}
	}
	point := func(change func([]byte) []byte) string {
		raw, err := base64.RawURLEncoding.DecodeString(good.P256DH)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(change(raw))
	}
	for _, c := range []struct {
		name   string
		change func(*push.Target)
		reason string
	}{
		{"kind", func(p *push.Target) { p.Kind = "sms" }, "push_kind_unknown"},
		{"no kind", func(p *push.Target) { p.Kind = "" }, "push_kind_unknown"},
		{"no key", func(p *push.Target) { p.P256DH = "" }, "push_keys_malformed"},
		{"point not on the curve", func(p *push.Target) { p.P256DH = point(func(b []byte) []byte { b[64] ^= 1; return b }) }, "push_keys_malformed"},
		{"point at infinity", func(p *push.Target) { p.P256DH = point(func([]byte) []byte { return []byte{0} }) }, "push_keys_malformed"},
		{"compressed point", func(p *push.Target) {
			p.P256DH = point(func(b []byte) []byte { return append([]byte{2 + b[64]&1}, b[1:33]...) })
		}, "push_keys_malformed"},
		{"key with padding", func(p *push.Target) { p.P256DH += "=" }, "push_keys_malformed"},
		{"key in another alphabet", func(p *push.Target) { p.P256DH = strings.ReplaceAll(p.P256DH, "_", "/") }, "push_keys_malformed"},
		{"no auth", func(p *push.Target) { p.Auth = "" }, "push_keys_malformed"},
		{"short auth", func(p *push.Target) { p.Auth = "BTBZMqHH6r4Tts7J_aSI" }, "push_keys_malformed"},
		{"auth that is none", func(p *push.Target) { p.Auth = "*" }, "push_keys_malformed"},
		{"device token with a path", func(p *push.Target) { *p = push.Target{Kind: push.APNs, Token: device[:40] + "/../x"} }, "push_token_malformed"},
		{"short device token", func(p *push.Target) { *p = push.Target{Kind: push.APNs, Token: "0a0a"} }, "push_token_malformed"},
		{"endless device token", func(p *push.Target) { *p = push.Target{Kind: push.APNs, Token: strings.Repeat("0a", 300)} }, "push_token_malformed"},
		{"another app", func(p *push.Target) { *p = push.Target{Kind: push.APNs, Token: device, Topic: "com.evil.app"} }, "push_topic_refused"},
		{"no registration token", func(p *push.Target) { *p = push.Target{Kind: push.FCM} }, "push_token_malformed"},
		{"endless registration token", func(p *push.Target) { *p = push.Target{Kind: push.FCM, Token: strings.Repeat("a", 5000)} }, "push_token_malformed"},
		{"registration token with a quote", func(p *push.Target) { *p = push.Target{Kind: push.FCM, Token: `a"b`} }, "push_token_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := good
			c.change(&to)
			err := s.Check(to)
			if !errors.Is(err, idp.Invalid) {
				t.Fatalf("%v", err)
			}
			reason(t, err, c.reason)
		})
	}
	// Roads that are closed say what is missing.
	closed, err := push.New(push.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for kind, to := range map[string]push.Target{
		push.WebPush: good, push.APNs: {Kind: push.APNs, Token: device}, push.FCM: {Kind: push.FCM, Token: "x"},
	} {
		reason(t, closed.Check(to), "push_kind_closed")
		if s.Closed(kind) != "" || closed.Closed(kind) == "" {
			t.Errorf("%s: %q, %q", kind, s.Closed(kind), closed.Closed(kind))
		}
	}
	if closed.Kinds() != nil || !strings.Contains(closed.Closed(push.WebPush), "push-subject") {
		t.Errorf("%v, %q", closed.Kinds(), closed.Closed(push.WebPush))
	}
}

// TestSec_NET04_PushDial: an allowed name that leads to a private address is
// not called, however it is allowed; one that the operator marked is.
func TestSec_NET04_PushDial(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	var called atomic.Int32
	target := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	defer target.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(target.URL, "https://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"} {
		s := w.node(t, func(c *push.Config) { c.Hosts = hosts(t, host+":"+port) })
		res := s.Send(t.Context(), subscription("https://"+host+":"+port+"/x"), message("r"))
		if res.Outcome != push.Faulty {
			t.Errorf("%s: %+v", host, res)
		}
		reason(t, res.Err, "push_address_refused")
	}
	if n := called.Load(); n != 0 {
		t.Errorf("called %d times", n)
	}
}

// TestSec_NET04_PushRedirect: where a redirect leads nobody goes.
func TestSec_NET04_PushRedirect(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	var called atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	defer trap.Close()
	s := w.node(t)
	sub, other := w.service.Subscribe(""), w.service.Subscribe("")
	for _, to := range []string{trap.URL, "http://169.254.169.254/latest", other.Endpoint, "/p/x", "file:///etc/passwd", ""} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			sub.Answer(pushtest.Answer{Status: status, Location: to})
			if res := s.Send(t.Context(), target(sub), message("r")); res.Outcome != push.Faulty {
				t.Errorf("%d to %q: %+v", status, to, res)
			}
		}
	}
	if called.Load() != 0 || other.Waiting() != 0 {
		t.Errorf("followed: %d, %d", called.Load(), other.Waiting())
	}
}

// TestSec_NET04_PushProxy: no proxy of the environment; the operator's for
// what is public, and none for a host in his own network.
func TestSec_NET04_PushProxy(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	var asked atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host := r.Method + " " + r.Host
		asked.Store(&host)
		rw.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("https_proxy", proxy.URL)
	t.Setenv("NO_PROXY", "")
	sub := w.service.Subscribe("")
	s := w.node(t)
	if res := s.Send(t.Context(), target(sub), message("r")); res.Outcome != push.Delivered || asked.Load() != nil {
		t.Errorf("%+v, proxy %v", res, asked.Load())
	}
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	s = w.node(t, func(c *push.Config) { c.Proxy = u })
	if res := s.Send(t.Context(), target(sub), message("r")); res.Outcome != push.Delivered || asked.Load() != nil {
		t.Errorf("%+v, proxy %v", res, asked.Load())
	}
	if res := s.Send(t.Context(), subscription("https://fcm.googleapis.com/x"), message("r")); res.Outcome != push.Later {
		t.Errorf("%+v", res)
	}
	if got := asked.Load(); got == nil || *got != "CONNECT fcm.googleapis.com:443" {
		t.Errorf("the proxy was asked for %v", got)
	}
}

// TestSec_PHN06_SealedTargets: a row lets nobody send, is good in its own place
// only, and a damaged one stops nothing.
func TestSec_PHN06_SealedTargets(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		writer, sub := w.node(t), w.service.Subscribe("")
		w.queue(t, writer, target(sub), message("first-id"), message("second"))
		var sealed []byte
		if err := db.QueryRow(t.Context(), `select sealed from push_message order by id limit 1`).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"127.0.0.1", sub.Auth, sub.P256DH, "first-id", "Someone"} {
			if bytes.Contains(sealed, []byte(s)) {
				t.Errorf("%q is in the row", s)
			}
		}
		// One message's bytes in the other's row.
		if _, err := db.Exec(t.Context(), `update push_message set sealed = $1`, sealed); err != nil {
			t.Fatal(err)
		}
		s := w.node(t)
		lanes(t, s)
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Idle()
		if got := sub.Arrived(t); !bytes.Contains(got.Plain, []byte("first-id")) || sub.Waiting() != 0 {
			t.Errorf("%s, and %d more", got.Plain, sub.Waiting())
		}
		if told := w.told(); len(told) != 1 || w.rows(t) != 0 {
			t.Errorf("told of %v, %d rows", told, w.rows(t))
		}
	})
}

// TestSec_PHN06_NoSecretsInText: a target cannot be printed by accident.
func TestSec_PHN06_NoSecretsInText(t *testing.T) {
	to := subscription("https://fcm.googleapis.com/capability")
	to.Token = "device-token"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{to, &to, struct{ T push.Target }{to}, []push.Target{to}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "capability") || strings.Contains(got, "device-token") || strings.Contains(got, to.Auth) {
				t.Errorf("%s: %s", verb, got)
			}
		}
	}
	w := newWorld(t, sqldbtest.Open(t, sources))
	s := w.node(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, endpoint := range []string{"https://fcm.googleapis.com/capability", w.service.URL() + "/capability", w.service.URL() + "/p/capability"} {
		res := s.Send(ctx, subscription(endpoint), message("r"))
		if res.Err == nil || strings.Contains(res.Err.Error(), "capability") {
			t.Errorf("%v", res.Err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	good := subscription("https://web.push.apple.com/x")
	f.Add(good.Endpoint, good.P256DH, good.Auth)
	f.Add("https://push.corp.example:8443/x?y", good.P256DH, good.Auth)
	f.Add("https://a@fcm.googleapis.com:443\\@x/#", "", "")
	s := offline(f, "push.corp.example:8443/private")
	f.Fuzz(func(t *testing.T, endpoint, key, auth string) {
		err := s.Check(push.Target{Kind: push.WebPush, Endpoint: endpoint, P256DH: key, Auth: auth})
		if err != nil {
			if !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Errorf("%v", err)
			}
			return
		}
		// What is allowed is so by another reading, too.
		u, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		host := strings.ToLower(u.Host)
		for _, end := range []string{".push.apple.com", ".notify.windows.com"} {
			if strings.HasSuffix(strings.TrimSuffix(host, ":443"), end) && u.Scheme == "https" {
				return
			}
		}
		switch strings.TrimSuffix(host, ":443") {
		case "fcm.googleapis.com", "updates.push.services.mozilla.com", "push.corp.example:8443":
		default:
			t.Errorf("%q is allowed", endpoint)
		}
	})
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"push.example.com", "a:1/private", "[::1]:8443/private", "::1", "a:0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		h, err := push.ParseHost(in)
		if err != nil {
			return
		}
		again, err := push.ParseHost(h.String())
		if err != nil || again.Name != h.Name || again.Port != h.Port {
			t.Errorf("%q: %+v, and again %+v, %v", in, h, again, err)
		}
	})
}
