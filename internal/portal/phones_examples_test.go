package portal

import (
	"html/template"
	"time"

	"github.com/signetid/signet/internal/audit"
	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
)

// phoneExamples are the pages about phones, in the states that matter.
func phoneExamples(p *Portal, pg *page.Page, add func(string, string, template.HTML, any) *page.Page, ada person, x text) {
	phone := func(id, name string) method.Credential {
		c := credential(id, name, "", x)
		c.Method = policy.Phone
		return c
	}
	blue, pixel, old := credential("blue", "Blue YubiKey", "YubiKey 5C NFC", x), phone("pixel", "Ada’s Pixel"), phone("old", "Old iPhone")
	mine := credential("pk", "Passkey on Ada’s Pixel", "", x)
	old.Disabled, pixel.Model = true, x("Signet 1.0")
	account := func(h Holding) *accountView {
		v := &accountView{Session: ada.Session, Person: ada, Fresh: true}
		v.phones = []Phone{
			{ID: pixel.ID, Passkey: mine.ID, Platform: x("Android 16"), Push: "webpush"},
			{ID: old.ID, PasskeyGone: true, Platform: "iOS"},
		}
		v.fill(pg, []method.Credential{blue, pixel, mine, old}, Holding{Held: 2, Limit: 20, WarnAt: 15})
		v.phonesHeld(pg, h, true)
		v.fillApps(pg, nil)
		v.Sessions = sessionRows(pg, []session.Session{{ID: ada.Session, Agent: firefox, IP: "192.0.2.10", Opened: noon}}, ada.Session, nil)
		v.Phone.OfBrowsers = true
		return v
	}
	full := account(Holding{Held: 15, Limit: 20, WarnAt: 15})
	full.Notice, full.Trouble = phoneNotice(pg, "tested.sent", x("Ada’s Pixel")), troubles(pg, "tested.gone", x("Ada’s Pixel"))
	full.Phone.Blocked = blocked(pg, []PhoneBlock{{Address: x("203.0.113.9"), Since: noon, Expires: noon.Add(time.Hour)}, {Since: noon, Expires: noon.Add(24 * time.Hour)}})
	for _, b := range []known.Browser{
		{ID: x("b1"), Agent: firefox, Created: noon.AddDate(0, -1, 0), LastUsed: noon, Here: true}, {ID: "b2", Agent: x("weird"), Created: noon, LastUsed: noon},
	} {
		full.Phone.Browsers = append(full.Phone.Browsers, browserRowOf(pg, b))
	}
	for _, activity := range []string{"phone.register", "phone.rename", "phone.remove", "phone.approved", "phone.denied", "phone.reported"} {
		full.Events = append(full.Events, eventOf(pg, audit.Event{Activity: activity, Outcome: audit.Success, At: noon, Method: policy.Phone, Credential: pixel.ID, Agent: firefox, Detail: map[string]string{"asked": x("203.0.113.9")}}, "", []method.Credential{pixel}))
	}
	add("account-phones", "account", pg.T("account.title"), full)
	many := account(Holding{Held: 20, Limit: 20, WarnAt: 15})
	many.Phone.Blocked = blocked(pg, []PhoneBlock{{Address: x("203.0.113.9"), Since: noon}})
	add("account-phones-full", "account", pg.T("account.title"), many)

	at := func(key string, title template.HTML, v phoneView, step int) {
		v.phonePlace = phonePlace{Session: idp.SessionID(x("s1")), Flow: v.Flow, ID: x("e1"), Must: v.Flow != ""}
		if step >= 0 {
			v.Steps = phoneSteps(pg, step)
		}
		add(key, "phoneadd", title, &v)
	}
	back := phoneView{Back: x("/account"), BackText: pg.T("register.not_now"), phonePlace: phonePlace{Flow: x("f")}}
	begin := back
	begin.Lead, begin.Warn = pg.T("phone.lead"), pg.T("phones.warn", "n", 15, "limit", 20)
	at("phone-add", pg.T("phone.title"), begin, 0)
	begin.Full = pg.T("phones.limit", "n", 20, "org", x("Nordhafen Werft"))
	at("phone-add-full", pg.T("phone.title"), begin, 0)
	code := back
	code.Session, code.ID = idp.SessionID(x("s1")), x("e1")
	code.OnPhone = true
	if err := code.code(enrolment{shownEnrolment: shownEnrolment{ID: x("e1"), Link: "https://id.example/phone/add#" + x("q3VFQd8sKz2nP0rT7uWx1y")[:22], Typed: "K7QF2M9X", Expires: noon.Add(10 * time.Minute)}}, noon); err != nil {
		panic(err)
	}
	code.Lead = pg.T("phone.code.lead")
	at("phone-code", pg.T("phone.code.title"), code, 1)
	words := back
	words.came(pg.Words, PhoneEnrolment{Words: []string{"amber", x("falcon")}, Name: x("Ada’s Pixel"), Platform: x("Android 16")})
	words.Lead = pg.T("phone.words.lead", "name", x("Ada Lindqvist"), "user", x("ada@nordhafen.example"))
	at("phone-words", pg.T("phone.words.title", "words", words.Words), words, 2)
	over := back
	over.State, over.Lead = "over", pg.T("phone.over.lead")
	at("phone-over", pg.T("phone.over.title"), over, -1)
	over.State, over.Lead = "stopped", pg.T("phone.stopped.lead")
	at("phone-stopped", pg.T("phone.stopped.title"), over, -1)
	for key, push := range map[string]bool{"phone-done": true, "phone-done-silent": false} {
		add(key, "phonedone", pg.T("phone.done.title", "name", x("Ada’s Pixel")), &phoneDoneView{
			Session: ada.Session, ID: pixel.ID, Steps: phoneSteps(pg, 3), Push: push, Trouble: troubles(pg, "tested.later", x("Ada’s Pixel")),
		})
	}
	lost := lostView{Session: ada.Session, ID: pixel.ID, Left: pg.T("remove.left", "rest", x("Blue YubiKey"))}
	add("phone-lost", "phonelost", pg.T("lost.title", "name", x("Ada’s Pixel")), &lost)
	none := lost
	none.Left = ""
	add("phone-lost-all", "phonelost", pg.T("lost.title", "name", x("Ada’s Pixel")), &none)
	last := lost
	last.Last, last.Add = true, true
	add("phone-lost-last", "phonelost", pg.T("lost.title", "name", x("Ada’s Pixel")), &last)
	after := lostView{Session: ada.Session}
	after.after(pg, []method.Credential{mine}, mine.ID, []session.Session{{}, {}, {}}, true)
	add("phone-lost-after", "phonelost", pg.T("lost.after.title"), &after)
}
