package console

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// stored are the names of the CAs in the store.
func (w *world) stored() (out []string) {
	w.t.Helper()
	all, err := w.trust.List(w.t.Context(), w.DB, w.Tenant.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range all {
		out = append(out, a.Name)
	}
	return out
}

// TestCAsComeIn: what was sent is shown first, with what is refused and why;
// what is ticked comes in, with the address that was seen, or nothing does.
func TestCAsComeIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		ada.get(certsPath).want(http.StatusOK, "No CA is trusted yet")
		leaf := w.pki.card.Leaf(pkixtest.ECKey(t).Public(), "ben", "ben@nordhafen.example", w.Now(), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{w.pki.crl()} })
		files := map[string][]byte{"ca.pem": pkixtest.PEM(w.pki.root.Cert, w.pki.card.Cert), "leaf.cer": leaf.Raw}
		shown := ada.upload(certAddPath, nil, files).want(http.StatusOK, "3 certificates in what you sent", "Nordhafen Root", "Nordhafen Cards",
			"is not that of a certificate authority", "So says a certificate that it has issued.", "No certificate here names it.")
		if len(w.stored()) != 0 || w.changes() != 0 {
			t.Fatal("a look has stored something")
		}
		form := shown.sent()
		if len(form["cert"]) != 2 {
			t.Fatalf("%d can be added", len(form["cert"]))
		}
		r := ada.post(certAddPath+"/save", form)
		if r.status != http.StatusSeeOther || r.to != certsPath+"?done=authorities-added" {
			t.Fatalf("%d to %q: %.500s", r.status, r.to, r.body)
		}
		if got := w.stored(); !slices.Equal(got, []string{"Nordhafen Root", "Nordhafen Cards"}) {
			t.Errorf("stored: %q", got)
		}
		list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.Changes, Limit: 2})
		if err != nil || len(list) != 2 || list[0].Activity != "cert-authority.add" || list[0].Actor != string(w.Ada.ID) || list[0].Detail["crl"] != w.pki.crl() {
			t.Errorf("records: %+v, %v", list, err)
		}
		ada.get(certsPath).want(http.StatusOK, "2 CAs of at most 250", "Good until", "No list and no responder: its certificates are refused")

		// One of them is there already: the other does not come alone.
		other := pkixtest.Root(t, "Another Root", w.Now())
		form = ada.upload(certAddPath, nil, map[string][]byte{"x.der": other.Cert.Raw}).want(http.StatusOK, "1 certificate in what you sent").sent()
		form.Add("cert", encoded(w.pki.root.Cert))
		ada.post(certAddPath+"/save", form).want(http.StatusConflict, "Nothing was added.", "is there already")
		if got := w.stored(); len(got) != 2 {
			t.Errorf("half an import: %q", got)
		}
		ada.upload(certAddPath, nil, map[string][]byte{"x.pem": pkixtest.PEM(w.pki.root.Cert)}).want(http.StatusOK, "is there already")
		ada.post(certAddPath+"/save", nil).want(http.StatusBadRequest, "Nothing is ticked")
		if got := ada.post(certAddPath+"/save", url.Values{"cert": {"%%%"}}); got.status != http.StatusBadRequest {
			t.Errorf("no base64: %d", got.status)
		}
	})
}

func encoded(c *x509.Certificate) string {
	block := string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: c.Raw}))
	lines := strings.Split(strings.TrimSpace(block), "\n")
	return strings.Join(lines[1:len(lines)-1], "")
}

// TestWhatIsNoCertificate: each is refused in words, whichever file it is in,
// and a private key is not on the page again.
func TestWhatIsNoCertificate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		good := pkixtest.PEM(w.pki.root.Cert)
		for _, page := range []string{certAddPath, certTestPath} {
			ada.upload(page, url.Values{"paste": {""}}, nil).want(http.StatusBadRequest, "There is nothing to")
			ada.upload(page, nil, map[string][]byte{"a.pem": good, "b.pem": []byte("hello")}).want(http.StatusBadRequest, "b.pem:")
			secret := "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
			r := ada.upload(page, url.Values{"paste": {secret}}, nil).want(http.StatusBadRequest, "There is a private key in the file.")
			if strings.Contains(r.body, "BEGIN PRIVATE KEY") {
				t.Error("the private key is on the page")
			}
			r = ada.upload(page, url.Values{"paste": {"nothing of that kind"}}, nil).want(http.StatusBadRequest)
			if !strings.Contains(r.body, "nothing of that kind") {
				t.Error("what was typed is gone")
			}
		}
		ada.post(certAddPath, url.Values{"paste": {encoded(w.pki.root.Cert)}}).want(http.StatusOK, "1 certificate in what you sent")
		if len(w.stored()) != 0 {
			t.Error("something was stored")
		}
	})
}

