package graph_test

import (
	"net/http"
	"testing"
)

// TestAttack3_HelpDeskSignsOutAdministrators: what the help desk may not do to
// administrators in the console it may not do over the API (ADM04).
func TestAttack3_HelpDeskSignsOutAdministrators(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for who, bearer := range map[string]string{"help desk": w.cli("helpdesk"), "person of the help desk": w.bearer(w.bob)} {
			t.Log(who)
			w.ask(bearer, "POST", "/v1.0/users/"+string(w.ada.ID)+"/revokeSignInSessions", nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		}
		w.ask(w.cli("helpdesk"), "POST", "/v1.0/users/"+string(w.eve.ID)+"/revokeSignInSessions", nil).want(t, http.StatusOK, "")
		w.ask(w.cli("administrator"), "POST", "/v1.0/users/"+string(w.ada.ID)+"/revokeSignInSessions", nil).want(t, http.StatusOK, "")
	})
}
