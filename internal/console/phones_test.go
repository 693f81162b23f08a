package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// A person's page says of each phone what it is, how messages reach it, and
// whether it can approve at all.
func TestPersonsPhones(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.switchOn(policy.Phone)
		w.carries(w.Bob, "p1", nil)
		w.carries(w.Bob, "p2", func(p *phone.Phone) { p.Push, p.Platform, p.Gone = "", "iOS", true })
		desk, at := w.signedIn(w.hedda), "/admin/people/"+string(w.Bob.ID)
		r := desk.get(at).want(http.StatusOK, "Phone p1", "Android", "Signet 1.2", "messages by the browser&#39;s service", "last seen",
			"no messages: the app asks when it is open", "Its passkey is gone: it cannot approve.", `data-action="test-phone"`)
		if strings.Contains(r.body, "model merely claimed") || strings.Contains(r.body, `id="block"`) {
			t.Error("the page says of a phone what is said of keys, or of a block that is not there")
		}
		desk.get("/admin/people").want(http.StatusOK, "Phone")

		// A test message says in words what became of it, at its phone.
		for result, state := range map[string]string{"sent": "good", "gone": "bad", "later": "warn"} {
			w.phones.says = phonewire.Tested{Result: result, Text: "The service <says> so."}
			desk.post(at+"/test-phone", url.Values{"credential": {"p1"}}).want(http.StatusOK, `<p class="state `+state+`" role="status" id="tested">The service &lt;says&gt; so.</p>`)
		}
		if n := len(w.phones.tested); n != 3 || w.changes() != 0 {
			t.Errorf("%d messages, %d changes", n, w.changes())
		}
		if got := desk.post(at+"/test-phone", url.Values{"credential": {"p9"}}); got.page != "error phone_missing" {
			t.Errorf("a phone that is not there: %s", got.page)
		}
		for range phoneTests {
			desk.post(at+"/test-phone", url.Values{"credential": {"p1"}})
		}
		if got := desk.post(at+"/test-phone", url.Values{"credential": {"p1"}}); got.page != "error phone_tests" {
			t.Errorf("many messages: %d %s", got.status, got.page)
		}
		// The help desk sends none to those above it.
		w.carries(w.Ada, "p3", nil)
		if got := desk.post("/admin/people/"+string(w.Ada.ID)+"/test-phone", url.Values{"credential": {"p3"}}); got.page != "error target_is_administrator" {
			t.Errorf("to an administrator: %s", got.page)
		}
		desk.post(at+"/remove-method", url.Values{"method": {"phone"}, "credential": {"p1"}}).want(http.StatusSeeOther)
		if r := desk.get(at); strings.Contains(r.body, "Phone p1") {
			t.Error("a phone that was removed is shown")
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Phone.WarnAt = 1 })
		desk.get(at).want(http.StatusOK, "1 phones. At most 20 are possible")
	})
}

// switchOn lets everybody use a method.
func (w *world) switchOn(m idp.MethodID) {
	w.Policy(w.t, w.Tenant.ID, func(p *policy.Policy) { p.Switch(m, true) })
}

// A block says since when and why, asks before it is lifted, and is recorded
// with who lifted it.
func TestLiftBlock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.phones.blocks[w.Bob.ID] = []phone.Block{
			{Address: "203.0.113.9", Since: w.Now().Add(-time.Hour), Until: w.Now().Add(time.Hour)}, {Since: w.Now().Add(-time.Hour)},
		}
		desk, at := w.signedIn(w.hedda), "/admin/people/"+string(w.Bob.ID)
		desk.get(at).want(http.StatusOK, "Signing in by phone is blocked since", "because "+w.Bob.DisplayName+" reported a request. It stays so until the block is lifted.",
			"Requests from 203.0.113.9 reach no phone of theirs until", `href="`+at+`/ask?what=unblock"`)
		desk.get(at+"/ask?what=unblock").want(http.StatusOK, "sign in by phone again?", "Talk to them first", `action="`+at+`/unblock"`)
		before := w.changes()
		desk.post(at+"/unblock", url.Values{"x": {"1"}}).want(http.StatusSeeOther)
		list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.Changes, Limit: 1})
		if err != nil || w.changes() != before+1 || list[0].Activity != "phone.unblock" || list[0].User != w.Bob.ID || list[0].Actor != string(w.hedda.ID) {
			t.Errorf("recorded %+v, %v", list, err)
		}
		if r := desk.get(at+"?done=unblocked").want(http.StatusOK, "Their phones can be asked again.", "let "+w.Bob.Name+" sign in by phone again"); strings.Contains(r.body, `id="block"`) {
			t.Error("the block is still shown")
		}
		if got := desk.post(at+"/unblock", url.Values{"x": {"1"}}); got.page != "error phone_not_blocked" || w.changes() != before+1 {
			t.Errorf("lifted twice: %s", got.page)
		}
		// One of a day says when it ends; that of somebody with a role is not the
		// help desk's.
		w.phones.blocks[w.Ada.ID] = []phone.Block{{Since: w.Now(), Until: w.Now().Add(day)}}
		r := desk.get("/admin/people/"+string(w.Ada.ID)).want(http.StatusOK, "It ends by itself")
		if strings.Contains(r.body, "what=unblock") {
			t.Error("the help desk may lift an administrator's")
		}
		if got := desk.post("/admin/people/"+string(w.Ada.ID)+"/unblock", url.Values{"x": {"1"}}); got.page != "error target_is_administrator" {
			t.Errorf("lifted all the same: %s", got.page)
		}
	})
}

