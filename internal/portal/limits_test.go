package portal

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

const wrongPass = "WRNG-WRNG-WRNG"

// TestSec_POL06_CeremonyOfAnotherMethod: the limit on passes looks at the word
// in the form. A ceremony is answered as what it was begun for, or not at all,
// so that no other word gets a pass judged (T16).
func TestSec_POL06_CeremonyOfAnotherMethod(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	code := w.newPass(ada)
	b := w.newBrowser()
	at := "/" + string(w.tenant.ID) + "/signin"
	page := b.get(at)
	b.json(at+"/begin", map[string]string{"handle": page.field("handle"), "method": "accessPass"}, nil).want(t, 400)

	f, err := w.portal.cfg.Corridor.Resume(t.Context(), w.tenant.ID, page.field("handle"), w.portal.peerOf(b, at))
	w.must(err)
	begun, err := w.portal.cfg.Corridor.Begin(t.Context(), f, accessPass, "")
	w.must(err)
	for _, pass := range []string{wrongPass, code} {
		payload := `{"username":"ada@nordhafen.example","access_pass":"` + pass + `"}`
		for _, word := range []string{"passkey", "", "nonsense"} {
			r := b.post(at+"/answer", url.Values{"handle": {page.field("handle")}, "method": {word}, "ceremony": {begun.Ceremony}, "payload": {payload}})
			if r.StatusCode != http.StatusUnauthorized {
				t.Errorf("a pass %q sent as %q: %d", pass, word, r.StatusCode)
			}
		}
		// The right word has fields of its own: what else was sent is not read.
		b.post(at+"/answer", url.Values{"handle": {page.field("handle")}, "method": {"accessPass"}, "ceremony": {begun.Ceremony}, "payload": {payload}}).
			want(t, 400, "Type your user name.")
	}
	var spent, tries int64
	w.must(w.db.QueryRow(t.Context(), `select count(*) from spent`).Scan(&spent))
	w.must(w.db.QueryRow(t.Context(), `select tries from access_pass where user_id = $1`, ada.ID).Scan(&tries))
	if spent != 0 || tries != 0 {
		t.Errorf("%d ceremonies were burnt and %d tries counted: something was judged", spent, tries)
	}
	b.follow(b.usePass(page, ada.Name, code)).want(t, 200, "Add a passkey")
}

// peerOf is the peer that a browser is to the portal.
func (p *Portal) peerOf(b *browser, path string) signin.Peer {
	u, err := url.Parse(b.w.server.URL + path)
	b.w.must(err)
	r := httptest.NewRequest("GET", u.String(), nil)
	for _, c := range b.client.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	return p.peer(httptest.NewRecorder(), r)
}

// TestSec_POL06_Spraying: one source that tries many names with one pass each
// is stopped, whoever the names are of, and what it tried in vain has written
// no row (NON04).
func TestSec_POL06_Spraying(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	at := "/" + string(w.tenant.ID) + "/signin"
	page := b.get(at)
	judged, told := 0, ""
	for n := range 400 {
		r := b.usePass(page, fmt.Sprintf("u%d@nordhafen.example", n), wrongPass)
		if r.StatusCode == http.StatusUnauthorized {
			judged++
			continue
		}
		told = r.want(t, 429, "There were too many tries").Header.Get("Retry-After")
	}
	if judged != passTriesPerSource*5 || told == "" {
		t.Errorf("%d passes for 400 names from one source were judged, want %d; Retry-After %q", judged, passTriesPerSource*5, told)
	}
	var spent int
	w.must(w.db.QueryRow(t.Context(), `select count(*) from spent`).Scan(&spent))
	if spent != judged {
		t.Errorf("%d rows for %d tries", spent, judged)
	}
}

// behindProxy serves the portal as if a proxy were in front of it.
func (w *world) behindProxy() {
	mux := http.NewServeMux()
	w.portal.Mount(mux)
	w.server.Close()
	w.server = httptest.NewServer(web.Chain(mux, web.Identify([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})))
	w.t.Cleanup(w.server.Close)
}

// TestSec_POL06_IPv6: whoever has one address of a /64 has all of them, so they
// are one source; the next /64 is another.
func TestSec_POL06_IPv6(t *testing.T) {
	w := newWorld(t)
	w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	w.behindProxy()
	b := w.newBrowser()
	at := "/" + string(w.tenant.ID) + "/signin"
	page := b.get(at)
	from := func(ip string) int {
		v := url.Values{"handle": {page.field("handle")}, "username": {"ada@nordhafen.example"}, "access_pass": {wrongPass}, "method": {"accessPass"}}
		return b.do("POST", at+"/answer", "application/x-www-form-urlencoded", v.Encode(), func(r *http.Request) {
			r.Header.Set("X-Forwarded-For", ip)
		}).StatusCode
	}
	judged := 0
	for n := range 50 {
		if from(fmt.Sprintf("2001:db8:1:2::%x", n+1)) == http.StatusUnauthorized {
			judged++
		}
	}
	if judged != 5 {
		t.Errorf("%d tries from one /64 were judged, want 5", judged)
	}
	if got := from("2001:db8:1:3::1"); got != http.StatusUnauthorized {
		t.Errorf("the neighbour's network is answered %d", got)
	}
	if got := from("192.0.2.1"); got != http.StatusUnauthorized {
		t.Errorf("somebody else is answered %d", got)
	}
}

