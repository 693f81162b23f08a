package graph_test

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

const pkis = "/v1.0/directory/publicKeyInfrastructure/certificateBasedAuthConfigurations"

func encoded(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func TestAuthorities(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		at := w.ask(ada, "POST", pkis, map[string]any{"@odata.type": "#microsoft.graph.certificateBasedAuthPki", "displayName": "Cards"}).want(t, http.StatusCreated, "")
		one := pkis + "/" + at.body["id"].(string)
		if at.body["displayName"] != "Cards" || at.body["status"] != "succeeded" || at.Header().Get("Location") != base+one {
			t.Errorf("made %s", at.Body)
		}
		w.ask(ada, "PATCH", one, map[string]any{"displayName": "Badges"}).want(t, http.StatusNoContent, "")
		if got := w.ask(ada, "GET", one, nil).want(t, http.StatusOK, ""); got.body["displayName"] != "Badges" {
			t.Errorf("renamed %s", got.Body)
		}
		w.ask(ada, "PATCH", one, map[string]any{}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "displayName")
		w.ask(ada, "POST", pkis, map[string]any{"displayName": " "}).want(t, http.StatusBadRequest, "Request_BadRequest")

		root := pkixtest.Root(t, "Nordhafen Root", w.now, func(c *x509.Certificate) { c.AuthorityKeyId = c.SubjectKeyId })
		people := root.Sub("People", w.now)
		made := w.ask(ada, "POST", one+"/certificateAuthorities", map[string]any{
			"@odata.type": "#microsoft.graph.certificateAuthorityDetail", "displayName": "Root CA", "certificateAuthorityType": "root", "certificate": encoded(root.Cert.Raw),
			"certificateRevocationListUrl": "http://crl.nordhafen.example/root.crl", "deltaCertificateRevocationListUrl": nil, "isIssuerHintEnabled": true,
		}).want(t, http.StatusCreated, "")
		sum := sha1.Sum(root.Cert.Raw)
		for name, want := range map[string]any{
			"displayName": "Root CA", "certificateAuthorityType": "root", "certificate": encoded(root.Cert.Raw), "certificateRevocationListUrl": "http://crl.nordhafen.example/root.crl",
			"deltaCertificateRevocationListUrl": nil, "issuer": "O=Nordhafen,CN=Nordhafen Root", "issuerSubjectKeyIdentifier": fmt.Sprintf("%X", root.Cert.SubjectKeyId),
			"thumbprint": fmt.Sprintf("%X", sum), "isIssuerHintEnabled": true, "expirationDateTime": root.Cert.NotAfter.UTC().Format("2006-01-02T15:04:05Z"), "@signet.isEnabled": true,
		} {
			if made.body[name] != want {
				t.Errorf("%s is %v, want %v", name, made.body[name], want)
			}
		}
		ca := one + "/certificateAuthorities/" + made.body["id"].(string)
		if made.Header().Get("Location") != base+ca || made.body["@odata.etag"] != `W/"1"` {
			t.Errorf("at %s, %v", made.Header().Get("Location"), made.body["@odata.etag"])
		}
		w.ask(ada, "POST", one+"/certificateAuthorities", map[string]any{"certificate": encoded(root.Cert.Raw)}).want(t, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue")

		// Changed only by who has read what is there; null empties.
		w.ask(ada, "PATCH", ca, map[string]any{"certificateRevocationListUrl": nil, "certificateAuthorityType": "intermediate", "@signet.ocspUrl": "http://ocsp.nordhafen.example"}, "If-Match", `W/"1"`).want(t, http.StatusNoContent, "")
		got := w.ask(ada, "GET", ca, nil).want(t, http.StatusOK, "")
		if got.body["certificateRevocationListUrl"] != nil || got.body["certificateAuthorityType"] != "intermediate" || got.body["@signet.ocspUrl"] != "http://ocsp.nordhafen.example" ||
			got.body["displayName"] != "Root CA" || got.Header().Get("ETag") != `W/"2"` {
			t.Errorf("changed %s", got.Body)
		}
		w.ask(ada, "PATCH", ca, map[string]any{"displayName": "Late"}, "If-Match", `W/"1"`).want(t, http.StatusPreconditionFailed, "PreconditionFailed")
		w.ask(ada, "DELETE", ca, nil, "If-Match", `W/"1"`).want(t, http.StatusPreconditionFailed, "PreconditionFailed")
		w.ask(ada, "PATCH", ca, map[string]any{"certificate": encoded(root.Cert.Raw), "@signet.isEnabled": false}).want(t, http.StatusNoContent, "")
		for says, body := range map[string]map[string]any{
			"cannot be changed":   {"certificate": encoded(people.Cert.Raw)},
			"root or intermed":    {"certificateAuthorityType": "leaf"},
			"none that can be":    {"certificateRevocationListUrl": "ldap://dc"},
			"cannot be written":   {"thumbprint": "00"},
			"microsoft.graph.cer": {"@odata.type": "#microsoft.graph.user"},
			"cannot be a":         {"displayName": 1},
		} {
			w.ask(ada, "PATCH", ca, body).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
		}

		w.ask(ada, "DELETE", ca, nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "GET", ca, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "PATCH", ca, map[string]any{"displayName": "Gone"}).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		gone := w.ask(ada, "GET", "/v1.0/directory/deletedItems/microsoft.graph.certificateAuthorityDetail", nil).want(t, http.StatusOK, "")
		if ids := gone.column(t, "id"); len(ids) != 1 || ids[0] != made.body["id"] {
			t.Errorf("removed %s", gone.Body)
		}
		back := w.ask(ada, "POST", "/v1.0/directory/deletedItems/"+strings.ToUpper(made.body["id"].(string))+"/restore", nil).want(t, http.StatusOK, "")
		if back.body["id"] != made.body["id"] || back.body["deletedDateTime"] != nil || back.body["@odata.type"] != "#microsoft.graph.certificateAuthorityDetail" {
			t.Errorf("restored %s", back.Body)
		}
		w.ask(ada, "POST", "/v1.0/directory/deletedItems/"+made.body["id"].(string)+"/restore", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "GET", ca, nil).want(t, http.StatusOK, "")

		// With its container everything in it goes.
		w.ask(ada, "DELETE", one, nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "GET", one+"/certificateAuthorities", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		if all := w.ask(ada, "GET", pkis, nil).want(t, http.StatusOK, "").column(t, "id"); len(all) != 0 {
			t.Errorf("containers %v", all)
		}
		w.told(t, "cert-authority.createContainer Badges", "cert-authority.add Root CA", "cert-authority.update Root CA", "cert-authority.remove Root CA", "cert-authority.restore Root CA", "cert-authority.removeContainer Badges")
	})
}

// told says that each of these is on record, with who did it.
func (w *world) told(t *testing.T, want ...string) {
	t.Helper()
	events, err := w.audit.List(t.Context(), w.db, w.tenant.ID, audit.Filter{Category: audit.Change})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		name := e.Detail["displayName"]
		if e.Activity == "cert-authority.createContainer" {
			name = "Badges" // it was called otherwise then
		}
		got = append(got, e.Activity+" "+name)
		if strings.HasPrefix(e.Activity, "cert-authority.") && e.Actor != string(w.ada.ID) {
			t.Errorf("%s by %q", e.Activity, e.Actor)
		}
	}
	for _, one := range want {
		if !slices.Contains(got, one) {
			t.Errorf("no record of %q in %q", one, got)
		}
	}
}

