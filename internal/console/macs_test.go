package console

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/policy"
)

// lastChange is the newest record of a change.
func (w *world) lastChange() audit.Event {
	w.t.Helper()
	list, err := w.Audit.List(w.t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.Changes, Limit: 1})
	if err != nil || len(list) == 0 {
		w.t.Fatal(err, len(list))
	}
	return list[0]
}

// nothingOn switches off what Macs stand on.
func (w *world) nothingOn() {
	w.Policy(w.t, w.Tenant.ID, func(p *policy.Policy) {
		p.Devices.On = false
		p.Switch(policy.Platform, false)
		p.Switch(policy.Certificate, false)
	})
}

// TestMacSteps walks through the steps: each says where one is, and what is
// done.
func TestMacSteps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		w.nothingOn()
		ada.get(macProfilePath).want(http.StatusOK, "There is no profile yet.", "Devices are switched off")
		first := ada.get(macsPath).want(http.StatusOK, `aria-current="step"`, "Key in the Secure Enclave", "Smart card", "is switched off: nobody can sign in on a Mac", "Switch on what is missing")
		if strings.Contains(first.body, "(done)") {
			t.Error("a step is done before anything was")
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.On = true })
		ada.get(macProfilePath).want(http.StatusOK, "Download the profile", "nordhafen.example.mobileconfig", "PlatformSSO.AuthenticationMethod", "UserSecureEnclaveKey", "This is a demonstration", "nothing is wrong")
		file := ada.get(macProfilePath+"/file").want(http.StatusOK, "<!DOCTYPE plist", "com.apple.extensiblesso")
		if got := file.header.Get("Content-Disposition"); got != `attachment; filename="nordhafen.example.mobileconfig"` {
			t.Errorf("disposition %s", got)
		}
		if got := file.header.Get("Content-Type"); got != profileType {
			t.Errorf("type %s", got)
		}
		if e := w.lastChange(); e.Activity != "mac.profile.export" || e.Actor != string(w.Ada.ID) {
			t.Errorf("recorded: %s by %s", e.Activity, e.Actor)
		}
		if got := strings.Count(ada.get(macTestPath).want(http.StatusOK, "Waiting for a Mac…").body, "(done)"); got != 1 {
			t.Errorf("%d steps done, want the profile alone", got)
		}
		w.profilesOf(ada)
		w.appless = true
		ada.get(macProfilePath).want(http.StatusOK, "No app is named.", "There is no profile yet.")
		if got := ada.get(macProfilePath + "/file"); got.page != "error profile_missing" {
			t.Errorf("a profile without an app: %d %s", got.status, got.page)
		}
	})
}

// profilesOf: a profile is fitted to an MDM by its address, in which no token
// stands; one for one Mac has a token of its own, which is good.
func (w *world) profilesOf(ada *browser) {
	t := w.t
	t.Helper()
	at := macProfilePath + "?" + url.Values{"variable": {"${TOKEN}"}, "direct": {"1"}}.Encode()
	ada.get(at).want(http.StatusOK, "<code>${TOKEN}</code>", "EnableDirectDownloads", `href="`+macProfilePath+"/file?direct=1&amp;variable=%24%7BTOKEN%7D")
	ada.get(macProfilePath+"/file?variable=%25T%25").want(http.StatusOK, "<string>%T%</string>")
	secret := "yXkOq7p1CEGZ0HnM3kQ3n6rE7Hk2uXvD1rVtB0m5b9E"
	bad := ada.get(macProfilePath+"?variable="+secret).want(http.StatusOK, "A token itself does not go here.")
	if strings.Contains(bad.body, "RegistrationToken") {
		t.Error("a token of an address is in the profile")
	}
	ada.get(macProfilePath+"/file?variable="+secret).want(http.StatusBadRequest, "A token itself does not go here.")

	one := regexp.MustCompile(`<key>RegistrationToken</key>\s*<string>([^<]+)</string>`)
	for serial, also := range map[string]string{"": "C02ANY", "c02mine": "C02MINE"} {
		file := ada.post(macTestPath+"/profile", url.Values{"serial": {serial}}).want(http.StatusOK)
		found := one.FindStringSubmatch(file.body)
		if found == nil || file.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("no token in %s", file.body)
		}
		token, err := w.macs.Tokens.Find(t.Context(), w.Tenant.ID, found[1], also)
		if err != nil || token.For != w.Ada.ID || token.Serial != strings.ToUpper(serial) || token.Uses != 1 {
			t.Errorf("%+v, %v", token, err)
		}
	}
	ada.post(macTestPath+"/profile", url.Values{"serial": {"no/serial"}}).want(http.StatusBadRequest, "is no serial number")
	w.appless = true
	before, _, err := w.macs.Tokens.List(t.Context(), w.Tenant.ID, mac.TokenPage{})
	if got := ada.post(macTestPath+"/profile", nil); err != nil || got.page != "error profile_missing" {
		t.Errorf("a profile without an app: %d %s", got.status, got.page)
	}
	if after, _, _ := w.macs.Tokens.List(t.Context(), w.Tenant.ID, mac.TokenPage{}); len(after) != len(before) {
		t.Error("a token was made for no profile")
	}
}