// TestSec_CBA_LargeFormsNeedARole: nobody else makes the console read a large
// body.
func TestSec_CBA_LargeFormsNeedARole(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, b := range map[string]*browser{"nobody": {w: w}, "no role": w.signedIn(w.Bob)} {
			body := &counter{left: 1 << 20}
			r := httptest.NewRequest(http.MethodPost, origin+certAddPath, body)
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			for _, c := range b.cookies {
				r.AddCookie(c)
			}
			rec := httptest.NewRecorder()
			web.Chain(w.mux, web.Identify(nil)).ServeHTTP(rec, r)
			if rec.Header().Get("X-Page") != "error no_session" || body.read > 0 {
				t.Errorf("%s: %s, and %d bytes were read", name, rec.Header().Get("X-Page"), body.read)
			}
		}
		ada := w.signedIn(w.Ada)
		if got := ada.upload(certAddPath, nil, map[string][]byte{"x": make([]byte, trust.MaxUpload+1)}); got.page != "error body_too_large" {
			t.Errorf("too large: %d %s", got.status, got.page)
		}
	})
}

// counter is a body that counts what is read of it.
type counter struct{ left, read int }

func (c *counter) Read(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.read, c.left = c.read+n, c.left-n
	return n, nil
}

// TestOneCA: its list is fetched, fails in words, and is over; addresses that
// cannot be are told at their field; a version that is old is refused.
func TestOneCA(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		_, card := w.added()
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			p.Switch(policy.Certificate, true)
		})
		w.wallet.seen(w.Bob, "b1", w.Now(), w.pki.card, w.pki.root)
		path := certPath(card.ID)
		ada.get(path).want(http.StatusOK, "Not fetched yet", "1 person was seen", w.Bob.DisplayName)
		ada.get("/admin").want(http.StatusOK, "1 person cannot use their badge: Nordhafen Cards")
		if r := ada.post(path+"/fetch", nil); r.to != path+"?done=list-fetched" {
			t.Fatalf("fetched: %d %q %s", r.status, r.to, r.page)
		}
		ada.get(path+"?done=list-fetched").want(http.StatusOK, "The list was fetched.", "Good until", "0 taken back", "percent of its life is over")
		if body := ada.get("/admin").want(http.StatusOK).body; strings.Contains(body, "badge: Nordhafen Cards") {
			t.Error("the overview tells of a list that is good")
		}
		w.pki.breaks(true)
		if r := ada.post(path+"/fetch", nil); r.to != path {
			t.Fatalf("not fetched: %d %q", r.status, r.to)
		}
		ada.get(path).want(http.StatusOK, "Good until", "went wrong")
		w.Advance(7*day - 3*time.Hour)
		ada = w.signedIn(w.Ada)
		ada.get(certsPath).want(http.StatusOK, "Ends ")
		ada.get("/admin").want(http.StatusOK, "1 person cannot use their badge soon: Nordhafen Cards")
		w.Advance(4 * time.Hour)
		ada = w.signedIn(w.Ada)
		ada.get(certsPath).want(http.StatusOK, "Over since", "its certificates are refused")
		ada.get("/admin").want(http.StatusOK, "1 person cannot use their badge: Nordhafen Cards")
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Certificate.StaleFor = 8 * time.Hour })
		ada.get(path).want(http.StatusOK, "and believed until")

		form := url.Values{"version": {"1"}, "name": {"Cards"}, "crl": {"ftp://x.example/"}, "delta": {"http://x.example/d"}, "ocsp": {""}, "enabled": {"1"}}
		ada.post(path+"/save", form).want(http.StatusBadRequest, `id="crl-err"`, "none that can be fetched", `value="http://x.example/d"`)
		form.Set("crl", w.pki.crl())
		form.Set("delta", "")
		if r := ada.post(path+"/save", form); r.to != path+"?done=authority-saved" {
			t.Fatalf("saved: %d %q %.400s", r.status, r.to, r.body)
		}
		ada.post(path+"/save", form).want(http.StatusConflict, "was changed meanwhile")
		form.Set("version", "2")
		form.Del("enabled")
		ada.post(path+"/save", form)
		ada.get(path).want(http.StatusOK, "This CA is switched off.")
		if got := ada.post(path+"/save", url.Values{"version": {"x"}}); got.status != http.StatusBadRequest {
			t.Errorf("no version: %d", got.status)
		}
	})
}

