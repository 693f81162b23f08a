package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/trust"
)

// Policies as one file: a tenant's policies leave as YAML, come back changed,
// are looked at, and saved as a whole or not at all.

type exportView struct {
	Tenant  idp.TenantID `json:"tenantId"`
	Version int64        `json:"version"`
	Changed string       `json:"changed,omitempty"` // when that version was saved; empty: never was one
	Policy  string       `json:"policy"`            // the file
}

// exportPolicy writes the file, with a header that says what it is.
func exportPolicy(ctx context.Context, c *call, _ inTenant) (any, error) {
	p, err := c.Policies.Load(ctx, c.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	form, err := policy.Format(p)
	if err != nil {
		return nil, err
	}
	view := exportView{Tenant: c.tenant.ID, Version: p.Version, Policy: c.header(p.Version) + string(form)}
	if !p.Changed.IsZero() {
		view.Changed = stamp(p.Changed)
	}
	return view, nil
}

func (c *call) header(version int64) string {
	return fmt.Sprintf(`# The policies of %s (%s), exported from Signet at %s.
#
# See what a change would do:  signet admin policy plan FILE
# Save it:                     signet admin policy apply FILE
#
# What this file leaves out gets the value that new tenants have. The next two
# lines keep a change that somebody saved meanwhile from being undone: leave them.
# tenant: %s
# version: %d

`, audit.Clean(c.tenant.Name, 100), audit.Clean(c.tenant.Domain, 253), stamp(c.Now()), c.tenant.ID, version)
}

// origin is what the header of a file says of where it came from.
type origin struct {
	tenant  idp.TenantID
	version int64
	known   bool // there is such a header
}

var stamped = regexp.MustCompile(`(?m)^# tenant: ([0-9a-f-]{36})[ \t\r]*\n# version: ([0-9]{1,18})[ \t\r]*$`)

// originOf reads the header: the comment that a file begins with.
func originOf(form string) origin {
	head := len(form)
	for at := 0; at < len(form); {
		line, _, _ := strings.Cut(form[at:], "\n")
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' && text != "---" {
			head = at
			break
		}
		at += len(line) + 1
	}
	found := stamped.FindStringSubmatch(form[:head])
	if found == nil {
		return origin{}
	}
	version, err := strconv.ParseInt(found[2], 10, 64)
	return origin{idp.TenantID(found[1]), version, err == nil}
}

// fileParams are a file that somebody would have as the tenant's policies.
type fileParams struct {
	inTenant
	Policy string `json:"policy"`
	// IfVersion is the version that the file is made for; nil: the one of
	// its header, if it has one.
	IfVersion *int64 `json:"ifVersion"`
}

// proposal is a file that was read, beside what it would replace.
type proposal struct {
	old, next policy.Policy
	changes   []policy.Difference
}

// propose reads the file. Invalid names everything that is wrong with it.
func (c *call) propose(ctx context.Context, p fileParams) (proposal, error) {
	models, err := c.modelNames(ctx)
	if err != nil {
		return proposal{}, err
	}
	next, err := policy.Parse([]byte(p.Policy), models)
	if err != nil {
		return proposal{}, err
	}
	old, err := c.Policies.Load(ctx, c.DB, c.tenant.ID)
	if err != nil {
		return proposal{}, err
	}
	all, err := policy.Differences(old, next)
	if err != nil {
		return proposal{}, err
	}
	// A list without members is no list.
	all = slices.DeleteFunc(all, func(d policy.Difference) bool { return nothing(d.Old) && nothing(d.New) })
	return proposal{old: old, next: next, changes: all}, nil
}

func nothing(value string) bool { return value == "" || value == "null" || value == "[]" }

// modelNames are the key models that are known, for typing errors. Without
// metadata none is.
func (c *call) modelNames(ctx context.Context) (policy.Models, error) {
	if c.Metadata == nil {
		return nil, nil
	}
	if err := c.Metadata.Load(ctx); err != nil {
		return nil, err
	}
	return func() map[string]string {
		all := c.Metadata.Search("", 1<<20)
		names := make(map[string]string, len(all))
		for _, m := range all {
			names[m.AAGUID] = m.Name
		}
		return names
	}, nil
}

