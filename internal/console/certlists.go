package console

import (
	"context"
	"html/template"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/trust"
)

// listState is what is known of the lists of a CA. The zero value: nothing was
// fetched yet.
type listState struct {
	trust.ListState
	Delta *trust.ListState // nil: it has none
}

// lists are the states of all lists.
func (v *visit) lists(ctx context.Context) (map[idp.AuthorityID]listState, error) {
	all, err := v.cfg.Trust.States(ctx, v.tenant.ID)
	if err != nil {
		return nil, err
	}
	out := make(map[idp.AuthorityID]listState, len(all))
	for _, l := range all {
		one := out[l.Authority]
		if l.Kind == trust.Delta {
			one.Delta = &l
		} else {
			one.ListState = l
		}
		out[l.Authority] = one
	}
	return out, nil
}

// failure says why the last try failed, of the list or of its delta.
func (l listState) failure() (at time.Time, why string) {
	if l.Failure == "" && l.Delta != nil && l.Delta.Failure != "" {
		return l.Delta.Failed, l.Delta.Failure
	}
	return l.Failed, l.Failure
}

// ends is when the list is over, or its delta, if that is earlier: both must be
// good.
func (l listState) ends() time.Time {
	if l.Delta != nil && l.Delta.Number != "" && l.Delta.NextUpdate.Before(l.NextUpdate) {
		return l.Delta.NextUpdate
	}
	return l.NextUpdate
}

// soon says whether a list ends within a tenth of its life, or a day.
func (l listState) soon(now time.Time) bool {
	left := l.ends().Sub(now)
	return left > 0 && left <= min(day, l.ends().Sub(l.ThisUpdate)/10)
}

// refresh fetches the lists of a CA at once. That they could not be had is no
// error: the state says so, and why.
func (v *visit) refresh(ctx context.Context, id idp.AuthorityID) (had bool, err error) {
	_, err = v.cfg.Trust.Refresh(ctx, v.tenant.ID, id)
	if e := idp.AsError(err); err != nil && e != nil && (e.Kind == idp.Unavailable || e.Kind == idp.Invalid) {
		return false, nil
	}
	return err == nil, err
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
	if l.Number != "" {
		one.Since = page.When(l.ends(), "")
	}
	return one, true
}
