package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// machine stands in the place of the OpenID door: one code, one machine.
type machine struct {
	Asking
	claim  error
	denied []string
}

func (m *machine) remote() Remote {
	return Remote{
		Claim: func(_ context.Context, _ session.Session, typed string, _ signin.Peer) (string, error) {
			if m.claim != nil {
				return "", m.claim
			}
			return "claimed-" + typed, nil
		},
		Asking: func(_ context.Context, _ session.Session, id string) (Asking, error) {
			if !strings.HasPrefix(id, "claimed-") {
				return Asking{}, idp.NotFoundf("approval_over", "%s", id)
			}
			return m.Asking, nil
		},
		Flow: func(_ context.Context, s session.Session, _ string) (signin.Flow, error) {
			return signin.Flow{Tenant: s.Tenant, Door: "app", HintUser: s.User}, nil
		},
		Deny: func(_ context.Context, s session.Session, id string, _ signin.Peer) error {
			m.denied = append(m.denied, string(s.User)+" "+id)
			return nil
		},
	}
}

// Somebody types a code and lets the machine in, once they see which it is.
func TestDevicePage(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	// Without a session the way leads through a sign-in and back.
	if r := b.get("/device"); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/"+string(w.tenant.ID)+"/signin?to=device" {
		t.Fatalf("nobody signed in: %d %s", r.StatusCode, r.Header.Get("Location"))
	}
	b.firstDay(ada, "Blue key")
	if r := b.get("/" + string(w.tenant.ID) + "/signin?to=device"); !strings.HasPrefix(r.Header.Get("Location"), "/device?session=") {
		t.Errorf("after the sign-in: %d %s", r.StatusCode, r.Header.Get("Location"))
	}
	page := b.get("/device").want(t, 200, "Code on the other device", "Ada Lindqvist", "in front of you")
	form := url.Values{"session": {page.field("session")}, "user_code": {"BCD-FGH-JKL"}}
	r := b.post("/device", form)
	where := r.Header.Get("Location")
	if r.StatusCode != http.StatusSeeOther || !strings.Contains(where, "claimed-") {
		t.Fatalf("%d %s", r.StatusCode, where)
	}
	w.machine.Asking = Asking{State: AskingNobody}
	b.get(where).want(t, 200, "Looking for the device", `data-look="`)
	w.machine.Waiting = 2 * time.Minute
	if r := b.get(where).want(t, 200, "No device asked with this code"); strings.Contains(r.body, `data-look="`) {
		t.Error("the page looks for ever")
	}
	w.machine.Asking = Asking{State: AskingMet, App: "Television", IP: "203.0.113.9", Agent: "himmelblau/1.0 <b>", Since: w.clock(), Scopes: []string{"openid"}}
	met := b.get(where).want(t, 200, "Let Television in?", "203.0.113.9", "himmelblau/1.0", "in another network than you", "Know that it is you")
	if strings.Contains(met.body, "Become a device of") {
		t.Error("it says more than the machine gets")
	}
	w.machine.Registers, w.machine.IP = true, "127.0.0.1"
	if met = b.get(where).want(t, 200, "Become a device of Nordhafen Werft"); strings.Contains(met.body, "another network") {
		t.Error("a machine in the same place counts as elsewhere")
	}
	answer := url.Values{"session": {met.field("session")}, "id": {met.field("id")}, "decision": {"deny"}}
	if r := b.post("/device/answer", answer); r.StatusCode != http.StatusSeeOther || len(w.machine.denied) != 1 || !strings.HasPrefix(w.machine.denied[0], string(ada.ID)+" claimed-") {
		t.Errorf("no: %d, %v", r.StatusCode, w.machine.denied)
	}
	answer.Set("decision", "allow")
	ended := len(w.ended)
	if r := b.post("/device/answer", answer); r.StatusCode != http.StatusNoContent || len(w.ended) != ended+1 || w.ended[ended].Session.User != ada.ID {
		t.Errorf("yes: %d, %d ended", r.StatusCode, len(w.ended)-ended)
	}
	answer.Set("decision", "perhaps")
	b.post("/device/answer", answer).want(t, 400)
	b.get("/device?id=other").want(t, 404)
	w.machine.Asking = Asking{State: AskingAllowed, App: "Television"}
	b.get(where).want(t, 200, "The device is let in")
	w.machine.Asking = Asking{State: AskingDenied}
	b.get(where).want(t, 200, "Nobody was let in")
}

func TestDevicePageProblems(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	b.firstDay(w.newUser("ada@nordhafen.example", "Ada Lindqvist"), "Blue key")
	form := url.Values{"session": {b.get("/device").field("session")}, "user_code": {"WRONG"}}
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{idp.Invalidf("user_code", "x"), 400, "This is no such code"},
		{idp.Conflictf("user_code_taken", "x"), 409, "in use by somebody else"},
		{idp.Limitedf("user_codes", "x"), 429, "ten codes in 15 minutes"},
		{idp.Deniedf("device_code_off", "x"), 403, ""},
	} {
		w.machine.claim = c.err
		r := b.post("/device", form).want(t, c.status, c.says)
		if c.says != "" && r.field("user_code") != "WRONG" {
			t.Errorf("%v: what was typed is gone", c.err)
		}
	}
}

// TestSec_WEB_DeviceCrossSite: a page of strangers can neither type a code nor
// answer for somebody.
func TestSec_T15_DeviceCrossSite(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	page := b.get("/device")
	w.machine.Asking = Asking{State: AskingMet}
	for path, v := range map[string]url.Values{
		"/device":        {"session": {page.field("session")}, "user_code": {"BCD-FGH-JKL"}},
		"/device/answer": {"session": {page.field("session")}, "id": {"claimed-x"}, "decision": {"allow"}},
	} {
		r := b.do("POST", path, "application/x-www-form-urlencoded", v.Encode(), func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		})
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	if len(w.machine.denied)+len(w.ended) != 0 {
		t.Errorf("%v, %v", w.machine.denied, w.ended)
	}
}

// Of two people in one browser the page asks which it is.
func TestDevicePageOfTwo(t *testing.T) {
	w := newWorld(t)
	ada, bo := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("bo@nordhafen.example", "Bo Lind")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, bearer, err := w.portal.cfg.Sessions.Open(ctx, tx, session.Session{Tenant: bo.Tenant, User: bo.ID, Proofs: []idp.Proof{{
			Tenant: bo.Tenant, User: bo.ID, Method: passkey, Mode: idp.ModeFIDO2, Time: w.clock(),
		}}})
		if err != nil {
			return err
		}
		at, err := url.Parse(w.server.URL)
		if err != nil {
			return err
		}
		r := httptest.NewRequest("GET", "/", nil)
		for _, c := range b.client.Jar.Cookies(at) {
			r.AddCookie(c)
		}
		rec := httptest.NewRecorder()
		w.portal.cfg.Sessions.Set(rec, r, bearer, "")
		b.client.Jar.SetCookies(at, rec.Result().Cookies())
		return nil
	})
	b.get("/device").want(t, 200, "Ada Lindqvist", "Bo Lind", `action="/device"`)
	b.get("/device?other=1").want(t, 200, "Which organisation?")
}

// Where the door has no codes there is no page.
func TestDevicePageWithout(t *testing.T) {
	w := newWorld(t)
	w.portal.cfg.Remote = Remote{}
	w.newBrowser().get("/device").want(t, 404)
}