// current refuses a file that was made for other policies than there are: what
// somebody saved meanwhile would be undone. A file that changes nothing undoes
// nothing.
func (c *call) current(p fileParams, plan proposal) error {
	from, have := originOf(p.Policy), plan.old.Version
	again := fmt.Sprintf("Export again and make the change there; to have it as the file says all the same, add --if-version %d.", have)
	switch {
	case len(plan.changes) == 0, p.IfVersion != nil && *p.IfVersion == have, p.IfVersion == nil && !from.known:
		return nil
	case p.IfVersion != nil:
		return idp.Conflictf("policy_changed", "policy of version %d, want %d", have, *p.IfVersion).On("ifVersion").
			Say(fmt.Sprintf("The policies are of version %d now, not %d: they were changed meanwhile. Look at them again.", have, *p.IfVersion))
	case from.tenant != c.tenant.ID:
		return idp.Conflictf("policy_of_other_tenant", "exported from %s", from.tenant).
			Say(fmt.Sprintf("The file was exported from another tenant. To give this one the same policies, add --if-version %d.", have))
	case from.version != have:
		return idp.Conflictf("policy_changed", "policy of version %d, exported at %d", have, from.version).
			Say(fmt.Sprintf("The file was exported at version %d, and the policies are of version %d now: they were changed meanwhile. %s",
				from.version, have, again))
	}
	return nil
}

type planParams struct {
	fileParams
	Names int `json:"names"` // how many people each list names at most; 0: 10
}

// planView is what saving a file would do.
type planView struct {
	Tenant  idp.TenantID `json:"tenantId"`
	Version int64        `json:"version"` // that the plan is made for
	Changes []changeView `json:"changes"`
	// Names tells what the GUIDs in Changes are called: models, groups, people.
	Names map[string]string `json:"names,omitempty"`
	// Warnings are sentences about what may be a mistake and can be saved.
	Warnings []string     `json:"warnings,omitempty"`
	Preview  *previewView `json:"preview,omitempty"` // missing: nothing changes
	Refusal  *refusalView `json:"refusal,omitempty"` // why it could not be saved
}

