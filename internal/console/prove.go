package console

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// carried is what a flow of the console keeps: where it goes on, and the form
// that was sent when the gesture was missing.
type carried struct {
	Path string `json:"path"`
	Form string `json:"form,omitempty"` // urlencoded; empty: only a page
	Says string `json:"says,omitempty"` // key of what it does
}

// mostCarried is how large a form may be to come back after the gesture: the
// flow travels sealed in a hidden field.
const mostCarried = 24 << 10

func newFlow(t idp.TenantID, keep carried) (signin.Flow, error) {
	ask, err := json.Marshal(keep)
	if err != nil {
		return signin.Flow{}, err
	}
	// The name stands where pages say what comes after the sign-in.
	return signin.Flow{Tenant: t, Door: Door, Ask: ask, ClientName: "Signet console"}, nil
}

// prove asks for a new phishing-resistant gesture of the visitor. The form
// comes back afterwards.
func (v *visit) prove(says string) error {
	keep := carried{Path: local(v.r.URL.RequestURI()), Form: v.form.Encode(), Says: says}
	if len(keep.Form) > mostCarried {
		return idp.Unprovenf("fresh_proof_needed", "form of %d bytes cannot be kept", len(keep.Form)).Coded(policy.CodeStale).
			Say("Show first that it is still you: open the console in another tab and make any small change. Then go back and send this again; it is too long to be kept meanwhile.")
	}
	return v.gesture(keep)
}

// proveRoute is GET /admin/prove: a fresh gesture, then back.
func (c *Console) proveRoute(_ context.Context, v *visit) error {
	return v.gesture(carried{Path: local(v.r.URL.Query().Get("back"))})
}

// gesture asks the visitor, and nobody else, for a new phishing-resistant one.
func (v *visit) gesture(keep carried) error {
	f, err := newFlow(v.tenant.ID, keep)
	if err != nil {
		return err
	}
	f.ACR, f.Prompt, f.HintUser = []string{policy.ACRPhishingResistant}, []string{"login"}, v.user.ID
	step, err := v.cfg.Corridor.Next(v.r.Context(), f, &v.session, v.peer)
	if err != nil {
		return err
	}
	return v.cfg.SignIn(v.w, v.r, step.Flow, step)
}

// Resume goes on where a flow left the console.
func (c *Console) Resume(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	var keep carried
	if err := json.Unmarshal(f.Ask, &keep); err != nil {
		return fmt.Errorf("ask of flow %s: %w", f.ID, err)
	}
	c.pages.Keep(w, hereCookie, string(step.Session.ID))
	if keep.Form == "" {
		return web.SeeOther(w, r, local(keep.Path))
	}
	form, err := url.ParseQuery(keep.Form)
	if err != nil {
		return fmt.Errorf("form of flow %s: %w", f.ID, err)
	}
	return c.carryPage(w, r, step, keep, form)
}

// carryView asks once more before what was sent is done: a gesture says who it
// is, not that they still want it.
type carryView struct {
	Action string
	Says   template.HTML
	Fields []field
	Back   string
}

type field struct{ Name, Value string }

func (c *Console) carryPage(w http.ResponseWriter, r *http.Request, step signin.Step, keep carried, form url.Values) error {
	t, err := c.cfg.Directory.Tenant(r.Context(), step.Session.Tenant)
	if err != nil {
		return err
	}
	pg := c.pages.Begin(r, "carry", t, "", nil)
	action := local(keep.Path)
	path, _, _ := strings.Cut(action, "?")
	view := carryView{Action: action, Says: pg.T(keep.Says), Back: parent(path)}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			view.Fields = append(view.Fields, field{name, value})
		}
	}
	pg.Title, pg.V = pg.T("carry.title"), view
	return c.pages.Show(w, http.StatusOK, pg)
}