// TestMacRules saves the first step: what it says of Macs and keys that there
// are, what it switches on, and that no rule is saved that contradicts itself.
func TestMacRules(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		w.nothingOn()
		d := w.mac(w.Bob, "FV-1209", "C02FV1209", false)
		w.macKey(w.Bob, d)
		now := func() policy.Policy {
			p, err := w.Policies.Load(t.Context(), w.DB, w.Tenant.ID)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		form := func(pairs ...string) url.Values {
			v := url.Values{"version": {version(now())}, "method": {"UserSecureEnclaveKey"}, "biometric": {"0"}, "frequency": {"18"}, "frequency.unit": {"h"}, "name": {""}}
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return v
		}
		ada.post(macsPath, form("do", "check")).want(http.StatusOK, "Nothing is changed yet")
		ada.post(macsPath, form("do", "check", "on", "1")).want(http.StatusOK, "Devices are switched on, for everybody.", "The method <b>Mac sign-in key</b> is switched on")
		ada.post(macsPath, form("do", "check", "method", "SmartCard")).want(http.StatusOK, "1 Mac keeps its present method", "1 key of people on Macs is not asked for", "Smart cards sign nobody in as long as")
		ada.post(macsPath, form("do", "check", "biometric", "1")).want(http.StatusOK, "1 key was made under the rule before")
		ada.post(macsPath, form("do", "check", "frequency", "5", "frequency.unit", "m")).want(http.StatusOK, "err-text")
		ada.post(macsPath+"/save", form("do", "save", "frequency", "5", "frequency.unit", "m")).want(http.StatusBadRequest, "err-text")
		ada.post(macsPath+"/save", form("do", "save", "method", "Password")).want(http.StatusBadRequest, "err-text")
		if p := now(); p.Macs.Biometric != 0 || p.Devices.On {
			t.Fatal("a look saved something")
		}
		got := ada.post(macsPath+"/save", form("do", "save", "on", "1", "biometric", "2", "reuse", "1", "password", "1", "name", "Werft", "frequency", "12"))
		if got.status != http.StatusSeeOther || !strings.HasPrefix(got.to, macsPath+"?done=policy.saved") {
			t.Fatalf("saved: %d to %s\n%s", got.status, got.to, got.body)
		}
		want := policy.MacRules{Method: policy.MacKey, Biometric: policy.BiometricAny | policy.BiometricReuse | policy.BiometricPassword, LoginFrequency: 12 * time.Hour, AccountName: "Werft"}
		if p := now(); p.Macs != want || !p.Devices.On || !p.Methods[policy.Platform].On {
			t.Errorf("saved %+v, devices %v, method %v", p.Macs, p.Devices.On, p.Methods[policy.Platform].On)
		}
		page := ada.get(macsPath).want(http.StatusOK, "is switched on.", `name="name" value="Werft"`)
		if strings.Contains(page.body, "Switch on what is missing") {
			t.Error("nothing is missing, and it offers to switch it on")
		}
		// Bits that only say more about a finger go with it.
		ada.post(macsPath+"/save", form("do", "save", "biometric", "0", "reuse", "1"))
		if p := now(); p.Macs.Biometric != 0 {
			t.Errorf("bits %d", p.Macs.Biometric)
		}
		// A smart card is for its own page to switch on.
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.On = false })
		ada.post(macsPath+"/save", form("do", "save", "on", "1", "method", "SmartCard"))
		if p := now(); p.Macs.Method != policy.MacCard || !p.Devices.On || p.Methods[policy.Certificate].On {
			t.Errorf("%s, devices %v, certificates %v", p.Macs.Method, p.Devices.On, p.Methods[policy.Certificate].On)
		}
	})
}

