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
