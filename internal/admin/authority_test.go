package admin_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/trust"
)

// several reads a list that an operation gave.
func (o *office) several(op string, in fields) []fields {
	o.t.Helper()
	raw, err := o.try(op, in)
	if err != nil {
		o.t.Fatalf("%s: %v", op, err)
	}
	var all []fields
	if err := json.Unmarshal(raw, &all); err != nil {
		o.t.Fatal(err)
	}
	return all
}

func file(text []byte) string { return base64.StdEncoding.EncodeToString(text) }

func TestAuthorities(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		a := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})["id"].(string)
		b := o.do("tenant.create", fields{"name": "B", "domain": "b.example"})["id"].(string)
		in := func(f fields) fields {
			f["tenant"] = "a.example"
			return f
		}
		root := pkixtest.Root(t, "Nordhafen Root", now)
		people := root.Sub("People", now)
		both := file(pkixtest.PEM(root.Cert, people.Cert))

		if all := o.several("cert-authority.add", in(fields{"file": both, "dryRun": true})); len(all) != 2 || all[0]["id"] != "" || all[0]["certificateAuthorityType"] != "root" {
			t.Errorf("dry run: %v", all)
		}
		if all := o.several("cert-authority.list", in(fields{})); len(all) != 0 {
			t.Errorf("a dry run added %v", all)
		}
		for reason, f := range map[string]fields{
			"several_certificates": {"file": both, "displayName": "Both"},
			"bad_type":             {"file": file(root.Cert.Raw), "certificateAuthorityType": "leaf"},
			"bad_authority":        {"file": file(root.Cert.Raw), "certificateRevocationListUrl": "ldap://x"},
			"upload_malformed":     {"file": file([]byte("dust"))},
			"not_a_ca":             {"file": file(root.Leaf(root.Key.Public(), "Ada", "", now).Raw)},
		} {
			_, err := o.try("cert-authority.add", in(f))
			if e := idp.AsError(err); e == nil || e.Reason != reason || e.Kind != idp.Invalid {
				t.Errorf("%s: %v", reason, err)
			}
		}
		made := o.several("cert-authority.add", in(fields{"file": both}))
		sum := sha1.Sum(people.Cert.Raw)
		one := made[1]
		if one["displayName"] != "People" || one["certificateAuthorityType"] != "intermediate" || one["isEnabled"] != true || one["issuer"] != "O=Nordhafen,CN=Nordhafen Root" ||
			one["subject"] != "O=Nordhafen,CN=People" || one["thumbprint"] != fmt.Sprintf("%X", sum) || one["subjectKeyIdentifier"] != fmt.Sprintf("%x", people.Cert.SubjectKeyId) {
			t.Errorf("made %v", one)
		}
		o.refused("cert-authority.add", in(fields{"file": both}), idp.Conflict)

		// By id, name, key and thumbprints, however those are written.
		for _, ref := range []any{one["id"], "PEOPLE", one["subjectKeyIdentifier"], one["thumbprintSha256"], strings.ToLower(fmt.Sprintf("% x", sum)), strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")} {
			if got := o.do("cert-authority.show", in(fields{"authority": ref})); got["id"] != one["id"] {
				t.Errorf("%q: %v", ref, got)
			}
		}
		for _, ref := range []string{"", "Nobody", b} {
			o.refused("cert-authority.show", in(fields{"authority": ref}), idp.NotFound)
		}
		o.refused("cert-authority.show", fields{"tenant": "b.example", "authority": one["id"]}, idp.NotFound)

		id := one["id"]
		got := o.do("cert-authority.update", in(fields{"authority": id, "displayName": "Badges", "certificateRevocationListUrl": "http://crl.example/p", "certificateAuthorityType": "root", "isIssuerHintEnabled": true}))
		if got["displayName"] != "Badges" || got["certificateRevocationListUrl"] != "http://crl.example/p" || got["certificateAuthorityType"] != "root" || got["isIssuerHintEnabled"] != true || got["version"] != 2.0 {
			t.Errorf("changed %v", got)
		}
		o.refused("cert-authority.update", in(fields{"authority": id, "certificateAuthorityType": "other"}), idp.Invalid)
		if got := o.do("cert-authority.disable", in(fields{"authority": id})); got["isEnabled"] != false {
			t.Errorf("disabled %v", got)
		}
		if got := o.do("cert-authority.enable", in(fields{"authority": id})); got["isEnabled"] != true {
			t.Errorf("enabled %v", got)
		}
		if got := o.do("cert-authority.remove", in(fields{"authority": id})); got["deletedDateTime"] == "" {
			t.Errorf("removed %v", got)
		}
		o.refused("cert-authority.show", in(fields{"authority": id}), idp.NotFound)
		if all := o.several("cert-authority.list", in(fields{"removed": true})); len(all) != 1 || all[0]["id"] != id {
			t.Errorf("removed ones %v", all)
		}
		if got := o.do("cert-authority.restore", in(fields{"authority": "badges"})); got["deletedDateTime"] != "" || got["id"] != id {
			t.Errorf("restored %v", got)
		}
		// Two of one name must be told apart.
		o.several("cert-authority.add", in(fields{"file": file(pkixtest.Root(t, "Badges", now).Cert.Raw)}))
		o.refused("cert-authority.show", in(fields{"authority": "Badges"}), idp.Invalid)

		// Each change has its record, and says what became of what.
		events, err := o.log.List(t.Context(), o.db, idp.TenantID(a), audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, e := range slices.Backward(events) {
			if name, ok := strings.CutPrefix(e.Activity, "cert-authority."); ok {
				told = append(told, name+" "+e.Detail["displayName"]+" "+e.Detail["enabled"])
				if e.Actor == "" || e.Detail["authority"] == "" || len(e.Detail["thumbprint"]) != 64 || e.Category != audit.Change {
					t.Errorf("event %+v", e)
				}
			}
		}
		want := []string{"add Nordhafen Root true", "add People true", "update Badges true", "disable Badges false", "enable Badges true", "remove Badges true", "restore Badges true", "add Badges true"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
	})
}