// changeView is a place that changes. Values are as in the file; missing: not there.
type changeView struct {
	At  string          `json:"at"`
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

type refusalView struct {
	Reason   string `json:"reason"`
	Sentence string `json:"sentence"`
}

// planPolicy says what applyPolicy would do. It writes nothing.
func planPolicy(ctx context.Context, c *call, p planParams) (any, error) {
	if c.Preview == nil || c.CheckPolicy == nil {
		return nil, missing("previews")
	}
	if p.Names < 0 || p.Names > 1000 {
		return nil, idp.Invalidf("bad_names", "%d names", p.Names).On("names").Say("A plan names 1 to 1000 people.")
	}
	plan, err := c.propose(ctx, p.fileParams)
	if err != nil {
		return nil, err
	}
	view := planView{Tenant: c.tenant.ID, Version: plan.old.Version, Changes: viewChanges(plan.changes)}
	if view.Refusal, err = c.refusal(ctx, p.fileParams, plan); err != nil || len(plan.changes) == 0 {
		return view, err
	}
	if view.Names, err = c.named(ctx, plan); err != nil {
		return nil, err
	}
	view.Warnings = strangers(plan.changes, view.Names)
	unknown, err := c.unknownKeys(ctx, plan)
	if err != nil {
		return nil, err
	}
	view.Warnings = append(view.Warnings, unknown...)
	impact, err := c.Preview(ctx, c.tenant.ID, plan.next, policy.PreviewOptions{Names: cmp.Or(p.Names, 10), Progress: c.progress})
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	view.Preview = c.viewImpact(impact)
	return view, nil
}

// refusal asks beforehand what saving would be refused for; nil: nothing.
func (c *call) refusal(ctx context.Context, p fileParams, plan proposal) (*refusalView, error) {
	err := c.current(p, plan)
	if err == nil {
		err = c.CheckPolicy(ctx, c.tenant.ID, plan.old, plan.next)
	}
	if err == nil {
		return nil, nil
	}
	if e := idp.AsError(err); e.Kind == idp.Denied || e.Kind == idp.Conflict {
		return &refusalView{e.Reason, e.Public}, nil
	}
	return nil, err
}

func viewChanges(all []policy.Difference) []changeView {
	views := make([]changeView, len(all))
	for i, d := range all {
		views[i].At = d.At
		if d.Old != "" {
			views[i].Old = json.RawMessage(d.Old)
		}
		if d.New != "" {
			views[i].New = json.RawMessage(d.New)
		}
	}
	return views
}

var anyGUID = regexp.MustCompile(`"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"`)

// named finds what the GUIDs in a change are called. One that nobody has is
// left out: it may be a model that is not known yet.
func (c *call) named(ctx context.Context, plan proposal) (map[string]string, error) {
	names := make(map[string]string)
	for _, d := range plan.changes {
		for _, quoted := range anyGUID.FindAllString(d.Old+" "+d.New, -1) {
			id := strings.Trim(quoted, `"`)
			if _, done := names[id]; done {
				continue
			}
			name, err := c.nameOf(ctx, plan, id)
			if err != nil {
				return nil, err
			}
			if name != "" {
				names[id] = name
			}
		}
	}
	return names, nil
}

var anyTarget = regexp.MustCompile(`"(group|user)":("[^"]*")`)

// strangers are the groups and people that a change brings in and nobody is.
func strangers(changes []policy.Difference, names map[string]string) []string {
	var out []string
	add := func(what, quoted string) {
		id := strings.Trim(quoted, `"`)
		if say := fmt.Sprintf("There is no %s %s here.", what, audit.Clean(id, 64)); names[id] == "" && !slices.Contains(out, say) {
			out = append(out, say)
		}
	}
	for _, d := range changes {
		for _, t := range anyTarget.FindAllStringSubmatch(d.New, -1) {
			add(t[1], t[2])
		}
		for _, what := range []string{"group", "user"} {
			if strings.HasSuffix(d.At, "."+what) && d.New != "" {
				add(what, d.New)
			}
		}
	}
	return out
}

// unknownKeys are the authorities that a change to the rules on certificates
// names by a key that none here has: a typing error, or one that comes later.
func (c *call) unknownKeys(ctx context.Context, plan proposal) (out []string, err error) {
	if c.Authorities == nil || !slices.ContainsFunc(plan.changes, func(d policy.Difference) bool { return strings.HasPrefix(d.At, "certificate.") }) {
		return nil, nil
	}
	all, err := c.Authorities.List(ctx, c.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	named := slices.Clone(plan.next.Certificate.Unchecked)
	for _, s := range plan.next.Certificate.Scopes {
		named = append(named, s.Authority)
	}
	for _, l := range plan.next.Certificate.Levels {
		if l.Issuer != "" && !strings.Contains(l.Issuer, "=") { // a subject is a name, and no key
			named = append(named, l.Issuer)
		}
	}
	for _, key := range named {
		say := fmt.Sprintf("No certificate authority here has the key identifier %s.", audit.Clean(key, 64))
		if !slices.ContainsFunc(all, func(a trust.Authority) bool { return a.Key() == key }) && !slices.Contains(out, say) {
			out = append(out, say)
		}
	}
	return out, nil
}

func (c *call) nameOf(ctx context.Context, plan proposal, id string) (string, error) {
	for _, f := range slices.Concat(plan.next.Passkey.Profiles, plan.old.Passkey.Profiles) {
		if f.ID == id {
			return f.Name, nil
		}
	}
	if c.Metadata != nil {
		if name := c.Metadata.Name(id); name != "" {
			return name, nil
		}
	}
	g, err := c.Directory.Group(ctx, c.DB, c.tenant.ID, idp.GroupID(id))
	if err == nil || !errors.Is(err, idp.NotFound) {
		return g.Name, err
	}
	u, err := c.Directory.User(ctx, c.DB, c.tenant.ID, idp.UserID(id))
	if errors.Is(err, idp.NotFound) {
		return "", nil
	}
	return u.Name, err
}

// previewView is a policy.Impact.
type previewView struct {
	People   int          `json:"people"`
	Keys     int          `json:"keys"`
	Stops    int          `json:"keysThatStop"`
	Starts   int          `json:"keysThatStart"`
	Affected int          `json:"peopleWhoLoseKeys"`
	NoWayIn  int          `json:"peopleWithNoWayIn"`
	Reasons  []reasonView `json:"reasons"` // of keysThatStop, the most frequent first
	Lost     []lossView   `json:"lose"`    // the first ones; those with no way in before the others
	Regain   []lossView   `json:"regain"`
	// Narrowed are people whose phones fewer browsers could ask, OnlyPhone those
	// of them with nothing else, Narrow the first ones: those before the others.
	Narrowed  int          `json:"peopleWithFewerBrowsers"`
	OnlyPhone int          `json:"peopleWithOnlyAPhone"`
	Narrow    []narrowView `json:"fewerBrowsers"`
}

type narrowView struct {
	User        idp.UserID `json:"userId"`
	Name        string     `json:"userPrincipalName"`
	DisplayName string     `json:"displayName"`
}

type reasonView struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	Keys   int    `json:"keys"`
}

type lossView struct {
	User        idp.UserID    `json:"userId"`
	Name        string        `json:"userPrincipalName"`
	DisplayName string        `json:"displayName"`
	NoWayIn     bool          `json:"noWayIn"`
	Keys        []lostKeyView `json:"keys"`
}

type lostKeyView struct {
	ID     idp.CredentialID `json:"id"`
	Method idp.MethodID     `json:"method"`
	AAGUID string           `json:"aaguid,omitempty"`
	Model  string           `json:"model,omitempty"` // empty: not known
	Rule   string           `json:"rule"`
	Reason string           `json:"reason"`
}

func (c *call) viewImpact(i policy.Impact) *previewView {
	v := &previewView{
		People: i.People, Keys: i.Keys, Stops: i.Stops, Starts: i.Starts, Affected: i.Affected, NoWayIn: i.NoWayIn,
		Reasons: []reasonView{}, Lost: c.viewLosses(i.Lost), Regain: c.viewLosses(i.Regain),
		Narrowed: i.Narrowed, OnlyPhone: i.OnlyPhone, Narrow: []narrowView{},
	}
	for _, u := range i.Narrow {
		v.Narrow = append(v.Narrow, narrowView{u.ID, u.Name, u.DisplayName})
	}
	for why, n := range i.Reasons {
		v.Reasons = append(v.Reasons, reasonView{why.Rule, why.Reason, n})
	}
	slices.SortFunc(v.Reasons, func(a, b reasonView) int {
		return cmp.Or(b.Keys-a.Keys, strings.Compare(a.Rule, b.Rule), strings.Compare(a.Reason, b.Reason))
	})
	return v
}

func (c *call) viewLosses(all []policy.Loss) []lossView {
	views := make([]lossView, len(all))
	for i, l := range all {
		views[i] = lossView{User: l.User.ID, Name: l.User.Name, DisplayName: l.User.DisplayName, NoWayIn: l.NoWayIn}
		for _, k := range l.Keys {
			key := lostKeyView{ID: k.ID, Method: k.Method, AAGUID: k.Facts.AAGUID, Rule: k.Rule, Reason: k.Reason}
			if c.Metadata != nil {
				key.Model = c.Metadata.Name(key.AAGUID)
			}
			views[i].Keys = append(views[i].Keys, key)
		}
	}
	return views
}

type appliedView struct {
	Tenant  idp.TenantID `json:"tenantId"`
	Version int64        `json:"version"` // as it is now
	Changes int          `json:"changes"`
}

// applyPolicy saves the file as a whole, or nothing of it. A file that changes
// nothing is not saved.
func applyPolicy(ctx context.Context, c *call, p fileParams) (any, error) {
	plan, err := c.propose(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := c.current(p, plan); err != nil {
		return nil, err
	}
	if len(plan.changes) == 0 {
		return appliedView{c.tenant.ID, plan.old.Version, 0}, nil
	}
	saved, err := c.SavePolicy(ctx, c.tenant.ID, plan.old, plan.next, c.event())
	if err != nil {
		return nil, err
	}
	return appliedView{c.tenant.ID, saved.Version, len(plan.changes)}, nil
}