// TestSec_POL06_BeginsOfOneMethodDoNotLockAnother: throttles are by method.
// Whoever uses up passes, or another method, behind the address of an office
// locks nobody there out of their passkeys.
func TestSec_POL06_BeginsOfOneMethodDoNotLockAnother(t *testing.T) {
	w := newWorld(t)
	mallory, ada := w.newBrowser(), w.newBrowser()
	at := "/" + string(w.tenant.ID) + "/signin"
	page := mallory.get(at)
	begin := func(b *browser, page reply, m string) int {
		return b.json(at+"/begin", map[string]string{"handle": page.field("handle"), "method": m}, nil).StatusCode
	}
	for n := range 300 {
		begin(mallory, page, "accessPass")
		begin(mallory, page, fmt.Sprintf("method %d", n))
		begin(mallory, page, "other")
	}
	hers := ada.get(at)
	if got := begin(ada, hers, "passkey"); got != http.StatusOK {
		t.Errorf("Ada, who has used no pass, is answered %d when she wants to use her passkey", got)
	}
	// And of her own method the limit holds.
	for range 240 {
		begin(mallory, page, "passkey")
	}
	if got := begin(mallory, page, "passkey"); got != http.StatusTooManyRequests {
		t.Errorf("241 challenges in no time: %d", got)
	}
}

// TestSec_T18_PasskeyAfterManyFailures: failed passes cost the person they name
// nothing: the passkey works at once (POL06: no lock-out from afar).
func TestSec_T18_PasskeyAfterManyFailures(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	own := w.newBrowser()
	own.firstDay(ada, "Blue key")
	w.newPass(ada)
	w.behindProxy()
	home := "/" + string(w.tenant.ID) + "/signin"
	mallory := w.newBrowser()
	page := mallory.get(home)
	for n := range 400 {
		v := url.Values{"handle": {page.field("handle")}, "username": {ada.Name}, "access_pass": {wrongPass}, "method": {"accessPass"}}
		mallory.do("POST", home+"/answer", "application/x-www-form-urlencoded", v.Encode(), func(r *http.Request) {
			r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", n/250, n%250))
		})
	}
	var failed int
	w.must(w.db.QueryRow(t.Context(), `select count(*) from audit_event where outcome = 'failure'`).Scan(&failed))
	if failed < 390 {
		t.Fatalf("%d failures, want 400: nothing was tried", failed)
	}
	fresh := w.newBrowser()
	fresh.keys = own.keys
	fresh.follow(fresh.usePasskey(fresh.get(home), ada.Name)).want(t, 200, "How you sign in")
}

// TestSec_T64_LongNames: what is typed as a name is cut before anything is done
// with it; and the limit knows a name in any letter case.
func TestSec_T64_LongNames(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	page := b.get("/" + string(w.tenant.ID) + "/signin")
	long := strings.Repeat("x", 50_000)
	for n := range 5 {
		if r := b.usePass(page, long+fmt.Sprint(n), wrongPass).want(t, 401); len(r.field("username")) > maxUserName {
			t.Errorf("a name of %d bytes comes back", len(r.field("username")))
		}
	}
	b.usePass(page, long, wrongPass).want(t, 429)
	for range 5 {
		b.usePass(page, "ADA@nordhafen.example", wrongPass).want(t, 401)
	}
	b.usePass(page, "ada@NORDHAFEN.example", wrongPass).want(t, 429)
	b.usePass(page, "bea@nordhafen.example", wrongPass).want(t, 401)
}

// TestSec_NON04_AsksOfOneNetwork: each ask writes rows, so a network with many
// sources in it has an allowance of its own.
func TestSec_NON04_AsksOfOneNetwork(t *testing.T) {
	w := newWorld(t)
	w.phones()
	w.behindProxy()
	b := w.newBrowser()
	page := b.get(w.at0(""))
	v := url.Values{"handle": {page.field("handle")}, "username": {"ada@nordhafen.example"}, "method": {"phone"}}
	from := func(ip string) int {
		return b.do("POST", w.at0("/ask"), "application/x-www-form-urlencoded", v.Encode(), func(r *http.Request) {
			r.Header.Set("X-Forwarded-For", ip)
		}).StatusCode
	}
	for what, at := range map[string]struct{ here, next string }{
		"a /48 of IPv6": {"2001:db8:7:%x::1", "2001:db8:8::1"}, "a /24 of IPv4": {"198.51.100.%d", "198.51.101.1"},
	} {
		written := 0
		for n := range asksPerSite*10 + 20 {
			if from(fmt.Sprintf(at.here, n)) == http.StatusSeeOther {
				written++
			}
		}
		if written != asksPerSite*10 {
			t.Errorf("%d asks from %s were written, want %d", written, what, asksPerSite*10)
		}
		if got := from(at.next); got != http.StatusSeeOther {
			t.Errorf("%s: its neighbour is answered %d", what, got)
		}
	}
}
