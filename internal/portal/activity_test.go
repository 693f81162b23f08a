package portal

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
)

// TestDeedsInWords: whatever is on record about a person is told in words and
// never by its name in the record.
func TestDeedsInWords(t *testing.T) {
	p := bare(t)
	pg := p.newPage(httptest.NewRequest("GET", "/account", nil), "account", idp.Tenant{}, "", nil)
	for _, activity := range []string{
		"signin.done", "signin.refused", "signin.interrupted", "signout.done", "signout.everywhere", "session.end",
		"consent.allow", "consent.deny", "consent.revoke", "passkey.register", "passkey.rename", "passkey.remove", "accessPass.remove",
		"passkey.counter", "passkey.synced", "token.refresh_reuse",
		"phone.register", "phone.rename", "phone.remove", "phone.later", "phone.approved", "phone.denied", "phone.reported", "phone.wrong_number",
		"browser.forget", "phone.unblock",
		// by an administrator
		"user.create", "user.update", "user.disable", "user.enable", "user.setRole", "user.import", "user.revokeConsent",
		"group.addMember", "group.removeMember", "tap.issue", "session.revokeUser",
	} {
		for _, outcome := range []string{audit.Success, audit.Failure} {
			e := audit.Event{Activity: activity, Outcome: outcome, Category: audit.Change}
			if text := string(deed(pg, e, "Wiki", nil)); text == "" || strings.Contains(text, activity) {
				t.Errorf("%s, %s: told as %q", activity, outcome, text)
			}
			if !telling(e) {
				t.Errorf("%s is not told", activity)
			}
		}
	}
}

// TestDeedsToldOnce: what a phone has answered is a row of its own, and the
// sign-in that it ended is none beside it.
func TestDeedsToldOnce(t *testing.T) {
	for reason, want := range map[string]bool{
		"phone_denied": false, "phone_reported": false, "phone_wrong_number": false, "phone_late": true, "signature_wrong": true,
	} {
		if got := telling(audit.Event{Activity: "signin.refused", Outcome: audit.Failure, Category: audit.SignIn, Reason: reason}); got != want {
			t.Errorf("%s is told: %v", reason, got)
		}
	}
}