// reported writes what the phone room does when somebody reports a request.
func (w *world) answered(activity string, u idp.User) idp.EventID {
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.Audit.Write(ctx, tx, audit.Event{Tenant: w.Tenant.ID, At: w.Now(), Category: audit.SignIn, Activity: activity, Outcome: audit.Interrupted,
			Actor: string(u.ID), User: u.ID, UserName: u.Name, Method: policy.Phone, Credential: "p1", IP: "198.51.100.7",
			Detail: map[string]string{"request": "r", "asked": "203.0.113.9"}})
	})
	list, err := w.Audit.List(w.t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.SignIns, Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return list[0].ID
}

// The overview names who reported something in the last days, until somebody
// lifts what that has closed.
func TestReportsNeedSomebody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		desk := w.signedIn(w.hedda)
		title := w.Bob.DisplayName + " reported a sign-in that was not theirs"
		if r := desk.get("/admin"); strings.Contains(r.body, title) {
			t.Error("reported before there was a report")
		}
		w.answered("phone.denied", w.Bob)
		if r := desk.get("/admin"); strings.Contains(r.body, title) {
			t.Error("who only said no is said to have reported")
		}
		w.answered("phone.reported", w.Bob)
		w.answered("phone.reported", w.Bob)
		r := desk.get("/admin").want(http.StatusOK, title, "Look from where, and talk to them.", `href="/admin/people/`+string(w.Bob.ID)+`"`)
		if strings.Count(r.body, title) != 1 {
			t.Error("two reports of one person are two needs")
		}
		w.phones.blocks[w.Bob.ID] = []phone.Block{{Since: w.Now()}}
		desk.get("/admin").want(http.StatusOK, title, "until the block ends or is lifted")
		w.Advance(time.Minute)
		desk.post("/admin/people/"+string(w.Bob.ID)+"/unblock", url.Values{"x": {"1"}}).want(http.StatusSeeOther)
		if r := desk.get("/admin"); strings.Contains(r.body, title) {
			t.Error("somebody has looked, and it still needs somebody")
		}
		w.Advance(time.Minute)
		w.answered("phone.reported", w.Bob)
		desk.get("/admin").want(http.StatusOK, title)
		for i := range mostSuspicious {
			w.answered("phone.reported", w.newPerson(t, string(rune('a'+i))))
		}
		desk.get("/admin").want(http.StatusOK, "1 other person reported a sign-in that was not theirs")
		w.Advance(suspicious + time.Hour)
		if r := w.signedIn(w.hedda).get("/admin"); strings.Contains(r.body, "not theirs") {
			t.Error("a report of long ago still needs somebody")
		}
	})
}

func (w *world) newPerson(t *testing.T, name string) (u idp.User) {
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		u, err = w.Directory.CreateUser(ctx, tx, idp.User{Tenant: w.Tenant.ID, Name: name + ".x@nordhafen.example", DisplayName: "Person " + name, Enabled: true})
		return err
	})
	return u
}

// The log tells what a phone answered, and is not counted as a sign-in.
func TestLogOfPhones(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.carries(w.Bob, "p1", nil)
		ada := w.signedIn(w.Ada)
		for activity, says := range map[string][]string{
			"phone.approved":     {"approved a sign-in on their phone", "The number was right", "How it ended is a record of its own."},
			"phone.denied":       {"said no on their phone", "They said that they did not ask for it.", "Nothing was opened."},
			"phone.reported":     {"reported a sign-in that was not theirs", "Somebody who knows their name asked.", "until the block ends or is lifted"},
			"phone.wrong_number": {"typed another number on their phone", "or the page before them was not the one that asked", "There is one try"},
			"phone.unheard":      {"They said that they did not ask for it."},
		} {
			id := w.answered(activity, w.Bob)
			ada.get("/admin/log/"+string(id)).want(http.StatusOK, append(says, "A browser at 203.0.113.9 asked their phones.", "<b>Phone p1</b>", "198.51.100.7")...)
		}
		late := w.answered("phone.expired", w.Bob)
		ada.get("/admin/log/"+string(late)).want(http.StatusOK, "did not answer on their phone", "The request ran out.", "No phone answered in time.", "A browser at 203.0.113.9 asked their phones.")
		ada.get("/admin/log?method=phone").want(http.StatusOK, "Nobody answered on a phone", "Approved on a phone", "Said no on a phone", "Reported as not theirs", "Another number typed")
		tally, err := w.Audit.Tally(t.Context(), w.DB, w.Tenant.ID, w.Now().Add(-day), 100)
		if err != nil || tally.Methods[policy.Phone] != 0 || tally.Refused != 0 {
			t.Errorf("counted as sign-ins: %+v, %v", tally, err)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Audit.Write(ctx, tx, audit.Event{Tenant: w.Tenant.ID, Category: audit.SignIn, Activity: "signin.failed", Outcome: audit.Failure,
				User: w.Bob.ID, UserName: w.Bob.Name, Method: policy.Phone, Credential: "p1", Reason: "phone_wrong_number"})
		})
		list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.SignIns, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		ada.get("/admin/log/"+string(list[0].ID)).want(http.StatusOK, "The number that was typed on the phone is another one.")
	})
}
