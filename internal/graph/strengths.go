package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
)

// Strengths have two addresses in Graph.
const (
	strengthRoot = "/identity/conditionalAccess/authenticationStrength"
	strengthList = "/policies/authenticationStrengthPolicies"
)

// strengthFields are what the list of strengths can be asked about.
var strengthFields = filter.Fields{
	"id":          {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
	"displayName": {Kind: filter.Text, Column: "displayName", Fold: strings.ToLower},
	"policyType":  {Kind: filter.Text, Column: "policyType", Words: map[string]any{"builtIn": "builtIn", "custom": "custom"}},
}

// inline are what is in a strength whether or not a client asks to expand it.
var inline = []string{"combinationConfigurations"}

func strengthOperations() []operation {
	look := read("Policy.Read.AuthenticationMethod", "Policy.Read.All", "Policy.ReadWrite.AuthenticationMethod", "Policy.ReadWrite.ConditionalAccess")
	change := write(admins, "Policy.ReadWrite.AuthenticationMethod", "Policy.ReadWrite.ConditionalAccess")
	root := strings.TrimPrefix(strengthRoot, "/")
	out := []operation{
		{"GET", strengthRoot, root, "What strengths can be made of", look, options{}, getStrengthRoot},
		{"GET", strengthRoot + "/combinations", "Collection(microsoft.graph.authenticationMethodModes)", "Combinations of methods that a strength can allow", look, options{}, listCombinations},
		{"GET", strengthRoot + "/authenticationMethodModes", root + "/authenticationMethodModes", "Methods that combinations are made of", look, options{}, listModes},
		{"GET", strengthRoot + "/authenticationMethodModes/{mode}", root + "/authenticationMethodModes", "One of them", look, options{}, getMode},
	}
	for _, at := range []string{strengthList, strengthRoot + "/policies"} {
		set := strings.TrimPrefix(at, "/")
		narrowings := set + "('{strength}')/combinationConfigurations"
		out = append(out,
			operation{"GET", at, set, "List strengths, the built-in ones first", look, options{fields: strengthFields, expand: inline}, listStrengths},
			operation{"POST", at, set, "Make a strength of one's own; a tenant has up to 15", change, options{}, createStrength},
			operation{"GET", at + "/{strength}", set, "One strength", look, options{expand: inline}, getStrength},
			operation{"PATCH", at + "/{strength}", "", "Change name and description; with If-Match only what was read", change, options{}, updateStrength},
			operation{"DELETE", at + "/{strength}", "", "Remove a strength that no application demands", change, options{}, deleteStrength},
			operation{"POST", at + "/{strength}/updateAllowedCombinations", "microsoft.graph.updateAllowedCombinationsResult",
				"Change the combinations that meet a strength", change, options{}, updateCombinations},
			operation{"GET", at + "/{strength}/usage", "microsoft.graph.authenticationStrengthUsage", "What demands a strength", look, options{}, getUsage},
			operation{"GET", at + "/{strength}/combinationConfigurations", narrowings, "What narrows the combinations of a strength", look, options{}, listNarrowings},
			operation{"POST", at + "/{strength}/combinationConfigurations", narrowings, "Narrow some of its combinations: models of keys, issuers of certificates", change, options{}, createNarrowing},
			operation{"GET", at + "/{strength}/combinationConfigurations/{id}", narrowings, "One of these", look, options{}, getNarrowing},
			operation{"PATCH", at + "/{strength}/combinationConfigurations/{id}", "", "Change it", change, options{}, updateNarrowing},
			operation{"DELETE", at + "/{strength}/combinationConfigurations/{id}", "", "Remove it", change, options{}, deleteNarrowing},
		)
	}
	return out
}

func getStrengthRoot(context.Context, *call) (any, error) {
	return entity{"combinations": combinations(), "authenticationMethodModes": modeEntities()}, nil
}

func listCombinations(context.Context, *call) (any, error) { return words(combinations()), nil }

func listModes(context.Context, *call) (any, error) { return list{items: modeEntities()}, nil }

func modeEntities() []entity {
	out := make([]entity, 0, len(policy.Modes))
	for _, m := range policy.Modes {
		out = append(out, modeEntity(m))
	}
	return out
}

func getMode(_ context.Context, c *call) (any, error) {
	id := c.r.PathValue("mode")
	m, err := readMode("id", id)
	if err != nil {
		return nil, missing(idp.NotFound, id)
	}
	return modeEntity(m), nil
}

func listStrengths(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	out := list{}
	for _, s := range p.Strengths {
		e := strengthEntity(s)
		has := func(column string) any {
			if column == "displayName" {
				return strings.ToLower(s.Name)
			}
			return e[column]
		}
		if c.query.where.Holds(has) {
			out.items = append(out.items, e)
		}
	}
	// The built-in ones by their ids, as Graph lists them.
	place := func(e entity) string {
		if e["policyType"] == "builtIn" {
			return e["id"].(string)
		}
		return "custom"
	}
	slices.SortStableFunc(out.items, func(a, b entity) int { return strings.Compare(place(a), place(b)) })
	return out, nil
}

// strengthIn finds the strength of the path in a policy, to be changed there.
func (c *call) strengthIn(p *policy.Policy) (*policy.Strength, error) {
	id := c.r.PathValue("strength")
	for i := range p.Strengths {
		if strings.EqualFold(p.Strengths[i].ID, id) {
			return &p.Strengths[i], nil
		}
	}
	return nil, missing(idp.NotFound, id)
}

func getStrength(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.strengthIn(&p)
	if err != nil {
		return nil, err
	}
	return tagged(strengthEntity(*s), p), nil
}

func tagged(e entity, p policy.Policy) entity {
	e["@odata.etag"] = tag(p)
	return e
}

func createStrength(ctx context.Context, c *call) (any, error) {
	raw, err := c.sent()
	if err != nil {
		return nil, err
	}
	s, err := newStrength(raw, secret.NewUUID4)
	if err != nil {
		return nil, err
	}
	saved, err := c.changePolicy(ctx, "strength.create", strengthPlace(s.ID), func(p *policy.Policy) error {
		p.Strengths = append(p.Strengths, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return created{tagged(strengthEntity(s), saved), c.op.path + "/" + s.ID}, nil
}

// changeStrength has edit change the strength of the path.
func (c *call) changeStrength(ctx context.Context, activity string, edit func(*policy.Policy, *policy.Strength) error) (policy.Policy, error) {
	return c.changePolicy(ctx, activity, strengthPlace(strings.ToLower(c.r.PathValue("strength"))), func(p *policy.Policy) error {
		old := p.Clone()
		s, err := c.strengthIn(p)
		if err != nil {
			return err
		}
		if s.BuiltIn() {
			return denied("built_in", "Built-in strengths cannot be changed or removed. Make one of your own.")
		}
		if err := edit(p, s); err != nil {
			return err
		}
		return c.demanded(ctx, old, *p)
	})
}

// demanded refuses a change after which an application demands a strength that
// is not there any more: nobody could sign in to it.
func (c *call) demanded(ctx context.Context, old, next policy.Policy) error {
	return c.applications(ctx, func(a client.Client) error {
		if _, was := old.Strength(a.ACR); !was {
			return nil
		}
		if _, is := next.Strength(a.ACR); is {
			return nil
		}
		return idp.Invalidf("strength_in_use", "application %s demands %s", a.ID, a.ACR).On("id").
			Say("The application '" + clip(a.Name) + "' demands this strength as '" + clip(a.ACR) + "'. Change the application first.")
	})
}

// applications calls fn with every application that demands a strength.
func (c *call) applications(ctx context.Context, fn func(client.Client) error) error {
	for after := ""; ; {
		some, next, err := c.cfg.Clients.Find(ctx, c.tenant.ID, filter.Expr{}, after, maxTop)
		if err != nil {
			return err
		}
		for _, a := range some {
			if a.ACR == "" {
				continue
			}
			if err := fn(a); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

func updateStrength(ctx context.Context, c *call) (any, error) {
	raw, err := c.sent()
	if err != nil {
		return nil, err
	}
	_, err = c.changeStrength(ctx, "strength.update", func(_ *policy.Policy, s *policy.Strength) error {
		changed, err := changedStrength(raw, *s)
		*s = changed
		return err
	})
	return nil, err
}

func deleteStrength(ctx context.Context, c *call) (any, error) {
	_, err := c.changeStrength(ctx, "strength.delete", func(p *policy.Policy, s *policy.Strength) error {
		id := s.ID
		p.Strengths = slices.DeleteFunc(p.Strengths, func(s policy.Strength) bool { return s.ID == id })
		return nil
	})
	return nil, err
}

func updateCombinations(ctx context.Context, c *call) (any, error) {
	var in struct {
		head
		Combinations *[]string `json:"allowedCombinations"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if in.Combinations == nil {
		return nil, required("allowedCombinations")
	}
	next, err := readCombinations("allowedCombinations", *in.Combinations)
	if err != nil {
		return nil, err
	}
	var before []string
	_, err = c.changeStrength(ctx, "strength.update", func(_ *policy.Policy, s *policy.Strength) error {
		before = combinationWords(s.Combinations)
		s.Combinations = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entity{
		"previousCombinations": before, "currentCombinations": combinationWords(next),
		"conditionalAccessReferences": []string{}, "additionalInformation": "",
	}, nil
}

// getUsage tells what demands a strength: applications, since there is no
// conditional access here.
func getUsage(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.strengthIn(&p)
	if err != nil {
		return nil, err
	}
	apps := []entity{}
	err = c.applications(ctx, func(a client.Client) error {
		if asked, ok := p.Strength(a.ACR); ok && asked.ID == s.ID {
			apps = append(apps, entity{"id": a.ID, "displayName": a.Name})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entity{"mfa": []entity{}, "none": []entity{}, "@signet.applications": apps}, nil
}

func listNarrowings(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.strengthIn(&p)
	if err != nil {
		return nil, err
	}
	out := list{}
	for _, g := range s.Configurations {
		out.items = append(out.items, narrowingEntity(g))
	}
	return out, nil
}

// narrowingIn finds the configuration of the path in its strength.
func (c *call) narrowingIn(s *policy.Strength) (*policy.Configuration, error) {
	id := c.r.PathValue("id")
	for i := range s.Configurations {
		if strings.EqualFold(s.Configurations[i].ID, id) {
			return &s.Configurations[i], nil
		}
	}
	return nil, missing(idp.NotFound, id)
}

func getNarrowing(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.strengthIn(&p)
	if err != nil {
		return nil, err
	}
	g, err := c.narrowingIn(s)
	if err != nil {
		return nil, err
	}
	return tagged(narrowingEntity(*g), p), nil
}

func createNarrowing(ctx context.Context, c *call) (any, error) {
	raw, err := c.sent()
	if err != nil {
		return nil, err
	}
	g, err := readNarrowing(raw, policy.Configuration{})
	if err != nil {
		return nil, err
	}
	g.ID = secret.NewUUID4()
	saved, err := c.changeStrength(ctx, "strength.update", func(_ *policy.Policy, s *policy.Strength) error {
		s.Configurations = append(s.Configurations, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	at := strings.Replace(c.op.path, "{strength}", strings.ToLower(c.r.PathValue("strength")), 1)
	return created{tagged(narrowingEntity(g), saved), at + "/" + g.ID}, nil
}

func updateNarrowing(ctx context.Context, c *call) (any, error) {
	raw, err := c.sent()
	if err != nil {
		return nil, err
	}
	_, err = c.changeStrength(ctx, "strength.update", func(_ *policy.Policy, s *policy.Strength) error {
		g, err := c.narrowingIn(s)
		if err != nil {
			return err
		}
		*g, err = readNarrowing(raw, *g)
		return err
	})
	return nil, err
}

func deleteNarrowing(ctx context.Context, c *call) (any, error) {
	_, err := c.changeStrength(ctx, "strength.update", func(_ *policy.Policy, s *policy.Strength) error {
		g, err := c.narrowingIn(s)
		if err != nil {
			return err
		}
		id := g.ID
		s.Configurations = slices.DeleteFunc(s.Configurations, func(g policy.Configuration) bool { return g.ID == id })
		if len(s.Configurations) == 0 {
			s.Configurations = nil
		}
		return nil
	})
	return nil, err
}
