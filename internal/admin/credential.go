package admin

import (
	"context"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

type passParams struct {
	inTenant
	User     string `json:"user"`
	Lifetime int    `json:"lifetimeInMinutes"`
	Length   int    `json:"length"`
	Once     *bool  `json:"isUsableOnce"`
}

// passView names fields as Graph does.
type passView struct {
	ID      idp.CredentialID `json:"id"`
	Code    string           `json:"temporaryAccessPass"`
	User    idp.UserID       `json:"userId"`
	Name    string           `json:"userPrincipalName"`
	Starts  string           `json:"startDateTime,omitempty"`
	Expires string           `json:"expires"`
	Once    bool             `json:"isUsableOnce"`
}

func issuePass(ctx context.Context, c *call, p passParams) (any, error) {
	if c.IssuePass == nil {
		return nil, missing("access passes")
	}
	if p.Lifetime < 0 || p.Lifetime > 30*24*60 {
		return nil, idp.Invalidf("bad_lifetime", "%d minutes", p.Lifetime).On("lifetimeInMinutes").Say("A pass lives 10 minutes to 30 days.")
	}
	if c.PreparePass != nil {
		if err := c.PreparePass(ctx, c.tenant.ID); err != nil {
			return nil, err
		}
	}
	ask := PassOptions{Lifetime: time.Duration(p.Lifetime) * time.Minute, Length: p.Length, Once: p.Once}
	var u idp.User
	var pass Pass
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if u, err = c.findUser(ctx, tx, p.User); err != nil {
			return err
		}
		if err := c.guard(ctx, tx, u); err != nil {
			return err
		}
		if pass, err = c.IssuePass(ctx, tx, u.Tenant, u.ID, ask); err != nil {
			return err
		}
		e.User, e.UserName, e.Method, e.Credential = u.ID, u.Name, policy.AccessPass, pass.ID
		e.Detail["expires"] = stamp(pass.Expires)
		return nil
	})
	if err != nil {
		return nil, err
	}
	view := passView{ID: pass.ID, Code: pass.Code, User: u.ID, Name: u.Name, Expires: stamp(pass.Expires), Once: pass.Once}
	if !pass.Starts.IsZero() {
		view.Starts = stamp(pass.Starts)
	}
	return view, nil
}

// Reader is the role of a token unless another is asked: it may look.
const Reader = "reader"

// tokenRoles are the roles a token may have.
var tokenRoles = []string{Reader, "helpdesk", "administrator"}

// tokenLife is how long a token for the administration API is good at most
// (decisions 6.1).
const tokenLife = 10 * time.Minute

type tokenParams struct {
	inTenant
	Role     string `json:"role"`
	Lifetime int    `json:"lifetimeInMinutes"`
}

func issueToken(ctx context.Context, c *call, p tokenParams) (any, error) {
	if c.MintToken == nil {
		return nil, missing("tokens")
	}
	if p.Role == "" {
		p.Role = Reader
	}
	if !slices.Contains(tokenRoles, p.Role) {
		return nil, idp.Invalidf("bad_role", "role %q", audit.Clean(p.Role, 50)).On("role").Say("role must be reader, helpdesk or administrator.")
	}
	life := tokenLife
	if p.Lifetime != 0 {
		life = time.Duration(p.Lifetime) * time.Minute
	}
	if life <= 0 || life > tokenLife || p.Lifetime > 10 {
		return nil, idp.Invalidf("bad_lifetime", "%d minutes", p.Lifetime).On("lifetimeInMinutes").Say("A token lives 1 to 10 minutes.")
	}
	grant := TokenGrant{Tenant: c.tenant.ID, Role: p.Role, Actor: c.actor, Expires: c.Now().Add(life)}
	token, err := c.MintToken(ctx, grant)
	if err != nil {
		return nil, err
	}
	// The token leaves this function only once its event is there.
	err = c.change(ctx, func(_ context.Context, _ *sqldb.Tx, e *audit.Event) error {
		e.Category = audit.Token
		e.Detail["role"], e.Detail["expires"] = p.Role, stamp(grant.Expires)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return struct {
		Token   string `json:"token"`
		Role    string `json:"role"`
		Expires string `json:"expires"`
	}{token, p.Role, stamp(grant.Expires)}, nil
}

type keyView struct {
	ID         idp.KeyID `json:"id"`
	Alg        string    `json:"alg"`
	State      string    `json:"state"`
	Created    string    `json:"created"`
	ActiveFrom string    `json:"activeFrom"`
	GoneAt     string    `json:"goneAt,omitempty"`
}

type rotateParams struct {
	inTenant
	Alg string `json:"alg"`
	Now bool   `json:"now"`
}

// rotateKeys begins the use of new signing keys. The keyring commits by
// itself, so the event is written first: no rotation without a record. One
// that then fails is on record as a failure.
func rotateKeys(ctx context.Context, c *call, p rotateParams) (any, error) {
	if c.Keys == nil {
		return nil, missing("keys")
	}
	algs, err := c.algorithms(ctx, p.Alg)
	if err != nil {
		return nil, err
	}
	for _, alg := range algs {
		if err := c.rotate(ctx, alg, p.Now); err != nil {
			return nil, err
		}
	}
	return listKeys(ctx, c, p.inTenant)
}

// algorithms lists those that there are keys of, or the one asked for.
func (c *call) algorithms(ctx context.Context, asked string) ([]string, error) {
	if asked != "" {
		if !slices.Contains(keyring.Algorithms, asked) {
			return nil, idp.Invalidf("unknown_algorithm", "algorithm %q", audit.Clean(asked, 20)).On("alg").Say("alg must be ES256 or RS256.")
		}
		return []string{asked}, nil
	}
	keys, err := c.Keys.Keys(ctx, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	var algs []string
	for _, k := range keys {
		if !slices.Contains(algs, k.Alg) {
			algs = append(algs, k.Alg)
		}
	}
	if len(algs) == 0 {
		algs = keyring.Algorithms[:1]
	}
	return algs, nil
}

func (c *call) rotate(ctx context.Context, alg string, now bool) error {
	record := func(outcome, reason string) error {
		return c.change(ctx, func(_ context.Context, _ *sqldb.Tx, e *audit.Event) error {
			e.Outcome, e.Reason, e.Detail["alg"] = outcome, reason, alg
			if now {
				e.Detail["emergency"] = "true"
			}
			return nil
		})
	}
	if err := record(audit.Success, ""); err != nil {
		return err
	}
	rotate := c.Keys.Rotate
	if now {
		rotate = c.Keys.RotateNow
	}
	err := rotate(ctx, c.tenant.ID, alg)
	if err != nil {
		if also := record(audit.Failure, idp.AsError(err).Reason); also != nil {
			return also
		}
	}
	return err
}

func listKeys(ctx context.Context, c *call, _ inTenant) (any, error) {
	if c.Keys == nil {
		return nil, missing("keys")
	}
	keys, err := c.Keys.Keys(ctx, c.tenant.ID)
	views := make([]keyView, len(keys))
	for i, k := range keys {
		views[i] = keyView{ID: k.ID, Alg: k.Alg, State: string(k.State), Created: stamp(k.Created), ActiveFrom: stamp(k.ActiveFrom)}
		if !k.GoneAt.IsZero() {
			views[i].GoneAt = stamp(k.GoneAt)
		}
	}
	return views, err
}
