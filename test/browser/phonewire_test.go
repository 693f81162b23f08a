package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/internal/phonewire"
)

// vectors are octets as package phonewire writes them, of plain values and of
// odd ones: nothing, many bytes, letters of several bytes.
func vectors() (enrol, challenge, answer []map[string]string) {
	long := strings.Repeat("0123456789abcdef", 5000)
	for _, v := range []struct{ a, b string }{{"abcdefghijklmnopqrstuv", "x"}, {"K7QF2M9X", ""}, {"ü€\x00", long}} {
		enrol = append(enrol, map[string]string{"code": v.a, "data": b64.EncodeToString([]byte(v.b)),
			"want": hex.EncodeToString(hash(phonewire.EnrolMessage(v.a, []byte(v.b), []byte(v.b+"1"), []byte("p"))))})
		answer = append(answer, map[string]string{"data": b64.EncodeToString([]byte(v.b)),
			"want": hex.EncodeToString(hash(phonewire.AnswerMessage([]byte("c"), []byte(v.b), []byte(v.b+"1"))))})
		a := phonewire.Approval{Tenant: "t-" + v.a, User: "u", Request: []byte(v.b), Nonce: []byte("n" + v.b), Number: "07", Context: `{"app":"Zürich €"}` + v.a, Phone: "ph"}
		challenge = append(challenge, map[string]string{"tenant": a.Tenant, "user": a.User, "request": b64.EncodeToString(a.Request), "nonce": b64.EncodeToString(a.Nonce),
			"number": a.Number, "context": a.Context, "phone": a.Phone, "want": hex.EncodeToString(a.Challenge())})
	}
	return enrol, challenge, answer
}

func hash(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] }

// TestPhoneWire: the app's script writes the octets of package phonewire, byte
// for byte, in a real browser; and codes as people type them.
func TestPhoneWire(t *testing.T) {
	d := newDesk(t)
	p := NewPerson(t, Chromium(t))
	p.Open(d.URL + "/phone/")
	enrol, challenge, answer := vectors()
	codes := map[string]string{
		"k7qf-2m9x": "K7QF2M9X", " K7QF 2M9X ": "K7QF2M9X", "oil0-2m9x": "0110" + "2M9X", "K7QF2M9": "", "K7QF2M9U": "", "K7QF2M9XA": "",
		"abcdefghijklmnopqrstuv": "abcdefghijklmnopqrstuv", "abcdefghij-_mnopqrstuv\n": "abcdefghij-_mnopqrstuv", "abcdefghijklmnopqrstu+": "", "": "",
	}
	in, err := json.Marshal(map[string]any{"enrol": enrol, "challenge": challenge, "answer": answer, "codes": codes})
	if err != nil {
		t.Fatal(err)
	}
	Eval[bool](p, `(async () => {
		const all = `+string(in)+`, wrong = [];
		const w = await import(document.querySelector('link[rel=modulepreload][href*="/wire."]').href);
		const hex = (b) => [...b].map((n) => n.toString(16).padStart(2, "0")).join("");
		const plus = (b) => new Uint8Array([...b, 49]);
		for (const v of all.enrol) { const b = w.decode(v.data); if (hex(await w.digest(w.enrolMessage(v.code, b, plus(b), w.bytes("p")))) !== v.want) wrong.push("enrol " + v.code); }
		for (const v of all.answer) { const b = w.decode(v.data); if (hex(await w.digest(w.answerMessage(w.bytes("c"), b, plus(b)))) !== v.want) wrong.push("answer " + v.data.slice(0, 9)); }
		for (const v of all.challenge) if (hex(await w.challenge(v)) !== v.want) wrong.push("challenge " + v.tenant);
		for (const [typed, want] of Object.entries(all.codes)) if (w.clean(typed) !== want) wrong.push("code " + typed + " is " + w.clean(typed));
		// RFC 7638, of a key in another order of members; and a key stays where it is.
		const thumb = w.encode(await w.thumbprint({ y: "YY", x: "XX", kty: "EC", crv: "P-256", ext: true }));
		if (thumb !== w.encode(await w.digest(w.bytes('{"crv":"P-256","kty":"EC","x":"XX","y":"YY"}')))) wrong.push("thumbprint");
		const key = await w.newKey();
		const out = await crypto.subtle.exportKey("jwk", key.privateKey).then(() => "went out", (e) => e.name);
		if (out !== "InvalidAccessError" || key.privateKey.extractable) wrong.push("key: " + out);
		if (Object.keys(await w.publicJWK(key.publicKey)).sort().join() !== "crv,kty,x,y") wrong.push("public key");
		window.wrongs = wrong;
	})().catch((e) => (window.wrongs = [String(e.stack)])), true`)
	p.Until("an end of it", `window.wrongs`)
	if wrong := Eval[[]string](p, `window.wrongs`); len(wrong) > 0 {
		t.Errorf("the script differs:\n%s", strings.Join(wrong, "\n"))
	}
}

