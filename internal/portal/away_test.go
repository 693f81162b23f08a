package portal

import (
	"cmp"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// errand is a browser that was sent to where certificates are asked for.
type errand struct{ ceremony, flow, to string }

// goAway presses the button of a sign-in page.
func (b *browser) goAway(page reply) errand {
	b.w.t.Helper()
	r := b.post(b.w.at0("/go"), url.Values{"handle": {page.field("handle")}, "method": {"certificate"}}).want(b.w.t, 303)
	to := r.Header.Get("Location")
	u, err := url.Parse(to)
	b.w.must(err)
	return errand{u.Query().Get("ceremony"), u.Query().Get("flow"), to}
}

func (w *world) back(e errand, more string) string {
	return w.at0("/certificate?flow=" + e.flow + "&" + more)
}

// shows is a whole errand: the handshake, and the way back.
func (b *browser) shows(s cardShown) reply {
	b.w.t.Helper()
	e := b.goAway(b.get(b.w.at0("")))
	s.ceremony = e.ceremony
	return b.get(b.w.back(e, "code="+b.w.card.handshake(s)))
}

var badge = map[string]string{
	"certificateSubject": "DC=example,DC=nordhafen,CN=Ada Lindqvist", "certificateIssuer": "DC=example,CN=Nordhafen Badges 3",
	"certificateSerial": "4a0f19", "certificateThumbprint": "unseen-thumbprint",
}

func TestCertificate(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	if b.get(w.at0("")).want(t, 200, "Sign in").hasAction("signin-certificate") {
		t.Error("it is offered although it is off")
	}
	w.cards()
	page := b.get(w.at0("")).want(t, 200, "Use a certificate or smart card")
	if !page.hasAction("signin-certificate") || page.attrOf("formaction") != w.at0("/go") {
		t.Errorf("the button posts to %q", page.attrOf("formaction"))
	}
	if row, first := strings.Index(page.body, `data-action="signin-certificate"`), strings.Index(page.body, `class="ways-list"`); row < first {
		t.Error("it is a button of its own although nobody has used it here")
	}
	e := b.goAway(page)
	if !strings.HasPrefix(e.to, cardOrigin+"/"+string(w.tenant.ID)+"/certificate?") || len(e.flow) != 36 || e.ceremony == "" {
		t.Fatalf("sent to %s", e.to)
	}
	// While it is away the page is there with every way, and waits for nothing.
	meanwhile := b.get(w.at0("?flow="+e.flow)).want(t, 200, "Sign in")
	if !meanwhile.hasAction("signin-passkey") || !meanwhile.hasAction("signin-certificate") || strings.Contains(meanwhile.body, "http-equiv") {
		t.Error("the page shows that it waits, or lacks a way")
	}
	code := w.card.handshake(cardShown{ceremony: e.ceremony, user: ada.ID, detail: badge})
	r := b.get(w.back(e, "code="+code)).want(t, 303)
	if at := r.Header.Get("Location"); strings.Contains(at, code) {
		t.Errorf("the code goes on to %s", at)
	}
	b.follow(r).want(t, 200, "How you sign in")

	// It was used last in this browser: first, and filled.
	b.post("/account/sign-out", url.Values{"session": {b.get("/account").field("session")}})
	page = b.get(w.at0(""))
	if !strings.Contains(page.body, `class="btn big main" name="method" value="certificate"`) {
		t.Error("the way that was used last is not the main button")
	}
	// Whoever has no address for it does not offer it.
	w.portal.cfg.CertificateOrigin = nil
	if b.get(w.at0("")).hasAction("signin-certificate") {
		t.Error("it is offered without an address")
	}
}

// The forms of the page may end at the address of certificates, and nowhere
// else that is not ours or the app's.
func TestSec_CBA10_FormAction(t *testing.T) {
	w := newWorld(t)
	formAction := func() string {
		t.Helper()
		csp := w.newBrowser().get(w.at0("")).want(t, 200).Header.Get("Content-Security-Policy")
		_, after, _ := strings.Cut(csp, "form-action ")
		return after
	}
	if got := formAction(); got != "'self'" {
		t.Errorf("off: form-action %s", got)
	}
	w.cards()
	if got := formAction(); got != "'self' "+cardOrigin {
		t.Errorf("on: form-action %s", got)
	}
	// It is not in the rooms' power to send anybody elsewhere than by https.
	for _, show := range []string{`{"go":"http://cards.example/x"}`, `{"go":"javascript:alert(1)"}`, `{"go":"/x"}`, `{}`, `[]`} {
		if to, err := target(signin.Flow{Waiting: &signin.Waiting{Show: []byte(show)}}); err == nil {
			t.Errorf("%s leads to %s", show, to)
		}
	}
}

// Everything that can be wrong with a certificate is said in words, with every
// other way in, and nothing is tried again by itself.
func TestSec_CBA14_RefusedCertificate(t *testing.T) {
	w := newWorld(t)
	w.cards()
	leaf := &x509.Certificate{Raw: []byte{1}, NotBefore: noon.AddDate(0, 0, 3), NotAfter: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	ca := &x509.Certificate{Raw: []byte{2}, NotAfter: noon.AddDate(0, 0, -1)}
	fault := func(reason pkix.Reason, cert *x509.Certificate) error {
		word := map[pkix.Reason]string{pkix.NoPath: "unknown_issuer", pkix.RevocationUnknown: "list_unavailable"}[reason]
		return idp.Unprovenf("certificate_"+cmp.Or(word, string(reason)), "%w", &pkix.Fault{Reason: reason, Cert: cert, Path: []*x509.Certificate{leaf, ca}})
	}
	revoked := idp.Unprovenf("certificate_revoked", "%w", &pkix.Fault{Reason: pkix.Revoked, Cert: leaf, Path: []*x509.Certificate{leaf, ca},
		Err: &pkix.RevokedError{When: time.Date(2026, 3, 3, 10, 0, 0, 0, time.UTC)}})
	for name, c := range map[string]struct {
		err    error
		detail map[string]string
		words  string
	}{
		"revoked":          {revoked, badge, "Your badge was taken back on 3 March 2026. It can no longer sign in."},
		"revoked, undated": {fault(pkix.Revoked, leaf), badge, "Your badge was taken back. It can no longer sign in."},
		"expired":          {fault(pkix.Expired, leaf), badge, "Your badge ended on 20 November 2026."},
		"early":            {fault(pkix.NotYetValid, leaf), badge, "Your badge is not good yet. It begins on 26 November 2026."},
		"CA expired":       {fault(pkix.Expired, ca), badge, "Something is wrong with an authority that stands above it, not with your badge."},
		"CA revoked":       {fault(pkix.Revoked, ca), badge, "Something is wrong with an authority that stands above it"},
		"unknown issuer":   {fault(pkix.NoPath, nil), badge, "Nordhafen Werft does not know who issued this certificate."},
		"no list":          {fault(pkix.RevocationUnknown, leaf), badge, "We cannot check your badge just now. The list of taken-back badges did not load."},
		"no list of CA":    {fault(pkix.RevocationUnknown, ca), badge, "We cannot check your badge just now."},
		"no user":          {idp.Unprovenf("certificate_no_user", "nobody"), badge, "This certificate lets nobody in. It does not belong to exactly one person of Nordhafen Werft."},
		"two users":        {idp.Unprovenf("certificate_ambiguous", "two"), badge, "This certificate lets nobody in. It does not belong to exactly one person of Nordhafen Werft."},
		"of another":       {idp.Unprovenf("certificate_other_person", "x"), badge, "This certificate is somebody else’s than the user name that was typed."},
		"too loose":        {idp.Unprovenf("certificate_affinity", "low"), badge, "This certificate is not tied to you firmly enough."},
		"constraints":      {fault(pkix.NameConstraints, leaf), badge, "This certificate cannot be used here."},
		"usage":            {fault(pkix.Usage, leaf), badge, "This certificate is not for signing in."},
		"weak":             {fault(pkix.WeakAlgorithm, leaf), badge, "is signed in a way that is no longer safe"},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.newBrowser()
			b.client.Jar.SetCookies(mustURL(w.server.URL), []*http.Cookie{{Name: "signet-way", Value: "certificate"}})
			r := b.shows(cardShown{refused: c.err, genuine: true, detail: c.detail}).want(t, 401, c.words, "More details", "Ada Lindqvist", "Nordhafen Badges 3", "4a0f19", "Trace id", `data-code="130005"`)
			if reason := idp.AsError(c.err).Reason; reason != "certificate_ambiguous" {
				r.want(t, 401, reason)
			}
			if hint := strings.Contains(r.text(), "To choose another one, close all its windows first."); hint == strings.HasPrefix(name, "no list") {
				t.Errorf("said how to choose another certificate: %v", hint)
			}
			if !r.hasAction("signin-passkey") || !r.hasAction("signin-certificate") || !strings.Contains(r.body, `<details class="other" open>`) {
				t.Error("a way is missing, or they are folded")
			}
			if strings.Contains(r.body, `main" name="method" value="certificate"`) || strings.Contains(r.body, "http-equiv") || r.Header.Get("Refresh") != "" {
				t.Error("the page tries again, or has it first")
			}
			if strings.Contains(r.body, "unseen-thumbprint") {
				t.Error("the page shows more than it has words for")
			}
			// The flow is there, with every way.
			b.get(w.at0("?flow="+r.field("handle"))).want(t, 200, "Sign in")
		})
	}
}

