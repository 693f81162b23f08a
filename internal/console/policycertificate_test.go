package console

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

const (
	caOne = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233"
	caTwo = "aa1e2d3c4b5a69788796a5b4c3d2e1f000112233"
)

// A form that was loaded and is sent back as it is changes nothing, whatever
// the rules are.
func TestCertificateDraftKeepsWhatItIsMadeOf(t *testing.T) {
	p := policy.Default()
	p.Certificate = policy.CertificateRules{
		Bindings: []policy.CertificateBinding{
			{Field: policy.FieldSubject, Property: policy.ByCertificateUserIDs, Priority: 7, Affinity: policy.LowAffinity},
			{Field: policy.FieldSubjectKeyIdentifier, Property: policy.ByCertificateUserIDs, Priority: 3, Affinity: policy.HighAffinity},
		},
		Mode: idp.ModeCertificateMulti, Affinity: policy.HighAffinity,
		Levels: []policy.CertificateLevel{{Issuer: caOne, Mode: idp.ModeCertificateMulti, Affinity: policy.HighAffinity}, {Policy: "1.2.3", Mode: idp.ModeCertificateSingle, Affinity: policy.HighAffinity}},
		Scopes: []policy.CertificateScope{
			{Authority: caTwo, Target: policy.Target{Group: "11111111-1111-4111-8111-111111111111"}}, {Authority: caOne, Target: policy.Target{All: true}},
			{Authority: caTwo, Target: policy.Target{Group: "00000000-0000-4000-8000-000000000000"}},
		},
		Unchecked: []string{caTwo, caOne}, StaleFor: 90 * time.Minute, Hints: true, Host: "certs.nordhafen.example", NoUsage: true, AnyUsage: true,
	}
	d := certificateDraftOf(p)
	sent := readCertificate(d.values())
	next, wrongs := sent.apply(p, nil)
	if len(wrongs) > 0 || !reflect.DeepEqual(next.Certificate, p.Certificate) {
		t.Errorf("%+v\nbecame %+v\n%v", p.Certificate, next.Certificate, wrongs)
	}
	empty := certificateDraftOf(policy.Default())
	if next, _ = empty.apply(policy.Default(), nil); !reflect.DeepEqual(next, policy.Default()) {
		t.Errorf("the default became %+v", next.Certificate)
	}
}

// Rows move, come and go by their buttons; what cannot be is at its row.
func TestRowsOfRules(t *testing.T) {
	fresh := certificateDraftOf(policy.Default())
	base := fresh.values()
	press := func(v url.Values, do string) certificateDraft {
		v = with(v, do)
		return readCertificate(v)
	}
	d := press(base, "binding-add")
	if len(d.Bindings) != 2 {
		t.Fatalf("%d bindings", len(d.Bindings))
	}
	d.Bindings[1] = bindingRow{"Subject", "certificateUserIds", "low"}
	if d = press(d.values(), "binding-up:1"); d.Bindings[0].Field != "Subject" {
		t.Errorf("moved: %+v", d.Bindings)
	}
	for _, do := range []string{"binding-up:0", "binding-down:1", "binding-up:9", "binding-drop:9", "binding-up:-1", "binding-down:x", "level-drop:0"} {
		if same := press(d.values(), do); !slices.Equal(same.Bindings, d.Bindings) || len(same.Levels) != 0 {
			t.Errorf("%s: %+v", do, same)
		}
	}
	next, wrongs := d.apply(policy.Default(), nil)
	if len(wrongs) > 0 || next.Certificate.Bindings[0].Field != policy.FieldSubject || next.Certificate.Bindings[0].Priority != 1 || next.Certificate.Bindings[1].Priority != 2 {
		t.Errorf("%+v, %v", next.Certificate.Bindings, wrongs)
	}
	d.Bindings[1] = bindingRow{"Subject", "userPrincipalName", "high"}
	d = press(d.values(), "level-add")
	_, wrongs = d.apply(policy.Default(), nil)
	at := map[string]bool{}
	for _, w := range wrongs {
		at[w.Field] = true
	}
	if !at["binding.1"] || !at["level.0"] || at["binding.0"] {
		t.Errorf("complaints: %+v", wrongs)
	}
	if d = press(d.values(), "binding-drop:1"); len(d.Bindings) != 1 {
		t.Errorf("dropped: %+v", d.Bindings)
	}
	if d = press(with(d.values(), "", "pair.scope", caOne), "scope-add"); !slices.Equal(d.ScopeFor, []string{caOne}) {
		t.Errorf("scopes: %+v", d.ScopeFor)
	}
	// More columns of one kind than of another leave the rest empty.
	if rows := rowsOf(url.Values{"a": {"1", "2"}, "b": {"x"}}, "a", "b"); len(rows) != 2 || rows[1][1] != "" {
		t.Errorf("rows: %q", rows)
	}
}

// TestRulesAboutCertificates: the form is saved; what opens something is asked
// about once more, and told before.
func TestRulesAboutCertificates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		root, card := w.added()
		page := ada.get(certRulesPath).want(http.StatusOK, "Whose a certificate is", "Principal name", "Has neither a list nor a responder")
		if strings.Contains(page.body, `value="`+card.Key()+`" checked`) {
			t.Error("a CA passes unchecked")
		}
		saved, err := w.Policies.Load(t.Context(), w.DB, w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		d := certificateDraftOf(saved)
		d.On, d.Include = true, []string{everybody}
		d.Levels = []levelRow{{card.Key(), "1.2.3", string(idp.ModeCertificateMulti), "low"}}
		d.ScopeFor, d.Scopes = []string{card.Key()}, map[string][]string{card.Key(): {groupPrefix + string(w.group.ID)}}
		ada.post(certRulesPath, with(d.values(), "check")).want(http.StatusOK, "Nordhafen Cards only for", "Night shift")
		if r := ada.post(certRulesPath+"/save", with(d.values(), "save")); r.to != certRulesPath+"?done=policy.saved" {
			t.Fatalf("saved: %d %q %.3000s", r.status, r.to, r.body)
		}
		p, err := w.Policies.Load(t.Context(), w.DB, w.Tenant.ID)
		if err != nil || len(p.Certificate.Levels) != 1 || len(p.Certificate.Scopes) != 1 || p.Certificate.Scopes[0].Group != w.group.ID {
			t.Fatalf("%+v, %v", p.Certificate, err)
		}
		ada.get(certPath(card.ID)).want(http.StatusOK, "Only for 1 group.")
		ada.get("/admin/methods").want(http.StatusOK, "1 rule on what counts")

		d = certificateDraftOf(p)
		d.Unchecked = []string{root.Key()}
		ada.post(certRulesPath, with(d.values(), "check", "part", "impact")).want(http.StatusOK, "Certificates of Nordhafen Root would be let in unchecked", "Save and open")
		ada.post(certRulesPath+"/save", with(d.values(), "save")).want(http.StatusOK, "Save, although it opens something?", "a lost badge could not be taken back")
		if p, _ = w.Policies.Load(t.Context(), w.DB, w.Tenant.ID); len(p.Certificate.Unchecked) != 0 {
			t.Fatal("saved before it was asked")
		}
		if r := ada.post(certRulesPath+"/save", with(d.values(), "save"+sure)); r.status != http.StatusSeeOther {
			t.Fatalf("saved: %d", r.status)
		}
		ada.get(certsPath).want(http.StatusOK, "Nobody checks its certificates, by your rules")
		ada.get(certRulesPath).want(http.StatusOK, "nobody can take it back")
		ada.post(certRulesPath+"/save", with(d.values(), "save")).want(http.StatusConflict)
	})
}