func TestAuthorityLists(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		one := pkis + "/" + w.ask(ada, "POST", pkis, map[string]any{"displayName": "Cards"}).body["id"].(string)
		beside := pkis + "/" + w.ask(ada, "POST", pkis, map[string]any{"displayName": "Beside"}).body["id"].(string)
		root := pkixtest.Root(t, "Root", w.now)
		low := []*pkixtest.Authority{root.Sub("A", w.now), root.Sub("B", w.now), root.Sub("C", w.now)}
		file := pkixtest.PEM(root.Cert, low[0].Cert, low[1].Cert, low[2].Cert)
		upload := func(at string, body map[string]any, status int, code string) answer {
			t.Helper()
			return w.ask(ada, "POST", at+"/upload", body).want(t, status, code)
		}
		upload(one, map[string]any{"uploadUrl": "https://files.example/x.p7b", "sha256FileHash": "00"}, http.StatusBadRequest, "Request_BadRequest").says(t, "@signet.file")
		upload(one, map[string]any{}, http.StatusBadRequest, "Request_BadRequest").says(t, "@signet.file")
		upload(one, map[string]any{"@signet.file": "!"}, http.StatusBadRequest, "Request_BadRequest").says(t, "base64")
		upload(one, map[string]any{"@signet.file": encoded([]byte("dust"))}, http.StatusBadRequest, "Request_BadRequest").says(t, "no certificate")
		upload(one, map[string]any{"@signet.file": encoded(file)}, http.StatusNoContent, "")
		upload(beside, map[string]any{"@signet.file": encoded(file)}, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue")
		list := one + "/certificateAuthorities"
		if got := w.ask(ada, "GET", list, nil).want(t, http.StatusOK, "").column(t, "displayName"); !slices.Equal(got, []string{"Root", "A", "B", "C"}) {
			t.Errorf("list %q", got)
		}
		if got := w.ask(ada, "GET", beside+"/certificateAuthorities", nil).want(t, http.StatusOK, "").column(t, "id"); len(got) != 0 {
			t.Errorf("beside %q", got)
		}
		// By pages, with properties chosen and counted.
		var seen []string
		for next := list + "?$top=2&$select=displayName&$count=true"; next != ""; {
			a := w.ask(ada, "GET", next, nil).want(t, http.StatusOK, "")
			if a.at(t, "value", 0, "id") == nil || a.body["@odata.count"] != 4.0 {
				t.Errorf("page %s", a.Body)
			}
			if first := a.at(t, "value", 0).(map[string]any); first["certificate"] != nil {
				t.Errorf("not chosen, and there: %v", first)
			}
			seen = append(seen, a.column(t, "displayName")...)
			next, _ = a.body["@odata.nextLink"].(string)
			next = strings.TrimPrefix(next, base)
		}
		if !slices.Equal(seen, []string{"Root", "A", "B", "C"}) {
			t.Errorf("walked %q", seen)
		}
		ski := fmt.Sprintf("%x", low[1].Cert.SubjectKeyId)
		for ask, want := range map[string]string{
			"certificateAuthorityType eq 'root'": "Root", "displayName eq 'a'": "A", "issuerSubjectKeyIdentifier eq '" + ski + "'": "B",
			"startswith(displayName,'C')": "C",
		} {
			got := w.ask(ada, "GET", list+"?$filter="+url.QueryEscape(ask), nil).want(t, http.StatusOK, "").column(t, "displayName")
			if !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %q", ask, got)
			}
		}
		// An authority is in one container only, and in one tenant.
		id := w.ask(ada, "GET", list, nil).column(t, "id")[0]
		w.ask(ada, "GET", beside+"/certificateAuthorities/"+id, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "DELETE", beside+"/certificateAuthorities/"+id, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		for _, bad := range []map[string]any{
			{"displayName": "No certificate"}, {"certificate": "!"}, {"certificate": encoded(pkixtest.PEM(low[0].Cert, low[1].Cert))},
			{"certificate": encoded(root.Leaf(root.Key.Public(), "Ada", "", w.now).Raw)},
		} {
			w.ask(ada, "POST", list, bad).want(t, http.StatusBadRequest, "Request_BadRequest")
		}
	})
}