// inWorker runs an expression in the phone's service worker and gives its
// value as text.
func (p *Person) inWorker(expression string) string {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		all, err := chromedp.Targets(p.ctx)
		if err != nil {
			p.t.Fatalf("list targets: %v", err)
		}
		for _, i := range all {
			if i.Type != "service_worker" || i.BrowserContextID != chromedp.FromContext(p.ctx).BrowserContextID {
				continue
			}
			ctx, stop := chromedp.NewContext(p.ctx, chromedp.WithTargetID(target.ID(i.TargetID)))
			v, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
			stop()
			if err != nil {
				p.t.Fatalf("in the worker: %v", err)
			}
			return v
		}
		time.Sleep(50 * time.Millisecond) // a worker that sleeps has no target
		p.Until("a worker", `navigator.serviceWorker.controller.postMessage("wake") || true`)
	}
	p.t.Fatal("no worker runs")
	return ""
}

// TestPhoneWorker: what the worker does with messages, notifications and a new
// subscription, and what it keeps.
func TestPhoneWorker(t *testing.T) {
	d := newDesk(t)
	p := phoneOf(t, d)
	p.Until("a worker in charge", `navigator.serviceWorker.controller`)

	// A message whose content is nothing at all still shows a notification.
	push := func(data string) string {
		return p.inWorker(`(async () => {
			for (const n of await registration.getNotifications()) n.close();
			const waits = [], event = new PushEvent("push", { data: ` + data + ` });
			event.waitUntil = (w) => waits.push(w);
			dispatchEvent(event);
			await Promise.all(waits);
			const all = await registration.getNotifications();
			return JSON.stringify([waits.length, all.map((n) => [n.title, n.body, n.data.url, n.tag])]);
		})()`)
	}
	general := `["Someone is signing in. Is it you?","Open Signet to look.","/phone/","signet-"]`
	for _, row := range []struct{ name, data, want string }{
		{"nothing", `""`, general}, {"no JSON", `"<b>"`, general}, {"null", `"null"`, general}, {"a list", `"[1]"`, general},
		{"ours", `JSON.stringify({web_push: 8030, notification: {title: "T", body: "B", navigate: location.origin + "/phone/#AAAAAAAAAAAAAAAAAAAAAA"}, id: "AAAAAAAAAAAAAAAAAAAAAA"})`, `["T","B","/phone/#AAAAAAAAAAAAAAAAAAAAAA","signet-AAAAAAAAAAAAAAAAAAAAAA"]`},
		{"elsewhere", `JSON.stringify({notification: {title: "T", body: "B", navigate: "https://evil.example/phone/"}, id: "AAAAAAAAAAAAAAAAAAAAAA"})`, `["T","B","/phone/#r=AAAAAAAAAAAAAAAAAAAAAA","signet-AAAAAAAAAAAAAAAAAAAAAA"]`},
		{"another page", `JSON.stringify({notification: {title: "T", body: "B", navigate: "/admin/#x"}, id: "../x"})`, `["T","B","/phone/","signet-"]`},
	} {
		if got := push(row.data); got != `[1,[`+row.want+`]]` {
			t.Errorf("%s: the worker shows %s, want %s", row.name, got, row.want)
		}
	}

	// The notification leads the open app to the request.
	d.ask("phone-1", "47", hamburg(), 110*time.Second)
	p.View("request")
	p.Press("deny")
	p.Press("mistake")
	p.Click(`[data-tab="history"]`)
	p.told("What was asked")
	q := d.ask("phone-1", "47", hamburg(), 110*time.Second)
	push(`JSON.stringify({notification: {title: "T", body: "B", navigate: location.origin + "/phone/#` + q.ID + `"}, id: "` + q.ID + `"})`)
	p.inWorker(`(async () => {
		const [n] = await registration.getNotifications();
		dispatchEvent(new NotificationEvent("notificationclick", { notification: n }));
		return "clicked";
	})()`)
	p.View("request")
	p.Press("deny")
	p.Press("mistake")
	p.Press("done")
	if n := p.inWorker(`registration.getNotifications().then((all) => String(all.length))`); n != "0" {
		t.Errorf("%s notifications are left of what is over", n)
	}

	// Another address for messages is told at once, signed by the phone's key.
	p.inWorker(`(async () => {
		const waits = [], event = new ExtendableEvent("pushsubscriptionchange");
		event.newSubscription = { toJSON: () => ({ endpoint: location.origin + "/push/2", keys: { p256dh: "` + fakeP256DH + `", auth: "` + fakeAuth + `" } }) };
		event.waitUntil = (w) => waits.push(w);
		dispatchEvent(event);
		await Promise.all(waits);
		return "told";
	})()`)
	d.say(func() {
		if got := d.phones["phone-1"].push.Endpoint; got != d.URL+"/push/2" {
			t.Errorf("messages go to %s", got)
		}
	})

	// It keeps the app's own files, and no answer of the server.
	kept := p.inWorker(`(async () => {
		const out = [];
		for (const name of await caches.keys()) for (const r of await (await caches.open(name)).keys()) out.push(new URL(r.url).pathname);
		return out.join("\n");
	})()`)
	for _, path := range strings.Split(kept, "\n") {
		if path != "/phone/" && path != "/phone/add" && !strings.HasPrefix(path, "/phone/assets/") {
			t.Errorf("the worker keeps %s", path)
		}
	}
	if !strings.Contains(kept, "/phone/assets/app.") {
		t.Errorf("the worker keeps only %s", kept)
	}
	// And it is in charge of nothing but the app.
	p.Open(d.URL + "/phone")
	p.told("Nothing to approve")
	if got := p.inWorker(`registration.scope`); got != d.URL+"/phone/" {
		t.Errorf("the scope is %s", got)
	}
	p.Sound()
}

