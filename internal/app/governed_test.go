package app_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
)

// TestMistypedModel: the command line names the model that was meant, by the
// names that the server has with no metadata at all.
func TestMistypedModel(t *testing.T) {
	s := newSite(t, nil)
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	set := func(value string) error {
		_, err := do(t.Context(), "policy.set", map[string]string{"name": "passkey.aaguids.list", "value": value}, nil)
		return err
	}
	for _, typed := range []string{"2fc0579f-8113-47ea-b116-bb5a8db9202b", "2fc0579f-8113-47ea-b116-bb5a8db9202"} {
		err := set(typed)
		if e := idp.AsError(err); !errors.Is(err, idp.Invalid) || !strings.Contains(e.Public, "2fc0579f-8113-47ea-b116-bb5a8db9202a (YubiKey 5 NFC)") {
			t.Errorf("%s: %v", typed, err)
		}
	}
	if err := set("2fc0579f-8113-47ea-b116-bb5a8db9202a"); err != nil {
		t.Errorf("what was meant: %v", err)
	}
}

// TestSnoozesGoWithTheUser: what somebody has put off is forgotten with them.
func TestSnoozesGoWithTheUser(t *testing.T) {
	s := newSite(t, nil)
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	for name, value := range map[string]string{"accessPass.appSignIn": "true", "campaign.on": "true"} {
		if _, err := do(t.Context(), "policy.set", map[string]string{"name": name, "value": value}, nil); err != nil {
			t.Fatal(err)
		}
	}
	bela := s.made.Users[1]
	user := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), bela.UserName))
	count := func() (n int) {
		t.Helper()
		if err := s.DB.QueryRow(t.Context(), `select count(*) from snooze where tenant_id = $1 and user_id = $2`, s.made.TenantID, user.ID).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	b := newBrowser(t, s.BaseURL())
	page := b.usePass(b.get(s.made.AppURL+"/login"), bela.UserName, bela.AccessPass)
	b.post(page, "/"+s.made.TenantID+"/signin/nudge", url.Values{"handle": {page.handle(t)}})
	if n := count(); n != 1 {
		t.Fatalf("%d snoozes after one", n)
	}
	if _, err := do(t.Context(), "user.delete", map[string]string{"user": bela.UserName}, nil); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d snoozes of somebody who is gone", n)
	}
}