// The flat list of older programs: read, emptied, and filled again.
func TestClassicAuthorities(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		at := "/v1.0/organization/" + string(w.tenant.ID) + "/certificateBasedAuthConfiguration"
		if got := w.ask(ada, "GET", at, nil).want(t, http.StatusOK, "").body["value"].([]any); len(got) != 0 {
			t.Errorf("of nothing: %v", got)
		}
		root := pkixtest.Root(t, "Root", w.now)
		low := root.Sub("Low", w.now)
		body := map[string]any{"certificateAuthorities": []any{
			map[string]any{"isRootAuthority": true, "certificate": encoded(root.Cert.Raw), "certificateRevocationListUrl": "http://crl.example/a", "deltaCertificateRevocationListUrl": nil},
			map[string]any{"isRootAuthority": false, "certificate": encoded(pkixtest.PEM(low.Cert)), "issuer": "x", "issuerSki": "y"},
		}}
		made := w.ask(ada, "POST", at, body).want(t, http.StatusCreated, "")
		one := at + "/" + made.body["id"].(string)
		if made.Header().Get("Location") != base+one {
			t.Errorf("at %s", made.Header().Get("Location"))
		}
		got := w.ask(ada, "GET", one, nil).want(t, http.StatusOK, "")
		if got.at(t, "certificateAuthorities", 0, "isRootAuthority") != true || got.at(t, "certificateAuthorities", 0, "certificateRevocationListUrl") != "http://crl.example/a" ||
			got.at(t, "certificateAuthorities", 1, "isRootAuthority") != false || got.at(t, "certificateAuthorities", 1, "issuerSki") != fmt.Sprintf("%X", low.Cert.SubjectKeyId) ||
			got.at(t, "certificateAuthorities", 1, "issuer") != "O=Nordhafen,CN=Root" {
			t.Errorf("read %s", got.Body)
		}
		w.ask(ada, "POST", at, body).want(t, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue")
		for _, bad := range []map[string]any{{}, {"certificateAuthorities": []any{}}, {"certificateAuthorities": []any{map[string]any{"isRootAuthority": true}}}} {
			w.ask(ada, "POST", at, bad).want(t, http.StatusBadRequest, "Request_BadRequest")
		}
		other := strings.Replace(at, string(w.tenant.ID), "00000000-0000-4000-8000-000000000000", 1)
		w.ask(ada, "GET", other, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "POST", other, map[string]any{"certificateAuthorities": []any{map[string]any{"certificate": encoded(pkixtest.Root(t, "X", w.now).Cert.Raw)}}}).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "GET", at+"/00000000-0000-4000-8000-000000000000", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "DELETE", at+"/00000000-0000-4000-8000-000000000000", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "DELETE", one, nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "GET", one, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		if gone, err := w.trust.Removed(t.Context(), w.db, w.tenant.ID); err != nil || len(gone) != 2 {
			t.Errorf("removed %d, %v", len(gone), err)
		}
		w.ask(ada, "POST", at, body).want(t, http.StatusCreated, "")
		w.told(t, "cert-authority.add Root", "cert-authority.remove Low")
	})
}

