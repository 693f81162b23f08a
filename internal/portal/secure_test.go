package portal

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/signin"
)

// TestSec_SES05_ChooseKeepsTheHint: of two people in one browser, a flow that is
// meant for one is not finished by the other's session, although its form can be
// sent with it.
func TestSec_SES05_ChooseKeepsTheHint(t *testing.T) {
	w := newWorld(t)
	ada, bela := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("bela@nordhafen.example", "Bela Varga")
	b := w.newBrowser()
	adas := b.firstDay(ada, "Blue key").field("session")
	w.later(time.Minute)
	b.keys = passkeytest.New("localhost", origin)
	w.flow = signin.Flow{ClientName: "Wiki", LeadsTo: "https://wiki.example", Prompt: []string{"select_account"}, HintUser: bela.ID}
	page := b.get("/"+string(w.tenant.ID)+"/app").want(t, 200)
	ended := len(w.ended)
	got := b.post("/"+string(w.tenant.ID)+"/signin/choose", url.Values{"handle": {page.field("handle")}, "session": {adas}})
	if got.StatusCode != http.StatusOK || len(w.ended) != ended {
		t.Errorf("a flow that is meant for Bela, with Ada's session: %d, %d ended", got.StatusCode, len(w.ended)-ended)
	}
	w.flow.HintUser = ada.ID
	page = b.get("/"+string(w.tenant.ID)+"/app").want(t, 200)
	if got := b.post("/"+string(w.tenant.ID)+"/signin/choose", url.Values{"handle": {page.field("handle")}, "session": {adas}}); got.StatusCode != http.StatusNoContent {
		t.Errorf("with the session of whom it is meant for: %d", got.StatusCode)
	}
}