// TestMacsAsTheyCome: the list says how far each Mac is, and what was refused;
// the script reads the same.
func TestMacsAsTheyCome(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		list := macTestPath + "/list"
		ada.get(list).want(http.StatusOK, "Waiting for a Mac…")
		w.turnedAway("device.join", "token_over", map[string]string{"os": mac.OS, "name": "FV-0000", "serial": "C02FV0000"})
		w.turnedAway("device.join", "quota", map[string]string{"os": "Linux", "name": "ws-99"})
		page := ada.get(list).want(http.StatusOK, "FV-0000", "C02FV0000", "Registering the Mac")
		if strings.Contains(page.body, "ws-99") {
			t.Error("another device is among the Macs")
		}
		first := w.mac(w.Bob, "FV-1209", "C02FV1209", false)
		ada.get(list).want(http.StatusOK, "1 Mac in the last 7 days", "FV-1209", "C02FV1209", "No person has registered on it yet")
		w.macKey(w.Bob, first)
		ada.get(list).want(http.StatusOK, "Key of "+w.Bob.DisplayName, "Has not signed in yet")
		w.unlocks(w.Bob, first)
		got := ada.get(macTestPath).want(http.StatusOK, "Signed in on the lock screen", `http-equiv="refresh"`, `data-live="`+list+`"`)
		if got.header.Get("Content-Security-Policy") == "" {
			t.Error("no policy for the content")
		}
		w.mac(w.Ada, "<b>FV-1210", "", true)
		page = ada.get(list).want(http.StatusOK, "&lt;b&gt;FV-1210", "Registered, with a token", "Waits for its first person")
		if strings.Index(page.body, "FV-1210") > strings.Index(page.body, "FV-1209") {
			t.Error("the newest is not the first")
		}
		for i := range mostArrivals + 2 {
			w.mac(w.Bob, fmt.Sprintf("FV-2%03d", i), "", false)
		}
		if n := strings.Count(ada.get(list).body, "FV-"); n != mostArrivals {
			t.Errorf("%d rows", n)
		}
	})
}

var tokenValue = regexp.MustCompile(`<td><code>([A-Za-z0-9_-]{40,})</code>`)

