package graph

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
)

// The summaries of registrations (entra-behaviours.md §12.3), counted as of
// now in one pass over people and one over credentials.

var whoParams = []string{"includedUserTypes", "includedUserRoles"}

// counted says whom a summary is about.
type counted struct {
	types, roles string
}

func (c *call) counted() (counted, error) {
	who := counted{types: "all", roles: "all"}
	for name, values := range c.query.raw {
		var err error
		switch {
		case strings.EqualFold(name, whoParams[0]):
			who.types, err = word(name, values[0], "all", "member", "guest")
		case strings.EqualFold(name, whoParams[1]):
			who.roles, err = word(name, values[0], "all", "privilegedAdmin", "admin", "user")
		}
		if err != nil {
			return who, err
		}
	}
	return who, nil
}

// word reads a member of an enumeration in a parameter, with or without
// quotes.
func word(name, value string, all ...string) (string, error) {
	value = strings.Trim(value, "'")
	for _, w := range all {
		if strings.EqualFold(w, value) {
			return w, nil
		}
	}
	return "", badOption(name, "The parameter '"+clip(name)+"' has no member '"+clip(value)+"'. It is one of: "+strings.Join(all, "; ")+".")
}

func (w counted) includes(p directory.Person) bool {
	if w.types == "member" && p.Type == idp.Guest || w.types == "guest" && p.Type != idp.Guest {
		return false
	}
	switch w.roles {
	case "privilegedAdmin":
		return p.Role == directory.Administrator
	case "admin":
		return p.Role != ""
	case "user":
		return p.Role == ""
	}
	return true
}

// registrations is what a summary keeps of one person.
type registrations struct {
	person  idp.User
	words   []string
	capable bool
}

// registrations reads everybody whom a summary is about, with what they have.
func (c *call) registrations(ctx context.Context, who counted) (map[idp.UserID]*registrations, error) {
	rules, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := c.cfg.Corridor.Memberships(ctx, c.tenant.ID, rules.NamedGroups())
	if err != nil {
		return nil, err
	}
	all := make(map[idp.UserID]*registrations)
	for p, err := range c.cfg.Corridor.People(ctx, c.tenant.ID) {
		if err != nil {
			return nil, err
		}
		if who.includes(p) {
			all[p.ID] = &registrations{person: p.User}
		}
	}
	return all, c.cfg.Corridor.Walk(ctx, c.tenant.ID, func(cred method.Credential) error {
		r := all[cred.User]
		if r == nil {
			return nil
		}
		if w := registeredWord(cred); !slices.Contains(r.words, w) {
			r.words = append(r.words, w)
		}
		if cred.Bootstrap || r.capable || !r.person.Enabled {
			return nil
		}
		cred.Refusal = rules.Judge(policy.Who{User: r.person, Groups: policy.NewGroups(groups[cred.User])}, policy.Use, cred.Method, &cred.Facts).Refusal
		r.capable = cred.Usable()
		return nil
	})
}

func countByMethod(ctx context.Context, c *call) (any, error) {
	who, err := c.counted()
	if err != nil {
		return nil, err
	}
	all, err := c.registrations(ctx, who)
	if err != nil {
		return nil, err
	}
	n := map[string]int{"passKeyDeviceBound": 0, "passKeySynced": 0, "temporaryAccessPass": 0, "windowsHelloForBusiness": 0, "macOsSecureEnclaveKey": 0}
	for _, r := range all {
		for _, w := range r.words {
			n[w]++
		}
	}
	counts := []entity{}
	for _, w := range slices.Sorted(maps.Keys(n)) {
		counts = append(counts, entity{"authenticationMethod": w, "userCount": n[w]})
	}
	return who.summary(entity{"totalUserCount": len(all), "userRegistrationMethodCounts": counts}), nil
}

func countByFeature(ctx context.Context, c *call) (any, error) {
	who, err := c.counted()
	if err != nil {
		return nil, err
	}
	all, err := c.registrations(ctx, who)
	if err != nil {
		return nil, err
	}
	capable := 0
	for _, r := range all {
		if r.capable {
			capable++
		}
	}
	counts := []entity{}
	for _, feature := range []string{"ssprRegistered", "ssprEnabled", "ssprCapable"} { // there is no password to reset
		counts = append(counts, entity{"feature": feature, "userCount": 0})
	}
	for _, feature := range []string{"passwordlessCapable", "mfaCapable"} {
		counts = append(counts, entity{"feature": feature, "userCount": capable})
	}
	return who.summary(entity{"totalUserCount": len(all), "userRegistrationFeatureCounts": counts}), nil
}

func (w counted) summary(e entity) entity {
	e["userTypes"], e["userRoles"] = w.types, w.roles
	return e
}