// Whether a certificate is nobody's or several people's nobody is told, in the
// details neither: it says who is in the directory.
func TestSec_T34_SeveralPeopleAreNobody(t *testing.T) {
	w := newWorld(t)
	w.cards()
	for _, reason := range []string{"certificate_no_user", "certificate_ambiguous"} {
		r := w.newBrowser().shows(cardShown{refused: idp.Unprovenf(reason, "so says the test"), genuine: true, detail: badge})
		r.want(t, 401, "This certificate lets nobody in.", "certificate_no_user", "Trace id")
		if strings.Contains(r.body, "ambiguous") {
			t.Errorf("%s: the page says that there are several", reason)
		}
	}
}

// What was said of a certificate is said to the browser that showed it, and
// nobody came with none.
func TestCertificateNone(t *testing.T) {
	w := newWorld(t)
	w.cards()
	b := w.newBrowser()
	e := b.goAway(b.get(w.at0("")))
	for range 2 { // as often as the page is loaded
		r := b.get(w.back(e, "none=1")).want(t, 401, "Your browser sent no certificate. The card may not be in, or it was cancelled.", "none")
		if strings.Contains(r.body, "Issued to") || !r.hasAction("signin-passkey") {
			t.Error("details of nothing, or no other way")
		}
	}
	// It may still come with one.
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b.follow(b.get(w.back(e, "code="+w.card.handshake(cardShown{ceremony: e.ceremony, user: ada.ID})))).want(t, 200, "How you sign in")
}

