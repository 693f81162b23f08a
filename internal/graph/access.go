package graph

import (
	"context"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// needs says who may do an operation. What it does not say is not allowed
// (security.md ADM02). A person needs one of the permissions, granted to the
// application they use, and one of the roles: the token is the intersection of
// both (ADM03). An application on its own needs one of the permissions. A token
// of the command line needs one of the roles.
type needs struct {
	permissions []string // by Graph's names, the least first
	roles       []Role
	// self are permissions with which people may do it to themselves, without
	// a role.
	self []string
	// owner says that it is the owner of the device in the path whom self is
	// about.
	owner bool
	// writes asks a person for a fresh phishing-resistant proof.
	writes bool
}

// freshness is how old the proof behind a change may be (decisions 6.1).
const freshness = 15 * time.Minute

// me says whether the request is about the caller: as "me", or by the id or the
// name of their own.
func (c *call) me() bool {
	if strings.HasPrefix(c.op.path, "/me") {
		return true
	}
	who := c.r.PathValue("user")
	return c.caller.user != "" && (strings.EqualFold(who, string(c.caller.user)) || strings.EqualFold(who, c.caller.name))
}

// may refuses who must not do the operation.
func (c *call) may(ctx context.Context) error {
	n, who := c.op.needs, c.caller
	switch {
	case strings.HasPrefix(c.op.path, "/me") && who.user == "":
		return denied("me_without_person", "/me request is only valid with delegated authentication flow.")
	case who.cli != "":
		if !who.holds(n.roles) {
			return denied("role_missing", "Insufficient privileges to complete the operation.")
		}
		return nil
	case who.user == "":
		if !who.has(n.permissions) {
			return denied("permission_missing", "Insufficient privileges to complete the operation.")
		}
		return nil
	}
	self := len(n.self) > 0 && (who.has(n.self) || who.has(n.permissions))
	if self && n.owner {
		owns, err := c.owns(ctx)
		if err != nil {
			return err
		}
		self = owns
	} else if self {
		self = c.me()
	}
	if !self && !(who.has(n.permissions) && who.holds(n.roles)) {
		return denied("role_or_permission_missing", "Insufficient privileges to complete the operation.")
	}
	if n.writes && !c.fresh() {
		return idp.Unprovenf("fresh_proof_needed", "proof of %s, acr %q", who.proven, who.acr).
			Say("This change needs a phishing-resistant sign-in that is at most 15 minutes old.").Coded(policy.CodeStale)
	}
	return nil
}

func (c *call) fresh() bool {
	strong := c.caller.acr == policy.ACRPhishingResistant || c.caller.acr == policy.ACRHardwareBound
	return strong && !c.caller.proven.Before(c.cfg.Now().Add(-freshness))
}

func denied(reason, says string) error { return idp.Deniedf(reason, "%s", says).Say(says) }
