package console

import (
	"context"
	"html/template"
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// Lists are the revocation lists of the tenant's CAs.
type Lists interface {
	States(context.Context, idp.TenantID) (map[idp.AuthorityID]ListState, error)
	// Fetch fetches the list of a CA at once. That it could not be fetched is no
	// error: States says so.
	Fetch(context.Context, idp.TenantID, idp.AuthorityID) error
}

// ListState is what is known of the list of a CA.
type ListState = listState

// lists are the states of all lists.
func (v *visit) lists(ctx context.Context) (map[idp.AuthorityID]listState, error) {
	if v.cfg.Lists == nil {
		return nil, nil
	}
	return v.cfg.Lists.States(ctx, v.tenant.ID)
}

// refresh fetches a list at once.
func (v *visit) refresh(ctx context.Context, id idp.AuthorityID) error {
	if v.cfg.Lists == nil {
		return nil
	}
	return v.cfg.Lists.Fetch(ctx, v.tenant.ID, id)
}

// mostLists is how many CAs the overview tells of, one by one.
const mostLists = 5

// listNeeds are the CAs whose list is over, ends soon or cannot be fetched, and
// those that end themselves.
func (v *visit) listNeeds(ctx context.Context, pg *page.Page, p policy.Policy) ([]need, error) {
	if v.cfg.Trust == nil || !p.Methods[policy.Certificate].On {
		return nil, nil
	}
	cas, err := v.authorities(ctx)
	if err != nil || len(cas) == 0 {
		return nil, err
	}
	lists, err := v.lists(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := v.badges(ctx)
	if err != nil {
		return nil, err
	}
	var out []need
	for _, a := range cas {
		if !a.Enabled {
			continue
		}
		n := len(seen.People[a.Key()])
		l := lists[a.ID]
		if one, ok := listNeed(pg, v.listOf(pg, a, l, &p.Certificate), l, n, a.Name); ok {
			one.Href = certPath(a.ID)
			out = append(out, one)
		}
		if state, text := v.endOf(pg, a); state != "" {
			out = append(out, need{state, "badge", pg.T("need.ca", "name", a.Name), pg.N("need.ca.text", n, "ends", text), page.When(a.Cert.NotAfter, ""), certPath(a.ID), pg.T("need.ca.verb")})
		}
	}
	slices.SortStableFunc(out, func(a, b need) int { return urgency(a.Kind) - urgency(b.Kind) })
	if rest := len(out) - mostLists; rest > 0 {
		out = append(out[:mostLists], need{out[mostLists].Kind, "badge", pg.N("need.list.more", rest), pg.T("need.list.more.text"), "", certsPath, pg.T("need.list.more.verb")})
	}
	return out, nil
}

// listNeed tells of one list, when there is something to tell.
func listNeed(pg *page.Page, list revocationView, l listState, people int, name string) (need, bool) {
	if list.State == "good" {
		return need{}, false
	}
	why := list.Text
	if list.Failure != "" {
		why = template.HTML(string(why) + " " + string(list.Failure))
	}
	one := need{Kind: list.State, Icon: "badge", Text: why, Verb: pg.T("need.list.verb")}
	switch {
	case list.Fetch == "" && list.State == "warn": // what nobody checks was decided, and stands in the rules
		return need{}, false
	case list.State == "bad":
		one.Title = pg.N("need.list.refused", people, "name", name)
	default:
		one.Title = pg.N("need.list.soon", people, "name", name)
	}
	if !l.NextUpdate.IsZero() {
		one.Since = page.When(l.NextUpdate, "")
	}
	return one, true
}