// A rule that keeps a certificate from its person is named, and the person may
// still come in another way.
func TestCertificateRule(t *testing.T) {
	w := newWorld(t)
	w.cards()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	w.certificateMode(idp.ModeCertificateSingle) // by now it counts for less than the room says
	r := w.newBrowser().shows(cardShown{user: ada.ID, detail: badge}).want(t, 403,
		"This certificate was refused by the rule “certificate.mode”. Nordhafen Werft does not let you sign in with it.", "Nordhafen Badges 3", "Rule")
	if !r.hasAction("signin-passkey") {
		t.Error("no other way")
	}
}

// Too weak for the app: the page says that the certificate was good, and asks
// for another method.
func TestCertificateTooWeak(t *testing.T) {
	w := newWorld(t)
	w.cards()
	w.card.mode = idp.ModeCertificateSingle
	w.certificateMode(idp.ModeCertificateSingle)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	w.flow = signin.Flow{Client: idp.ClientID("c1"), ClientName: "Payroll", Required: policy.IDMFA}
	page := b.follow(b.get("/"+string(w.tenant.ID)+"/app")).want(t, 200, "Payroll")
	e := b.goAway(page)
	r := b.follow(b.get(w.back(e, "code="+w.card.handshake(cardShown{ceremony: e.ceremony, user: ada.ID, detail: badge}))))
	r.want(t, 200, "Your certificate is right, and Payroll asks for more than it counts for.")
	if !r.hasAction("signin-passkey") || strings.Contains(r.body, `main" name="method" value="certificate"`) {
		t.Error("no other method, or the same first")
	}
}