// TestCAGoes: who depends on it, and who has nothing else, is told before; it
// can be put back.
func TestCAGoes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		root, card := w.added()
		w.wallet.seen(w.Bob, "b1", w.Now(), w.pki.card, w.pki.root)
		w.wallet.seen(w.hedda, "b2", w.Now(), w.pki.card, w.pki.root) // and nothing else
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Switch(policy.Certificate, true) })
		ada.get(certPath(root.ID)+"/ask").want(http.StatusOK, "2 people were seen with a certificate below it", "1 CA of the trust store is below it", ">Hedda<")
		ada.get(certPath(card.ID)+"/ask").want(http.StatusOK, "Remove Nordhafen Cards?", ">Hedda<")
		if r := ada.post(certPath(card.ID)+"/remove", nil); r.to != certsPath+"?done=authority-removed" {
			t.Fatalf("removed: %d %q", r.status, r.to)
		}
		if got := w.stored(); !slices.Equal(got, []string{"Nordhafen Root"}) {
			t.Errorf("stored: %q", got)
		}
		for _, what := range []string{"", "/ask"} {
			if got := ada.get(certPath(card.ID) + what); got.status != http.StatusNotFound {
				t.Errorf("%s of a CA that is gone: %d", what, got.status)
			}
		}
		ada.get(certsPath).want(http.StatusOK, "It can be put back until")
		if r := ada.post(certPath(card.ID)+"/restore", nil); r.to != certPath(card.ID)+"?done=authority-restored" {
			t.Fatalf("put back: %d %q", r.status, r.to)
		}
		if got := w.stored(); len(got) != 2 {
			t.Errorf("stored: %q", got)
		}
		if got := ada.get(certPath("00000000-0000-4000-8000-000000000000")); got.status != http.StatusNotFound {
			t.Errorf("no such CA: %d", got.status)
		}
		hedda := w.signedIn(w.hedda)
		if body := hedda.get(certPath(card.ID)).want(http.StatusOK).body; strings.Contains(body, "save-authority") || strings.Contains(body, "/fetch") {
			t.Error("the help desk is offered to change a CA")
		}
	})
}

