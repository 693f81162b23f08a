package graph_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
)

func TestPlainPath(t *testing.T) {
	for from, want := range map[string]string{
		"/v1.0/users": "/v1.0/users",
		"/v1.0/devices(deviceId='a')/registeredOwners":                                    "/v1.0/devices/a/registeredOwners",
		"/v1.0/devices('a')":                                                              "/v1.0/devices/a",
		"/v1.0/applications(appId='a b')":                                                 "/v1.0/applications/a b",
		"/beta/policies/x/authenticationMethodConfigurations('Fido2')":                    "/beta/policies/x/authenticationMethodConfigurations/Fido2",
		"/beta/users/u/authentication/fido2Methods/creationOptions()":                     "/beta/users/u/authentication/fido2Methods/creationOptions",
		"/beta/x/creationOptions(challengeTimeoutInMinutes=60)?a=b":                       "/beta/x/creationOptions?a=b&challengeTimeoutInMinutes=60",
		"/v1.0/x/usersRegisteredByMethod(includedUserTypes='all', includedUserRoles='&')": "/v1.0/x/usersRegisteredByMethod?includedUserRoles=%26&includedUserTypes=all",
		"/v1.0/authenticationMethodsPolicy/authenticationMethodConfigurations/sms":        "/v1.0/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/sms",
		"/v1.0/identity/conditionalAccess/authenticationStrengths/policies":               "/v1.0/identity/conditionalAccess/authenticationStrength/policies",
		"/v1.0/x('a/b')": "/v1.0/x('a/b')", "/v1.0/('a')": "/v1.0/('a')", "/v1.0/x('')": "/v1.0/x('')", "/v1.0/x/other(a=1)": "/v1.0/x/other(a=1)",
	} {
		path, query, _ := strings.Cut(from, "?")
		got := graph.PlainPath(&http.Request{URL: &url.URL{Path: path, RawQuery: query}})
		if to := strings.TrimSuffix(got.URL.Path+"?"+got.URL.RawQuery, "?"); to != want {
			t.Errorf("%s: %s, want %s", from, to, want)
		}
	}
}

// An address stays below its version, whatever is rewritten in it.
func FuzzPlainPath(f *testing.F) {
	for _, s := range []string{"/users('a')", "/applications(appId='a')/x", "/x/creationOptions(a=b,c='d')", "/authenticationMethodsPolicy/x", "/$batch()"} {
		f.Add(s, "a=b")
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		got := graph.PlainPath(&http.Request{URL: &url.URL{Path: "/v1.0" + path, RawQuery: query}})
		if !strings.HasPrefix(got.URL.Path, "/v1.0") {
			t.Fatalf("%q became %q", path, got.URL.Path)
		}
		if !strings.HasPrefix(got.URL.RawQuery, strings.Trim(query, "&")) && got.URL.RawQuery != query {
			t.Fatalf("%q became %q", query, got.URL.RawQuery)
		}
	})
}

func TestExpansions(t *testing.T) {
	got, err := graph.Expansions("owners,members($select=id, name)", "members", "owners")
	if want := map[string][]string{"owners": nil, "members": {"id", "name"}}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"members", "members($select=id,displayName),owners", "members(", ",", "members($select=)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := graph.Expansions(value, "members", "owners")
		if err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Fatal(err)
			}
			return
		}
		for name, selected := range got {
			if name != "members" && name != "owners" {
				t.Fatalf("%q expands %q", value, name)
			}
			for _, s := range selected {
				if s == "" || strings.ContainsAny(s, " ,()") && !strings.Contains(value, s) {
					t.Fatalf("%q selects %q", value, s)
				}
			}
		}
		if len(got) == 0 {
			t.Fatalf("%q expands nothing", value)
		}
	})
}