// TestPhoneTroubles: a clock that is off, permission that was refused, a
// subscription that died, an app that is not looked at.
func TestPhoneTroubles(t *testing.T) {
	d := newDesk(t)
	p := phoneOf(t, d)

	// Ten minutes slow: the server says so, the app puts it right.
	d.say(func() { d.skew = 10 * time.Minute })
	p.Open(d.URL + "/phone/#phone")
	p.told("A message comes when someone signs in")
	q := d.ask("phone-1", "47", hamburg(), 110*time.Second)
	p.Click(`[data-tab="home"]`)
	p.View("request")
	p.Press("deny")
	p.View("end-denied")
	if q.result != phonewire.Denied {
		t.Errorf("the desk has %q", q.result)
	}
	d.say(func() { d.skew = 0 })

	// The server found the subscription dead: the app makes another.
	d.say(func() { d.phones["phone-1"].push, d.phones["phone-1"].self.Push = nil, "" })
	before := Eval[string](p, `localStorage.getItem("test-subscription")`)
	Eval[bool](p, `localStorage.setItem("test-endpoint", "/push/3"), true`)
	p.Open(d.URL + "/phone/")
	p.told("Nothing to approve")
	p.Until("another subscription", `localStorage.getItem("test-subscription") !== `+"`"+before+"`")
	p.Until("the server told", `performance.getEntriesByType("resource").some((e) => e.name.endsWith("/self"))`)
	p.Click(`[data-tab="phone"]`)
	p.told("A message comes when someone signs in")
	d.say(func() {
		if got := d.phones["phone-1"].push; got == nil || got.Endpoint != d.URL+"/push/1/push/3" {
			t.Errorf("messages go to %+v", got)
		}
	})

	// Permission taken away: it says what to do.
	Eval[bool](p, `localStorage.setItem("test-permission", "denied"), true`)
	p.closed()
	p.Open(d.URL + "/phone/#phone")
	p.told("Allow them in the settings")
	p.PhonePictures("blocked")

	// Refused by the organisation: in its words.
	d.say(func() { d.refuse = "phone_refused" })
	p.Open(d.URL + "/phone/")
	p.told("Your organisation does not let this phone approve sign-ins.")
	p.PhonePictures("refused")
	d.say(func() { d.refuse = "" })
	p.Until("a word that goes away", `!document.body.innerText.includes("does not let this phone")`)

	// Not looked at, it asks nobody; looked at again, at once.
	Eval[bool](p, `Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true }), window.away = true, document.dispatchEvent(new Event("visibilitychange")), true`)
	p.Until("what was on its way", `(window.turns ||= 0, ++window.turns > 10)`)
	asked := func() (n int) { d.say(func() { n = d.asked }); return n }
	n := asked()
	p.Until("two turns", `(window.began ||= performance.now()) + 7000 < performance.now()`)
	if got := asked(); got != n {
		t.Errorf("asked %d times while nobody looked", got-n)
	}
	Eval[bool](p, `window.away = false, document.dispatchEvent(new Event("visibilitychange")), true`)
	deadline := time.Now().Add(patience)
	for asked() == n && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond) // the desk gives no event
	}
	if asked() == n {
		t.Error("it does not ask when it is looked at again")
	}
	p.Sound()
}