// TestTester: the certificate that is no CA's goes first, and the answer is told
// straight down, stopping at the first failure.
func TestTester(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hedda := w.signedIn(w.hedda)
		_, card := w.added()
		leaf := w.pki.card.Leaf(pkixtest.ECKey(t).Public(), "bob", w.Bob.Name, w.Now())
		value := func(pairs ...string) (out []certificate.Value) {
			for i := 0; i < len(pairs); i += 2 {
				out = append(out, certificate.Value{Key: pairs[i], Text: pairs[i+1]})
			}
			return out
		}
		steps := []certificate.Step{
			{Key: certificate.StepPath, Outcome: certificate.Passed, Values: value("chain", "CN=bob", "chain", "CN=Cards", "authority", "Nordhafen Cards", "policies", "1.2.3")},
			{Key: certificate.StepTime, Outcome: certificate.Passed, Values: value("notBefore", "2026-03-01T00:00:00Z", "notAfter", "2027-03-01T00:00:00Z")},
			{Key: certificate.StepRevocation, Outcome: certificate.Passed, Values: value("certificate", "CN=bob", "by", "crl", "authority", string(card.ID), "thisUpdate", "2026-03-01T00:00:00Z")},
			{Key: certificate.StepRevocation, Outcome: certificate.Passed, Values: value("certificate", "CN=Cards", "by", "unchecked", "authority", "x")},
			{Key: certificate.StepLevel, Outcome: certificate.Passed, Values: value("mode", string(idp.ModeCertificateMulti), "rule", "certificate.levels[1]", "affinity", "high")},
			{Key: certificate.StepBinding, Outcome: certificate.Skipped, Reason: "too_weak", Values: value("field", "PrincipalName", "property", "userPrincipalName", "priority", "1")},
			{Key: certificate.StepBinding, Outcome: certificate.Passed, Values: value("field", "SubjectKeyIdentifier", "property", "certificateUserIds", "priority", "2", "value", "X509:<SKI>ab")},
			{Key: certificate.StepPerson, Outcome: certificate.Passed, Values: value("displayName", "Bob", "userPrincipalName", w.Bob.Name)},
			{Key: certificate.StepBar, Outcome: certificate.Passed},
			{Key: certificate.StepPolicy, Outcome: certificate.Passed},
		}
		w.pki.answer = certificate.Explained{Steps: steps, Good: true, User: w.Bob, Mode: idp.ModeCertificateMulti, UserIDs: []string{"X509:<SR>"}, Certificate: certificate.Summary{Subject: "CN=bob", Names: value("principalName", w.Bob.Name)}}
		files := map[string][]byte{"all.pem": pkixtest.PEM(w.pki.root.Cert, w.pki.card.Cert, leaf)}
		hedda.upload(certTestPath, nil, files).want(http.StatusOK, `data-verdict="good"`, "Would sign in as "+w.Bob.DisplayName+", counts as multifactor.",
			"It leads to a root that you trust.", "is not on the list of Nordhafen Cards", "your rules let it pass unchecked", "Counts as two factors, by Rule 2 on what certificates count for.",
			"Certificate ids that fit it", "X509:&lt;SR&gt;", "Passed over: high affinity is asked for", "X509:&lt;SKI&gt;ab", "Nothing keeps them from signing in with it.")
		if got := w.pki.explained; len(got) != 1 || len(got[0]) != 3 || !got[0][0].Equal(leaf) {
			t.Errorf("asked about %d chains", len(got))
		}
		// T47: what a stranger has written into a name shows what is in it.
		turned := steps[0]
		turned.Values = value("chain", "CN=\u202ebob\u200b<script>")
		w.pki.answer.Steps = append([]certificate.Step{turned}, steps[1:]...)
		w.pki.answer.Certificate.Subject = "CN=\u202ebob"
		if r := hedda.upload(certTestPath, nil, files).want(http.StatusOK, `CN=\u{202e}bob`); strings.ContainsAny(r.body, "\u202e\u200b") || strings.Contains(r.body, "bob<script") {
			t.Error("a certificate turns the text of the page around, or writes into it")
		}
		bad := slices.Clone(steps[:4])
		bad[2].Outcome, bad[2].Reason, bad[2].Values = certificate.Failed, "certificate_revoked", value("certificate", "CN=bob", "detail", "path: revoked: on list 7")
		bad = append(bad[:3], steps[4:]...)
		w.pki.answer = certificate.Explained{Steps: bad, Reason: "certificate_revoked"}
		r := hedda.upload(certTestPath, nil, files).want(http.StatusOK, `data-verdict="bad"`, "Would not sign anybody in. It was taken back.", "on list 7", "What else is known")
		before, _, _ := strings.Cut(r.body, "What else is known")
		if strings.Contains(before, "Counts as two factors") {
			t.Error("the answer does not stop at the first failure")
		}
		if w.changes() != 0 || len(w.stored()) != 2 {
			t.Error("the tester has stored something")
		}
	})
}

