package push_test

import (
	"strings"
	"testing"

	"github.com/signetid/signet/internal/push"
)

func TestParseHost(t *testing.T) {
	for in, want := range map[string]push.Host{
		"push.example.com":           {Name: "push.example.com", Port: "443"},
		"Push.Example.com:8443":      {Name: "push.example.com", Port: "8443"},
		"push.internal:8443/private": {Name: "push.internal", Port: "8443", Private: true},
		"127.0.0.1:9000/private":     {Name: "127.0.0.1", Port: "9000", Private: true},
		"[::1]:9000/private":         {Name: "::1", Port: "9000", Private: true},
		"ntfy/private":               {Name: "ntfy", Port: "443", Private: true},
		"[2001:db8:0::1]":            {Name: "2001:db8::1", Port: "443"},
	} {
		if got, err := push.ParseHost(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "https://push.example.com", "push.example.com/x", "push.example.com:0", "push.example.com:x", "push.example.com:70000", "*.example.com", "a b", ".", "a..b", "/private"} {
		if got, err := push.ParseHost(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		} else if !strings.Contains(err.Error(), "push.example.com:8443") {
			t.Errorf("%q: %v does not say how to write it", in, err)
		}
	}
}

func TestSubject(t *testing.T) {
	for _, s := range []string{"mailto:help@example.com", "mailto:a.b+c@id.example.co.uk", "https://id.example.com", "https://example.com/contact"} {
		if err := push.CheckSubject(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "help@example.com", "mailto:", "mailto:help", "mailto:@example.com", "mailto:help@", "mailto:help@localhost", "mailto:help@id.local", "mailto:help@id.invalid",
		"mailto:help@server.internal", "mailto:help@intranet", "mailto:help@127.0.0.1", "mailto:a@example.com,b@example.com", "mailto:a@example.com?subject=x", "mailto:<a@example.com>",
		"http://id.example.com", "https://localhost", "https://localhost:8080", "https://10.0.0.1", "https://[::1]", "https://id.corp", "https://user@id.example.com", "https://", "ftp://id.example.com",
	} {
		err := push.CheckSubject(s)
		if err == nil {
			t.Errorf("%q is taken", s)
		} else if !strings.Contains(err.Error(), "mailto:help@example.com") {
			t.Errorf("%q: %v does not say what to write", s, err)
		}
	}
	for base, want := range map[string]string{
		"https://id.example.com": "https://id.example.com", "https://id.example.com:8443": "https://id.example.com",
		"http://localhost:8080": "", "https://localhost": "", "https://id.corp": "", "": "", "https://id": "",
	} {
		if got := push.SubjectOf(base); got != want {
			t.Errorf("%q: %q, want %q", base, got, want)
		}
		if got := push.SubjectOf(base); got != "" && push.CheckSubject(got) != nil {
			t.Errorf("%q is not taken", got)
		}
	}
	if _, err := push.New(push.Config{Subject: "mailto:help@localhost"}); err == nil {
		t.Error("a service with a subject that Apple refuses")
	}
}