// What is larger than any file of certificates is refused and not read on.
func TestAuthorityTooLarge(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		o.refused("cert-authority.add", fields{"file": file(make([]byte, trust.MaxUpload+1))}, idp.Invalid)
	})
}

func TestAuthorityLists(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		root := pkixtest.Root(t, "Root", now)
		var list []byte
		host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if list == nil {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Write(list)
		}))
		defer host.Close()
		o.several("cert-authority.add", fields{"file": file(root.Cert.Raw)})
		if got := o.do("cert-authority.show", fields{"authority": "Root"}); got["listState"] != "none" || got["lists"] != nil {
			t.Errorf("without an address: %v", got)
		}
		o.refused("cert-authority.refresh", fields{"authority": "Root"}, idp.Invalid)
		o.do("cert-authority.update", fields{"authority": "Root", "certificateRevocationListUrl": host.URL + "/root.crl"})
		if got := o.do("cert-authority.show", fields{"authority": "Root"}); got["listState"] != "missing" {
			t.Errorf("never fetched: %v", got)
		}
		_, err := o.try("cert-authority.refresh", fields{"authority": "Root"})
		if e := idp.AsError(err); e == nil || e.Kind != idp.Unavailable || !strings.Contains(e.Public, "418") {
			t.Errorf("a host that is a teapot: %v", err)
		}
		list = root.CRL(now, 7, big.NewInt(99))
		got := o.do("cert-authority.refresh", fields{"authority": "Root"})
		lists, _ := got["lists"].([]any)
		if got["listState"] != "in_force" || len(lists) != 1 {
			t.Fatalf("fetched: %v", got)
		}
		one := lists[0].(map[string]any)
		if one["kind"] != "complete" || one["number"] != "7" || one["entries"] != 1.0 || one["failure"] != "" || one["nextUpdate"] == "" || one["url"] != host.URL+"/root.crl" {
			t.Errorf("list: %v", one)
		}
		list = nil
		if _, err := o.try("cert-authority.refresh", fields{"authority": "Root"}); !errors.Is(err, idp.Unavailable) {
			t.Errorf("gone again: %v", err)
		}
		if all := o.several("cert-authority.list", fields{}); all[0]["listState"] != "failing" {
			t.Errorf("listed: %v", all)
		}
		o.refused("cert-authority.refresh", fields{"authority": "Nobody"}, idp.NotFound)
	})
}