// TestWhoseCertificatesAre: ids are added, refused in words at their field and
// taken away; so is the name on premises; a badge is taken and given back.
func TestWhoseCertificatesAre(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		bob := "/admin/people/" + string(w.Bob.ID)
		const id = "X509:<SKI>0f1e2d"
		ada.get(bob).want(http.StatusOK, "No certificate id is set.")
		if r := ada.post(bob+"/certificate-id", url.Values{"add": {id}}); r.status != http.StatusSeeOther {
			t.Fatalf("added: %d %s %.300s", r.status, r.page, r.body)
		}
		ada.get(bob).want(http.StatusOK, "X509:&lt;SKI&gt;0f1e2d")
		for typed, says := range map[string]string{
			"x509:<SKI>0f1e": "Letter case counts", "X509:<SKI>0F": "lower-case hex", "hello": "A value begins with one of", id: "stands there twice", "": "Write an id first.",
		} {
			ada.post(bob+"/certificate-id", url.Values{"add": {typed}}).want(http.StatusBadRequest, says, `id="certid-err"`)
		}
		me := "/admin/people/" + string(w.Ada.ID)
		ada.post(me+"/certificate-id", url.Values{"add": {id}}).want(http.StatusConflict, "Another user has")
		if r := ada.post(bob+"/certificate-id", url.Values{"drop": {id}}); r.status != http.StatusSeeOther {
			t.Errorf("taken away: %d %s", r.status, r.page)
		}
		if r := ada.post(bob+"/certificate-id", url.Values{"drop": {id}}); r.status != http.StatusNotFound {
			t.Errorf("taken away twice: %d %s", r.status, r.page)
		}
		ada.post(bob+"/on-premises", url.Values{"onPremises": {"no name"}}).want(http.StatusBadRequest, `id="onpremises-err"`, `value="no name"`)
		if r := ada.post(bob+"/on-premises", url.Values{"onPremises": {"bob@corp.local"}}); r.status != http.StatusSeeOther {
			t.Errorf("named: %d %.300s", r.status, r.body)
		}
		ada.get(bob).want(http.StatusOK, `value="bob@corp.local"`)

		w.wallet.seen(w.Bob, "b1", w.Now(), w.pki.card)
		ada.get(bob).want(http.StatusOK, "Badge b1", "issued by CN=Cards", "first seen")
		q := "?what=remove-method&method=certificate&credential=b1"
		ada.get(bob+"/ask"+q).want(http.StatusOK, "A new one is another one.")
		ada.post(bob+"/remove-method", url.Values{"method": {"certificate"}, "credential": {"b1"}})
		ada.get(bob).want(http.StatusOK, `data-barred="b1"`, "Give it back")
		hedda := w.signedIn(w.hedda)
		if body := hedda.get(bob).want(http.StatusOK, `data-barred="b1"`).body; strings.Contains(body, "lift-badge") || strings.Contains(body, "add-certid") {
			t.Error("the help desk is offered to change whose certificates are")
		}
		if r := ada.post(bob+"/lift-badge", url.Values{"credential": {"b1"}}); r.to != bob+"?done=lifted" {
			t.Errorf("given back: %d %q %s", r.status, r.to, r.page)
		}
		if body := ada.get(bob).want(http.StatusOK).body; strings.Contains(body, "data-barred") {
			t.Error("it is still taken")
		}
		if r := ada.post(bob+"/lift-badge", url.Values{"credential": {"b1"}}); r.status != http.StatusNotFound {
			t.Errorf("given back twice: %d", r.status)
		}
	})
}

// TestSignInByCertificateIsTold: the log says which certificate it was, which
// binding found its person and which rule said what it counts for.
func TestSignInByCertificateIsTold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		e := audit.Event{Tenant: w.Tenant.ID, Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, User: w.Bob.ID, Method: policy.Certificate, Detail: map[string]string{
			"certificateSubject": "O=Nordhafen,CN=bob", "certificateIssuer": "CN=Cards", "certificateSerial": "1f", "certificateThumbprint": "ABCD", "certificatePolicies": "1.2.3 1.2.4",
			"certificateBinding": "Certificate: PrincipalName; User Attribute: userPrincipalName; Rank: 1", "certificateAffinity": "low",
			"certificateLevel": "multiFactorAuthentication", "certificateRule": "certificate.levels[0]",
		}}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.Audit.Write(ctx, tx, e) })
		list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.SignIns, Limit: 1})
		if err != nil || len(list) != 1 {
			t.Fatal(err, len(list))
		}
		ada.get("/admin/log/"+string(list[0].ID)).want(http.StatusOK, "O=Nordhafen,CN=bob", "CN=Cards", ">1f<", "ABCD", "1.2.3", "Rank: 1", "Two factors", "Rule 1 on what certificates count for")
		e.Detail, e.Outcome, e.Activity, e.Reason = map[string]string{"certificateSubject": "CN=x<y"}, audit.Failure, "signin.certificate", "certificate_revoked"
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.Audit.Write(ctx, tx, e) })
		list, err = w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.SignIns, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		ada.get("/admin/log/"+string(list[0].ID)).want(http.StatusOK, "CN=x&lt;y", "It was taken back.")
	})
}