// TestMacTokens: tokens are shown once, are good, and are taken back.
func TestMacTokens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		form := func(pairs ...string) url.Values {
			v := url.Values{"serials": {""}, "for": {""}, "count": {"1"}, "life": {"1440"}, "do": {"show"}}
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return v
		}
		ada.get(macTokensPath).want(http.StatusOK, "No token waits to be used.")
		made := ada.post(macTokenPath, form("serials", "Serial,User\r\nc02aa,"+w.Bob.Name+"\r\nC02BB,\r\n")).want(http.StatusOK, "2 tokens", "Shown only now.", "C02AA", "of "+w.Bob.DisplayName)
		values := tokenValue.FindAllStringSubmatch(made.body, -1)
		if len(values) != 2 || made.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d values, %s", len(values), made.header.Get("Cache-Control"))
		}
		e := w.lastChange()
		if e.Activity != "mac.token.issue" || e.Detail["tokens"] != "2" || e.Detail["serials"] != "C02AA C02BB" || strings.Contains(fmt.Sprint(e), values[0][1]) {
			t.Errorf("recorded %s %v", e.Activity, e.Detail)
		}
		good, err := w.macs.Tokens.Find(t.Context(), w.Tenant.ID, values[0][1], "C02AA")
		if err != nil || good.For != w.Bob.ID || good.By != w.Ada.ID || good.Uses != 1 || good.Expires.Sub(w.Now()) != 24*time.Hour {
			t.Errorf("%+v, %v", good, err)
		}
		list := ada.get(macTokensPath).want(http.StatusOK, "C02AA", "C02BB", "Can be used", "0 of 1")
		if strings.Contains(list.body, values[0][1]) || strings.Contains(list.body, values[1][1]) {
			t.Error("a token is shown again")
		}
		// As a file: the same, and nothing that a spreadsheet takes for a formula.
		file := ada.post(macTokenPath, form("for", w.Bob.Name, "count", "3", "do", "csv", "life", "480")).want(http.StatusOK)
		rows, err := csv.NewReader(strings.NewReader(file.body)).ReadAll()
		if err != nil || len(rows) != 4 || rows[1][1] != w.Bob.Name || !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment") {
			t.Fatalf("%v %v", rows, err)
		}
		if _, err := w.macs.Tokens.Find(t.Context(), w.Tenant.ID, rows[3][2], "ANY"); err != nil {
			t.Error(err)
		}
		ask := ada.get(macTokenPath+"/"+string(good.ID)+"/ask").want(http.StatusOK, "Take this token back?", "C02AA")
		if !strings.Contains(ask.body, `action="`+macTokenPath+"/"+string(good.ID)+`/revoke"`) {
			t.Error("it leads elsewhere")
		}
		if got := ada.post(macTokenPath+"/"+string(good.ID)+"/revoke", nil); got.status != http.StatusSeeOther {
			t.Fatalf("%d %s", got.status, got.page)
		}
		if _, err := w.macs.Tokens.Find(t.Context(), w.Tenant.ID, values[0][1], "C02AA"); err == nil {
			t.Error("it is good still")
		}
		if e := w.lastChange(); e.Activity != "mac.token.revoke" || e.Detail["serial"] != "C02AA" || e.Detail["token"] != string(good.ID) {
			t.Errorf("recorded %s %v", e.Activity, e.Detail)
		}
		ada.get(macTokensPath+"?show=all").want(http.StatusOK, "Taken back")
		if got := ada.post(macTokenPath+"/"+string(w.Bob.ID)+"/revoke", nil); got.status != http.StatusNotFound {
			t.Errorf("a token that is none: %d", got.status)
		}
	})
}

// TestMacTokensWrong: what is wrong is said where it stands, and nothing is made.
func TestMacTokensWrong(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		many := strings.Repeat("x", 1)
		for i := range mostTokens + 1 {
			many += fmt.Sprintf("\nS%04d", i)
		}
		for _, tt := range []struct{ serials, who, count, says string }{
			{"", "", "5", "Name serial numbers here, or a person below."},
			{"", w.Bob.Name, "0", "Say a number from 1 to 500."},
			{"", w.Bob.Name, "501", "Say a number from 1 to 500."},
			{"", w.Bob.Name, "x", "Say a number from 1 to 500."},
			{"", "nobody@nordhafen.example", "1", "There is no “nobody@nordhafen.example” here."},
			{"", w.Eve.Name, "1", "There is no “" + w.Eve.Name + "” here."},
			{"C02AA\n=cmd()", "", "1", "Line 2: “=cmd()” is no serial number"},
			{"C02AA\nc02aa", "", "1", "Line 2: C02AA is there twice."},
			{"serial,user\nC02AA,nobody", "", "1", "Line 2: There is no “nobody” here."},
			{"name,model\nx,y", "", "1", "No column is called “serial”."},
			{"user\n" + w.Bob.Name, "", "1", "No column is called “serial”."},
			{"C02AA,C02BB", "", "1", "No column is called “serial”."},
			{many, "", "1", "There are more than 500."},
		} {
			before := w.changes()
			v := url.Values{"serials": {tt.serials}, "for": {tt.who}, "count": {tt.count}, "life": {"1440"}, "do": {"show"}}
			got := ada.post(macTokenPath, v)
			if got.status != http.StatusBadRequest || !strings.Contains(got.body, tt.says) {
				t.Errorf("%.30q, %q, %q: %d, wanted %q", tt.serials, tt.who, tt.count, got.status, tt.says)
			}
			if w.changes() != before {
				t.Errorf("%.30q: something was made", tt.serials)
			}
		}
		if list, _, err := w.macs.Tokens.List(t.Context(), w.Tenant.ID, mac.TokenPage{}); err != nil || len(list) != 0 {
			t.Errorf("%d tokens, %v", len(list), err)
		}
		v := url.Values{"serials": {"C02AA"}, "count": {"1"}, "life": {"99999"}, "do": {"show"}}
		if got := ada.post(macTokenPath, v); got.status != http.StatusBadRequest {
			t.Errorf("a life that is not offered: %d", got.status)
		}
	})
}