// TestPhoneOnIOS: outside of the home screen the page leads there, with the
// code in the manifest; inside it goes on by itself, and only once.
func TestPhoneOnIOS(t *testing.T) {
	d := newDesk(t)
	p := NewPhone(t, Chromium(t), d.URL+"/push/1", fakeP256DH, fakeAuth)
	p.Agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1")
	p.Open(d.URL + "/phone/add#" + d.code)
	p.View("ios")
	p.told("First put Signet on your Home Screen")
	p.PhonePictures("ios")
	if got := Eval[string](p, `document.querySelector("link[rel=manifest]").href`); got != d.URL+"/phone/app.webmanifest?e="+d.code {
		t.Errorf("the manifest is %s", got)
	}
	start := Eval[string](p, `(() => { const x = new XMLHttpRequest(); x.open("GET", document.querySelector("link[rel=manifest]").href, false); x.send(); return JSON.parse(x.responseText).start_url; })()`)
	if start != "/phone/add#"+d.code {
		t.Errorf("the app starts at %s", start)
	}
	// On the home screen.
	p.OnNew(`Object.defineProperty(navigator, "standalone", { value: true });`)
	p.closed()
	p.Open(d.URL + start)
	p.View("whose")
	if got := Eval[string](p, `document.querySelector("[name=phone]").value`); got != "iPhone" {
		t.Errorf("the phone is called %q", got)
	}
	p.Press("make-passkey")
	p.View("messages")
	p.Press("allow-push")
	p.View("words")
	d.say(func() { d.phones["phone-1"].self.State = phonewire.Active })
	p.View("done")
	// It starts with that code for ever, and opens the app all the same.
	p.closed()
	p.Open(d.URL + start)
	p.told("Nothing to approve")
	p.Sound()

	// Who stays in Safari can.
	p = NewPhone(t, p.ctx, d.URL+"/push/1", fakeP256DH, fakeAuth)
	p.Agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1")
	p.Open(d.URL + "/phone/add#" + d.code)
	p.Press("in-browser")
	p.View("whose")
	p.Sound()
}
