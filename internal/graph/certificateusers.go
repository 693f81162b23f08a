package graph

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Whose certificates are: users' authorizationInfo and
// onPremisesUserPrincipalName (entra-behaviours.md §2.2, §2.3). Like Graph, this
// API shows them to those only who select them.

const (
	propMapping    = "authorizationInfo"
	propOnPremises = "onPremisesUserPrincipalName"
)

// mapPermissions are for saying whose a certificate is, besides those for
// changing a person: it opens the way into an account, as registering a method
// for somebody does.
var mapPermissions = []string{"UserAuthenticationMethod.ReadWrite.All"}

// seePermissions are for lists that show or ask it: User.ReadBasic.All, with
// which people can be listed, is not among them.
var seePermissions = []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All"}

// selects says whether $select names a property, or a part of it.
func (c *call) selects(property string) bool {
	return slices.ContainsFunc(c.query.selected, func(s string) bool {
		first, _, _ := strings.Cut(s, "/")
		return strings.EqualFold(first, property)
	})
}

// mayAskMappings refuses a list that shows or asks which certificates are whose
// to callers who may not see that, and a question that Graph does not answer
// either: of a list that is many rows apart from its users.
func (c *call) mayAskMappings() error {
	text := strings.ToLower(option(c.query.raw, "filter"))
	asks := strings.Contains(text, strings.ToLower(propMapping))
	if !asks && !strings.Contains(text, strings.ToLower(propOnPremises)) && !c.selects(propMapping) && !c.selects(propOnPremises) {
		return nil
	}
	if c.caller.cli == "" && !c.caller.has(seePermissions) {
		return denied("mapping_permission_missing", "Insufficient privileges to read authorizationInfo or onPremisesUserPrincipalName of people.")
	}
	counted := c.query.count || strings.HasSuffix(c.op.path, "/$count")
	if asks && !(counted && strings.EqualFold(c.r.Header.Get("ConsistencyLevel"), "eventual")) {
		return badOption("$filter", "A filter on authorizationInfo/certificateUserIds only works with $count=true and the request header 'ConsistencyLevel: eventual'.")
	}
	return nil
}

// option is a query option, with or without its $.
func option(all url.Values, name string) string {
	for key, values := range all {
		if strings.EqualFold(strings.TrimPrefix(key, "$"), name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// addMappings adds to people, shown as items, what $select asks for of it.
func (c *call) addMappings(ctx context.Context, people []directory.Person, items []entity) error {
	if c.selects(propOnPremises) {
		for i, p := range people {
			items[i][propOnPremises] = nil
			if p.OnPremises != "" {
				items[i][propOnPremises] = p.OnPremises
			}
		}
	}
	if !c.selects(propMapping) {
		return nil
	}
	ids := make([]idp.UserID, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	all, err := c.cfg.Directory.CertificateIDsOf(ctx, c.cfg.DB, c.tenant.ID, ids)
	if err != nil {
		return err
	}
	for i, p := range people {
		items[i][propMapping] = entity{"certificateUserIds": some(all[p.ID])}
	}
	return nil
}

// mappingBody is what may be written of it. The list is replaced whole.
type mappingBody struct {
	OnPremises *string `json:"onPremisesUserPrincipalName"`
	Info       *struct {
		head
		IDs *[]string `json:"certificateUserIds"`
	} `json:"authorizationInfo"`
}

// userBody reads what is written of a person. A null takes the name on premises
// away, as in Graph; what null means of a list clients do not agree on.
func (c *call) userBody() (in userBody, err error) {
	raw, err := c.sent()
	if err != nil {
		return in, err
	}
	if err := strict(raw, &in); err != nil {
		return in, err
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return in, badProperty("", "The body is no JSON object.")
	}
	if v, there := all[propOnPremises]; there && v == nil {
		in.OnPremises = new(string)
	}
	if v, there := all[propMapping]; there {
		if at := null(v, propMapping); at != "" {
			return in, badProperty(at, "The property '"+at+"' cannot be null. A list that is emptied is sent empty.")
		}
	}
	return in, nil
}

func (in mappingBody) maps() bool {
	return in.OnPremises != nil || in.Info != nil && in.Info.IDs != nil
}

// mayMap refuses an application that may change people, and not how they sign
// in. That people need a role for it, and tokens of the command line, is the
// operation's affair.
func (c *call) mayMap(in mappingBody) error {
	if !in.maps() || c.caller.cli != "" || c.caller.has(mapPermissions) {
		return nil
	}
	return denied("mapping_permission_missing",
		"Insufficient privileges to change authorizationInfo or onPremisesUserPrincipalName: it needs "+mapPermissions[0]+", too.")
}

// mayRename is mayMap for a person's user name, where that says whose a
// certificate is: by another name others sign in as them.
func (c *call) mayRename(ctx context.Context, u idp.User, name *string) error {
	if name == nil || directory.Fold(*name) == directory.Fold(u.Name) || c.caller.cli != "" || c.caller.has(mapPermissions) {
		return nil
	}
	p, err := c.policy(ctx)
	if err != nil {
		return err
	}
	byName := func(b policy.CertificateBinding) bool { return b.Property == policy.ByUserName }
	if !p.Methods[policy.Certificate].On || !slices.ContainsFunc(p.Certificate.Bindings, byName) {
		return nil
	}
	return denied("mapping_permission_missing",
		"Insufficient privileges to change userPrincipalName, which says here whose a certificate is: it needs "+mapPermissions[0]+", too.")
}

func (c *call) setMappings(ctx context.Context, tx *sqldb.Tx, u idp.User, in mappingBody, e *audit.Event) error {
	if in.OnPremises != nil {
		if _, err := c.cfg.Directory.Update(ctx, tx, u.Tenant, u.ID, directory.Changes{OnPremises: in.OnPremises}); err != nil {
			return err
		}
		e.Detail[propOnPremises] = audit.Clean(*in.OnPremises, 128)
	}
	if in.Info == nil || in.Info.IDs == nil {
		return nil
	}
	return c.cfg.Directory.Map(ctx, tx, u, *in.Info.IDs, e)
}