// TestMacTokenOfAnotherTenant: a token is nobody else's to see or take back.
func TestMacTokenOfAnotherTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		token := w.tokenFor("C02AA")
		w.Tenant, w.Other = w.Other, w.Tenant
		mine := w.tokenFor("C02BB")
		w.Tenant, w.Other = w.Other, w.Tenant
		ada := w.signedIn(w.Ada)
		if body := ada.get(macTokensPath).want(http.StatusOK, "C02AA").body; strings.Contains(body, "C02BB") {
			t.Error("a token of another tenant is in the list")
		}
		for _, path := range []string{"/ask", "/revoke"} {
			got := ada.get(macTokenPath + "/" + string(mine.ID) + path)
			if path == "/revoke" {
				got = ada.post(macTokenPath+"/"+string(mine.ID)+path, nil)
			}
			if got.status != http.StatusNotFound {
				t.Errorf("%s: %d", path, got.status)
			}
		}
		if after, err := w.macs.Tokens.Get(t.Context(), w.DB, w.Other.ID, mine.ID); err != nil || !after.Good(w.Now()) || token.ID == "" {
			t.Errorf("%+v, %v", after, err)
		}
	})
}

// TestMacWeek: how many have come, and which stopped where and why.
func TestMacWeek(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		ada.get(macWeekPath).want(http.StatusOK, "No Mac has come in the last 7 days.")
		in := w.mac(w.Bob, "FV-1", "C02FV1", false)
		w.macKey(w.Bob, in)
		w.unlocks(w.Bob, in)
		w.mac(w.Bob, "FV-2", "C02FV2", false)
		waits := w.mac(w.Ada, "FV-3", "C02FV3", true)
		keyed := w.mac(w.Bob, "FV-4", "C02FV4", false)
		w.macKey(w.Bob, keyed)
		for range 3 {
			w.turnedAway("platform.register", "proof_too_old", map[string]string{"device": string(waits.ID)})
		}
		page := ada.get(macWeekPath).want(http.StatusOK, "4 Macs: 1 signed in, 3 half-way", "Waits for its first person", "has not clicked “Registration required”", "Waits for its first sign-in", "Registering a person", "3 times", "C02FV3")
		if n := strings.Count(page.body, "FV-1"); n != 0 {
			t.Error("a Mac that works is among those that stopped")
		}
		for _, want := range []string{`Registered</span><b class="num">4<`, `Signed in</span><b class="num">1<`, `Half-way</span><b class="num warn">3<`, `Refused</span><b class="num bad">3<`} {
			if !strings.Contains(page.body, want) {
				t.Errorf("no %s", want)
			}
		}
		w.Advance(8 * 24 * time.Hour)
		ada = w.signedIn(w.Ada)
		ada.get(macWeekPath).want(http.StatusOK, "No Mac has come in the last 7 days.")
	})
}

