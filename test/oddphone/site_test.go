package oddphone

import (
	"encoding/json"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/test/person"
	"github.com/signetid/signet/test/running"
)

// site is one running server with one organisation that has phones on.
type site struct {
	t                *testing.T
	base, addr, data string
	tenant           string
	app              person.App
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, addr: running.FreeAddr(t), data: filepath.Join(t.TempDir(), "data")}
	s.base = "http://localhost" + s.addr[strings.LastIndexByte(s.addr, ':'):]
	const free = "1000000"
	running.StartBinary(t, running.Binary(t), []string{
		"serve", "--data", s.data, "--listen", s.addr, "--listen-tls", "off", "--base-url", s.base, "--drain", "0s", "--metadata-url", "off",
		"--log-level", "error", "--limit-sign-ins", free, "--limit-failures", free, "--limit-nonces", free, "--limit-pass-tries", free, "--limit-phone-asks", free,
	}, nil)
	var tenant struct{ ID string }
	s.admin(&tenant, "tenant", "create", "Corp", "--domain", "corp.example")
	s.tenant = tenant.ID
	s.admin(nil, "policy", "set", "method.phone", "true")
	var app struct{ ID, Secret string }
	s.admin(&app, "app", "create", "Wiki", "--redirect-uri", "https://wiki.example/cb", "--first-party")
	s.app = person.App{Issuer: s.base + "/" + s.tenant + "/v2.0", ID: app.ID, Secret: app.Secret, Redirect: "https://wiki.example/cb", Scope: "openid profile"}
	return s
}

// admin runs `signet admin` at the running server.
func (s *site) admin(into any, args ...string) {
	s.t.Helper()
	args = append(append([]string{"admin"}, args...), "--data", s.data, "-o", "json")
	cmd := exec.Command(running.Binary(s.t), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("signet %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(out, into); err != nil {
		s.t.Fatal(err)
	}
}

// somebody is a person at a desk, signed in with a passkey that is minutes old.
type somebody struct {
	*person.Person
	site    *site
	upn, id string
	session string // of the account page
}

func (s *site) somebody(name string) *somebody {
	s.t.Helper()
	w := &somebody{site: s, upn: name + "@corp.example"}
	var user struct{ ID string }
	s.admin(&user, "user", "create", w.upn, "--name", name)
	w.id = user.ID
	var tap struct{ TemporaryAccessPass string }
	s.admin(&tap, "tap", "issue", w.upn)
	w.Person = s.browser()
	if _, _, err := w.FirstDay(s.t.Context(), s.app, w.upn, tap.TemporaryAccessPass); err != nil {
		s.t.Fatalf("the first day of %s: %v", name, err)
	}
	page, err := w.Get(s.t.Context(), s.base+"/account")
	if err != nil {
		s.t.Fatal(err)
	}
	if w.session, err = page.Session(); err != nil {
		s.t.Fatal(err)
	}
	return w
}

// browser is a new one, in which nobody is known.
func (s *site) browser() *person.Person {
	s.t.Helper()
	p, err := person.New(s.base, person.At(s.addr))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// fragment is the code in the link.
func fragment(t *testing.T, base string, c person.PhoneCode) string {
	t.Helper()
	u, err := url.Parse(c.Link)
	if err != nil || !strings.HasPrefix(c.Link, base+"/phone/add#") || len(u.Fragment) != 22 {
		t.Fatalf("the link is %q", c.Link)
	}
	return u.Fragment
}

// code asks for one.
func (w *somebody) code() person.PhoneCode {
	w.site.t.Helper()
	c, err := w.AddPhone(w.site.t.Context(), w.session)
	if err != nil {
		w.site.t.Fatal(err)
	}
	return c
}

// confirm says that the words are the same.
func (w *somebody) confirm(c person.PhoneCode) error {
	return w.ConfirmPhone(w.site.t.Context(), w.session, c)
}

// apply opens a code and makes the application to it.
func (w *somebody) apply(secret string) (*Phone, application) {
	t := w.site.t
	t.Helper()
	p, err := New(w.site.base)
	if err != nil {
		t.Fatal(err)
	}
	o, err := p.Open(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if o.Tenant.ID != w.site.tenant || o.User.ID != w.id || o.User.Name != w.upn {
		t.Errorf("the code is for %+v %+v", o.Tenant, o.User)
	}
	body, err := p.Apply(o, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, body
}

// phone adds one.
func (w *somebody) phone() *Phone {
	w.site.t.Helper()
	c := w.code()
	p, body := w.apply(fragment(w.site.t, w.site.base, c))
	if _, a, err := p.Finish(w.site.t.Context(), body); err != nil {
		w.site.t.Fatalf("finish: %v %+v", err, a)
	}
	if err := w.confirm(c); err != nil {
		w.site.t.Fatal(err)
	}
	return p
}

// refused holds a reply to a row of the page's table.
func refused(t *testing.T, what string, a Answer, err error, status int, word string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	r := a.Refusal()
	if a.Status != status || r.Error != word || r.Message == "" || r.Trace == "" {
		t.Errorf("%s: got %d %s\n\twant %d %s", what, a.Status, a.Body, status, word)
	}
}