// A change that cannot be recorded does not happen (security.md CBA03, LOG03).
func TestSec_CBA03_NoChangeWithoutRecord(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		one := pkis + "/" + w.ask(ada, "POST", pkis, map[string]any{"displayName": "Cards"}).body["id"].(string)
		root := pkixtest.Root(t, "Root", w.now)
		ca := w.ask(ada, "POST", one+"/certificateAuthorities", map[string]any{"certificate": encoded(root.Cert.Raw)}).want(t, http.StatusCreated, "").body["id"].(string)
		if _, err := w.db.Exec(t.Context(), `alter table audit_event rename to audit_away`); err != nil {
			t.Fatal(err)
		}
		defer w.db.Exec(t.Context(), `alter table audit_away rename to audit_event`)
		for verb, body := range map[string]map[string]any{"PATCH": {"@signet.isEnabled": false}, "DELETE": nil} {
			if got := w.ask(ada, verb, one+"/certificateAuthorities/"+ca, body).Code; got < 500 {
				t.Errorf("%s: %d", verb, got)
			}
		}
		w.ask(ada, "POST", one+"/certificateAuthorities", map[string]any{"certificate": encoded(pkixtest.Root(t, "B", w.now).Cert.Raw)})
		all, err := w.trust.List(t.Context(), w.db, w.tenant.ID)
		if err != nil || len(all) != 1 || !all[0].Enabled || all[0].Version != 1 {
			t.Errorf("%d authorities, %v", len(all), err)
		}
	})
}