// TestMacPages: the pages of a device and a person say what a Mac is.
func TestMacPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, hedda := w.signedIn(w.Ada), w.signedIn(w.hedda)
		d := w.mac(w.Bob, "FV-1209", "c02fv1209", false)
		k := w.macKey(w.Bob, d)
		page := ada.get(devicePath(d.ID)).want(http.StatusOK, "C02FV1209", "as the Mac says", "Signing key", "Encryption key", "People’s keys on it")
		for _, key := range mustMac(t, w, d).Keys {
			if !strings.Contains(page.body, key.ID.String()) {
				t.Errorf("the page lacks %s", key.ID)
			}
		}
		if _, main, _ := strings.Cut(page.body, "<main"); strings.Contains(main, "TPM") || strings.Contains(main, "Hello") {
			t.Error("a Mac has a TPM or a Hello key")
		}
		ada.get(devicePath(d.ID)+"/ask?what=remove").want(http.StatusOK, "1 Mac key on it is orphaned")
		ada.get(devicePath(d.ID)+"/ask?what=disable").want(http.StatusOK, "1 Mac key on it lets nobody in")
		person := hedda.get("/admin/people/"+string(w.Bob.ID)).want(http.StatusOK, `data-credential="`+string(k.ID)+`"`, `<span class="tag">Mac key</span>`)
		if strings.Contains(person.body, "FV-1209</b><span class=\"tag\">Passkey") {
			t.Error("it is called a passkey")
		}
		if got := ada.get(devicesPath+"?q=c02fv1209").want(http.StatusOK, "1 device.", "FV-1209"); strings.Contains(got.body, "ws-17") {
			t.Error("another device has that serial number")
		}
		ada.get(devicesPath+"?q=C02NONE").want(http.StatusOK, "No device fits this.")
		pending := w.mac(idp.User{}, "FV-1300", "", true)
		ada.get(devicePath(pending.ID)).want(http.StatusOK, "nobody’s yet", "with a registration token")
		ada.get(devicesPath).want(http.StatusOK, "nobody’s yet")
		got := ada.post(devicePath(d.ID)+"/remove", nil)
		if got.status != http.StatusSeeOther {
			t.Fatalf("removed: %d %s", got.status, got.page)
		}
		if e := w.lastChange(); e.Activity != "device.remove" || e.Detail["platformKeys"] != "1" || e.Detail["helloKeys"] != "0" {
			t.Errorf("recorded %s %v", e.Activity, e.Detail)
		}
		if _, err := w.macs.Get(t.Context(), w.DB, w.Tenant.ID, d.ID); err == nil {
			t.Error("the Mac is there still")
		}
	})
}

func mustMac(t *testing.T, w *world, d device.Device) mac.Mac {
	t.Helper()
	m, err := w.macs.Get(t.Context(), w.DB, w.Tenant.ID, d.ID)
	if err != nil || len(m.Keys) != 2 {
		t.Fatal(err, len(m.Keys))
	}
	return m
}

// TestPlatformRules: the page of the method says what it would do, as those of
// other methods do.
func TestPlatformRules(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		for i := range 3 {
			w.macKey(w.Bob, w.mac(w.Bob, fmt.Sprintf("FV-%d", i), "", false))
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Switch(policy.Platform, true); p.Platform.WarnAt = 2 })
		ada.get("/admin/people/"+string(w.Bob.ID)).want(http.StatusOK, "They hold 3 of 20 Mac keys.")
		ada.get("/admin/methods").want(http.StatusOK, "Mac sign-in key", "Up to 20 Macs a person")
		const path = "/admin/methods/platform"
		ada.get(path).want(http.StatusOK, "Mac sign-in key", "Nothing is changed yet")
		p, err := w.Policies.Load(t.Context(), w.DB, w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		form := url.Values{"version": {version(p)}, "on": {"1"}, "include": {"all"}, "limit": {"2"}, "warnAt": {"2"}, "do": {"check"}}
		ada.post(path, form).want(http.StatusOK, "1 person holds more than 2 Mac keys.")
		form.Set("warnAt", "3")
		ada.post(path, form).want(http.StatusOK, "err-text", "The warning would come above the limit")
		form.Set("warnAt", "1")
		form.Set("do", "save")
		if got := ada.post(path+"/save", form); got.status != http.StatusSeeOther {
			t.Fatalf("%d %.3000s", got.status, got.body)
		}
		form.Del("on")
		form.Set("do", "check")
		if p, err = w.Policies.Load(t.Context(), w.DB, w.Tenant.ID); err != nil || p.Platform != (policy.PlatformRules{Limit: 2, WarnAt: 1}) {
			t.Fatalf("%+v, %v", p.Platform, err)
		}
		form.Set("version", version(p))
		ada.post(path, form).want(http.StatusOK, "1 person and 3 keys would stop working", w.Bob.DisplayName)
	})
}