// The address with the code is redeemed by the browser of its flow alone, once,
// and stands in no referrer.
func TestSec_CBA10_ReturnAddress(t *testing.T) {
	w := newWorld(t)
	w.cards()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	a, b := w.newBrowser(), w.newBrowser()

	// The handshake was made in B for the flow of A.
	e := a.goAway(a.get(w.at0("")))
	code := w.card.handshake(cardShown{ceremony: e.ceremony, user: ada.ID, detail: badge})
	r := b.get(w.back(e, "code="+code)).want(t, 401, "This began in another browser")
	if strings.Contains(r.text(), "Lindqvist") {
		t.Error("another browser is told whose certificate it was")
	}
	// B's own flow does not take it either.
	own := b.goAway(b.get(w.at0("")))
	r = b.get(w.back(own, "code="+code)).want(t, 401, "That did not let you in.")
	if strings.Contains(r.text(), "Lindqvist") {
		t.Error("a flow that it is not of is told whose certificate it was")
	}
	// A HEAD, which link checkers send, redeems nothing.
	a.do("HEAD", w.back(e, "code="+code), "", "").want(t, 405)
	// A itself comes in, once.
	at := w.back(e, "code="+code)
	a.follow(a.get(at)).want(t, 200, "How you sign in")
	a.get(at).want(t, 410)

	// A code that was refused is used, too.
	e = b.goAway(b.get(w.at0("")))
	code = w.card.handshake(cardShown{ceremony: e.ceremony, refused: idp.Unprovenf("certificate_no_user", "nobody"), detail: badge})
	r = b.get(w.back(e, "code="+code)).want(t, 401)
	if got := r.Header.Get("Referrer-Policy"); got != "strict-origin" {
		t.Errorf("referrer policy %q", got)
	}
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("cache control %q", got)
	}
	if strings.Contains(r.body, code) {
		t.Error("the page repeats the code")
	}
	r = b.get(w.back(e, "code="+code)).want(t, 410, "This answer was used before, or it came too late.")
	if strings.Contains(r.text(), "Lindqvist") || !r.hasAction("signin-passkey") {
		t.Error("the second time says whose it was, or offers nothing")
	}
	// Late.
	e = b.goAway(b.get(w.at0("")))
	code = w.card.handshake(cardShown{ceremony: e.ceremony, user: ada.ID})
	w.later(6 * time.Minute)
	b.get(w.back(e, "code="+code)).want(t, 410)
	// Of no flow.
	b.get(w.at0("/certificate?code="+code)).want(t, 410)
	b.get(w.at0("/certificate")).want(t, 410)
}

// What is not a method to go for is not gone for.
func TestGoRefuses(t *testing.T) {
	w := newWorld(t)
	w.phones()
	b := w.newBrowser()
	page := b.get(w.at0(""))
	for _, m := range []string{"certificate", "passkey", "phone", "", "nothing"} {
		b.post(w.at0("/go"), url.Values{"handle": {page.field("handle")}, "method": {m}}).want(t, 400)
	}
	w.cards()
	for _, m := range []string{"passkey", "phone", ""} {
		b.post(w.at0("/go"), url.Values{"handle": {page.field("handle")}, "method": {m}}).want(t, 400)
	}
	b.post(w.at0("/ask"), url.Values{"handle": {page.field("handle")}, "method": {"certificate"}, "username": {"x"}}).want(t, 400)
	// Another site's form.
	b.do("POST", w.at0("/go"), "application/x-www-form-urlencoded", url.Values{"handle": {page.field("handle")}, "method": {"certificate"}}.Encode(),
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }).want(t, 403)
	for range 241 {
		if b.post(w.at0("/go"), url.Values{"handle": {page.field("handle")}, "method": {"certificate"}}).StatusCode == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("one source may store flows without end")
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// A certificate on the account page is called as its subject is, which is its
// owner: where it is named, it is said to be one.
func TestCertificateOnAccountPage(t *testing.T) {
	p := bare(t)
	pg := p.newPage(httptest.NewRequest(http.MethodGet, "/account", nil), "account", idp.Tenant{}, "", nil)
	key := credential("k1", "Blue key", "", func(s string) string { return s })
	card := method.Credential{ID: "c1", Method: certificate, Name: "Ada Lindqvist", Model: "Nordhafen Badges 3", Created: noon.AddDate(0, -1, 0), LastUsed: noon, Expires: noon.AddDate(1, 0, 0)}
	works := []method.Credential{key, card}
	row := rowOf(pg, card, works, nil, "s1")
	said := page.Plain(row.Meta)
	if row.Name != "Ada Lindqvist" || row.Icon != "badge" || page.Plain(row.Kind) != "Certificate" || row.State != "" || !row.Mine ||
		!strings.Contains(said, "issued by Nordhafen Badges 3") || !strings.Contains(said, "first used") || !strings.Contains(said, "good until <time") || !strings.Contains(said, "23 Nov 2027") {
		t.Errorf("row %+v: %s", row, said)
	}
	if row.Ask.Cred.Name != "Certificate “Ada Lindqvist”" || row.Ask.Cred.Given != "Ada Lindqvist" || !strings.Contains(string(row.Ask.Also), "also when its card is in") {
		t.Errorf("the question %+v", row.Ask)
	}
	if lost := losses(pg, works, nil); !strings.Contains(page.Plain(lost[0].Text), "Lose Blue key: Certificate “Ada Lindqvist” still works.") {
		t.Errorf("lost: %s", lost[0].Text)
	}
	card.Disabled = true
	if row := rowOf(pg, card, works, nil, "s1"); !strings.Contains(string(row.State), "it is over, or who issued it is not trusted") {
		t.Errorf("state %s", row.State)
	}
}
